"""Training data of ZoomLDM from whole slides: latents of patches of every magnification, and embeddings of them.

A folder per slide, in it shards of at most SHARD images of one scale: `s2-00000.safetensors` with `z` (n, 3, h, w) and
`u` (n, C, k, k), k at most 8, both in half precision. A slide that is finished holds a file `done`; another run goes on
after it. `prepared.json` says what they were made with, so that no two autoencoders or encoders are mixed.

Safetensors are mapped: a batch drawn uniformly over magnifications reads its own rows, in any order, from any process,
and a shard is whole or refused. WebDataset's archives are read in sequence, so that uniform magnifications would need a
stream and a shuffle buffer for each; Zarr would decompress a chunk for each row, and latents hardly compress.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from everslide.model.errors import DataError
from everslide.model.evaluation.image_statistics import tissue_share
from everslide.model.geometry import Rect
from everslide.model.zoomldm.compute import Compute, in_batches
from everslide.model.zoomldm.embedding import Plane, open_plane
from everslide.model.zoomldm.encoders import Encoder
from everslide.model.zoomldm.summarizer import GRID
from everslide.model.zoomldm.zoomldm import ZoomLDM

SHARD = 1024
"""Images of a shard, at most."""
DONE = "done"
FACTS_NAME = "prepared.json"


def prepare_slides(
    model: ZoomLDM, slides: Sequence[Path], encoder: Encoder, compute: Compute, out: Path, tissue: float = 0.5
) -> dict[int, int]:
    """Write the training data of slides; returns the number of images of each scale.

    Raises ImageError; DataError where `out` holds data of another autoencoder, encoder or share of tissue.
    """
    facts = {"autoencoder": autoencoder_digest(model), "encoder": encoder.fingerprint, "tissue": tissue}
    _check_facts(out, facts)
    counts: dict[int, int] = dict.fromkeys(range(model.magnifications), 0)
    for path in slides:
        folder = out / path.stem
        if not (folder / DONE).is_file():
            folder.mkdir(parents=True, exist_ok=True)
            found = _prepare(model, open_plane(path), encoder, compute, folder, tissue)
            (folder / DONE).write_text(json.dumps(found), "utf-8")
        for s, count in json.loads((folder / DONE).read_text("utf-8")).items():
            counts[int(s)] += count
    if not sum(counts.values()):
        raise DataError(f"{out}: the slides hold no patch of {model.config.image_px} px that is mostly tissue")
    return counts


def autoencoder_digest(model: ZoomLDM) -> str:
    """SHA-256 of the autoencoder's weights and of the scale: equal for checkpoints with the same latents."""
    sha = hashlib.sha256(b"" if model.config.scale_factor == 1 else str(model.config.scale_factor).encode())
    for name, tensor in sorted(model.autoencoder.state_dict().items()):
        sha.update(name.encode())
        sha.update(tensor.float().cpu().contiguous().numpy().data)
    return sha.hexdigest()


def _check_facts(out: Path, facts: dict[str, object]) -> None:
    """Write what the data are made with, or raise DataError where `out` holds others."""
    known = _facts(out)
    other = [name for name in facts if known and known.get(name) != facts[name]]
    if other or (not known and out.is_dir() and any(out.iterdir())):
        found = f"data of another {', '.join(other)}" if other else "other files"
        raise DataError(f"{out}: expected an empty folder, or data of this run to go on with, found {found}")
    out.mkdir(parents=True, exist_ok=True)
    (out / FACTS_NAME).write_text(json.dumps(facts), "utf-8")


def _facts(folder: Path) -> dict[str, object]:
    """What is known of a folder's data; nothing where it holds none."""
    path = folder / FACTS_NAME
    if not path.is_file():
        return {}
    try:
        facts = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); delete the folder and prepare again") from error
    if not isinstance(facts, dict):
        raise DataError(f"{path}: expected a JSON object; delete the folder and prepare again")
    return facts


