"""Loading of checkpoints in the authors' format, good and bad ones."""

from __future__ import annotations

import argparse
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from everslide.model.errors import WeightsError
from everslide.model.zoomldm.cdm import CDM
from everslide.model.zoomldm.checkpoint import authors_names, convert, empty_networks, load_networks
from everslide.model.zoomldm.config import BRCA, NAIP, CDMConfig, read_cdm_config, read_config
from everslide.model.zoomldm.training_set import autoencoder_digest
from everslide.model.zoomldm.zoomldm import load_cdm, load_zoomldm
from tests.model.zoomldm.tiny import TINY, TINY_CDM, document, random_cdm, state_dict, tiny, write_checkpoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "brca")


def test_a_loaded_checkpoint_computes_what_the_networks_did(folder: Path) -> None:
    loaded, expected = load_zoomldm(folder), tiny()
    torch.manual_seed(1)
    z, c = torch.randn(2, 3, 16, 16), torch.randn(2, 65, 32)
    image, grid = torch.rand(1, 3, 64, 64) * 2 - 1, torch.randn(2, 24, 4, 4)
    torch.testing.assert_close(loaded.eps(z, 300, c), expected.eps(z, 300, c))
    assert loaded.eps(z, 300, c).abs().max() > 0.01, "the averaged weights, not the zeros beside them"
    torch.testing.assert_close(loaded.encode(image), expected.encode(image))
    torch.testing.assert_close(loaded.decode(z), expected.decode(z))
    torch.testing.assert_close(loaded.condition(grid, [2, 7]), expected.condition(grid, [2, 7]))
    assert loaded.config == TINY == read_config(folder / "config.yaml")


def test_weights_are_converted_once_beside_the_original(folder: Path) -> None:
    first = load_zoomldm(folder)
    converted = folder / "weights.everslide.safetensors"
    written = converted.stat().st_mtime_ns
    assert load_zoomldm(folder / "weights.ckpt").digest == first.digest
    assert converted.stat().st_mtime_ns == written
    assert load_zoomldm(converted).digest == first.digest
    (folder / "weights.ckpt").unlink()
    assert load_zoomldm(folder).digest == first.digest, "the original is not needed any more"


def test_another_original_is_converted_anew(folder: Path) -> None:
    first = load_zoomldm(folder)
    torch.save(state_dict(seed=5), folder / "weights.ckpt")
    os.utime(folder / "weights.ckpt", ns=(1, 1))
    assert load_zoomldm(folder).digest != first.digest


def test_an_interrupted_conversion_is_done_again(folder: Path) -> None:
    first = load_zoomldm(folder)
    converted = folder / "weights.everslide.safetensors"
    converted.write_bytes(converted.read_bytes()[:1000])
    assert load_zoomldm(folder).digest == first.digest


def test_loaded_weights_are_mapped_and_not_copied(folder: Path) -> None:
    """The networks' parameters lie in the mapped file: float32 weights take no memory of their own."""
    converted = convert(folder / "weights.ckpt", TINY)
    _, networks, _ = load_networks(converted, torch.float32)
    parameters = [p for network in networks.values() for p in network.parameters()]
    assert not any(p.is_meta for p in parameters)
    start = min(p.data_ptr() for p in parameters)
    end = max(p.data_ptr() + p.nbytes for p in parameters)
    assert end - start <= converted.stat().st_size, "all in one mapping no larger than the file"


