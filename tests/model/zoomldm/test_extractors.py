"""CLIP, CONCH and LPIPS under the names of their published files, on small random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from everslide.model.errors import WeightsError
from everslide.model.zoomldm.compute import Compute
from everslide.model.zoomldm.extractors import TowerEncoder, make_distance, make_extractor
from everslide.model.zoomldm.lpips import alexnet_features, vgg_features
from everslide.model.zoomldm.vision_towers import ClipVision, ConchVision
from everslide.model.zoomldm.vit import ViTConfig

CPU = Compute(torch.device("cpu"))


def clip() -> dict[str, Tensor]:
    torch.manual_seed(0)
    half = {f"visual.{name}": t.half() for name, t in ClipVision(8, 128, 2, 4, 12).state_dict().items()}
    return {**half, "token_embedding.weight": torch.zeros(4, 8), "logit_scale": torch.ones([])}


def conch() -> dict[str, Tensor]:
    torch.manual_seed(0)
    network = ConchVision(ViTConfig(8, 128, 2, 2, 4, layer_scale=False), 16)
    own = {f"visual.{name}": tensor for name, tensor in network.state_dict().items()}
    return {**own, "visual.attn_pool_caption.query": torch.zeros(256, 8), "text.cls_emb": torch.zeros(8)}


class Archive(nn.Module):
    """A program with CLIP's tensors in it: what OpenAI's files are."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = ClipVision(8, 128, 2, 4, 12)

    def forward(self, x: Tensor) -> Tensor:
        return x * 0


def test_clip_is_read_from_a_state_dict_and_from_an_archive_whose_program_is_not_run(tmp_path: Path) -> None:
    torch.save(clip(), tmp_path / "clip.pt")
    found = make_extractor(f"clip:{tmp_path / 'clip.pt'}", CPU)
    images = torch.rand(3, 3, 32, 32)
    network = ClipVision(8, 128, 2, 4, 12)
    network.load_state_dict({k.removeprefix("visual."): v.float() for k, v in clip().items() if "visual" in k})
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
    deviation = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)
    torch.testing.assert_close(found.embed(images), network((images - mean) / deviation), atol=1e-5, rtol=1e-5)
    assert found.embed(torch.rand(1, 3, 70, 50)).shape == (1, 12), "other shapes: the shorter side, then the middle"
    archive = Archive()
    archive.visual.load_state_dict(network.state_dict())
    torch.jit.trace(archive, images).save(str(tmp_path / "ViT.pt"))  # type: ignore[no-untyped-call]
    torch.testing.assert_close(make_extractor(f"clip:{tmp_path / 'ViT.pt'}", CPU).embed(images), found.embed(images))


def test_clips_transformer_is_that_of_torch() -> None:
    torch.manual_seed(1)
    block = ClipVision(8, 128, 1, 4, 12).transformer.resblocks[0].eval()
    x = torch.randn(2, 17, 128)
    layer = nn.TransformerEncoderLayer(
        128, 2, 512, 0.0, lambda y: y * torch.sigmoid(1.702 * y), batch_first=True, norm_first=True
    ).eval()  # fmt: skip
    state = block.state_dict()
    names = {"self_attn": "attn", "linear1": "mlp.c_fc", "linear2": "mlp.c_proj", "norm1": "ln_1", "norm2": "ln_2"}
    layer.load_state_dict({k: state[names[k.split(".")[0]] + k[len(k.split(".")[0]) :]] for k in layer.state_dict()})
    torch.testing.assert_close(block(x), layer(x), atol=1e-5, rtol=1e-5)


