/**
 * Keeps several views at the same place: whichever the person moves, the others follow.
 *
 * The same place is the same distance from the middle of the slide; of slides of equal size, the same pixel.
 */

import type { Pane } from "../pane.js";
import type { View } from "../permalink.js";

/** Views nearer than this are the same view: a fiftieth of a screen pixel. */
const SAME_PX = 0.02;

export class Linker {
  readonly #panes = new Set<Pane>();
  /** Where each pane was last sent, or was last seen: another view than this is a person's doing. */
  readonly #known = new Map<Pane, View>();
  readonly #sizes = new Map<Pane, string>();

  add(pane: Pane): void {
    this.#panes.add(pane);
    const view = pane.stage.view();
    if (view) this.#known.set(pane, view);
    this.#sizes.set(pane, String(pane.stage.viewer.viewport?.getContainerSize()));
  }

  remove(pane: Pane): void {
    this.#panes.delete(pane);
    this.#known.delete(pane);
  }

  /** Call when the view of a pane changed. */
  changed(pane: Pane): void {
    const view = pane.stage.view();
    if (!view || !this.#panes.has(pane) || same(view, this.#known.get(pane))) return;
    this.#known.set(pane, view);
    // While a pane takes another size its view is neither the old nor the new one: nobody follows.
    const size = String(pane.stage.viewer.viewport.getContainerSize());
    const resized = this.#sizes.get(pane) !== size;
    this.#sizes.set(pane, size);
    if (resized) return;
    for (const other of this.#panes) if (other !== pane) this.#send(other, between(pane, other, view), false);
  }

  /** Sends one pane to where another is. */
  align(pane: Pane, to: Pane): void {
    const view = to.stage.view();
    if (view) this.#send(pane, between(to, pane, view), true);
  }

  #send(pane: Pane, view: View, immediately: boolean): void {
    // Known before it moves, or its own report would send the others back.
    this.#known.set(pane, view);
    pane.stage.show(view, immediately);
    // A smaller slide may not be able to go all the way.
    const reached = pane.stage.view();
    if (reached) this.#known.set(pane, reached);
  }
}

/** The view of one pane in the coordinates of another. */
function between(from: Pane, to: Pane, view: View): View {
  const [a, b] = [from.stage.slide, to.stage.slide];
  if (!a || !b) return view;
  return { ...view, x: view.x + (b.width - a.width) / 2, y: view.y + (b.height - a.height) / 2 };
}

function same(a: View, b: View | undefined): boolean {
  if (!b) return false;
  const px = 20 / a.magnification;
  return (
    Math.abs(a.x - b.x) < SAME_PX * px &&
    Math.abs(a.y - b.y) < SAME_PX * px &&
    Math.abs(a.magnification / b.magnification - 1) < 1e-6 &&
    Math.abs(a.rotation - b.rotation) < 1e-3
  );
}
