"""The figures of `everslide evaluate-organs` as Markdown."""

from __future__ import annotations

from typing import Any

from everslide.model.evaluation.organ_classifier import MARGIN


def organ_markdown(figures: dict[str, Any]) -> str:
    """What `evaluate_organs` returns as Markdown tables; what fails is bold."""
    lines = [
        "# Organs",
        "",
        f"Made by `everslide evaluate-organs PREPARED`. Weights `{figures['weights']}`, {figures['seeds']} sections "
        f"painted of each organ; the run took {figures['seconds'] / 60:.1f} minutes.",
        "",
        "Few cases stand behind each organ: figures of one organ are of a handful of sections, and say little alone.",
        *_distances(figures["distances"]),
        *_classifier(figures["classifier"], figures["organs"]),
        *_memorisation(figures["memorisation"]),
    ]
    if figures["missing"]:
        lines += ["", "## Not measured", "", *(f"- {line}" for line in figures["missing"])]
    return "\n".join(lines) + "\n"


def _table(*names: str) -> list[str]:
    return ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _distances(rows: list[dict[str, Any]]) -> list[str]:
    scales = sorted({row["um_per_px"] for row in rows}, reverse=True)
    lines = [
        "",
        "## Distances in the encoder's features",
        "",
        "Kernel distance (unbiased MMD^2, cubic kernel; 0 where nothing differs) of squares of 128 px: painted from "
        "real sections of the organ / median between two real cases of it / median of the real ones from those of "
        "other organs. Bold: painted ones are farther away than other organs are. The encoder was trained at 20x: here "
        "its features are only a yardstick.",
        "",
        *_table("organ", *(f"{scale:g} um/px" for scale in scales)),
    ]
    for organ in dict.fromkeys(row["organ"] for row in rows):
        own = {row["um_per_px"]: row for row in rows if row["organ"] == organ}
        lines.append(_row(organ, *(_distance(own.get(scale)) for scale in scales)))
    return lines


def _distance(row: dict[str, Any] | None) -> str:
    if row is None:
        return "-"
    others = row["between_organs"]
    value = _number(row["kernel"])
    ours = f"**{value}**" if others is not None and row["kernel"] > others else value
    return f"{ours} / {_number(row['between_cases'])} / {_number(others)}"


def _classifier(found: dict[str, Any], painted: list[str]) -> list[str]:
    if not found:
        return []
    lines = [
        "",
        "## Organs told from afar",
        "",
        "The nearest class mean of colours at 128 um/px and encoder features at 16, one case left out at a time; "
        "painted sections are named by the same means. Share that is named right, bold where painted sections fall "
        f"behind by more than {100 * MARGIN:.0f} points. By chance: {found['by_chance']:.2f}.",
        "",
        *_table("organ", "cases", "real sections", "real", "painted sections", "painted"),
    ]
    for score in found["scores"]:
        share = _number(score["painted"])
        shown = f"**{share}**" if score["organ"] in found["fails"] else share
        cells = (str(score["cases"]), str(score["sections"]), _number(score["real"]), str(score["painted_sections"]))
        lines.append(_row(score["organ"], *cells, shown))
    lines += ["", f"Mean of the organs painted: real {found['real']:.2f}, painted {found['painted']:.2f}."]
    lines += [f"Fail: {', '.join(found['fails']) or 'none'}."]
    alone = [organ for organ in found["left_out"] if organ in painted]
    if alone:
        lines += ["", f"Of one case, which cannot be left out, so that they are no part of this: {', '.join(alone)}."]
    return lines


def _memorisation(found: dict[str, Any]) -> list[str]:
    if not found:
        return []
    limit = found["most_alike_real"]
    lines = [
        "",
        "## Memorisation",
        "",
        "The training piece that the largest piece of a section resembles most, after alignment (eight orientations, "
        "shift by phase correlation): correlation of densities at 128 um/px, 1 for a copy. Real sections are held "
        "against training sections of other cases; the most that one of them resembles another: "
        f"{limit['correlation']:.2f} ({limit['section']}, {limit['nearest']}). Bold: copies, from "
        f"{found['copy_from']:.2f} on, halfway from there to 1.",
        "",
        *_table("organ", "painted, mean", "painted, largest", "nearest", "real, mean", "real, largest"),
    ]
    for row in found["organs"]:
        largest, real = row["painted_largest"], row["real_largest"]
        value = _number(largest["correlation"])
        cells = [_number(row["painted"]), f"**{value}**" if row["copies"] else value]
        cells += [f"{largest['section']}, {largest['nearest']}", _number(row["real"])]
        lines.append(_row(row["organ"], *cells, _number(real["correlation"] if real else None)))
    return [*lines, "", f"Copies: {', '.join(found['copies']) or 'none'}."]