def test_conch_pools_by_one_query_and_leaves_its_words_out(tmp_path: Path) -> None:
    torch.save(conch(), tmp_path / "pytorch_model.bin")
    encoder = TowerEncoder("conch", tmp_path / "pytorch_model.bin")
    images = torch.rand(2, 3, 32, 32)
    found = encoder.embed(images)
    assert found.shape == (2, 16)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2))
    mean, deviation = (torch.tensor(c).view(1, 3, 1, 1) for c in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    network = ConchVision(ViTConfig(8, 128, 2, 2, 4, layer_scale=False), 16)
    network.load_state_dict(
        {k.removeprefix("visual."): v for k, v in conch().items() if "caption" not in k and "text" not in k}
    )
    torch.testing.assert_close(found, network((images - mean) / deviation), atol=1e-5, rtol=1e-5)
    assert (found[0] - found[1]).abs().max() > 1e-4


def test_two_programs_of_one_file_name_are_two_extractors(tmp_path: Path) -> None:
    """Parts of a stopped run are told apart by the extractor's fingerprint: another network must not take them over."""
    found = []
    for folder, scale in (("a", 1.0), ("b", 2.0), ("c", 1.0)):
        (tmp_path / folder).mkdir()
        layer = nn.Linear(3, 2)
        nn.init.constant_(layer.weight, scale)
        nn.init.zeros_(layer.bias)
        network = torch.jit.script(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), layer))
        network.save(str(tmp_path / folder / "net.pt"))  # type: ignore[no-untyped-call]
        found.append(make_extractor(f"script:{tmp_path / folder / 'net.pt'}", CPU).fingerprint)
    assert found[0] == found[2] != found[1]


@pytest.mark.parametrize("kind", ["alex", "vgg"])
def test_lpips_is_the_weighted_distance_of_unit_features(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(2)
    widths = (4, 5, 6, 7, 8)
    features = alexnet_features(widths) if kind == "alex" else vgg_features(widths)
    body = {f"features.{name}": t for name, t in features.state_dict().items()}
    torch.save({**body, "classifier.1.weight": torch.zeros(2, 2)}, tmp_path / "net.pth")
    linear = {f"lin{i}.model.1.weight": torch.rand(1, w, 1, 1) for i, w in enumerate(widths)}
    torch.save(linear, tmp_path / "lin.pth")
    distance = make_distance(f"{tmp_path / 'net.pth'}:{tmp_path / 'lin.pth'}", CPU)
    a, b = torch.rand(2, 3, 64, 64) * 2 - 1, torch.rand(2, 3, 64, 64) * 2 - 1
    assert distance(a, a).abs().max() == 0
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    relus = [i for i, layer in enumerate(features) if isinstance(layer, nn.ReLU)]
    ends = relus if kind == "alex" else [relus[i] for i in (1, 3, 6, 9, 12)]
    expected = torch.zeros(2)
    for k, end in enumerate(ends):
        x, y = (features[: end + 1]((z - shift.view(1, 3, 1, 1)) / scale.view(1, 3, 1, 1)) for z in (a, b))
        gap = (F.normalize(x, dim=1) - F.normalize(y, dim=1)).square()
        expected += (gap * linear[f"lin{k}.model.1.weight"]).sum(1).mean((1, 2))
    torch.testing.assert_close(distance(a, b), expected, atol=1e-5, rtol=1e-4)


def test_sizes_of_the_published_networks() -> None:
    with torch.device("meta"):
        clip_l, conch_b = ClipVision(14, 1024, 24, 16, 768), ConchVision(ViTConfig(16, 768, 12, 12, 28, False), 512)
        alex, vgg = alexnet_features(), vgg_features()
    counts = [sum(p.numel() for p in network.parameters()) for network in (clip_l, alex, vgg)]
    assert counts == [303_966_208, 2_469_696, 14_714_688], "as published"
    assert (clip_l.input_px, conch_b.input_px) == (224, 448)


def test_foreign_files_are_named(tmp_path: Path) -> None:
    torch.save({"x": torch.zeros(1)}, tmp_path / "x.pt")
    for name, words in {"clip": "expected CLIP's", "conch": "expected CONCH's"}.items():
        with pytest.raises(WeightsError, match=words):
            make_extractor(f"{name}:{tmp_path / 'x.pt'}", CPU)
    (tmp_path / "torn.pt").write_bytes(b"PK torn")
    with pytest.raises(WeightsError, match="expected a state dict or a TorchScript archive"):
        make_extractor(f"clip:{tmp_path / 'torn.pt'}", CPU)
    with pytest.raises(WeightsError, match=r"AlexNet or VGG-16"):
        make_distance(f"{tmp_path / 'x.pt'}:{tmp_path / 'x.pt'}", CPU)