def test_half_precision_is_kept_on_disk_and_cast_on_loading(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    halves = {n: t.half() if t.is_floating_point() else t for n, t in state_dict().items()}
    torch.save(halves, folder / "weights.ckpt")
    loaded = load_zoomldm(folder)
    assert all(p.dtype == torch.float32 for p in loaded.unet.parameters())
    small = (folder / "weights.everslide.safetensors").stat().st_size
    assert small < 0.6 * sum(t.numel() for n, t in state_dict().items() if not n.startswith("model.")) * 4


def test_names_of_the_published_networks() -> None:
    """Spot checks of the full-size names, and that no two parameters share one."""
    names = authors_names(BRCA, empty_networks(BRCA))
    assert len(set(names.values())) == len(names)
    stem = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    assert names[stem] == "model_ema.diffusion_modelinput_blocks41transformer_blocks0attn2to_kweight"
    assert names["unet.up_blocks.0.upsamplers.0.conv.bias"] == "model_ema.diffusion_modeloutput_blocks22convbias"
    assert names["unet.up_blocks.3.resnets.2.conv1.bias"] == "model_ema.diffusion_modeloutput_blocks110in_layers2bias"
    assert names["unet.mid_block.resnets.1.conv2.bias"] == "model_ema.diffusion_modelmiddle_block2out_layers3bias"
    assert names["autoencoder.decoder.up_blocks.0.upsamplers.0.conv.weight"] == (
        "first_stage_model.decoder.up.2.upsample.conv.weight"
    )
    assert names["autoencoder.encoder.mid_block.attentions.0.to_out.0.weight"] == (
        "first_stage_model.encoder.mid.attn_1.proj_out.weight"
    )
    assert names["summarizer.encoder.layers.encoder_layer_11.mlp.3.bias"] == (
        "cond_stage_model.encoder.layers.encoder_layer_11.mlp.3.bias"
    )


def test_sizes_of_the_published_networks() -> None:
    def millions(network: torch.nn.Module) -> float:
        return sum(p.numel() for p in network.parameters()) / 1e6

    for config in (BRCA, NAIP):
        networks = empty_networks(config)
        sizes = {name: round(millions(network)) for name, network in networks.items()}
        assert sizes == {"unet": 401, "autoencoder": 55, "summarizer": 39}
    with torch.device("meta"):
        assert round(millions(CDM(CDMConfig()))) == 131


def test_missing_and_unknown_keys_are_named(folder: Path) -> None:
    tensors = state_dict()
    del tensors["cond_stage_model.pad_token"]
    tensors["cond_stage_model.novel"] = torch.zeros(1)
    torch.save(tensors, folder / "weights.ckpt")
    with pytest.raises(WeightsError, match=r"missing cond_stage_model\.pad_token; unknown cond_stage_model\.novel"):
        load_zoomldm(folder)
    assert not (folder / "weights.everslide.safetensors").exists()


def test_another_architecture_is_refused(folder: Path) -> None:
    torch.save({"layer.weight": torch.zeros(3)}, folder / "weights.ckpt")
    with pytest.raises(WeightsError, match=r"missing cond_stage_model.* and \d+ more; unknown layer\.weight"):
        load_zoomldm(folder)
    tensors = state_dict()
    tensors["cond_stage_model.dim_reduce.weight"] = torch.zeros(32, 25)
    torch.save(tensors, folder / "weights.ckpt")
    with pytest.raises(WeightsError, match=r"dim_reduce\.weight has the shape \(32, 25\), expected \(32, 24\)"):
        load_zoomldm(folder)


def test_a_truncated_file_is_refused(folder: Path) -> None:
    whole = (folder / "weights.ckpt").read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 10):
        (folder / "weights.ckpt").write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=r"weights\.ckpt: (expected a whole PyTorch checkpoint|refused)"):
            load_zoomldm(folder)


class Bomb:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch everslide-was-here",)


@pytest.mark.parametrize(
    ("how", "words"), [("zip", r"refused: expected tensors only.*system"), ("pickle", "expected a whole PyTorch")]
)
def test_code_in_a_pickle_is_refused_and_not_run(
    folder: Path, how: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if how == "zip":
        torch.save({"x": Bomb()}, folder / "weights.ckpt")
    else:
        (folder / "weights.ckpt").write_bytes(pickle.dumps({"x": Bomb()}))
    with pytest.raises(WeightsError, match=rf"weights\.ckpt: {words}") as caught:
        load_zoomldm(folder)
    assert "weights_only" not in str(caught.value), "torch's advice to run it is not passed on"
    assert not (tmp_path / "everslide-was-here").exists()


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="nowhere: no such file; give the folder"):
        load_zoomldm(tmp_path / "nowhere")
    folder = write_checkpoint(tmp_path / "lonely")
    (folder / "config.yaml").unlink()
    with pytest.raises(WeightsError, match=r"config\.yaml: no such file"):
        load_zoomldm(folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (":\n -", "cannot be read as YAML"),
        ("model: {}", "expected a ZoomLDM configuration"),
        ("model: {params: {unet_config: {params: {use_spatial_transformer: false}}}}", "spatial transformers"),
    ],
)
def test_bad_configurations_are_named(folder: Path, text: str, words: str) -> None:
    (folder / "config.yaml").write_text(text)
    with pytest.raises(WeightsError, match=words):
        load_zoomldm(folder)


@pytest.mark.parametrize(
    ("levels", "data", "domain"),
    [
        (8, None, "tissue"),
        (4, None, "ground"),
        (4, "ldm.data.brca.TCGADataset", "tissue"),
        (4, "ldm.data.naip.NAIPDataset", "ground"),
    ],
)
def test_what_a_checkpoint_paints_is_read_from_its_data(
    folder: Path, levels: int, data: str | None, domain: str
) -> None:
    values = document(replace(TINY, summarizer=replace(TINY.summarizer, magnifications=levels)))
    if data:
        values["data"] = {"params": {"train": {"target": data}}}
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    assert read_config(folder / "config.yaml").domain == domain
    assert NAIP.domain == "ground" and BRCA.domain == "tissue"


