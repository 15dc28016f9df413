/**
 * Handles of the chosen annotation: round ones on its corners, to drag, to choose (by mouse or by key) and to delete; square ones on its edges,
 * which add a corner. Of corners that lie close together on the screen one has a handle; nearer, all have.
 */

import { svg } from "../dom.js";
import type { L0Rect, Position } from "../geometry.js";
import type { Projection } from "../stage.js";
import type { Feature } from "./feature.js";
import { type Corner, cornersOf } from "./shapes.js";

const RADIUS_PX = 6;
const SQUARE_PX = 7;
/** Corners nearer than this share a handle; edges shorter than this have none. */
const APART_PX = 12;
const EDGE_PX = 34;
const MOST = 400;

export interface HandleActions {
  /** The corner of `index` is dragged. */
  grab(index: number, event: PointerEvent): void;
  /** The edge behind the corner of `index` is dragged: it gets a corner. */
  split(index: number, at: Position, event: PointerEvent): void;
  /** The corner is to go. */
  drop(index: number): void;
}

export class Handles {
  readonly element = svg("g", { class: "handles" });
  readonly #actions: HandleActions;
  readonly #corners = new Map<number, SVGCircleElement>();
  readonly #edges = new Map<number, SVGRectElement>();
  #feature: Feature | null = null;
  #all: Corner[] = [];
  #chosen: number | null = null;

  constructor(actions: HandleActions) {
    this.#actions = actions;
  }

  /** The corner that was clicked: Delete deletes it. */
  get chosen(): number | null {
    return this.#chosen;
  }

  choose(index: number | null): void {
    this.#chosen = index;
    for (const [own, handle] of this.#corners) handle.classList.toggle("chosen", own === index);
  }

  /** Chooses the next corner, or the one before, from the first on; null where there is none. */
  step(by: number): { readonly at: Position; readonly place: number; readonly count: number } | null {
    const count = this.#all.length;
    if (count === 0) return null;
    const now = this.#all.findIndex(({ index }) => index === this.#chosen);
    const place = now < 0 ? (by > 0 ? 0 : count - 1) : (now + by + count) % count;
    const corner = this.#all[place] as Corner;
    this.choose(corner.index);
    return { at: corner.at, place, count };
  }

  /** The chosen corner, and the middle of the edge behind it, where there is one. */
  get chosenCorner(): { readonly at: Position; readonly behind: Position | null } | null {
    const corner = this.#all.find(({ index }) => index === this.#chosen);
    return corner ? { at: corner.at, behind: corner.next && middle(corner.at, corner.next) } : null;
  }

  /** Handles of this annotation; null: of none. */
  show(feature: Feature | null): void {
    if (feature === this.#feature) return;
    if (feature?.id !== this.#feature?.id || feature?.geometry !== this.#feature?.geometry) this.choose(null);
    this.#feature = feature;
    this.#all = feature ? cornersOf(feature.geometry) : [];
  }

  /** Puts the handles where the view now has them. area: what is seen, in 20x pixels. */
  follow(projection: Projection, area: L0Rect): void {
    const corners = new Map<number, Position>();
    const edges = new Map<number, Position>();
    let last: Position | null = null;
    for (const { index, at, next } of this.#all) {
      if (corners.size >= MOST && index !== this.#chosen) continue;
      if (!isIn(at, area)) continue;
      const place = projection.toScreen(at);
      if (last && distance(place, last) < APART_PX && index !== this.#chosen) continue;
      last = place;
      corners.set(index, place);
      const beyond = next && projection.toScreen(next);
      if (beyond && distance(place, beyond) >= EDGE_PX) edges.set(index, middle(place, beyond));
    }
    place(this.#edges, edges, this.element, (index) => this.#edge(index));
    place(this.#corners, corners, this.element, (index) => this.#corner(index));
  }

  #corner(index: number): SVGCircleElement {
    const handle = svg("circle", {
      r: RADIUS_PX,
      class: index === this.#chosen ? "chosen" : "",
      pointerdown: (event: PointerEvent) => this.#actions.grab(index, event),
      dblclick: () => this.#actions.drop(index),
    });
    handle.append(svg("title", {}, "Drag to move. Delete or a double click deletes it."));
    return handle;
  }

  #edge(index: number): SVGRectElement {
    const half = SQUARE_PX / 2;
    return svg("rect", {
      x: -half,
      y: -half,
      width: SQUARE_PX,
      height: SQUARE_PX,
      pointerdown: (event: PointerEvent) => {
        const corner = this.#all.find((one) => one.index === index);
        if (corner?.next) this.#actions.split(index, middle(corner.at, corner.next), event);
      },
    });
  }
}

/** Makes, moves and removes handles so that there is one at each of these places. */
function place<T extends SVGElement>(
  there: Map<number, T>,
  places: ReadonlyMap<number, Position>,
  group: SVGGElement,
  make: (index: number) => T,
): void {
  for (const [index, handle] of there) {
    if (places.has(index)) continue;
    handle.remove();
    there.delete(index);
  }
  for (const [index, [x, y]] of places) {
    let handle = there.get(index);
    if (!handle) {
      handle = make(index);
      there.set(index, handle);
      group.append(handle);
    }
    handle.setAttribute("transform", `translate(${x} ${y})`);
  }
}

function isIn([x, y]: Position, area: L0Rect): boolean {
  return x >= area.x && x <= area.x + area.width && y >= area.y && y <= area.y + area.height;
}

function distance(a: Position, b: Position): number {
  return Math.hypot(a[0] - b[0], a[1] - b[1]);
}

function middle(a: Position, b: Position): Position {
  return [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
}
