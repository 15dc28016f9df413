"""PixCell's published folders, in small: read by diffusers' classes, painted by Algorithm S1 below a final parent."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, PixArtTransformer2DModel
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from everslide.model.errors import SlideError, WeightsError
from everslide.model.evaluation.fields import MemoryTiles
from everslide.model.geometry import TileIndex, WindowIndex
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.painter import Painter
from everslide.model.pyramid.top import ImageTop
from everslide.model.pyramid.wavelet import box_mean
from everslide.model.slide import Slide
from everslide.model.zoomldm.conditions import GridConditions, NoCondition, ParentConditions
from everslide.model.zoomldm.joint import S1, correct, predict
from everslide.model.zoomldm.latents import window_grid
from everslide.model.zoomldm.options import PaintOptions, load_windows
from everslide.model.zoomldm.painting import DETAIL, LatentWindows
from everslide.model.zoomldm.pixcell import load_pixcell
from everslide.model.zoomldm.resize import make_operator
from tests.model.pictures import tissue
from tests.model.zoomldm.tiny_pixcell import CHANNELS, autoencoder, write_pixcell

BRIEF = replace(DETAIL, settings=replace(DETAIL.settings, stride=500))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 px and one embedding, as PixCell-256."""
    return write_pixcell(tmp_path_factory.mktemp("pixcell"))


@pytest.fixture(scope="module")
def tiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """128 px and a grid of 4x4 embeddings, as PixCell-1024."""
    return write_pixcell(tmp_path_factory.mktemp("pixcell-tiled"), side=16, tokens=16)


