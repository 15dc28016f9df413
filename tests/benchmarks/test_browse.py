"""What the browsing benchmark computes: places amid tissue, percentiles, and its table."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.browse import PHASES, ROW, Samples, percentile, table, tissue_places


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(i) for i in range(1, 21)]
    assert (percentile(values, 0.5), percentile(values, 0.95), percentile(values, 1.0)) == (10.0, 19.0, 20.0)
    assert percentile([3.0], 0.95) == 3.0


def test_places_are_drawn_where_a_row_of_tiles_is_tissue() -> None:
    glass = np.full((40, 4 * 60, 3), 243, np.uint8)
    glass[12:16, 4 * 10 : 4 * 50] = 150  # row 3, columns 10 to 49
    visits = tissue_places(glass, 1, 2)
    assert visits == tissue_places(glass, 1, 2) != tissue_places(glass, 2, 2)
    for place in (place for visit in visits for place in visit):
        assert place.row == 3 and 10 <= place.col <= 50 - 0.9 * ROW


def test_a_slide_of_glass_is_no_place_to_measure() -> None:
    with pytest.raises(ValueError, match="expected 3 rows of 24 tiles of tissue, found 0"):
        tissue_places(np.full((400, 400, 3), 243, np.uint8), 1, 1)


def test_the_table_compares_with_the_state_before() -> None:
    now, before = ({phase: Samples([seconds], 0.5, 4.0) for phase in PHASES} for seconds in (1.0, 2.0))
    lines = table(now, before).splitlines()
    assert [line[:10].strip() for line in lines[1:]] == list(PHASES)
    assert lines[3].split()[2:] == ["1", "1.000", "1.000", "1.000", "0.500", "4.00", "2.000", "0.50", "2.000", "0.50"]
