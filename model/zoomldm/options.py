"""The options `--with KEY=VALUE` of `everslide serve --model zoomldm-*` and `pixcell-*`, and the models."""

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
from everslide.model.zoomldm.latent_model import LatentModel
from everslide.model.zoomldm.painting import PRESETS, LatentWindows
from everslide.model.zoomldm.pixcell import load_pixcell
from everslide.model.zoomldm.prototypes import kept_prototypes
from everslide.model.zoomldm.zoomldm import ZoomLDM, load_cdm, load_zoomldm

CONDITIONS = ("none", "cdm", "parent", "reference", "field")
ZOOMLDM = ("zoomldm-brca", "zoomldm-naip")
PIXCELL = {"pixcell-256": 256, "pixcell-1024": 1024}
"""Names of models, and sides of their images in pixels."""


@dataclass(frozen=True)
class PaintOptions:
    """Values of `--with KEY=VALUE`; an empty one was not given.

    preset: one of PRESETS, or joint; by default `fast` for ZoomLDM, `s1` for PixCell. condition: one of CONDITIONS.
    cdm: its checkpoint, for cdm and field. encoder: NAME:PATH, for parent and for a reference image. reference: an
    image of 20x, or a .npy grid of embeddings. vae: folder of PixCell's autoencoder, where it does not lie beside its
    transformer.
    """

    preset: str = ""
    condition: str = "none"
    cdm: str = ""
    encoder: str = ""
    reference: str = ""
    vae: str = ""

    def __post_init__(self) -> None:
        if self.preset:
            _one_of("preset", self.preset, (*PRESETS, JOINT.name))
        _one_of("condition", self.condition, CONDITIONS)


def parse_options(values: Mapping[str, str]) -> PaintOptions:
    """The options of `--with KEY=VALUE`, by key. Raises SlideError for unknown keys and values."""
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
) -> LatentWindows:
    """A model that is ready to paint, on a GPU where there is one. Raises WeightsError, SlideError, ImageError."""
    device = device or choose_device()
    model = load_named(name, weights, options, device)
    wanted = threads or available_threads()
    conditions = make_conditions(model, options)
    batch = 4 if device.type == "cuda" else 1
    preset = options.preset or ("s1" if name in PIXCELL else "fast")
    if preset == JOINT.name:
        return JointWindows(name, model, conditions, JOINT, wanted, batch)
    return LatentWindows(name, model, conditions, PRESETS[preset], wanted, batch)


def load_named(name: str, weights: Path | None, options: PaintOptions, device: torch.device) -> LatentModel:
    """A model by its name. Raises WeightsError where its files are missing, or those of another one."""
    if name in ZOOMLDM:
        if weights is None:
            raise WeightsError(
                f"{name}: expected --weights FOLDER with weights.ckpt and config.yaml, or one of diffusers "
                "(`everslide models`)"
            )
        return load_zoomldm(weights, device=device)
    if weights is None or not weights.is_dir():
        raise WeightsError(
            f"{name}: expected --weights FOLDER with transformer, scheduler and vae (`everslide models pull {name}`)"
        )
    model = load_pixcell(weights, Path(options.vae) if options.vae else None, device)
    if model.image_px in PIXCELL.values() and model.image_px != PIXCELL[name]:
        raise WeightsError(f"{weights}: paints images of {model.image_px} px; serve it as pixcell-{model.image_px}")
    return model


def make_conditions(model: LatentModel, options: PaintOptions) -> Conditions:
    """The source of conditions that the options name. Raises SlideError where a file it needs was not given."""
    if options.condition in ("cdm", "field") and not isinstance(model, ZoomLDM):
        raise SlideError(f"condition {options.condition!r} is of ZoomLDM's CDM; expected none, parent or reference")
    if isinstance(model, ZoomLDM) and options.condition == "cdm":
        return CDMConditions(model, *load_cdm(_file(options, "cdm"), device=model.device))
    if isinstance(model, ZoomLDM) and options.condition == "field":
        path = _file(options, "cdm")
        cdm, digest = load_cdm(path, device=model.device)
        return FieldConditions(model, kept_prototypes(path, model, cdm, digest))
    if options.condition == "parent":
        return ParentConditions(model, _encoder(model, options))
    if options.condition == "reference":
        path = _file(options, "reference")
        if path.suffix == ".npy":
            return GridConditions(model, read_grid(path, model.embedding_channels))
        return GridConditions(model, embed_image(_encoder(model, options), read_rgb(path), model.patch_px))
    return NoCondition(model)


def _encoder(model: LatentModel, options: PaintOptions) -> ViTEncoder:
    name, _, path = options.encoder.partition(":")
    if name not in ENCODERS or not path:
        raise SlideError(f"--with encoder={options.encoder!r}: expected NAME:PATH, NAME one of {', '.join(ENCODERS)}")
    encoder = load_encoder(name, Path(path), device=model.device)
    if encoder.channels != model.embedding_channels:
        raise WeightsError(
            f"encoder {name} gives {encoder.channels} channels, the checkpoint expects {model.embedding_channels}: "
            "take the encoder it was trained with"
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
