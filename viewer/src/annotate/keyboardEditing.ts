/** Changing the outline of the chosen annotation by keys: its corners chosen, moved and added, the whole moved. */

import type { Position } from "../geometry.js";
import type { Notices } from "../notices.js";
import type { Stage } from "../stage.js";
import type { Editing } from "./editing.js";
import type { Feature } from "./feature.js";
import type { MarksLayer } from "./layer.js";
import { positionsOf } from "./shapes.js";

const NOTICE_ID = "chosen-corner";
const NOTICE_MS = 8000;
const KEYS = "Arrows move it, with Shift finely. Enter adds one behind it, Delete deletes it, Escape lets it go.";

export interface KeyboardEditingOptions {
  readonly stage: Stage;
  readonly notices: Notices;
  readonly layer: MarksLayer;
  readonly editing: Editing;
  /** The annotation that may be edited now: chosen, and nothing is being drawn. */
  readonly editable: () => Feature | null;
}

export class KeyboardEditing {
  readonly #options: KeyboardEditingOptions;

  constructor(options: KeyboardEditingOptions) {
    this.#options = options;
  }

  /** Chooses the next corner of the chosen annotation, or the one before; false where there is none. */
  step(by: number): boolean {
    const { stage, notices, layer, editable } = this.#options;
    const corner = editable() && layer.handles.step(by);
    if (!corner) return false;
    stage.viewer.canvas.focus({ preventScroll: true });
    layer.follow();
    this.#keepInView(corner.at);
    notices.show(NOTICE_ID, `Corner ${corner.place + 1} of ${corner.count}.`, KEYS, NOTICE_MS);
    return true;
  }

  /** Moves the chosen corner by so many CSS pixels of the screen; false where none is chosen. */
  moveCorner(right: number, down: number): boolean {
    const { layer, editing } = this.#options;
    const { chosen, chosenCorner } = layer.handles;
    const to = chosenCorner && this.#beside(chosenCorner.at, right, down);
    if (chosen === null || !to) return false;
    editing.place(chosen, to);
    this.#choose(chosen);
    this.#keepInView(to);
    return true;
  }

  /** Adds a corner in the middle of the edge behind the chosen one; false where none is chosen, or it is a line's end. */
  addCorner(): boolean {
    const { layer, editing } = this.#options;
    const { chosen, chosenCorner } = layer.handles;
    if (chosen === null || !chosenCorner?.behind) return false;
    editing.add(chosen, chosenCorner.behind);
    this.#choose(chosen + 1);
    return true;
  }

  /** Lets the chosen corner go; false where none is chosen. */
  letGo(): boolean {
    const { notices, layer } = this.#options;
    notices.dismiss(NOTICE_ID);
    if (layer.handles.chosen === null) return false;
    layer.handles.choose(null);
    return true;
  }

  /** Moves the chosen annotation by so many CSS pixels of the screen; false where none may be moved. */
  moveWhole(right: number, down: number): boolean {
    const { editing, editable } = this.#options;
    const feature = editable();
    const first = feature && positionsOf(feature.geometry)[0];
    const to = first && this.#beside(first, right, down);
    return to ? editing.shift([to[0] - first[0], to[1] - first[1]]) : false;
  }

  #beside(at: Position, right: number, down: number): Position | null {
    const projection = this.#options.stage.projection();
    if (!projection) return null;
    const [x, y] = projection.toScreen(at);
    return projection.fromScreen([x + right, y + down]);
  }

  /** After a change: the corners are others now. */
  #choose(index: number): void {
    this.#options.layer.handles.choose(index);
    this.#options.layer.follow();
  }

  /** Moves the view to a place that is not in it. */
  #keepInView([x, y]: Position): void {
    const { stage } = this.#options;
    const [area, view] = [stage.area(), stage.view()];
    const seen = area && x >= area.x && y >= area.y && x <= area.x + area.width && y <= area.y + area.height;
    if (view && !seen) stage.show({ ...view, x, y }, false);
  }
}
