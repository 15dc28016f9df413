"""The drawn tissue: a function of the place alone, which shows what a pixel can show."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from everslide.model.drawn_nuclei import round_nuclei
from everslide.model.drawn_tissue import DrawnTissue
from everslide.model.drawn_vessels import draw_vessels
from tests.model.painting import axes, grid

SIZES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""um per pixel of the planes from 20x down."""


def test_it_has_fat_glands_and_fibres() -> None:
    """Over a few millimetres: some places nearly glass, some far denser than their surroundings, most between."""
    density = np.concatenate(
        [DrawnTissue(seed).density(*axes(0, 0, 512, 8.0), 8.0).reshape(-1, 4) for seed in range(4)]
    )
    assert 0.03 < (density[:, 0] < 0.2).mean() < 0.45
    assert 0.01 < (density[:, 3] > 0.28).mean() < 0.35
    assert 0.6 < density[:, :3].mean() < 1.1


def test_coarse_pixels_show_the_mean_of_what_fine_ones_show() -> None:
    fine = DrawnTissue(5).density(*axes(4, 4, 1024, 8.0), 8.0)
    coarse = DrawnTissue(5).density(*axes(64, 64, 64, 128.0), 128.0)
    means = fine.reshape(64, 16, 64, 16, 4).mean((1, 3))
    assert np.corrcoef(means[..., 0].ravel(), coarse[..., 0].ravel())[0, 1] > 0.7
    assert abs(means.mean() - coarse.mean()) < 0.12


def test_nuclei_are_drawn_where_a_pixel_shows_them() -> None:
    """Of 10x pixels of a square millimetre some hundred to ten thousand nuclei; of 0.625x only their share."""
    x, y = axes(2000, 3000, 1000, 1.0)
    density = DrawnTissue(7).density(x, y, 1.0)
    _, count = ndimage.label(density[..., 3] > 0.5)
    assert 100 < count < 10_000
    flat = DrawnTissue(7).density(x, y, 16.0)
    assert 0.02 < flat[..., 3].mean() < 0.4, "only how many there are"
    assert flat[..., 3].max() < 0.8 < density[..., 3].max()
    assert abs(flat[..., 3].mean() / density[..., 3].mean() - 1) < 0.25


@pytest.mark.parametrize("seed", [3, 7])
def test_every_magnification_expects_as_many_nuclei(seed: int) -> None:
    """What a plane leaves out, the next one would have to add, and all that lies between would turn too bright."""
    share = {um: DrawnTissue(seed).density(*axes(31000, 11000, int(1024 / um), um), um)[..., 3].mean() for um in SIZES}
    for um, coarse in pairwise(SIZES):
        assert share[um] == pytest.approx(share[coarse], rel=0.25), f"{um} and {coarse} um per pixel"


def test_no_nucleus_is_cut_where_places_stop_being_taken() -> None:
    """Between a quarter that is taken whole and one that is not, nuclei are small; each is as round as any other."""
    x, y = axes(0, 0, 400, 0.5)
    taken = np.broadcast_to(np.clip((140.0 - x) / 80.0, 0.0, 1.0), (400, 400))
    cover = round_nuclei(3, 970, x, y, 1.0).where(taken)
    assert cover[:, 300:].max() == 0 and cover[:, :100].mean() > 0.35
    steps = np.abs(np.diff(cover, axis=1))
    assert steps[:, 120:].max() <= 1.2 * steps[:, :100].max(), "edges as soft as elsewhere"


@pytest.mark.parametrize("um", [0.5, 4.0, 16.0])
def test_vessels_lie_where_they_lie(um: float) -> None:
    """A vessel is the same in a part as in the whole, and where there is none nothing changes."""
    x, y = grid(3000.0, 4000.0, 400, um)
    whole, part = np.ones((400, 400, 4)), np.ones((150, 200, 4))
    draw_vessels(5, 980, whole, x, y, (x + 9, y - 9), um)
    cut = np.s_[90:240, 60:260]
    draw_vessels(5, 980, part, x[cut], y[cut], (x[cut] + 9, y[cut] - 9), um)
    np.testing.assert_array_equal(part, whole[cut])
    if um > 0.5:
        wall = (whole[..., :3] > 1.05).all(-1)
        assert 0 < wall.mean() < 0.2 and (whole != 1).any(-1).mean() < 0.3, "few, and each has a wall"


def test_pixels_too_coarse_for_vessels_show_none() -> None:
    x, y = grid(0.0, 0.0, 64, 64.0)
    plain = np.ones((64, 64, 4))
    draw_vessels(5, 980, plain, x, y, (x, y), 64.0)
    assert (plain == 1).all()


def test_sections_differ_in_their_make_up() -> None:
    """Of millimetres far apart some hold much fat and some none, some many glands and some none."""
    places = [DrawnTissue(7).density(*axes(9000.0 * i, 0, 160, 16.0), 16.0) for i in range(12)]
    fat = [float((place[..., 0] < 0.35).mean()) for place in places]
    epithelium = [float((place[..., 3] > 0.28).mean()) for place in places]
    assert min(fat) < 0.05 < 0.3 < max(fat)
    assert min(epithelium) < 0.02 < 0.08 < max(epithelium)