def _prepare(
    model: ZoomLDM, plane: Plane, encoder: Encoder, compute: Compute, folder: Path, tissue: float
) -> dict[int, int]:
    """One slide: its 20x patches are embedded once, then every scale takes its cells from them."""
    px = model.config.image_px
    rows, cols = plane.height // px, plane.width // px
    lines, shares = [], []
    for row in tqdm(range(rows), desc=f"{folder.name}: embedding", unit="row"):
        pixels = plane.read(Rect(0, row * px, cols * px, px)).reshape(px, cols, px, 3).transpose(1, 0, 2, 3)
        images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
        shares.append([tissue_share(patch) for patch in pixels])

        def embed(part: list[int], images: Tensor = images) -> Tensor:
            return encoder.embed(images[part].to(compute.device).float() / 255).float().cpu()

        lines.append(torch.cat([found for _, found in in_batches(range(cols), compute.batch, embed)]))
    grid = torch.stack(lines).permute(2, 0, 1) if lines else torch.empty(0, 0, 0)  # (C, rows, cols)
    share, counts = torch.tensor(shares), {}
    for s in range(model.magnifications):
        side = 2**s
        places = [
            (row, col)
            for row in range(0, rows - side + 1, side)
            for col in range(0, cols - side + 1, side)
            if float(share[row : row + side, col : col + side].mean()) >= tissue
        ]
        counts[s] = len(places)
        for number, start in enumerate(range(0, len(places), SHARD)):
            part = places[start : start + SHARD]
            u = torch.stack([_cells(grid[:, row : row + side, col : col + side]) for row, col in part])
            tensors = {"z": _latents(model, plane, part, s, compute).half(), "u": u.half()}
            save_file({name: t.contiguous() for name, t in tensors.items()}, folder / f"s{s}-{number:05d}.safetensors")
    return counts


def _cells(u: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(u, (GRID, GRID)) if u.shape[1] > GRID else u


@torch.inference_mode()
def _latents(model: ZoomLDM, plane: Plane, places: list[tuple[int, int]], s: int, compute: Compute) -> Tensor:
    px = model.config.image_px

    def work(part: list[int]) -> Tensor:
        rects = [Rect(places[n][1] * px, places[n][0] * px, px * 2**s, px * 2**s) for n in part]
        pixels = np.stack([plane.read(rect, s) for rect in rects])
        images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
        return model.encode(images.to(model.device, model.dtype) / 127.5 - 1).float().cpu()

    bar = tqdm(total=len(places), desc=f"scale {s}", unit="image", leave=False)
    with bar:
        done = []
        for part, z in in_batches(range(len(places)), compute.batch, work):
            done.append(z)
            bar.update(len(part))
    return torch.cat(done)


class TrainingSet:
    """Shards of every scale, mapped: an image is read when it is drawn.

    counts: images of each scale there is. autoencoder: digest of the one whose latents they are; "" where unknown.
    """

    def __init__(self, shards: dict[int, list[Path]], autoencoder: str = "") -> None:
        """Raises DataError for a shard that is not whole."""
        self.autoencoder = autoencoder
        self._files: dict[int, list[Any]] = {s: [_open(path) for path in paths] for s, paths in shards.items()}
        sizes = {s: [file.get_slice("z").get_shape()[0] for file in files] for s, files in self._files.items()}
        self._ends = {s: np.cumsum(found) for s, found in sizes.items()}
        self.counts = {s: int(ends[-1]) for s, ends in sorted(self._ends.items())}

    def draw(self, count: int, rng: np.random.Generator) -> Iterator[tuple[int, Tensor, Tensor]]:
        """A batch by scale, each image's scale drawn uniformly: (s, z (n, 3, h, w), u (n, C, k, k))."""
        chosen = rng.choice(list(self.counts), count)
        for s in sorted(set(chosen.tolist())):
            rows = rng.integers(self.counts[s], size=int((chosen == s).sum()))
            z, u = zip(*(self.image(s, int(row)) for row in rows), strict=True)
            yield s, torch.stack(z), torch.stack(u)

    def image(self, s: int, row: int) -> tuple[Tensor, Tensor]:
        """Latents (3, h, w) and embeddings (C, k, k) of an image of scale s."""
        shard = int(np.searchsorted(self._ends[s], row, side="right"))
        file, at = self._files[s][shard], row - (int(self._ends[s][shard - 1]) if shard else 0)
        z, u = (file.get_slice(name)[at : at + 1][0].float() for name in ("z", "u"))
        return z, u


def _open(path: Path) -> Any:
    try:
        return safe_open(path, "pt").__enter__()  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise DataError(f"{path}: not a whole shard ({error}); delete its folder and prepare again") from error


def read_training_set(folder: Path) -> TrainingSet:
    """What `prepare_slides` wrote. Raises DataError where there is nothing, or a slide is not finished."""
    shards: dict[int, list[Path]] = {}
    for path in sorted(folder.glob("*/s*-*.safetensors")):
        if not (path.parent / DONE).is_file():
            raise DataError(f"{path.parent}: is not finished; run `everslide zoomldm prepare` again")
        shards.setdefault(int(path.name[1:].split("-")[0]), []).append(path)
    if not shards:
        raise DataError(f"{folder}: expected what `everslide zoomldm prepare` wrote, found no shards")
    return TrainingSet(shards, str(_facts(folder).get("autoencoder", "")))
