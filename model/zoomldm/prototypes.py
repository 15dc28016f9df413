"""Prototypes for `FieldConditions`: embeddings found from the CDM, so that no real slide is needed.

The CDM samples Summarizer outputs of 20x patches. Prototypes are embeddings u with such outputs:
u = argmin |Summarizer(u, 0) - c|^2 by Adam, for a few samples c.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from everslide.model.errors import WeightsError
from everslide.model.geometry import Rect
from everslide.model.pyramid.keyed_noise import normals_anywhere
from everslide.model.whole_file import written_whole
from everslide.model.zoomldm.cdm import CDM
from everslide.model.zoomldm.cdm_sampling import STEPS, check_match, sample_conditions
from everslide.model.zoomldm.zoomldm import ZoomLDM

COUNT = 12
"""Prototypes of a field: kinds of tissue that it mixes."""
FORMAT = "everslide-prototypes-1"
SEED = 1
"""Of what is sampled: prototypes belong to the weights, not to a slide."""


def find_prototypes(
    model: ZoomLDM, cdm: CDM, count: int = COUNT, steps: int = 80, cdm_steps: int = STEPS
) -> tuple[Tensor, float]:
    """Prototypes (count, C), and the root mean square error of the Summarizer's outputs for them.

    steps: of Adam; cdm_steps: of DDIM. Raises WeightsError where the CDM belongs to another checkpoint.
    """
    check_match(cdm, model.config)
    tokens, channels = model.config.context_shape
    z = torch.from_numpy(normals_anywhere(SEED, "prototypes", 0, Rect(0, 0, channels, tokens), count))
    z = z.transpose(1, 2).to(model.device, model.dtype)  # (count, channels, tokens)
    index = torch.zeros(count, dtype=torch.long, device=model.device)
    with torch.no_grad():
        wanted = sample_conditions(cdm, z, index, cdm_steps)
    width = model.config.summarizer.input_channels
    start = normals_anywhere(SEED, "prototypes", 1, Rect(0, 0, width, 1), count)[:, 0]
    u = torch.from_numpy(start.copy()).to(model.device, model.dtype).requires_grad_(True)
    optimiser = torch.optim.Adam([u], lr=0.1)
    error = torch.tensor(0.0)
    for _ in tqdm(range(steps), desc="prototypes", unit="step", leave=False):
        with torch.enable_grad():
            error = (model.summarizer(_normalised(u)[:, :, None, None], index) - wanted).square().mean()
            optimiser.zero_grad()
            error.backward()
        optimiser.step()
    return _normalised(u.detach()), error.item() ** 0.5


def kept_prototypes(path: Path, model: ZoomLDM, cdm: CDM, digest: str) -> Tensor:
    """Prototypes (COUNT, C): read from the file beside the CDM's weights `path`, or found now and written there.

    digest: of the CDM; prototypes of other weights are found anew. Raises WeightsError where they cannot be written.
    """
    target = path.with_name(path.name.split(".")[0] + ".prototypes.safetensors")
    wanted = {"format": FORMAT, "model": model.digest, "cdm": digest}
    if target.is_file():
        try:
            with safe_open(target, "pt") as file:
                if file.metadata() == wanted:
                    kept: Tensor = file.get_tensor("u")
                    return kept
        except SafetensorError:
            target.unlink()  # an interrupted writing: find them again
    u, _ = find_prototypes(model, cdm)
    try:
        with written_whole(target) as partial:
            save_file({"u": u.float().cpu().contiguous()}, partial, metadata=wanted)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{target}: the prototypes cannot be written ({error}); choose a writable folder") from error
    return u.float().cpu()


def _normalised(u: Tensor) -> Tensor:
    return (u - u.mean(1, keepdim=True)) / u.std(1, keepdim=True)
