/** Changing the outline of the chosen annotation: moved as a whole, corners dragged, added and deleted. */

import type { Position } from "../geometry.js";
import type OpenSeadragon from "openseadragon";
import type { Stage } from "../stage.js";
import { type Feature, isLocked } from "./feature.js";
import { type Geometry, isHit, moved, translated, withCorner, withoutCorner } from "./shapes.js";

export interface EditingOptions {
  readonly stage: Stage;
  /** The annotation that may be edited now: chosen, and nothing is being drawn. */
  readonly editable: () => Feature | null;
  /** How near counts as on a line, in CSS pixels. */
  readonly reachPx: number;
  readonly onDraft: (feature: Feature | null) => void;
  /** run: changes of the same run that follow each other, as of a key held down, are one step. */
  readonly onDone: (feature: Feature, run?: string) => void;
  /** A corner was clicked, not dragged. */
  readonly onCorner: (index: number) => void;
}

export class Editing {
  readonly #options: EditingOptions;
  /** Where the shape was taken, while it is moved as a whole. */
  #taken: { readonly feature: Feature; readonly at: Position } | null = null;
  #changed: Feature | null = null;

  constructor(options: EditingOptions) {
    this.#options = options;
    const { viewer } = options.stage;
    viewer.addHandler("canvas-press", ({ position }) => this.#pressed(position));
    viewer.addHandler("canvas-drag", (event) => this.#dragged(event));
    viewer.addHandler("canvas-drag-end", (event) => this.#dropped(event));
    viewer.element.addEventListener("pointermove", (event) => {
      if (event.buttons === 0)
        viewer.element.classList.toggle("movable", this.#movableAt(this.#placeOf(event)) !== null);
    });
  }

  /** Drags a corner. */
  grab(index: number, event: PointerEvent): void {
    const feature = this.#options.editable();
    if (feature) this.#drag(feature, feature.geometry, index, event);
  }

  /** Drags a new corner out of an edge. */
  split(index: number, at: Position, event: PointerEvent): void {
    const feature = this.#options.editable();
    if (feature) this.#drag(feature, withCorner(feature.geometry, index, at), index + 1, event);
  }

  /** Puts a corner at another place. */
  place(index: number, at: Position): void {
    const feature = this.#options.editable();
    if (feature) this.#options.onDone(reshaped(feature, moved(feature.geometry, index, at)), `corner ${index}`);
  }

  /** Adds a corner behind another one. */
  add(index: number, at: Position): void {
    const feature = this.#options.editable();
    if (feature) this.#options.onDone(reshaped(feature, withCorner(feature.geometry, index, at)));
  }

  /** Moves the whole by so many 20x pixels; false where it may not be moved. */
  shift(by: Position): boolean {
    const feature = this.#options.editable();
    if (!feature || isLocked(feature)) return false;
    this.#options.onDone(movedWhole(feature, by), "whole");
    return true;
  }

  /** Deletes a corner; false where the shape would be none without it. */
  drop(index: number): boolean {
    const feature = this.#options.editable();
    const geometry = feature && withoutCorner(feature.geometry, index);
    if (!feature || !geometry) return false;
    this.#options.onDone(reshaped(feature, geometry));
    return true;
  }

  #drag(feature: Feature, begun: Geometry, index: number, event: PointerEvent): void {
    const handle = event.target as Element;
    event.preventDefault();
    handle.setPointerCapture(event.pointerId);
    let geometry = begun;
    const move = (next: Event): void => {
      const at = this.#placeOf(next as PointerEvent);
      if (!at) return;
      geometry = moved(begun, index, at);
      this.#options.onDraft({ ...feature, id: "draft", geometry });
    };
    const drop = (): void => {
      handle.removeEventListener("pointermove", move);
      this.#options.onDraft(null);
      if (geometry !== begun) this.#options.onDone(reshaped(feature, geometry));
      else if (begun === feature.geometry) this.#options.onCorner(index);
    };
    handle.addEventListener("pointermove", move);
    handle.addEventListener("lostpointercapture", drop, { once: true });
  }

  #pressed(position: OpenSeadragon.Point): void {
    const at = this.#options.stage.fromScreen([position.x, position.y]);
    const feature = this.#movableAt(at);
    this.#taken = feature && at ? { feature, at } : null;
    this.#changed = null;
  }

  #dragged(event: OpenSeadragon.CanvasDragEvent): void {
    const at = this.#options.stage.fromScreen([event.position.x, event.position.y]);
    if (!this.#taken || !at) return;
    event.preventDefaultAction = true;
    const { feature, at: from } = this.#taken;
    this.#changed = movedWhole(feature, [at[0] - from[0], at[1] - from[1]]);
    this.#options.onDraft({ ...this.#changed, id: "draft" });
  }

  #dropped(event: Pick<OpenSeadragon.CanvasDragEvent, "preventDefaultAction">): void {
    if (!this.#taken) return;
    event.preventDefaultAction = true;
    this.#taken = null;
    this.#options.onDraft(null);
    if (this.#changed) this.#options.onDone(this.#changed);
  }

  /** The chosen annotation where it is under a place; not where it fills the view: there the view is dragged. */
  #movableAt(at: Position | null): Feature | null {
    const { stage, editable, reachPx } = this.#options;
    const feature = editable();
    const scale = stage.projection()?.scale;
    const area = stage.area(false);
    if (!at || !feature || isLocked(feature) || !scale || !area) return null;
    if (!isHit(feature.geometry, at, reachPx / scale)) return null;
    const corners: Position[] = [
      [area.x, area.y],
      [area.x + area.width, area.y],
      [area.x, area.y + area.height],
      [area.x + area.width, area.y + area.height],
    ];
    return corners.every((corner) => isHit(feature.geometry, corner, 0)) ? null : feature;
  }

  #placeOf({ clientX, clientY }: PointerEvent): Position | null {
    const box = this.#options.stage.viewer.element.getBoundingClientRect();
    return this.#options.stage.fromScreen([clientX - box.left, clientY - box.top]);
  }
}

/** An annotation of another outline: no ellipse any more. */
export function reshaped(feature: Feature, geometry: Geometry): Feature {
  const { isEllipse: _isEllipse, ...rest } = geometry as Geometry & { isEllipse?: unknown };
  return { ...feature, geometry: rest as Geometry };
}

/** An annotation at another place, with its nucleus. */
export function movedWhole(feature: Feature, by: Position): Feature {
  const nucleus = feature.nucleusGeometry ? { nucleusGeometry: translated(feature.nucleusGeometry, by) } : {};
  return { ...feature, geometry: translated(feature.geometry, by), ...nucleus };
}
