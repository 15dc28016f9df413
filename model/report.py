"""Reports for people: the figures of `everslide evaluate` as Markdown, and the sheet of painted beside real fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from everslide.model.denoiser import Denoiser
from everslide.model.evaluate import BOUNDS, chain_test, root_test
from everslide.model.geometry import magnification
from everslide.model.prepare import read_index

Pixels = NDArray[np.uint8]
CELL_PX = 256
LABEL_PX = 30


def markdown(figures: dict[str, Any]) -> str:
    """The figures as tables; those out of bounds are bold."""
    lines = [
        "# Results",
        "",
        "Made by `everslide evaluate PREPARED --out docs/results.md`, on images that training never saw.",
        "",
        f"Weights `{figures['weights']}`, {figures['calls_per_window']} denoiser calls per window.",
        f"Held-out images: {', '.join(figures['held_out'])}.",
        "",
        f"Ratios are painted over real; bold ones lie outside {BOUNDS[0]} to {BOUNDS[1]}. Spectrum: power per octave, "
        "finest first. H, E: hematoxylin, eosin density.",
    ]
    for test in figures["tests"]:
        lines += ["", f"### Painted {test['title']}", ""]
        names = ("magnification", "patches (painted / real)", "Laplacian", "spectrum", "mean H, E", "deviation H, E")
        lines += ["| " + " | ".join((*names, "mean H, E over parent")) + " |"]
        lines += ["|---|---|---|---|---|---|---|"]
        lines += [_row(row) for row in test["rows"]]
    agreement = ", ".join(f"{name} {value:.1f} dB" for name, value in figures["agreement_db"].items())
    cold, panning = figures["cold_deep_link"], figures["panning"]
    lines += [
        "",
        f"Agreement with the parent before the exact step: {agreement}.",
        "",
        f"Cold deep link to 20x: {cold['windows']} windows, {cold['seconds']:.1f} s. "
        f"Panning at 20x: {panning['windows_per_tile']:.2f} windows and {panning['seconds_per_tile']:.2f} s a tile.",
    ]
    return "\n".join(lines) + "\n"


def _row(row: dict[str, Any]) -> str:
    cells = [
        f"{row['magnification']:g}x",
        " / ".join(map(str, row["patches"])),
        _flag(row["laplacian"]),
        ", ".join(map(_flag, row["spectrum"])),
        ", ".join(map(_flag, row["stain_mean_over_real"])),
        ", ".join(map(_flag, row["stain_deviation"])),
        ", ".join(f"{value:.2f}" for value in row["stain_mean_over_parent"]),
    ]
    return "| " + " | ".join(cells) + " |"


def _flag(ratio: float) -> str:
    return f"{ratio:.2f}" if BOUNDS[0] <= ratio <= BOUNDS[1] else f"**{ratio:.2f}**"


def draw_sheet(folder: Path, denoiser: Denoiser, seed: int) -> Image.Image:
    """A column per magnification. Rows: a slide painted from its sketch; held-out tissue painted down from its real
    1.25x image; and the real tissue of the same places."""
    held_out = [image for image in read_index(folder) if image.split == "held-out"]
    fields = [x for x in held_out if x.kind == "field" and x.finest == 0]
    rooted = root_test(folder, held_out, denoiser, seed, places=2)
    chained = chain_test(folder, fields, denoiser, 4, 0)
    rows: list[tuple[str, dict[int, Pixels]]] = [
        (f"PAINTED from the sketch, place {place + 1}", {s: x[place] for s, x in rooted.painted.items()})
        for place in range(2)
    ]
    for number, image in enumerate(fields):
        rows.append((f"PAINTED from real 1.25x, {image.name}", {s: x[number] for s, x in chained.painted.items()}))
        rows.append((f"REAL, {image.name}", {s: x[number] for s, x in chained.real.items()}))
    whole = {s: x[0] for s, x in rooted.real.items() if s > 3}
    rows.append(("REAL, other held-out tissue", whole))
    return _draw(rows)


def _draw(rows: list[tuple[str, dict[int, Pixels]]]) -> Image.Image:
    scales = sorted({s for _, cells in rows for s in cells}, reverse=True)
    step = CELL_PX + 4
    out = Image.new("RGB", (len(scales) * step, len(rows) * (step + LABEL_PX) + LABEL_PX), "white")
    pen, font = ImageDraw.Draw(out), ImageFont.load_default(18)
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
