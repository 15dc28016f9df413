"""Vision transformers of the published layouts, on tiny random weights."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from everslide.model.errors import ImageError, WeightsError
from everslide.model.zoomldm.encoders import (
    ENCODERS,
    SPECS,
    EncoderName,
    EncoderSpec,
    TextureEncoder,
    embed_image,
    load_encoder,
    read_grid,
)
from everslide.model.zoomldm.transformer import GatedMlp
from everslide.model.zoomldm.vit import VisionTransformer, ViTConfig
from tests.model.pictures import tissue


def small(name: EncoderName) -> EncoderSpec:
    """The published layout, shrunk."""
    spec = SPECS[name]
    return replace(spec, vit=replace(spec.vit, width=16, depth=2, heads=2, grid=5), input_px=spec.vit.patch * 5)


def network(spec: EncoderSpec) -> VisionTransformer:
    torch.manual_seed(1)
    return VisionTransformer(spec.vit).eval().requires_grad_(False)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("form", ["safetensors", "torch"])
def test_published_layouts_are_read(name: EncoderName, form: str, tmp_path: Path) -> None:
    spec = small(name)
    tensors = network(spec).state_dict()
    if form == "safetensors":
        path = tmp_path / "weights.safetensors"
        save_file(tensors, path)
    else:
        path = tmp_path / "weights.pth"
        torch.save({"teacher": {f"module.backbone.{key}": value for key, value in tensors.items()}}, path)
    encoder = load_encoder(name, path, spec)
    side = spec.input_px
    images = torch.rand(3, 3, side, side)
    mean, deviation = (torch.tensor(colour).view(1, 3, 1, 1) for colour in spec.colours)
    expected = network(spec)((images - mean) / deviation)
    torch.testing.assert_close(encoder.embed(images), expected, atol=1e-5, rtol=1e-5)
    assert expected.shape == (3, 16) and expected.std() > 0.1
    assert encoder.embed(torch.rand(1, 3, 64, 64)).shape == (1, 16), "other sizes are resized"


def test_sizes_of_the_published_encoders() -> None:
    counts = {}
    for name in ENCODERS:
        with torch.device("meta"):
            counts[name] = sum(p.numel() for p in VisionTransformer(SPECS[name].vit).parameters())
    assert counts == {
        "uni": 303_350_784,
        "uni2-h": 681_394_176,
        "hipt": 21_665_664,
        "dinov2": 304_368_640 - 1024,
        "dinov2-reg": 304_372_736 - 1024,
    }, "as published, without the mask token"
    assert [SPECS[name].vit.width for name in ENCODERS] == [1024, 1536, 384, 1024, 1024]


def test_register_tokens_are_seen_by_the_class_token_and_have_no_position() -> None:
    vit = network(small("dinov2-reg"))
    assert vit.state_dict()["register_tokens"].shape == (1, 4, 16)
    image = torch.rand(1, 3, 70, 70)
    before = vit(image)
    vit.register_tokens.copy_(torch.randn(1, 4, 16))
    after = vit(image)
    assert (after - before).abs().max() > 1e-3
    vit.register_tokens.copy_(vit.register_tokens[:, [2, 0, 3, 1]])
    torch.testing.assert_close(vit(image), after, atol=1e-5, rtol=1e-5)


def test_a_uni2_file_in_timm_s_names_has_gated_perceptrons_and_no_position_for_the_class(tmp_path: Path) -> None:
    spec = small("uni2-h")
    tensors = network(spec).state_dict()
    renamed = {"reg_token" if name == "register_tokens" else name: tensor for name, tensor in tensors.items()}
    torch.save(renamed, tmp_path / "pytorch_model.bin")
    encoder, image = load_encoder("uni2-h", tmp_path / "pytorch_model.bin", spec), torch.rand(1, 3, 64, 64)
    assert tensors["pos_embed"].shape == (1, 25, 16)
    changed = {name: tensor + (name == "blocks.0.mlp.fc1.bias") for name, tensor in renamed.items()}
    torch.save(changed, tmp_path / "other.bin")
    assert not torch.equal(load_encoder("uni2-h", tmp_path / "other.bin", spec).embed(image), encoder.embed(image))
    mlp, x = GatedMlp(6, 8), torch.randn(2, 6)
    first, second = (x @ mlp.fc1.weight.T + mlp.fc1.bias).chunk(2, 1)
    torch.testing.assert_close(mlp(x), (F.silu(first) * second) @ mlp.fc2.weight.T + mlp.fc2.bias)


def test_a_hipt_file_with_student_heads_and_options_is_read(tmp_path: Path) -> None:
    spec = small("hipt")
    body = {f"backbone.{key}": value for key, value in network(spec).state_dict().items()}
    head = {"head.mlp.0.weight": torch.zeros(4, 16), "head.last_layer.weight_g": torch.zeros(4, 1)}
    options = argparse.Namespace(arch="vit_small", lr=0.0005, use_fp16=True, crops=(0.05, 0.4))
    file = {"student": {f"module.{k}": v for k, v in (body | head).items()}, "teacher": body | head, "args": options}
    torch.save({**file, "epoch": 3}, tmp_path / "vit256_small_dino.pth")
    encoder = load_encoder("hipt", tmp_path / "vit256_small_dino.pth", spec)
    assert encoder.embed(torch.rand(1, 3, 80, 80)).shape == (1, 16)


def test_the_transformer_is_that_of_torch() -> None:
    """Against torch's own pre-norm encoder layers with the same weights."""
    ours = network(small("hipt"))
    x = torch.randn(2, 3, 80, 80)
    tokens = ours.patch_embed(x).flatten(2).transpose(1, 2)
    h = torch.cat([ours.cls_token.expand(2, -1, -1), tokens], 1) + ours.pos_embed
    for block in ours.blocks:
        layer = torch.nn.TransformerEncoderLayer(
            16, 2, 64, 0.0, F.gelu, 1e-6, batch_first=True, norm_first=True
        ).eval()  # fmt: skip
        state = block.state_dict()
        names = {
            "self_attn.in_proj_weight": "attn.qkv.weight", "self_attn.in_proj_bias": "attn.qkv.bias",
            "self_attn.out_proj.weight": "attn.proj.weight", "self_attn.out_proj.bias": "attn.proj.bias",
            "linear1.weight": "mlp.fc1.weight", "linear1.bias": "mlp.fc1.bias", "linear2.weight": "mlp.fc2.weight",
            "linear2.bias": "mlp.fc2.bias", "norm1.weight": "norm1.weight", "norm1.bias": "norm1.bias",
            "norm2.weight": "norm2.weight", "norm2.bias": "norm2.bias",
        }  # fmt: skip
        layer.load_state_dict({theirs: state[mine] for theirs, mine in names.items()})
        h = layer(h)
    torch.testing.assert_close(ours(x), ours.norm(h)[:, 0], atol=1e-5, rtol=1e-5)


