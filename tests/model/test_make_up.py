"""What tissue is made of: read off a picture, and drawn by a sketch that is told so."""

from __future__ import annotations

import numpy as np
import pytest

from everslide.model.conditions.reference import Look, Reference, Region
from everslide.model.drawn_tissue import DrawnTissue
from everslide.model.errors import ImageError
from everslide.model.make_up import FAT_EDGE, GLAND_EDGE, Edges, MakeUp, make_up_of

STROMA, NUCLEUS, GLASS = (222, 170, 200), (95, 60, 140), (244, 243, 245)


def dotted(apart_px: int, radius_px: int, colour: tuple[int, int, int], side: int = 512) -> np.ndarray:
    """A field of stroma (side, side, 3) with discs on a square lattice."""
    y, x = np.mgrid[:side, :side]
    inside = np.hypot(x % apart_px - apart_px / 2, y % apart_px - apart_px / 2) < radius_px
    return np.where(inside[..., None], colour, STROMA).astype(np.uint8)


def look(make_up: MakeUp | None) -> Look:
    return Look(np.zeros((2, 4), np.float32), np.full((5, 3), 180, np.float32), make_up)


def drawn(reference: Reference | None, um_per_px: float = 32.0) -> np.ndarray:
    """Densities of some square millimetres of six seeds, (n, 4)."""
    x, y = np.meshgrid(np.arange(262) * um_per_px, np.arange(262) * um_per_px, sparse=True)
    return np.concatenate([DrawnTissue(seed, reference).density(x, y, um_per_px).reshape(-1, 4) for seed in range(6)])


def test_fat_is_told_from_nuclei_and_stroma() -> None:
    fatty = make_up_of(dotted(128, 50, GLASS))
    assert fatty.fat == pytest.approx(np.pi * 50**2 / 128**2, abs=0.08)
    sparse = make_up_of(dotted(48, 7, NUCLEUS))
    assert sparse.fat == 0 and sparse.epithelium == 0
    assert sparse.nuclei == pytest.approx(np.pi * 7**2 / 48**2, abs=0.04)
    crowded = make_up_of(dotted(20, 8, NUCLEUS))
    assert crowded.epithelium > 0.9


def test_glass_is_no_fat() -> None:
    picture = dotted(48, 7, NUCLEUS)
    picture[:, 256:] = GLASS
    assert make_up_of(picture).fat == 0


@pytest.mark.parametrize("wrong", [(-0.1, 0.0, 0.0), (0.0, 1.2, 0.0), (0.0, 0.0, float("nan"))])
def test_shares_out_of_range_are_refused(wrong: tuple[float, float, float]) -> None:
    with pytest.raises(ImageError, match=r"expected shares of fat, epithelium and nuclei in 0 \.\. 1"):
        MakeUp(*wrong)


def test_a_sketch_draws_as_much_as_it_is_told() -> None:
    for wanted in (0.02, 0.2, 0.6):
        density = drawn(Reference(look(MakeUp(wanted, 0.05, 0.1))))
        assert (density[:, 0] < 0.5).mean() == pytest.approx(wanted, abs=0.12)
    few, many = (drawn(Reference(look(MakeUp(0.02, share, 0.06)))) for share in (0.0, 0.25))
    assert (few[:, 3] > 0.28).mean() < 0.05 < 0.12 < (many[:, 3] > 0.28).mean() < 0.4
    pale, dark = (drawn(Reference(look(MakeUp(0.02, 0.0, share))))[:, 3].mean() for share in (0.05, 0.2))
    assert dark > 2 * pale


def test_a_region_has_a_make_up_of_its_own() -> None:
    """Fat here and none there."""
    region = Region(0.0, 0.0, 4200.0, 8400.0, look(MakeUp(0.9, 0.0, 0.1)))
    reference = Reference(look(MakeUp(0.01, 0.1, 0.1)), (region,))
    fat = (drawn(reference)[:, 0] < 0.5).reshape(6, 262, 262)
    assert fat[:, :, :124].mean() > 0.7 and fat[:, :, 139:].mean() < 0.15


def test_without_a_reference_nothing_changes() -> None:
    assert (Edges().fat, Edges().glands, Edges().nuclei) == (FAT_EDGE, GLAND_EDGE, 0.0)
    np.testing.assert_array_equal(drawn(None), drawn(Reference(look(None))))


def test_a_make_up_is_kept_in_files_and_may_be_missing() -> None:
    known = look(MakeUp(0.25, 0.1, 0.125))
    assert Look.from_dict(known.as_dict()).make_up == known.make_up
    without = {name: value for name, value in known.as_dict().items() if name != "make_up"}
    assert Look.from_dict(without).make_up is None
    with pytest.raises(ImageError):
        Look.from_dict(known.as_dict() | {"make_up": {"fat": 1}})
    with pytest.raises(ImageError):
        Look.from_dict(known.as_dict() | {"make_up": {"fat": "much", "epithelium": 0, "nuclei": 0}})
