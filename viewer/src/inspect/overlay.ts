/** Drawn over the slide: the grid of tiles, the state of each, and its difference from its parent. */

import { make } from "../dom.js";
import { type TileAddress, tileKey, tileRect } from "../geometry.js";
import type { Pane } from "../pane.js";
import type { TileState as PaintState } from "../painting.js";
import { fetchStates } from "./remote.js";

export interface Shown {
  readonly grid: boolean;
  readonly state: boolean;
  readonly difference: boolean;
}

const FILLS: Record<PaintState, string> = {
  painted: "rgb(46 125 50 / 24%)",
  cached: "rgb(21 101 192 / 24%)",
  waiting: "rgb(230 126 0 / 30%)",
  preview: "rgb(110 110 120 / 30%)",
};
const ASK_AFTER_MS = 350;
/** The words of a tile stand on a plate, whatever tissue is below. */
const PLATE = "rgb(255 255 255 / 88%)";
const LINE_PX = 17;
const FONT = "600 12.5px ui-monospace, 'DejaVu Sans Mono', monospace";

export class InspectOverlay {
  readonly element = make("canvas", { class: "tile-overlay", "aria-hidden": "true", hidden: true });
  readonly #pane: Pane;
  readonly #differences = new Map<string, number | null>();
  #shown: Shown = { grid: false, state: false, difference: false };
  #marked: TileAddress | null = null;
  #asking = new AbortController();
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(pane: Pane) {
    this.#pane = pane;
    for (const event of ["update-viewport", "resize", "open"] as const) {
      pane.stage.viewer.addHandler(event, () => this.draw());
    }
  }

  show(shown: Shown): void {
    this.#shown = shown;
    this.refresh();
  }

  /** Frames one tile; null frames none. */
  mark(tile: TileAddress | null): void {
    this.#marked = tile;
    this.draw();
  }

  /** Something was painted, or the view moved: draws anew, and asks the server anew when it stays so for a moment. */
  refresh(): void {
    this.draw();
    if (!this.#shown.difference) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#ask(), ASK_AFTER_MS);
  }

  /** Differences known of the tiles in view, for the panel's words. */
  differences(): { known: number; largest: number } {
    const tiles = this.#pane.painting?.tilesInView() ?? [];
    const values = tiles
      .map((tile) => this.#differences.get(tileKey(tile)))
      .filter((value) => typeof value === "number");
    return { known: values.length, largest: Math.max(0, ...values) };
  }

  /** Called when differences arrived. */
  onDifferences: () => void = () => {};

  async #ask(): Promise<void> {
    const { slide } = this.#pane.stage;
    const tiles = this.#pane.painting?.tilesInView() ?? [];
    if (!slide || tiles.length === 0) return;
    this.#asking.abort();
    this.#asking = new AbortController();
    try {
      const states = await fetchStates(slide, tiles, this.#asking.signal);
      const { level } = tiles[0] as TileAddress;
      this.#differences.clear();
      for (const { col, row, difference } of states) this.#differences.set(tileKey({ level, col, row }), difference);
      this.draw();
      this.onDifferences();
    } catch {
      // Tile requests meet the same server and report it; the overlay shows what it knows.
    }
  }

  draw(): void {
    const { element } = this;
    const { grid, state, difference } = this.#shown;
    // An empty layer over the slide would cost time in every frame.
    element.hidden = !(grid || state || difference || this.#marked);
    if (element.hidden) return;
    const width = element.clientWidth;
    const height = element.clientHeight;
    const ratio = devicePixelRatio;
    if (element.width !== width * ratio) element.width = width * ratio;
    if (element.height !== height * ratio) element.height = height * ratio;
    const context = element.getContext("2d") as CanvasRenderingContext2D;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const tiles = grid || state || difference ? (this.#pane.painting?.tilesInView() ?? []) : [];
    for (const tile of tiles) this.#drawTile(context, tile);
    if (this.#marked) {
      this.#trace(context, this.#marked);
      context.lineWidth = 3;
      context.strokeStyle = "#5b3a8c";
      context.stroke();
    }
  }

  #drawTile(context: CanvasRenderingContext2D, tile: TileAddress): void {
    const { slide } = this.#pane.stage;
    const middle = this.#trace(context, tile);
    if (!slide || !middle) return;
    if (this.#shown.state) {
      context.fillStyle = FILLS[this.#pane.painting?.stateOf(tile) ?? "preview"];
      context.fill();
    }
    context.lineWidth = 1;
    context.strokeStyle = "rgb(91 58 140 / 75%)";
    context.stroke();
    const difference = this.#differences.get(tileKey(tile));
    const lines = [
      ...(this.#shown.grid ? [tileKey(tile)] : []),
      ...(this.#shown.state ? [this.#pane.painting?.stateOf(tile) ?? ""] : []),
      ...(this.#shown.difference ? [difference === undefined || difference === null ? "-" : `${difference}`] : []),
    ];
    if (lines.length === 0) return;
    context.font = FONT;
    context.textAlign = "center";
    context.textBaseline = "middle";
    const [width, height] = [
      Math.max(...lines.map((line) => context.measureText(line).width)) + 14,
      lines.length * LINE_PX + 6,
    ];
    context.fillStyle = PLATE;
    context.beginPath();
    context.roundRect(middle[0] - width / 2, middle[1] - height / 2, width, height, 5);
    context.fill();
    lines.forEach((line, index) => {
      const y = middle[1] + (index - (lines.length - 1) / 2) * LINE_PX;
      context.fillStyle = difference && line === `${difference}` ? "#b00020" : "#221c2b";
      context.fillText(line, middle[0], y);
    });
  }

  /** Makes the tile's outline the path; returns its middle on the screen. */
  #trace(context: CanvasRenderingContext2D, tile: TileAddress): readonly [number, number] | null {
    const projection = this.#pane.stage.projection();
    const { slide } = this.#pane.stage;
    if (!projection || !slide) return null;
    const { x, y, width, height } = tileRect(slide, tile);
    context.beginPath();
    for (const corner of [
      [x, y],
      [x + width, y],
      [x + width, y + height],
      [x, y + height],
    ] as const) {
      context.lineTo(...projection.toScreen(corner));
    }
    context.closePath();
    return projection.toScreen([x + width / 2, y + height / 2]);
  }
}
