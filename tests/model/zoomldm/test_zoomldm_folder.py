"""ZoomLDM as a folder of diffusers: the same networks as from the authors' checkpoint, whichever classes saved it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from click.testing import CliRunner
from diffusers import DDIMScheduler
from safetensors.torch import save_file

from everslide.model.errors import WeightsError
from everslide.model.zoomldm.checkpoint import random_networks
from everslide.model.zoomldm.networks import autoencoder_name, unet_name
from everslide.model.zoomldm.zoomldm import load_zoomldm
from everslide.server.cli import main
from tests.model.zoomldm.tiny import TINY, document
from tests.model.zoomldm.tiny_pixcell import CODE


def write_folder(folder: Path, own_classes: bool) -> Path:
    """own_classes: denoiser and autoencoder are saved by diffusers; else they are the authors', by their options."""
    networks = random_networks(TINY, 0)
    params: Any = cast(Any, document(TINY))["model"]["params"]
    parts: dict[str, tuple[str, Callable[[str], str]]] = {
        "unet": ("unet_config", lambda name: unet_name(name, TINY.unet)),
        "vae": ("first_stage_config", lambda name: autoencoder_name(name, TINY.autoencoder)),
        "conditioning_encoder": ("cond_stage_config", str),
    }
    for part, (section, rename) in parts.items():
        network = networks[{"vae": "autoencoder", "conditioning_encoder": "summarizer"}.get(part, part)]
        if own_classes and part != "conditioning_encoder":
            cast(Any, network).save_pretrained(folder / part)
            continue
        (folder / part).mkdir(parents=True)
        tensors = {rename(name): tensor.contiguous() for name, tensor in network.state_dict().items()}
        save_file(tensors, folder / part / "diffusion_pytorch_model.safetensors")
        options = params[section]["params"] if own_classes else params[section]
        (folder / part / "config.json").write_text(json.dumps(options))
    DDIMScheduler(
        beta_start=TINY.beta_start, beta_end=TINY.beta_end, beta_schedule="scaled_linear", steps_offset=1
    ).save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "ZoomLDMPipeline", "scale_factor": 1.0}))
    (folder / "pipeline_zoomldm.py").write_text(CODE)
    return folder


@pytest.mark.parametrize("own_classes", [True, False])
def test_both_layouts_load_as_the_checkpoint_does(own_classes: bool, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", own_classes)
    model, networks = load_zoomldm(folder), random_networks(TINY, 0)
    assert (model.config.unet, model.config.autoencoder) == (TINY.unet, TINY.autoencoder)
    assert model.config.summarizer == TINY.summarizer and model.config.beta_end == TINY.beta_end
    for name, network in {"unet": model.unet, "autoencoder": model.autoencoder, "summarizer": model.summarizer}.items():
        for key, tensor in networks[name].state_dict().items():
            assert torch.equal(network.state_dict()[key], tensor), key
    written = (folder / "zoomldm.everslide.safetensors").stat().st_mtime_ns
    assert load_zoomldm(folder).digest == model.digest
    assert (folder / "zoomldm.everslide.safetensors").stat().st_mtime_ns == written, "converted once"
    shown = CliRunner().invoke(main, ["models", "show", str(folder)])
    assert shown.exit_code == 0 and "8 magnifications, 64 px" in shown.output


def test_a_folder_says_the_scale_of_its_latents(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", own_classes=True)
    plain, image = load_zoomldm(folder), torch.rand(1, 3, 64, 64)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "ZoomLDMPipeline", "scale_factor": 2.0}))
    torch.testing.assert_close(load_zoomldm(folder).encode(image), plain.encode(image) * 2)


def test_what_is_missing_or_foreign_is_said(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", own_classes=True)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=r"unet/diffusion_pytorch_model\.safetensors: not a whole safetensors file"):
        load_zoomldm(folder)
    weights.unlink()
    with pytest.raises(WeightsError, match=r"unet: expected diffusion_pytorch_model.safetensors, found no weights"):
        load_zoomldm(folder)
    save_file({"stray": torch.zeros(1)}, weights)
    with pytest.raises(WeightsError, match="a tensor 'stray' that the class does not have"):
        load_zoomldm(folder)
    (folder / "conditioning_encoder" / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match="expected the options of ZoomLDM's components, found: KeyError"):
        load_zoomldm(folder)
    (folder / "conditioning_encoder" / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"conditioning_encoder/config\.json: no such file"):
        load_zoomldm(folder)
    (folder / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    with pytest.raises(WeightsError, match="expected a ZoomLDMPipeline, found 'FluxPipeline'"):
        load_zoomldm(folder)
