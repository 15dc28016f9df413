"""Training of what fills sections: silhouettes, variations, and a run that can be continued."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from everslide.model.errors import DataError
from everslide.model.mini.section_network import CANVAS_PX, SectionConfig
from everslide.model.mini.sections import SectionPainter
from everslide.model.training.prepare import prepare
from everslide.model.training.section_training import SectionPlan, SectionTrainer, read_sections, varied
from everslide.model.training.sections import measure_pieces, silhouette

TINY = SectionConfig((8, 8, 8), (1, 2, 2), 4, 16)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whole section of 16 um per pixel, a ring, with a licence and an organ."""
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
    sections, cases = read_sections(prepared)
    assert len(sections) == 1 and sections[0].organ == 0 and cases == {"colon": 1}
    with pytest.raises(DataError, match="no validation image is a whole section"):
        read_sections(prepared, "validation")


def test_a_varied_section_is_turned_bent_and_restained_but_still_a_ring(prepared: Path) -> None:
    (section,), _ = read_sections(prepared)
    seen = [varied(section, np.random.default_rng(k)) for k in range(4)]
    for pixels in seen:
        assert pixels.shape == (CANVAS_PX, CANVAS_PX, 3) and pixels.dtype == np.uint8
        (piece,) = measure_pieces(silhouette(pixels))
        assert 0.05 < piece[3] < 0.25, "hollow"
    assert (seen[0] != seen[1]).any()


def test_a_run_leaves_weights_and_goes_on(prepared: Path, tmp_path: Path) -> None:
    plan = SectionPlan(1e-5, batch=1)
    path = SectionTrainer(prepared, tmp_path, plan, TINY, 1).run()
    first = SectionPainter(path)
    again = SectionTrainer(prepared, tmp_path, SectionPlan(0.02, batch=1), TINY, 1)
    assert again.clock.step == 1
    again.run()
    assert SectionPainter(path).fingerprint != first.fingerprint
    assert again.network.config.organs == ("colon",)
