"""Where published models are to be had, and fetching them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError

from everslide.model.errors import WeightsError

REPOSITORY = "StonyBrook-CVLab/ZoomLDM"


@dataclass(frozen=True)
class Published:
    """A model on the hub. patterns: its files in `repository`; text: what it is, for people; whole: the repository is
    one model, fetched into a folder of its name."""

    patterns: tuple[str, ...]
    text: str
    repository: str = REPOSITORY
    whole: bool = False


_DIFFUSERS = ("*.json", "*/*.json", "*/*.safetensors")
"""Configurations and weights: never the Python files beside them."""
PUBLISHED = {
    "zoomldm-brca": Published(("brca/*",), "pathology, 20x to 0.15625x, 495 M parameters"),
    "zoomldm-naip": Published(("naip/*",), "aerial images, four resolutions, 495 M parameters"),
    "cdm-brca": Published(("cdm_brca*",), "conditioning diffusion model of zoomldm-brca, 131 M parameters"),
    "pixcell-256": Published(
        _DIFFUSERS, "pathology, 20x, 256 px, without its autoencoder", "StonyBrook-CVLab/PixCell-256", whole=True
    ),
    "pixcell-1024": Published(
        _DIFFUSERS, "pathology, 20x, 1024 px, without its autoencoder", "StonyBrook-CVLab/PixCell-1024", whole=True
    ),
    "sd3-vae": Published(
        ("vae/*.json", "vae/*.safetensors"), "the autoencoder of pixcell-*; ask its authors for access first",
        "stabilityai/stable-diffusion-3.5-large",
    ),
}  # fmt: skip


def pull(name: str, folder: Path) -> Path:
    """Fetch the files of a model in PUBLISHED into `folder`; returns the path to load it from.

    Raises WeightsError for an unknown name, where the hub is out of reach, or where it holds no such files.
    """
    if name not in PUBLISHED:
        raise WeightsError(f"{name!r} is not published: expected one of {', '.join(PUBLISHED)}")
    entry = PUBLISHED[name]
    patterns = [each for pattern in entry.patterns for each in (pattern, f"{pattern}/*")]
    target = folder / name if entry.whole else folder
    try:
        snapshot_download(entry.repository, allow_patterns=patterns, local_dir=target)
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise WeightsError(
            f"{name}: cannot be fetched from {entry.repository} ({str(error).splitlines()[0]}); fetch its files "
            f"({', '.join(entry.patterns)}) by other means and give their folder with --weights"
        ) from error
    first = "*" if entry.whole else entry.patterns[0].split("/")[0]
    found = sorted(path for path in target.glob(first) if path.name != ".cache")
    if not found:
        raise WeightsError(f"{name}: {entry.repository} holds no files {', '.join(entry.patterns)}")
    return target if entry.whole else found[0]
