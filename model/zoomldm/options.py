"""What `everslide serve --model zoomldm-brca` may be told with `--with KEY=VALUE`, and the model that comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from everslide.model.compute_threads import available_threads
from everslide.model.errors import SlideError, WeightsError
from everslide.model.image_io.user_picture import read_rgb
from everslide.model.zoomldm.compute import choose_device
from everslide.model.zoomldm.conditions import (
    CDMConditions,
    Conditions,
    FieldConditions,
    GridConditions,
    NoCondition,
    ParentConditions,
)
from everslide.model.zoomldm.encoders import ENCODERS, ViTEncoder, embed_image, load_encoder, read_grid
from everslide.model.zoomldm.joint_painting import JOINT, JointWindows
from everslide.model.zoomldm.painting import PRESETS, ZoomLDMWindows
from everslide.model.zoomldm.prototypes import kept_prototypes
from everslide.model.zoomldm.zoomldm import ZoomLDM, load_cdm, load_zoomldm

CONDITIONS = ("none", "cdm", "parent", "reference", "field")


@dataclass(frozen=True)
class PaintOptions:
    """Values of `--with`.

    preset: one of PRESETS, or joint. condition: one of CONDITIONS. cdm: its checkpoint, for cdm and field.
    encoder: NAME:PATH, for parent and for a reference image. reference: an image of 20x, or a .npy grid of embeddings.
    """

    preset: str = "fast"
    condition: str = "none"
    cdm: str = ""
    encoder: str = ""
    reference: str = ""

    def __post_init__(self) -> None:
        _one_of("preset", self.preset, (*PRESETS, JOINT.name))
        _one_of("condition", self.condition, CONDITIONS)


def parse_options(values: Mapping[str, str]) -> PaintOptions:
    """Raises SlideError for unknown names and values."""
    known = [field.name for field in fields(PaintOptions)]
    for name in values:
        _one_of("--with", name, tuple(known))
    return PaintOptions(**values)


def load_windows(
    name: str,
    weights: Path | None,
    options: PaintOptions,
    threads: int | None = None,
    device: torch.device | None = None,
) -> ZoomLDMWindows:
    """A checkpoint that is ready to paint, on a GPU where there is one. Raises WeightsError, SlideError, ImageError."""
    if weights is None:
        raise WeightsError(f"{name}: expected --weights FOLDER with weights.ckpt and config.yaml (`everslide models`)")
    device = device or choose_device()
    model = load_zoomldm(weights, device=device)
    wanted = threads or available_threads()
    conditions = make_conditions(model, options)
    batch = 4 if device.type == "cuda" else 1
    if options.preset == JOINT.name:
        return JointWindows(name, model, conditions, JOINT, wanted, batch)
    return ZoomLDMWindows(name, model, conditions, PRESETS[options.preset], wanted, batch)


def make_conditions(model: ZoomLDM, options: PaintOptions) -> Conditions:
    """The source of conditions that the options name. Raises SlideError where a file it needs was not given."""
    if options.condition == "cdm":
        return CDMConditions(model, *load_cdm(_file(options, "cdm"), device=model.device))
    if options.condition == "field":
        path = _file(options, "cdm")
        cdm, digest = load_cdm(path, device=model.device)
        return FieldConditions(model, kept_prototypes(path, model, cdm, digest))
    if options.condition == "parent":
        return ParentConditions(model, _encoder(model, options))
    if options.condition == "reference":
        path = _file(options, "reference")
        if path.suffix == ".npy":
            return GridConditions(model, read_grid(path, model.config.summarizer.input_channels))
        return GridConditions(model, embed_image(_encoder(model, options), read_rgb(path), model.config.image_px))
    return NoCondition(model)


def _encoder(model: ZoomLDM, options: PaintOptions) -> ViTEncoder:
    name, _, path = options.encoder.partition(":")
    if name not in ENCODERS or not path:
        raise SlideError(f"--with encoder={options.encoder!r}: expected NAME:PATH, NAME one of {', '.join(ENCODERS)}")
    encoder = load_encoder(name, Path(path), device=model.device)
    if encoder.channels != model.config.summarizer.input_channels:
        raise WeightsError(
            f"encoder {name} gives {encoder.channels} channels, the checkpoint expects "
            f"{model.config.summarizer.input_channels}: take the encoder it was trained with"
        )
    return encoder


def _file(options: PaintOptions, name: str) -> Path:
    value = getattr(options, name)
    if not value:
        raise SlideError(f"condition {options.condition!r}: expected --with {name}=PATH")
    return Path(value)


def _one_of(what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SlideError(f"{what} {value!r}: expected one of {', '.join(allowed)}")
