"""`everslide evaluate`: painted against real tissue, measured on files that training never saw."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everslide.model.errors import DataError
from everslide.model.evaluation.acceptance_thresholds import verdicts
from everslide.model.evaluation.comparison import SQUARE_PX, Comparison, Squares, rows_of, square_places, squares_of
from everslide.model.evaluation.divergence import MIN_PLACES, Embeds, divergence
from everslide.model.evaluation.fields import (
    CONSISTENCY_OCTAVES,
    MIN_PARENT_PX,
    OCTAVES,
    THRESHOLD_SCALES,
    Plan,
    agreement_db,
    octave_test,
    root_test,
    seeds,
    spanning,
)
from everslide.model.evaluation.memorization import TrainingSquares, compare_nearness, training_surroundings
from everslide.model.evaluation.nuclei import compare_nuclei
from everslide.model.evaluation.semantic_consistency import PLACE_PX, semantic_consistency
from everslide.model.evaluation.speed import speed
from everslide.model.geometry import TOP_SCALE, magnification
from everslide.model.pyramid.window_model import WindowModel
from everslide.model.training.prepare import plane, read_index, real_plane

Pixels = NDArray[np.uint8]


class Evaluation:
    """One run over the held-out images of a prepared folder. What could not be measured is named in `missing`."""

    def __init__(self, folder: Path, model: WindowModel, encoder: Embeds, plan: Plan) -> None:
        """Raises DataError where the folder holds nothing to measure."""
        self._folder, self._model, self._encoder, self._plan = folder, model, encoder, plan
        self._rng = np.random.default_rng(plan.seed)
        index = read_index(folder)
        self._held_out = [image for image in index if image.split == "held-out"]
        self._training = [image for image in index if image.split == "train" and image.finest == 0]
        self.missing: list[str] = []
        if not any(spanning(folder, self._held_out, s, 1) for s in range(TOP_SCALE)):
            raise DataError(
                f"{folder}: no held-out image is large enough to be painted from its own parent (expected "
                f"{SQUARE_PX} px or more at 20x to {magnification(TOP_SCALE - 1):g}x); hold out a 20x image"
            )

    def run(self) -> dict[str, Any]:
        """All figures, ready for JSON."""
        started = time.perf_counter()
        compared = {n: self._octaves(n) for n in OCTAVES}
        root = root_test(self._folder, self._held_out, self._model, self._plan.seed, self._plan.places)
        figures: dict[str, Any] = {
            "weights": self._model.fingerprint[:16],
            "calls_per_window": self._model.calls_per_window,
            "held_out": sorted(image.name for image in self._held_out if image.kind == "field"),
            "plan": asdict(self._plan),
            "distances": [
                row for n in OCTAVES for s in THRESHOLD_SCALES[::-1] for row in self._distance(compared[n], s, n)
            ],
            "tests": [self._textures(n, compared[n]) for n in OCTAVES]
            + [{"title": root.title, "octaves": None, "rows": rows_of(root, self._rng)}],
            "nuclei": [row for n in OCTAVES for row in self._nuclei(compared[n].get(0), n)],
            "meaning": self._semantic_consistency(compared[OCTAVES[-1]].get(0)),
            "memorisation": self._memorisation(compared[OCTAVES[-1]].get(0)),
            "agreement_db": self._agreement(),
            "seeds": self._seeds(),
            **speed(self._model, self._plan.seed),
        }
        figures["missing"] = self.missing
        figures["seconds"] = time.perf_counter() - started
        figures["bounds"] = [verdict.as_dict() for verdict in verdicts(figures)]
        return figures

    def _octaves(self, octaves: int) -> dict[int, Comparison]:
        """The octave test of every scale that there is."""
        scales = range(TOP_SCALE) if octaves == 1 else THRESHOLD_SCALES
        out = {}
        for s in reversed(scales):
            images = spanning(self._folder, self._held_out, s, octaves)
            if images:
                out[s] = octave_test(self._folder, images, self._model, s, octaves, self._plan)
            else:
                self.missing.append(
                    f"{magnification(s):g}x painted from {magnification(s + octaves):g}x: no held-out image shows "
                    f"{magnification(s):g}x and has {max(SQUARE_PX, MIN_PARENT_PX << octaves)} px or more of it"
                )
        return out

    def _textures(self, octaves: int, compared: dict[int, Comparison]) -> dict[str, Any]:
        """Rows of texture and stain of one octave test."""
        title = f"{_down(octaves)}, from real parents"
        rows = []
        for s, one in compared.items():
            found = rows_of(one, self._rng)
            rows += found
            if not found:
                self.missing.append(f"{magnification(s):g}x, {title}: too little tissue for texture and stain")
        return {"title": title, "octaves": octaves, "rows": rows}

    def _distance(self, compared: dict[int, Comparison], s: int, octaves: int) -> list[dict[str, Any]]:
        """The distances of one scale, or none."""
        if s not in compared:
            return []
        squares = squares_of(compared[s], s)
        if len(squares.images) < MIN_PLACES:
            self.missing.append(
                f"{magnification(s):g}x, {_down(octaves)}, distances: {len(squares.images)} squares of tissue, "
                f"expected {MIN_PLACES} or more"
            )
            return []
        painted, real = (self._features(side) for side in (squares.painted, squares.real))
        found = divergence(painted, real, squares.images, self._rng)
        row = {"magnification": magnification(s), "octaves": octaves, "squares": len(painted), "apart": squares.apart}
        return [{**row, **asdict(found)}]

    def _features(self, squares: Pixels) -> NDArray[np.float64]:
        return self._encoder.embed(squares).astype(np.float64)

    def _nuclei(self, compared: Comparison | None, octaves: int) -> list[dict[str, Any]]:
        """Nuclei of painted against real fields at 20x, or none."""
        if compared is None:
            return []
        try:
            found = compare_nuclei(compared.painted[0], compared.real[0], self._rng)
        except ValueError as error:
            self.missing.append(f"nuclei, {_down(octaves)}: {error}")
            return []
        return [{"octaves": octaves, **{name: asdict(figure) for name, figure in found.items()}}]

    def _semantic_consistency(self, four: Comparison | None) -> list[dict[str, Any]]:
        """Semantic consistency of 20x below real 2.5x, and below the parent of the octave test that was painted
        already."""
        images = spanning(self._folder, self._held_out, 0, CONSISTENCY_OCTAVES)
        if not images:
            self.missing.append("meaning of 20x under its 2.5x parent: no held-out image at 20x")
            return []
        three = octave_test(self._folder, images, self._model, 0, CONSISTENCY_OCTAVES, self._plan)
        rows = []
        for octaves, compared in ((CONSISTENCY_OCTAVES, three), (OCTAVES[-1], four)):
            if compared is None:
                continue
            painted, real, names = self._places(compared)
            try:
                found = semantic_consistency(painted, real, names, self._rng)
            except ValueError as error:
                self.missing.append(f"meaning of 20x under {magnification(octaves):g}x: {error}")
                continue
            rows.append({"parent": magnification(octaves), **found.as_dict()})
        return rows

    def _places(self, compared: Comparison) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
        """Mean features of every place of PLACE_PX of 20x fields, painted and real, and its image."""
        painted, real, names = [], [], []
        for ours, truth, name in zip(compared.painted[0], compared.real[0], compared.images[0], strict=True):
            for y in range(0, truth.shape[0] - PLACE_PX + 1, PLACE_PX):
                for x in range(0, truth.shape[1] - PLACE_PX + 1, PLACE_PX):
                    place = slice(y, y + PLACE_PX), slice(x, x + PLACE_PX)
                    squares = square_places(truth[place], SQUARE_PX)
                    if squares:
                        painted.append(self._features(np.stack([ours[place][at] for at in squares])).mean(0))
                        real.append(self._features(np.stack([truth[place][at] for at in squares])).mean(0))
                        names.append(name)
        return np.array(painted), np.array(real), names

    def _memorisation(self, compared: Comparison | None) -> dict[str, Any]:
        """Nearest training squares of painted and of real held-out squares at 20x; empty where there are none."""
        surroundings = training_surroundings(self._folder, self._training, self._plan.training_squares, self._rng)
        squares = squares_of(compared, 0) if compared else None
        if not surroundings or squares is None or not squares.images:
            self.missing.append("memorisation: expected 20x images in training and held out")
            return {}
        squares = _some(squares, self._plan.neighbours, self._rng)
        training = TrainingSquares(surroundings, self._encoder)
        found = compare_nearness(training.nearness(squares.painted), training.nearness(squares.real), self._rng)
        counts = {"squares": len(squares.images), "training_squares": len(training)}
        return {**counts, **{name: asdict(figure) for name, figure in found.items()}}

    def _agreement(self) -> dict[str, float]:
        """Agreement in dB at every scale for which a real parent fills a window."""
        side = self._model.grid.window_px // 2
        out = {}
        for s in reversed(range(TOP_SCALE)):
            for image in self._held_out:
                if image.finest <= s + 1 <= image.coarsest:
                    parent = plane(self._folder, image, s + 1)
                    if min(parent.shape[:2]) >= side:
                        out[f"{magnification(s):g}x"] = agreement_db(self._model, np.array(parent), s)
                        break
        return out

    def _seeds(self) -> dict[str, bool]:
        """See `seeds`, at the finest scale of a held-out image."""
        image = min(self._held_out, key=lambda x: x.finest)
        return seeds(self._model, real_plane(self._folder, image, image.finest + 1), image.finest)


def _down(octaves: int) -> str:
    return "one octave down" if octaves == 1 else f"{octaves} octaves down"


def _some(squares: Squares, count: int, rng: np.random.Generator) -> Squares:
    """At most `count` of the squares."""
    chosen = np.sort(rng.permutation(len(squares.images))[:count])
    return Squares(squares.painted[chosen], squares.real[chosen], [squares.images[i] for i in chosen], squares.apart)


def evaluate(folder: Path, model: WindowModel, encoder: Embeds, plan: Plan | None = None) -> dict[str, Any]:
    """All figures of a model on the held-out images of a prepared folder, ready for JSON.

    encoder: whose features distances are taken in. plan: how much is measured, by default all that the published
    figures rest on. Raises DataError where the folder holds nothing to measure.
    """
    return Evaluation(folder, model, encoder, plan or Plan()).run()
