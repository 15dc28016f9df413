"""The figures of `everslide evaluate` as Markdown, and the sheet of painted beside real fields."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from everslide.model.evaluation.acceptance_thresholds import DRIFT, SPECTRUM
from everslide.model.evaluation.fields import dense_fields, field_of, painter_below, root_test
from everslide.model.evaluation.image_statistics import LATTICE_PX
from everslide.model.geometry import TOP_SCALE, Rect, magnification
from everslide.model.pyramid.window_model import WindowModel
from everslide.model.training.prepare import Prepared, plane, read_index, real_plane

Pixels = NDArray[np.uint8]
CELL_PX, LABEL_PX = 192, 26
SHEET_OCTAVES = 4
"""How far above the painted fields of the sheet their real parents lie."""


def markdown(figures: dict[str, Any]) -> str:
    """What `evaluate` returns as Markdown tables, figures with a threshold first; those beyond it are bold."""
    lines = [
        "# Results",
        "",
        "Made by `everslide evaluate PREPARED --out docs/results.md`, on images that training never saw.",
        "",
        f"Weights `{figures['weights']}`, denoiser calls per window: {figures['calls_per_window']}; "
        f"the run took {figures['seconds'] / 60:.1f} minutes.",
        f"Held-out images: {', '.join(figures['held_out'])}.",
        'ZoomLDM\'s networks at full size, their time and memory: [zoomldm.md](zoomldm.md), "Full size".',
        "",
        "In brackets: 95 % bootstrap intervals over squares of 128 px (nuclei: 256 px). Neighbouring squares resemble "
        "each other, and the images are few: other tissue may differ by more.",
        *_bounds(figures["bounds"]),
        *_distances(figures["distances"]),
        *_nuclei(figures["nuclei"]),
        *_meaning(figures["meaning"]),
        *_memorisation(figures["memorisation"]),
        *_textures(figures["tests"]),
        *_behaviour(figures),
    ]
    if figures["missing"]:
        lines += ["", "## Not measured", "", *(f"- {line}" for line in figures["missing"])]
    return "\n".join(lines) + "\n"


def _table(*names: str) -> list[str]:
    return ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]


def _bounds(bounds: list[dict[str, Any]]) -> list[str]:
    missed = sum(x["missed_by"] > 0 for x in bounds)
    met = f"{len(bounds) - missed} of {len(bounds)} are met."
    lines = ["", "## Bounds", "", f"{met} What was tried for those that are missed: [training.md](training.md).", ""]
    lines += _table("figure", "where", "value", "bound", "")
    for x in bounds:
        value = f"{x['value']:.2f}" + (f" {_span(x['interval'])}" if x["interval"] else "")
        low, high = x["low"], x["high"]
        bound = f">= {low:g}" if high is None else f"<= {high:g}" if low is None else f"{low:g} to {high:g}"
        verdict = f"**missed by {100 * x['missed_by']:.0f} %**" if x["missed_by"] > 0 else "met"
        lines.append(f"| {x['what']} | {x['where']} | {value} | {bound} | {verdict} |")
    return lines


def _distances(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "",
        "## Distances in the encoder's features",
        "",
        "Squares of 128 px. Frechet: painted of one half of the places against real of the other half; the floor is "
        "real against real of the same halves, equal in number, mean of 20 random halvings with half of every image in "
        "each. Of few squares the Frechet distance is too large on both sides, so that its ratio to the floor is drawn "
        "towards 1: below some 200 squares read the kernel distance (unbiased MMD^2, cubic kernel), which has no such "
        "bias and is 0 where nothing differs; beside it the range that halves of the real places reach by chance. "
        "`apart`: squares that do not overlap; where they are few, overlapping ones were added. `same places`: Frechet "
        "distance of all painted from all real squares. The encoder was trained at 20x; at other magnifications its "
        "features are only a yardstick.",
        "",
        *_table(
            "magnification", "octaves down", "squares (apart)", "Frechet", "floor", "ratio",
            "kernel", "by chance", "same places",
        ),
    ]  # fmt: skip
    for row in rows:
        cells = [f"{row['magnification']:g}x", str(row["octaves"]), f"{row['squares']} ({row['apart']})"]
        cells += [_figure(row[name]) for name in ("frechet", "frechet_floor", "ratio")]
        cells += [_figure(row["kernel"], 3), _span(row["kernel_floor"]["interval"], 3)]
        lines.append("| " + " | ".join([*cells, f"{row['same_places']:.2f}"]) + " |")
    return lines


def _nuclei(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "",
        "## Nuclei at 20x",
        "",
        "Hematoxylin density above a threshold (Otsu's, of the real field), parted by shape. Painted / real.",
        "",
        *_table("octaves down", "per mm2", "ratio", "mean area, um2", "ratio", "hematoxylin density", "ratio"),
    ]
    for row in rows:
        cells = [str(row["octaves"])]
        for name, digits in (("count_per_mm2", 0), ("area_um2", 1), ("density", 3)):
            ours, real = row[name]["value"], row[name + "_real"]["value"]
            cells += [f"{ours:.{digits}f} / {real:.{digits}f}", _figure(row[name + "_ratio"])]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _meaning(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "",
        "## Meaning",
        "",
        "Mean feature of painted 20x tissue of 256 um against that of the real 20x tissue under the same real parent: "
        "cosine, beside that with other places of the same image; and how often the nearest real place of the image is "
        "the right one.",
        "",
        *_table("real parent", "places", "same place", "other places", "gain", "nearest is the right one", "by chance"),
    ]
    for row in rows:
        cells = [f"{row['parent']:g}x", str(row["places"])]
        cells += [_figure(row[name]) for name in ("same", "shuffled", "gain", "top1")]
        lines.append("| " + " | ".join([*cells, f"{row['chance']:.2f}"]) + " |")
    return lines


def _memorisation(found: dict[str, Any]) -> list[str]:
    if not found:
        return []
    lines = [
        "",
        "## Memorisation",
        "",
        f"Nearest of {found['training_squares']} training squares at 20x, of {found['squares']} squares painted four "
        "octaves down and of the real held-out tissue of the same places; then the best correlation in pixels with "
        "the three nearest, over shifts and eight orientations. A copy has distance 0 and correlation 1.",
        "",
        *_table("", "painted", "real, held out"),
    ]
    for title, name in (
        ("distance in features", "distance"),
        ("correlation in pixels, mean", "correlation"),
        ("correlation in pixels, largest", "correlation_largest"),
    ):
        real = name + "_real"
        cells = [f"{found[x]['value']:.2f}" if "largest" in x else _figure(found[x]) for x in (name, real)]
        lines.append(f"| {title} | {cells[0]} | {cells[1]} |")
    return [*lines, "", f"Distance, painted over real: {_figure(found['distance_ratio'])}."]


def _textures(tests: list[dict[str, Any]]) -> list[str]:
    lines = [
        "",
        "## Texture and stain",
        "",
        f"Ratios are painted over real; bold ones lie outside {SPECTRUM[0]} to {SPECTRUM[1]} (mean H, E: "
        f"{DRIFT[0]} to {DRIFT[1]}). Lattice: deviation, in grey levels, of the mean of a field's cells of "
        f"{LATTICE_PX} px. Spectrum: power per octave, finest first. H, E: hematoxylin, eosin density. The parent is "
        "the plane just above; real tissue, too, is denser than its parent, since density is not linear. "
        "A ratio of means says little where the mean is near zero, as that of hematoxylin in muscle is. "
        "What is painted from the sketch is other tissue than the real one: its rows show likeness, not drift.",
    ]
    for test in tests:
        lines += ["", f"### Painted {test['title']}", ""]
        lines += _table(
            "magnification", "patches (painted / real)", "lattice (painted / real)", "Laplacian", "spectrum",
            "mean H, E", "deviation H, E", "mean H, E over parent",
        )  # fmt: skip
        lines += [_row(row, bool(test["octaves"])) for row in test["rows"]]
    return lines


def _row(row: dict[str, Any], intervals: bool) -> str:
    spectrum, stain = ([_flag(x, bound) for x in row[name]] for name, bound in (
        ("spectrum", SPECTRUM), ("stain_mean_over_real", DRIFT)
    ))  # fmt: skip
    if intervals:
        spectrum = [f"{a} {_span(b)}" for a, b in zip(spectrum, row["spectrum_interval"], strict=True)]
        stain = [f"{a} {_span(b)}" for a, b in zip(stain, row["stain_mean_over_real_interval"], strict=True)]
    cells = [
        f"{row['magnification']:g}x",
        " / ".join(map(str, row["patches"])),
        " / ".join(f"{value:.2f}" for value in row["lattice"]),
        _flag(row["laplacian"], SPECTRUM),
        ", ".join(spectrum),
        ", ".join(stain),
        ", ".join(_flag(x, SPECTRUM) for x in row["stain_deviation"]),
        ", ".join(f"{value:.2f}" for value in row.get("stain_mean_over_parent", [])),
    ]
    return "| " + " | ".join(cells) + " |"


def _behaviour(figures: dict[str, Any]) -> list[str]:
    agreement = ", ".join(f"{name} {value:.1f} dB" for name, value in figures["agreement_db"].items())
    cold, panning, seeds = figures["cold_deep_link"], figures["panning"], figures["seeds"]
    answer = {True: "yes", False: "**no**"}
    return [
        "",
        "## Agreement, seeds, speed",
        "",
        f"Agreement with the parent before the exact step: {agreement or 'not measured'}.",
        "",
        f"Two seeds paint different pixels: {answer[seeds['two_seeds_differ']]}. "
        f"One seed paints the same bytes again: {answer[seeds['one_seed_repeats']]}.",
        "",
        f"Cold deep link to 20x: {cold['windows']} windows, {cold['seconds']:.1f} s. Panning at 20x: "
        f"{panning['windows_per_tile']:.2f} windows and {panning['seconds_per_tile']:.2f} s a tile, with "
        f"{panning['threads']} thread{'s' if panning['threads'] != 1 else ''} of the network.",
    ]


def _figure(figure: dict[str, Any], digits: int = 2) -> str:
    return f"{figure['value']:.{digits}f} {_span(figure['interval'], digits)}"


def _span(interval: Sequence[float], digits: int = 2) -> str:
    return f"[{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]"


def _flag(ratio: float, bound: tuple[float, float]) -> str:
    return f"{ratio:.2f}" if bound[0] <= ratio <= bound[1] else f"**{ratio:.2f}**"


def draw_sheet(folder: Path, model: WindowModel, seed: int) -> Image.Image:
    """The sheet, a column per magnification. Two rows for each organ of the held-out images: what is painted
    SHEET_OCTAVES below real parents, and the real tissue of the same places, where it is densest. Last, a slide painted
    from its sketch. Raises DataError."""
    held_out = [image for image in read_index(folder) if image.split == "held-out"]
    organs = sorted({_organ(image) for image in held_out if image.kind == "field"})
    rows: list[tuple[str, dict[int, Pixels]]] = []
    for organ in tqdm(organs, desc="organs", unit="organ"):
        images = [image for image in held_out if _organ(image) == organ and image.kind == "field"]
        painted, real = _beside(folder, images, model, seed)
        rows += [(f"PAINTED, {organ}", painted), (f"REAL, {organ}", real)]
    rooted = root_test(folder, held_out, model, seed, places=2)
    for place in range(2):
        rows.append((f"PAINTED from the sketch, place {place + 1}", {s: x[place] for s, x in rooted.painted.items()}))
    return _draw(rows)


def _organ(image: Prepared) -> str:
    """What stands before the first comma of the organ as it was given: images of one case differ in the rest."""
    return image.organ.split(",")[0]


def _beside(
    folder: Path, images: list[Prepared], model: WindowModel, seed: int
) -> tuple[dict[int, Pixels], dict[int, Pixels]]:
    """Painted and real fields of one organ by scale, of the finest image that shows the scale."""
    painted, real = {}, {}
    for s in range(TOP_SCALE):
        shown = [x for x in images if x.finest <= s <= x.coarsest and min(plane(folder, x, s).shape[:2]) >= CELL_PX]
        for image in sorted(shown, key=lambda x: -x.finest)[:1]:
            parent, truth = real_plane(folder, image, s + SHEET_OCTAVES), plane(folder, image, s)
            painter = painter_below(parent, s + SHEET_OCTAVES, model, seed)
            high, wide = (min(a << SHEET_OCTAVES, b) for a, b in zip(parent.shape[:2], truth.shape[:2], strict=True))
            for rect in dense_fields(truth, Rect(0, 0, wide // 2 * 2, high // 2 * 2), CELL_PX, 1):
                painted[s] = field_of(painter, s, rect)
                real[s] = np.array(truth[rect.y : rect.bottom, rect.x : rect.right])
    return painted, real


def _draw(rows: list[tuple[str, dict[int, Pixels]]]) -> Image.Image:
    scales = sorted({s for _, cells in rows for s in cells}, reverse=True)
    step = CELL_PX + 4
    out = Image.new("RGB", (len(scales) * step, len(rows) * (step + LABEL_PX) + LABEL_PX), "white")
    pen, font = ImageDraw.Draw(out), ImageFont.load_default(15)
    for number, (title, cells) in enumerate(rows):
        top = number * (step + LABEL_PX)
        pen.text((4, top + 4), title, fill="black", font=font)
        for column, s in enumerate(scales):
            if s in cells:
                middle = _middle(cells[s])
                out.paste(Image.fromarray(middle), (column * step, top + LABEL_PX))
                pen.text((column * step + 6, top + LABEL_PX + 4), f"{magnification(s):g}x", fill="black", font=font)
    pen.text((4, out.height - LABEL_PX + 4), "SYNTHETIC - not for diagnosis", fill=(180, 0, 0), font=font)
    return out


def _middle(pixels: Pixels) -> Pixels:
    y, x = (max(0, (side - CELL_PX) // 2) for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[y : y + CELL_PX, x : x + CELL_PX])
