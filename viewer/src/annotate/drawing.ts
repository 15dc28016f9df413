/**
 * Drawing by mouse, finger, pen and keyboard.
 *
 * Point: a click. Line: a drag, or a click at each corner. Box and freehand: a drag. Polygon: a click at each corner.
 * Enter puts a corner where the view's middle is; a double click, a click on the first corner, or Enter twice finishes.
 */

import type { Position } from "../geometry.js";
import type OpenSeadragon from "openseadragon";
import type { Stage } from "../stage.js";
import { boxRing, type Geometry } from "./shapes.js";

export type Tool = "point" | "line" | "box" | "polygon" | "freehand";

/** Corners nearer than this to the last one, in CSS pixels, are the same corner. */
const SAME_PX = 5;
const FREEHAND_STEP_PX = 3;

export interface DrawingOptions {
  readonly stage: Stage;
  readonly onDraft: (geometry: Geometry | null) => void;
  readonly onDone: (geometry: Geometry) => void;
  /** A click while no tool is chosen. */
  readonly onClick: (at: Position) => void;
}

export class Drawing {
  readonly #options: DrawingOptions;
  #tool: Tool | null = null;
  #corners: Position[] = [];
  #dragging = false;
  /** Where the button or finger went down. */
  #pressed: OpenSeadragon.Point | null = null;

  constructor(options: DrawingOptions) {
    this.#options = options;
    const { viewer } = options.stage;
    viewer.addHandler("canvas-press", ({ position }) => (this.#pressed = position.clone()));
    viewer.addHandler("canvas-click", (event) => this.#clicked(event));
    viewer.addHandler("canvas-double-click", (event) => {
      if (this.#tool) event.preventDefaultAction = true;
    });
    viewer.addHandler("canvas-drag", (event) => this.#dragged(event));
    viewer.addHandler("canvas-drag-end", (event) => this.#dragEnded(event));
    viewer.element.addEventListener("pointermove", (event) => this.#hovered(event));
  }

  get tool(): Tool | null {
    return this.#tool;
  }

  choose(tool: Tool | null): void {
    this.#tool = tool;
    this.#reset();
  }

  /** Gives up what is begun; false where nothing is. */
  cancel(): boolean {
    const begun = this.#corners.length > 0;
    this.#reset();
    return begun;
  }

  /** Puts a corner in the middle of the view; a second one at the same place finishes. */
  putCorner(): void {
    const view = this.#options.stage.view(true);
    if (this.#tool && view) this.#add([view.x, view.y]);
  }

  #clicked(event: OpenSeadragon.CanvasClickEvent): void {
    // However long it was held down: a slow hand draws too.
    const still = this.#tool ? (this.#pressed?.distanceTo(event.position) ?? 0) < SAME_PX : event.quick;
    if (!still) return;
    const at = this.#options.stage.fromScreen([event.position.x, event.position.y]);
    if (!at) return;
    if (!this.#tool) return this.#options.onClick(at);
    event.preventDefaultAction = true;
    this.#add(at);
  }

  #add(at: Position): void {
    const last = this.#corners.at(-1);
    const first = this.#corners[0];
    const same = last !== undefined && this.#near(last, at);
    const closes = this.#tool === "polygon" && this.#corners.length > 2 && first !== undefined && this.#near(first, at);
    if (same || closes) {
      if (this.#corners.length >= this.#fewest()) this.#finish();
      return;
    }
    this.#corners.push(at);
    if (this.#tool === "point" || (this.#tool === "box" && this.#corners.length === 2)) this.#finish();
    else this.#options.onDraft(this.#geometry(this.#corners));
  }

  #dragged(event: OpenSeadragon.CanvasDragEvent): void {
    const drags = this.#tool === "box" || this.#tool === "freehand" || this.#tool === "line";
    if (!drags || (!this.#dragging && this.#corners.length > 0)) return;
    event.preventDefaultAction = true;
    const { stage } = this.#options;
    const at = stage.fromScreen([event.position.x, event.position.y]);
    if (!at) return;
    if (!this.#dragging) {
      this.#dragging = true;
      // The drag is reported after its first movement: go back to where it began.
      const start = stage.fromScreen([event.position.x - event.delta.x, event.position.y - event.delta.y]);
      this.#corners = [start ?? at];
    }
    const last = this.#corners.at(-1) as Position;
    if (this.#tool !== "freehand") this.#corners[1] = at;
    else if (this.#distancePx(last, at) >= FREEHAND_STEP_PX) this.#corners.push(at);
    this.#options.onDraft(this.#geometry(this.#corners));
  }

  #dragEnded(event: Pick<OpenSeadragon.CanvasDragEvent, "preventDefaultAction">): void {
    if (!this.#dragging) return;
    event.preventDefaultAction = true;
    this.#dragging = false;
    if (this.#corners.length >= this.#fewest()) this.#finish();
    else this.#reset();
  }

  #hovered(event: PointerEvent): void {
    if (this.#dragging || this.#corners.length === 0) return;
    const box = this.#options.stage.viewer.element.getBoundingClientRect();
    const at = this.#options.stage.fromScreen([event.clientX - box.left, event.clientY - box.top]);
    if (at) this.#options.onDraft(this.#geometry([...this.#corners, at]));
  }

  #finish(): void {
    const geometry = this.#hasSize(this.#corners) ? this.#geometry(this.#corners) : null;
    this.#reset();
    if (geometry) this.#options.onDone(geometry);
  }

  #reset(): void {
    this.#corners = [];
    this.#dragging = false;
    this.#options.onDraft(null);
  }

  /** A drag that came back to where it began, or a box without a side, is nothing that could be seen or chosen again. */
  #hasSize(corners: readonly Position[]): boolean {
    const [first, second] = corners;
    if (this.#tool === "point" || !first || !second) return true;
    const scale = this.#options.stage.projection()?.scale ?? 1;
    if (this.#tool === "box")
      return Math.min(Math.abs(second[0] - first[0]), Math.abs(second[1] - first[1])) * scale >= 1;
    return corners.some((corner) => !this.#near(first, corner));
  }

  #fewest(): number {
    return this.#tool === "polygon" || this.#tool === "freehand" ? 3 : 2;
  }

  #geometry(corners: readonly Position[]): Geometry | null {
    const [first, second] = corners;
    if (!first) return null;
    if (this.#tool === "point") return { type: "Point", coordinates: first };
    if (!second) return { type: "LineString", coordinates: [first, first] };
    if (this.#tool === "line") return { type: "LineString", coordinates: corners };
    if (this.#tool === "box") return { type: "Polygon", coordinates: [boxRing(first, second)] };
    return { type: "Polygon", coordinates: [[...corners, first]] };
  }

  #near(a: Position, b: Position): boolean {
    return this.#distancePx(a, b) < SAME_PX;
  }

  #distancePx(a: Position, b: Position): number {
    const scale = this.#options.stage.projection()?.scale ?? 1;
    return Math.hypot(a[0] - b[0], a[1] - b[1]) * scale;
  }
}