def test_positions_are_interpolated_for_other_sizes() -> None:
    for offset in (0.0, 0.1):
        vit = VisionTransformer(ViTConfig(14, 16, 1, 2, 37, layer_scale=False, offset=offset)).requires_grad_(False)
        found = vit._positions(16, 16)
        assert found.shape == (1, 16, 16, 16)
        stored = vit.pos_embed[:, 1:].reshape(1, 37, 37, 16).permute(0, 3, 1, 2)
        plain = F.interpolate(stored, (16, 16), mode="bicubic")
        assert torch.equal(found, plain) == (offset == 0.0)
        assert (found - plain).abs().max() < 0.1


def test_wrong_weights_are_named(tmp_path: Path) -> None:
    spec = small("uni")
    save_file(network(small("hipt")).state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"missing blocks\.0\.ls1\.gamma"):
        load_encoder("uni", tmp_path / "other.safetensors", spec)
    with pytest.raises(WeightsError, match="expected the weights of uni"):
        wide = replace(spec, vit=replace(spec.vit, width=32))
        save_file(network(wide).state_dict(), tmp_path / "wide.safetensors")
        load_encoder("uni", tmp_path / "wide.safetensors", spec)
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        load_encoder("uni", tmp_path / "torn.safetensors", spec)
    with pytest.raises(WeightsError, match="no such file"):
        load_encoder("uni", tmp_path / "nothing.pth", spec)


def test_an_image_becomes_a_grid_row_by_row() -> None:
    image = tissue(70, 100, 3)
    grid = embed_image(TextureEncoder(), image, 32)
    assert grid.shape == (9, 2, 3)
    one = TextureEncoder().embed(torch.from_numpy(image[32:64, 64:96].transpose(2, 0, 1).copy())[None] / 255)
    torch.testing.assert_close(grid[:, 1, 2], one[0])
    with pytest.raises(ImageError, match="at least 256 x 256"):
        embed_image(TextureEncoder(), image)


def test_embedding_grids_are_read_as_the_authors_write_them(tmp_path: Path) -> None:
    u = np.random.default_rng(0).standard_normal((24, 4, 4)).astype(np.float16)
    for name, array in {"square": u, "flat": u.reshape(24, 16)}.items():
        np.save(tmp_path / f"{name}.npy", array)
        np.testing.assert_array_equal(read_grid(tmp_path / f"{name}.npy").numpy(), u.astype(np.float32))
    np.save(tmp_path / "one.npy", u[:, 0, 0])
    assert read_grid(tmp_path / "one.npy").shape == (24, 1, 1)
    np.save(tmp_path / "rows.npy", u.reshape(24, 16).T)
    np.testing.assert_array_equal(read_grid(tmp_path / "rows.npy", 24).numpy(), u.astype(np.float32))
    np.testing.assert_array_equal(read_grid(tmp_path / "flat.npy", 24).numpy(), u.astype(np.float32))
    with pytest.raises(ImageError, match="expected embeddings of 25 channels, found 24"):
        read_grid(tmp_path / "square.npy", 25)
    np.save(tmp_path / "endless.npy", np.full((24, 4, 4), np.inf, np.float32))
    with pytest.raises(ImageError, match="finite"):
        read_grid(tmp_path / "endless.npy")
    np.save(tmp_path / "odd.npy", u.reshape(24, 16)[:, :15])
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object))
    (tmp_path / "text.npy").write_text("no")
    for name in ("odd", "object", "text", "nothing"):
        with pytest.raises(ImageError, match=rf"{name}\.npy: expected"):
            read_grid(tmp_path / f"{name}.npy")
