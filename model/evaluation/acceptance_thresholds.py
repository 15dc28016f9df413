"""Acceptance thresholds: the range that each figure of a good model lies in, and which figures of a run do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from everslide.model.evaluation.image_statistics import FREQUENCY_BANDS

FRECHET_OVER_FLOOR = {1: 1.5, 4: 2.5}
"""Largest Frechet distance over its floor, by octaves below the real parent."""
SPECTRUM = (0.85, 1.18)
"""Power of each frequency band, painted over real."""
NUCLEI = (0.85, 1.15)
"""Nuclei per mm2, and their mean area, painted over real."""
DRIFT = (0.95, 1.05)
"""Mean density of each stain, painted over real."""
PANNING_S = 0.1
"""Seconds a tile of panning at 20x, at most."""
Pair = tuple[float, float]


@dataclass(frozen=True)
class Verdict:
    """One figure and its threshold. what, where: for people. interval: 95 %, None where there is none. low, high: the
    least and the largest value that passes; None where any does."""

    what: str
    where: str
    value: float
    interval: Pair | None
    low: float | None
    high: float | None

    @property
    def missed_by(self) -> float:
        """How far the figure lies beyond its threshold, as a share of it; 0 where it passes, infinite where it is
        NaN."""
        if not math.isfinite(self.value):
            return math.inf
        if self.high is not None and self.value > self.high:
            return self.value / self.high - 1
        if self.low is not None and self.value < self.low:
            return 1 - self.value / self.low
        return 0.0

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {**asdict(self), "missed_by": self.missed_by}


def verdicts(figures: dict[str, Any]) -> list[Verdict]:
    """Every figure of `everslide evaluate` (`figures`: what `evaluate` returns) that has a threshold, beside it."""
    return [*_distances(figures), *_textures(figures), *_nuclei(figures), *_memory(figures), *_rest(figures)]


def _distances(figures: dict[str, Any]) -> Iterator[Verdict]:
    for row in figures["distances"]:
        where = f"{row['magnification']:g}x, {_octaves(row['octaves'])}"
        ratio = row["ratio"]
        high = FRECHET_OVER_FLOOR[row["octaves"]]
        yield Verdict("Frechet distance over floor", where, ratio["value"], tuple(ratio["interval"]), None, high)


def _textures(figures: dict[str, Any]) -> Iterator[Verdict]:
    """The frequency band and the stain that are farthest off, of 20x to 1.25x painted below real parents."""
    for test in figures["tests"]:
        if not test.get("octaves"):
            continue
        for row in test["rows"]:
            where = f"{row['magnification']:g}x, {_octaves(test['octaves'])}"
            if row["magnification"] < 1:
                continue
            i = _worst(row["spectrum"])
            band = tuple(row["spectrum_interval"][i])
            yield Verdict(f"spectrum, worst octave ({_band(i)})", where, row["spectrum"][i], band, *SPECTRUM)
            i = _worst(row["stain_mean_over_real"])
            band = tuple(row["stain_mean_over_real_interval"][i])
            name = ("hematoxylin", "eosin")[i]
            yield Verdict(f"drift of {name}", where, row["stain_mean_over_real"][i], band, *DRIFT)


def _nuclei(figures: dict[str, Any]) -> Iterator[Verdict]:
    for row in figures["nuclei"]:
        for name, label in (("count_per_mm2_ratio", "nuclei per mm2"), ("area_um2_ratio", "area of nuclei")):
            value = row[name]
            where = f"20x, {_octaves(row['octaves'])}"
            yield Verdict(label, where, value["value"], tuple(value["interval"]), *NUCLEI)


def _memory(figures: dict[str, Any]) -> Iterator[Verdict]:
    ratio = figures["memorisation"].get("distance_ratio")
    if ratio:
        name = "distance to training, painted over held-out"
        yield Verdict(name, "20x", ratio["value"], tuple(ratio["interval"]), 1.0, None)


def _rest(figures: dict[str, Any]) -> Iterator[Verdict]:
    seconds, threads = figures["panning"]["seconds_per_tile"], figures["panning"]["threads"]
    where = f"20x, {threads} thread{'s' if threads != 1 else ''}"
    yield Verdict("panning, seconds a tile", where, seconds, None, None, PANNING_S)


def _octaves(count: int) -> str:
    return "one octave down" if count == 1 else f"{count} octaves down"


def _worst(ratios: list[float]) -> int:
    """Index of the ratio farthest from one; a ratio that is not above zero is farther than any."""
    return max(range(len(ratios)), key=lambda i: abs(math.log(ratios[i])) if ratios[i] > 0 else math.inf)


def _band(i: int) -> str:
    """The wavelengths of a frequency band, in pixels."""
    low, high = FREQUENCY_BANDS[i]
    return f"{1 / high:g} to {1 / low:g} px"
