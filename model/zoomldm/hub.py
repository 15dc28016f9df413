"""Where the authors publish their files, and fetching them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError

from everslide.model.errors import WeightsError

REPOSITORY = "StonyBrook-CVLab/ZoomLDM"


@dataclass(frozen=True)
class Published:
    """Files of a repository of the hub."""

    pattern: str
    text: str
    repository: str = REPOSITORY


PUBLISHED = {
    "zoomldm-brca": Published("brca/*", "pathology, 20x to 0.15625x, 495 M parameters"),
    "zoomldm-naip": Published("naip/*", "aerial images, four resolutions, 495 M parameters"),
    "cdm-brca": Published("cdm_brca*", "conditioning diffusion model of zoomldm-brca, 131 M parameters"),
}


def pull(name: str, folder: Path) -> Path:
    """Fetch the files of `name` into `folder`. Raises WeightsError where there are none or the hub is out of reach."""
    if name not in PUBLISHED:
        raise WeightsError(f"{name!r} is not published: expected one of {', '.join(PUBLISHED)}")
    entry = PUBLISHED[name]
    try:
        snapshot_download(entry.repository, allow_patterns=[entry.pattern, f"{entry.pattern}/*"], local_dir=folder)
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise WeightsError(
            f"{name}: cannot be fetched from {entry.repository} ({str(error).splitlines()[0]}); fetch its files "
            f"({entry.pattern}) by other means and give their folder with --weights"
        ) from error
    found = sorted(path for path in folder.glob(entry.pattern.split("/")[0]) if path.name != ".cache")
    if not found:
        raise WeightsError(f"{name}: {entry.repository} holds no files {entry.pattern}")
    return found[0]