@pytest.mark.parametrize(
    ("part", "sizes", "words"),
    [
        ("unet_config", {"context_dim": 31}, "attends to vectors of 31"),
        ("unet_config", {"in_channels": 4, "out_channels": 4}, "latents have 4 channels, the autoencoder's 3"),
        ("unet_config", {"out_channels": 6}, "as many output as input channels, found 6 and 3"),
        ("first_stage_config", {"embed_dim": 4}, r"\(embed_dim\) as its latents \(z_channels\), found 4 and 3"),
        ("", {"scale_factor": 0.0}, "config.yaml: scale_factor 0.0: expected a number above 0"),
        ("", {"scale_factor": 10**400}, "expected a ZoomLDM configuration"),
        ("", {"timesteps": 0}, "timesteps 0: expected whole numbers from 1 on"),
        ("", {"linear_start": float("nan")}, "expected 0 < start <= end < 1"),
        ("unet_config", {"model_channels": -192}, "model_channels -192: expected whole numbers from 1 on"),
        ("unet_config", {"channel_mult": "1234"}, "channel_mult"),
        ("unet_config", {"channel_mult": []}, "channel_mult"),
        ("unet_config", {"num_res_blocks": float("inf")}, "expected a ZoomLDM configuration"),
        ("first_stage_config", {"ddconfig": [1]}, "expected a ZoomLDM configuration"),
    ],
)
def test_sizes_that_do_not_fit_are_named(folder: Path, part: str, sizes: dict[str, object], words: str) -> None:
    values: Any = document(TINY)
    params = values["model"]["params"]
    (params[part]["params"] if part else params).update(sizes)
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(WeightsError, match=words):
        load_zoomldm(folder)


def test_latents_are_scaled_as_the_configuration_says(folder: Path) -> None:
    """The denoiser's latents are the autoencoder's times `scale_factor`, as in the authors' class."""
    values: Any = document(TINY)
    values["model"]["params"]["scale_factor"] = 0.5
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    scaled, plain = load_zoomldm(folder), tiny()
    image, z = torch.rand(1, 3, 64, 64) * 2 - 1, torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(scaled.encode(image), plain.encode(image) / 2)
    torch.testing.assert_close(scaled.decode(z / 2), plain.decode(z))
    assert autoencoder_digest(scaled) != autoencoder_digest(plain), "training data of one are none of the other's"


def test_cdm_checkpoints(folder: Path) -> None:
    loaded, digest = load_cdm(folder / "cdm.ckpt")
    assert loaded.config == TINY_CDM == read_cdm_config(folder / "config.yaml")
    torch.manual_seed(0)
    expected = random_cdm()
    x, t, y = torch.randn(2, 32, 65), torch.tensor([3, 700]), torch.tensor([0, 7])
    torch.testing.assert_close(loaded(x, t, y), expected(x, t, y))
    assert load_cdm(folder / "cdm.ckpt")[1] == digest
    options = argparse.Namespace(model="DiT-B", epochs=1400, data_path="/data")
    trained = {name: torch.zeros_like(tensor) for name, tensor in expected.state_dict().items()}
    whole = {"model": trained, "ema": expected.state_dict(), "opt": {"lr": 1e-4}, "args": options}
    torch.save(whole, folder / "0050000.pt")
    again, _ = load_cdm(folder / "0050000.pt")
    torch.testing.assert_close(again(x, t, y), expected(x, t, y))
    torch.save({"ema": {"x": torch.zeros(1)}}, folder / "cdm.ckpt")
    with pytest.raises(WeightsError, match="missing"):
        load_cdm(folder / "cdm.ckpt")


def test_cdm_sizes_are_inferred_from_the_tensors(tmp_path: Path) -> None:
    config = CDMConfig(65, 16, 384, 1, 6, 4.0, 8)
    torch.save({"ema": CDM(config).state_dict()}, tmp_path / "cdm.ckpt")
    assert load_cdm(tmp_path / "cdm.ckpt")[0].config == config
    torch.save({"ema": {"x": torch.zeros(1)}}, tmp_path / "cdm.ckpt")
    with pytest.raises(WeightsError, match="expected the state dict of a conditioning diffusion model"):
        load_cdm(tmp_path / "cdm.ckpt")
