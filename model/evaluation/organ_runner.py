"""`everslide evaluate-organs`: painted sections of each organ beside real ones."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from everslide.model.errors import DataError
from everslide.model.evaluation.divergence import Embeds, kernel_distance
from everslide.model.evaluation.organ_classifier import classify, colour_statistics
from everslide.model.evaluation.organ_sections import (
    FIELD_PX,
    Section,
    painted_sections,
    real_sections,
    squares,
    write_fields,
)
from everslide.model.evaluation.section_memorization import Nearest, TrainingSections
from everslide.model.geometry import TOP_SCALE, mpp
from everslide.model.organs import known_organ
from everslide.model.pyramid.window_model import WindowModel

Doubles = NDArray[np.float64]
Features = Mapping[str, Doubles]


class OrganEvaluation:
    """One run. What could not be measured is named in `missing`."""

    def __init__(self, folder: Path, model: WindowModel, encoder: Embeds, organs: Sequence[str], seeds: int) -> None:
        """organs: to be painted; by default all that the model knows and the folder has sections of. seeds: how many
        sections of each, of seeds 1, 2, ... Raises DataError where there is nothing to measure, SlideError for an organ
        that the model does not know.
        """
        self._model, self._encoder, self._seeds = model, encoder, seeds
        self.missing: list[str] = []
        known = dict(model.capabilities.organs)
        organs = [known_organ(organ, known, "--organ", model.name) for organ in organs]
        self.real = real_sections(folder)
        there = {section.organ for section in self.real}
        wanted = list(organs) or sorted(known)
        self.organs = [organ for organ in wanted if organ in there]
        self.missing += [f"{organ}: no whole section of it in {folder}" for organ in wanted if organ not in there]
        if not self.organs:
            raise DataError(
                f"{folder}: no whole section of an organ that model {model.name} knows "
                f"({', '.join(sorted(known)) or 'none'}); found {', '.join(sorted(there))}"
            )
        self.painted: list[Section] = []

    def run(self) -> dict[str, Any]:
        """All figures, ready for JSON; the sections that were measured stay in `real` and `painted`."""
        started = time.perf_counter()
        for organ in tqdm(self.organs, desc="organs", unit="organ"):
            self.painted += painted_sections(self._model, organ, range(1, self._seeds + 1))
        real, painted = ([self._features(one) for one in sections] for sections in (self.real, self.painted))
        return {
            "weights": self._model.fingerprint[:16],
            "seeds": self._seeds,
            "organs": self.organs,
            "distances": self._distances(real, painted),
            "classifier": self._classifier(real, painted),
            "memorisation": self._memorisation(),
            "missing": self.missing,
            "seconds": time.perf_counter() - started,
        }

    def _features(self, section: Section) -> dict[int, Doubles]:
        """Features (n, C) of the squares of a section, by scale."""
        return {
            s: self._encoder.embed(np.stack(squares(field))).astype(np.float64) for s, field in section.fields.items()
        }

    def _distances(self, real: list[dict[int, Doubles]], painted: list[dict[int, Doubles]]) -> list[dict[str, Any]]:
        """Kernel distances of each organ and scale: painted from real; between its cases; from other organs."""
        rows = []
        for s in FIELD_PX:
            by_organ = _pooled(self.real, real, s, "organ")
            for organ in self.organs:
                ours = _pooled(self.painted, painted, s, "organ").get(organ)
                theirs = by_organ.get(organ)
                if ours is None or theirs is None or min(len(ours), len(theirs)) < 2:
                    self.missing.append(f"{organ} at {mpp(s):g} um/px: fewer than 2 squares, no distance")
                    continue
                own = [i for i, one in enumerate(self.real) if one.organ == organ]
                cases = _pooled([self.real[i] for i in own], [real[i] for i in own], s, "case")
                others = [kernel_distance(theirs, x) for name, x in by_organ.items() if name != organ and len(x) > 1]
                distance, between = kernel_distance(ours, theirs), _between(cases)
                rows.append(
                    {
                        "organ": organ,
                        "um_per_px": mpp(s),
                        "squares": [len(ours), len(theirs)],
                        "kernel": distance,
                        "between_cases": between,
                        "between_organs": float(np.median(others)) if others else None,
                    }
                )
        return rows

    def _classifier(self, real: list[dict[int, Doubles]], painted: list[dict[int, Doubles]]) -> dict[str, Any]:
        """See `classify`: the colours of the thumbnail, and the encoder's mean features at the finest scale, since it
        was trained on finer ones still."""

        def thumbnail(section: Section, features: dict[int, Doubles]) -> Doubles:
            return np.concatenate([features[min(features)].mean(0), colour_statistics(section.fields[TOP_SCALE])])

        try:
            found = classify(
                [(one.organ, one.case, thumbnail(one, x)) for one, x in zip(self.real, real, strict=True)],
                [(one.organ, thumbnail(one, x)) for one, x in zip(self.painted, painted, strict=True)],
            )
        except ValueError as error:
            self.missing.append(f"classifier: {error}")
            return {}
        alone = [organ for organ in found.left_out if organ in self.organs]
        self.missing += [f"{organ}: one case, which cannot be left out of the classifier's training" for organ in alone]
        return {**asdict(found), "fails": [score.organ for score in found.scores if score.fails]}

    def _memorisation(self) -> dict[str, Any]:
        """How much painted sections resemble training sections, beside real ones and those of other cases."""
        training = TrainingSections([one for one in self.real if one.trained])
        real = [(one.organ, training.nearest(one)) for one in tqdm(self.real, desc="real, nearest", unit="section")]
        painted = [
            (one.organ, training.nearest(one)) for one in tqdm(self.painted, desc="painted, nearest", unit="section")
        ]
        told = [near for _, near in real if near]
        if not told or not any(near for _, near in painted):
            self.missing.append("memorisation: expected pieces in training sections of two cases, and in painted ones")
            return {}
        limit = max(told, key=lambda near: near.correlation)
        copy_from = (1 + limit.correlation) / 2
        rows = []
        for organ in self.organs:
            ours, theirs = ([near for name, near in side if name == organ and near] for side in (painted, real))
            if ours:
                rows.append(_organ_nearness(organ, ours, theirs, copy_from))
        copies = [row["organ"] for row in rows if row["copies"]]
        return {"most_alike_real": asdict(limit), "copy_from": copy_from, "organs": rows, "copies": copies}


def _organ_nearness(organ: str, painted: list[Nearest], real: list[Nearest], copy_from: float) -> dict[str, Any]:
    """copies: painted sections that resemble a training section so much or more."""
    largest = max(painted, key=lambda near: near.correlation)
    return {
        "organ": organ,
        "painted": float(np.mean([near.correlation for near in painted])),
        "painted_largest": asdict(largest),
        "real": float(np.mean([near.correlation for near in real])) if real else None,
        "real_largest": asdict(max(real, key=lambda near: near.correlation)) if real else None,
        "copies": [asdict(near) for near in painted if near.correlation >= copy_from],
    }


def _pooled(sections: Sequence[Section], features: Sequence[dict[int, Doubles]], s: int, by: str) -> dict[str, Doubles]:
    """Features (n, C) of scale s of all sections of one organ, or of one case."""
    found: dict[str, list[Doubles]] = {}
    for section, some in zip(sections, features, strict=True):
        if s in some:
            found.setdefault(section.organ if by == "organ" else section.case, []).append(some[s])
    return {name: np.concatenate(rows) for name, rows in found.items()}


def _between(cases: Features) -> float | None:
    """Median kernel distance between two cases; None where there are no two of two squares."""
    some = [x for x in cases.values() if len(x) > 1]
    pairs = [kernel_distance(a, b) for i, a in enumerate(some) for b in some[i + 1 :]]
    return float(np.median(pairs)) if pairs else None


def evaluate_organs(
    folder: Path,
    model: WindowModel,
    encoder: Embeds,
    organs: Sequence[str] = (),
    seeds: int = 3,
    out: Path | None = None,
) -> dict[str, Any]:
    """Figures of each organ, ready for JSON; the fields that were measured are written below `out`, where that is
    given.

    See `OrganEvaluation` for arguments and errors.
    """
    run = OrganEvaluation(folder, model, encoder, organs, seeds)
    figures = run.run()
    if out:
        write_fields(out, "painted", run.painted)
        write_fields(out, "real", [one for one in run.real if one.organ in run.organs])
    return figures
