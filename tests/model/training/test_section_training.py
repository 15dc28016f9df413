"""Training of the network of whole sections: what is read, variations, what is compared, and a run that goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from everslide.model.errors import DataError
from everslide.model.mini.section_network import SectionConfig, SectionUNet
from everslide.model.mini.sections import COARSE_PX, SectionWeights, load_sections
from everslide.model.pyramid.layout import CANVAS_PX
from everslide.model.training import section_training
from everslide.model.training.loss import energy_score
from everslide.model.training.prepare import prepare
from everslide.model.training.section_training import (
    Examples,
    Patches,
    SectionPlan,
    SectionTrainer,
    read_sections,
    varied,
)
from everslide.model.training.sections import measure_pieces, silhouette

TINY = SectionConfig((8, 8, 8), (1, 2, 2), 16)


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few varied sections before the first step: making one takes longer than a step of a tiny network."""
    monkeypatch.setattr(section_training, "FIRST", 8)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whole section of 16 um per pixel to train on, a ring, with a licence and an organ."""
    folder = tmp_path_factory.mktemp("images")
    y, x = np.mgrid[:640, :640] - 320
    ring = (np.hypot(x, y) < 260) & (np.hypot(x, y) > 100)
    pixels = np.where(ring[..., None], (190, 110, 160), (243, 242, 244)).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "W_a.png")
    Image.fromarray(pixels).save(folder / "W_b.png")
    entry = '{"um_per_px": 16, "licence": "CC0", "organ": "colon, whole section"}'
    (folder / "manifest.json").write_text(f'{{"W_a.png": {entry}, "W_b.png": {entry}}}')
    prepare(folder, folder / "out", ["W_b.png"])
    return folder / "out"


def test_sections_are_read_with_their_organ(prepared: Path) -> None:
    (section,) = read_sections(prepared, "train", ("skin", "colon"))
    assert section.organ == 1
    with pytest.raises(DataError, match="no validation image is a whole section"):
        read_sections(prepared, "validation", ("colon",))


def test_a_varied_section_is_turned_bent_and_restained_but_still_a_ring(prepared: Path) -> None:
    (section,) = read_sections(prepared, "train", ("colon",))
    seen = [varied(section.pixels, np.random.default_rng(k)) for k in range(4)]
    for pixels in seen:
        assert pixels.shape == (CANVAS_PX, CANVAS_PX, 3) and pixels.dtype == np.uint8
        (piece,) = measure_pieces(silhouette(pixels))
        assert 0.05 < piece[3] < 0.25, "hollow"
    assert (seen[0] != seen[1]).any()


def test_an_example_turns_with_its_silhouette(prepared: Path) -> None:
    (one,) = Examples(prepared, "train", np.random.default_rng(1)).draw(1)
    assert one.real.shape == (COARSE_PX, COARSE_PX, 3) and one.shape.shape == (2, COARSE_PX, COARSE_PX)
    assert np.all((one.palette >= -1) & (one.palette <= 1)) and one.organ == 0
    for quarters, mirrored in ((1, False), (2, True)):
        turned = one.turned(quarters, mirrored)
        dark, covered = turned.real.mean(-1) < 200, turned.shape[0] > 0.9
        assert float(dark[covered].mean()) > 0.95 and float(dark[turned.shape[0] == 0].mean()) == 0


def test_streaks_along_one_direction_score_worse_than_grain() -> None:
    """Both have the deviation of real tissue at a pixel; only the grain has its differences in all directions."""
    torch.manual_seed(3)
    patches = Patches(torch.randn(16, 3, COARSE_PX, COARSE_PX))
    real = patches(torch.randn(8, 3, COARSE_PX, COARSE_PX))

    def streaks() -> torch.Tensor:
        return torch.randn(8, 3, 1, COARSE_PX).expand(8, 3, COARSE_PX, COARSE_PX).contiguous()

    grain = [patches(torch.randn(8, 3, COARSE_PX, COARSE_PX)) for _ in range(2)]
    streaked = [patches(streaks()) for _ in range(2)]
    streaks_score = energy_score(streaked[0], streaked[1], real).mean()
    assert streaks_score > 1.2 * energy_score(grain[0], grain[1], real).mean()


def test_a_run_leaves_weights_and_goes_on(prepared: Path, tmp_path: Path) -> None:
    path = SectionTrainer(prepared, tmp_path, SectionPlan(1e-5, batch=1), TINY).run()
    first = load_sections(path)
    assert first.config.organs == ("colon",) and (tmp_path / "sections.png").exists()
    begun = SectionTrainer(prepared, tmp_path, SectionPlan(1, batch=1), TINY)
    assert begun.clock.step == 1
    again = SectionTrainer(prepared, tmp_path, SectionPlan(begun.clock.seconds / 60 + 1e-3, batch=1), TINY)
    again.run()
    assert any((load_sections(path).tensors[name] != x).any() for name, x in first.tensors.items())


def test_a_run_begins_from_given_weights_with_the_organs_it_knows(prepared: Path, tmp_path: Path) -> None:
    config = SectionConfig((8, 8, 8), (1, 2, 2), 16, ("skin", "colon"))
    torch.manual_seed(5)
    given = SectionWeights(config, SectionUNet(config).state_dict())
    trainer = SectionTrainer(prepared, tmp_path, SectionPlan(1, batch=1), TINY, given)
    assert trainer.network.config.organs == ("colon",)
    begun = trainer.network.state_dict()
    assert torch.equal(begun["organ.weight"][:, 0], given.tensors["organ.weight"][:, 1])
    assert all(torch.equal(x, given.tensors[name]) for name, x in begun.items() if name != "organ.weight")


def test_a_critic_beside_learns_and_is_kept(prepared: Path, tmp_path: Path) -> None:
    trainer = SectionTrainer(prepared, tmp_path, SectionPlan(1, batch=1), TINY)
    before = {name: x.clone() for name, x in trainer.opponent.critic.state_dict().items()}
    trainer._step()
    assert any((x != before[name]).any() for name, x in trainer.opponent.critic.state_dict().items())
    state, _ = trainer._keep()
    assert state["opponent"]["steps"] == 1