class ColourEncoder:
    """Embeds the mean colour."""

    channels, fingerprint = CHANNELS, "colours"

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3)).repeat(1, CHANNELS // 3) * 4


def test_it_computes_what_diffusers_classes_compute(tiled: Path) -> None:
    """The denoiser with positions added to the embeddings and the variance left away; the scaled, shifted latents."""
    model = load_pixcell(tiled)
    assert (model.image_px, model.patch_px, model.grid_side(0), model.latent_channels) == (128, 32, 4, 4)
    tensors = {
        n: t.float() for n, t in load_file(tiled / "transformer" / "diffusion_pytorch_model.safetensors").items()
    }
    config = json.loads((tiled / "transformer" / "config.json").read_text())
    config.pop("caption_num_tokens")
    network = PixArtTransformer2DModel.from_config(config).eval()
    positions = tensors.pop("y_pos_embed.y_pos_embed")
    learned = tensors.pop("caption_projection.uncond_embedding")
    network.load_state_dict(tensors)
    z, grid = torch.randn(2, 4, 16, 16), torch.randn(2, CHANNELS, 4, 4)
    tokens = grid.flatten(2).transpose(1, 2)
    with torch.inference_mode():
        expected = network(z, tokens + positions, torch.tensor([499, 499])).sample[:, :4]
        c = model.condition(grid, 0)
        torch.testing.assert_close(model.eps(z, 500, c), expected, atol=1e-5, rtol=1e-5)
        unguided = network(z, learned.expand(2, -1, -1) + positions, torch.tensor([499, 499])).sample[:, :4]
        guided = 2 * expected - unguided
        torch.testing.assert_close(model.guided_eps(z, 500, c, 1), guided, atol=1e-4, rtol=1e-4)
        vae = AutoencoderKL.from_pretrained(tiled / "vae")
        image = torch.rand(1, 3, 128, 128) * 2 - 1
        latents = (vae.encode(image).latent_dist.mean - 0.0609) * 1.5305
        torch.testing.assert_close(model.encode(image), latents, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(model.decode(latents), vae.decode(latents / 1.5305 + 0.0609).sample)
    scheduler = DPMSolverMultistepScheduler.from_pretrained(tiled / "scheduler")
    torch.testing.assert_close(model.schedule.alpha_bar, scheduler.alphas_cumprod)


def test_size_is_passed_to_transformers_that_ask_for_it(tmp_path: Path) -> None:
    model = load_pixcell(write_pixcell(tmp_path, use_additional_conditions=True))
    z = torch.randn(1, 4, 8, 8)
    expected = model.transformer(
        z, model.unconditional(1), torch.tensor([9.0]),
        added_cond_kwargs={"resolution": torch.tensor([[64.0, 64.0]]), "aspect_ratio": torch.tensor([[1.0]])},
    ).sample[:, :4]  # fmt: skip
    torch.testing.assert_close(model.eps(z, 10, model.unconditional(1)), expected)


def test_a_correction_lessens_the_error_of_the_parent(folder: Path) -> None:
    model, operator = load_pixcell(folder), make_operator("bicubic", 2)
    generator = torch.Generator().manual_seed(1)
    y = torch.rand(1, 3, 32, 32, generator=generator) * 2 - 1
    z, c = torch.randn(1, 4, 8, 8, generator=generator), model.unconditional(1)
    with torch.inference_mode():
        before = predict(model, z, 300, c, 0)
        settings = replace(S1, w=0.0, lambda_=0.01)
        after = correct(model, before, 300, c, y, operator, settings)
        errors = [float((y - operator.down(model.decode(now.z0))).square().sum()) for now in (before, after)]
    assert errors[1] < errors[0]


@pytest.mark.parametrize("kind", ["folder", "tiled"])
def test_tiles_lead_back_to_the_picture_above(kind: str, request: pytest.FixtureRequest) -> None:
    model, picture = load_pixcell(request.getfixturevalue(kind)), tissue(128, 128, 3)
    windows = LatentWindows("pixcell-256", model, ParentConditions(model, ColourEncoder()), BRIEF, 1)
    assert windows.scales == 1 and windows.grid.window_px == model.image_px
    painter = Painter(Slide("photo", 4, 256, 256), windows, MemoryTiles(), ImageTop(picture, 1))
    tile = painter.tile(TileIndex(0, 0, 0))
    np.testing.assert_array_equal(box_mean(tile), picture)
    assert np.abs(np.diff(tile.astype(int), axis=0)).mean() > 0.5
    with pytest.raises(SlideError, match=r"knows 0 \.\. 0"):
        windows.bands(GenerationContext(1), [WindowIndex(1, 0, 0, windows.grid)], tissue(32, 32)[None])


def test_a_window_takes_the_embeddings_of_its_own_patches(tiled: Path) -> None:
    model = load_pixcell(tiled)
    grid = torch.randn(CHANNELS, 8, 8)
    conditions = GridConditions(model, grid)
    window = WindowIndex(0, 0, 0, window_grid(model))
    first = window.rect.x // model.patch_px
    c = conditions.of(1, [window], None)
    assert c.shape == (1, 16, CHANNELS)
    rows = [abs(r) - (r < 0) for r in range(first, first + 4)]  # mirrored outwards
    expected = grid[:, rows][:, :, rows].flatten(1).T[None]
    torch.testing.assert_close(c, expected, atol=1e-5, rtol=1e-5)


def test_they_are_served_by_name(folder: Path, tmp_path: Path) -> None:
    """By `--model pixcell-256 --weights FOLDER --with ...`, the same bytes every time; no Python file is run."""
    np.save(tmp_path / "grid.npy", np.random.default_rng(0).standard_normal((CHANNELS, 4, 4)).astype(np.float32))
    options = PaintOptions("fast", "reference", reference=str(tmp_path / "grid.npy"))
    cpu = torch.device("cpu")
    bands = []
    for _ in range(2):
        windows = load_windows("pixcell-256", folder, options, 1, cpu)
        window = WindowIndex(0, 1, 2, windows.grid)
        bands.append(windows.bands(GenerationContext(3), [window], tissue(32, 32, 1)[None]))
    np.testing.assert_array_equal(bands[0], bands[1])
    plain = load_windows("pixcell-256", folder, PaintOptions(), 1, cpu)
    assert plain.calls_per_window == 150, "Algorithm S1, 50 steps, with nothing to guide by"
    assert plain.fingerprint != windows.fingerprint
    with pytest.raises(SlideError, match="expected none, parent or reference"):
        load_windows("pixcell-256", folder, PaintOptions(condition="field"), 1, cpu)


def test_what_is_missing_is_said(folder: Path, tmp_path: Path) -> None:
    cpu = torch.device("cpu")
    without = write_pixcell(tmp_path / "without", vae=False)
    with pytest.raises(WeightsError, match=r"(?s)do not publish it.*stable-diffusion-3.5-large.*--with\s+vae=FOLDER"):
        load_windows("pixcell-256", without, PaintOptions(), 1, cpu)
    load_windows("pixcell-256", without, PaintOptions(vae=str(folder / "vae")), 1, cpu)
    with pytest.raises(WeightsError, match="expected --weights FOLDER with transformer"):
        load_windows("pixcell-256", None, PaintOptions(), 1, cpu)
    with pytest.raises(WeightsError, match=r"transformer/config.json: no such file"):
        load_windows("pixcell-256", tmp_path, PaintOptions(), 1, cpu)
    autoencoder(16).save_pretrained(tmp_path / "other")
    with pytest.raises(WeightsError, match="expected an autoencoder of 4 channels, found 16"):
        load_pixcell(folder, tmp_path / "other")
    torn = shutil.copytree(folder, tmp_path / "torn")
    weights = torn / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        load_pixcell(torn)
    foreign = shutil.copytree(folder, tmp_path / "foreign")
    weights = foreign / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    save_file({name: t for name, t in tensors.items() if "proj_out" not in name}, weights)
    with pytest.raises(WeightsError, match=r"missing proj_out.bias, proj_out.weight"):
        load_pixcell(foreign)
    save_file({name: t for name, t in tensors.items() if "uncond" not in name}, weights)
    with pytest.raises(WeightsError, match="is it PixCell's"):
        load_pixcell(foreign)
    (foreign / "transformer" / "config.json").write_text('{"_class_name": "FluxTransformer2DModel"}')
    with pytest.raises(WeightsError, match=r"expected the configuration of PixCell.*found 'FluxTransformer2DModel'"):
        load_pixcell(foreign)


def test_the_size_of_the_images_belongs_to_the_name(tmp_path: Path) -> None:
    large = write_pixcell(tmp_path, side=32)
    assert load_pixcell(large).image_px == 256
    with pytest.raises(WeightsError, match="serve it as pixcell-256"):
        load_windows("pixcell-1024", large, PaintOptions(), 1, torch.device("cpu"))


def test_positions_are_those_of_the_class(folder: Path) -> None:
    """They are computed, not stored: another window than the trained one would be a fault of sizes."""
    model = load_pixcell(folder)
    own = PixArtTransformer2DModel.from_config(dict(model.transformer.config))
    torch.testing.assert_close(model.transformer.pos_embed.pos_embed, own.pos_embed.pos_embed)
    assert not any(t.is_meta for t in (*model.transformer.parameters(), *model.transformer.buffers()))
    assert F.mse_loss(model.transformer.pos_embed.pos_embed, own.pos_embed.pos_embed) == 0
    assert NoCondition(model).of(1, [WindowIndex(0, 0, 0, window_grid(model))], None).shape == (1, 1, CHANNELS)
