/**
 * Thousands of annotations as one picture over the slide.
 *
 * The picture reaches beyond the view. While the view moves, the browser moves the picture; a new one is drawn beside it, a
 * few milliseconds a frame, and takes its place when it is done.
 */

import { make } from "../dom.js";
import { type L0Rect, meets, type Position } from "../geometry.js";
import type { Projection, Stage } from "../stage.js";
import { colorOf, cssColor, type Feature } from "./feature.js";
import { boundsOf, partsOf } from "./shapes.js";
import { clipped, placeWords, roomFor } from "./wording.js";
import { wordsOf, wordsPlace } from "./words.js";

/** Of the view's size, on every side. */
const BEYOND = 0.25;
const SLICE_MS = 4;
/** So long after the last movement a new picture is drawn; sooner where the old one ends within the view. */
const REST_MS = 80;
/** A picture that is enlarged or shrunk by more is drawn anew while the view still moves. */
const COARSE = 1.6;
/** Shapes smaller than this, in CSS pixels, are dots; corners nearer to each other than this are one. */
const DOT_PX = 3;
const NEAR_PX = 1.2;
/** Words are shown where no more shapes than this are in sight. */
const MOST_WORDS = 150;
/** Shapes stroked at a time: longer paths cost more than they save. */
const STROKED = 40;

/** A shape ready to be drawn. runs: x, y after each other, about the anchor. */
interface Item {
  readonly feature: Feature;
  readonly bounds: L0Rect;
  readonly color: string;
  readonly anchor: Position;
  readonly runs: readonly Float64Array[];
  readonly points: readonly Position[];
}

interface Picture {
  readonly canvas: HTMLCanvasElement;
  /** How it was drawn. */
  projection: Projection | null;
  /** The size of the view, in CSS pixels. */
  width: number;
  height: number;
}

export class Crowd {
  readonly element = make("div", { class: "crowd", "aria-hidden": "true", hidden: true });
  readonly #stage: Stage;
  readonly #known = new WeakMap<Feature, Item>();
  #features: readonly Feature[] = [];
  #except: string | null = null;
  #labels = true;
  #shown: Picture = newPicture();
  #next: Picture = newPicture();
  /** The drawing of the next picture, if it is under way. */
  #drawing: Generator<void> | null = null;
  #stale = false;
  #ticking = false;
  #movedAt = 0;
  #last = "";

  constructor(stage: Stage) {
    this.#stage = stage;
    this.element.append(this.#shown.canvas, this.#next.canvas);
    this.#next.canvas.hidden = true;
  }

  /** Whether the picture of the view as it stands is there. */
  get drawn(): boolean {
    return this.#features.length === 0 || (!this.#stale && !this.#drawing && this.#isSharp());
  }

  /** except: the annotation that is drawn elsewhere. */
  show(features: readonly Feature[], except: string | null, labels: boolean): void {
    const known = this.#features;
    const same = known.length === features.length && known.every((feature, i) => feature === features[i]);
    if (same && except === this.#except && labels === this.#labels) return;
    this.#features = features;
    [this.#except, this.#labels] = [except, labels];
    this.element.hidden = features.length === 0;
    this.#stale = true;
    this.#drawing = null;
    this.follow();
  }

  /** Moves the picture to where the view now is, and sees to a new one. */
  follow(): void {
    const projection = this.#stage.projection();
    if (!projection || this.#features.length === 0) return;
    const [x, y] = projection.fromScreen([0, 0]);
    const now = `${x} ${y} ${projection.scale} ${projection.rotation}`;
    if (now !== this.#last) [this.#last, this.#movedAt] = [now, performance.now()];
    align(this.#shown, projection);
    this.#tick();
  }

  #item(feature: Feature): Item {
    const known = this.#known.get(feature);
    if (known) return known;
    const bounds = boundsOf(feature.geometry);
    const anchor: Position = [bounds.x, bounds.y];
    const { points, lines, polygons } = partsOf(feature.geometry);
    const nucleus = feature.nucleusGeometry ? partsOf(feature.nucleusGeometry) : null;
    const all = [...lines, ...polygons.flat(), ...(nucleus ? [...nucleus.lines, ...nucleus.polygons.flat()] : [])];
    const runs = all.map((run) => aboutAnchor(run, anchor));
    const item = { feature, bounds, color: cssColor(colorOf(feature)), anchor, runs, points };
    this.#known.set(feature, item);
    return item;
  }

  #tick(): void {
    if (this.#ticking) return;
    this.#ticking = true;
    requestAnimationFrame(() => {
      this.#ticking = false;
      if (this.#features.length === 0) return;
      if (!this.#drawing && this.#isDue()) this.#begin();
      if (this.#drawing && this.#goOn(this.#drawing)) this.#swap();
      if (!this.drawn) this.#tick();
    });
  }

  #isDue(): boolean {
    if (this.#stale || !this.#reaches()) return true;
    return !this.#isSharp() && performance.now() - this.#movedAt >= REST_MS;
  }

  /** Whether the picture is of the size and turn of the view, and covers it. */
  #isSharp(): boolean {
    const [drawn, now] = [this.#shown.projection, this.#stage.projection()];
    if (!drawn || !now) return false;
    return Math.abs(drawn.scale / now.scale - 1) < 1e-6 && drawn.rotation === now.rotation && this.#reaches();
  }

  /** Whether the picture covers the view, and is not enlarged beyond recognition. */
  #reaches(): boolean {
    const { projection: drawn, width, height } = this.#shown;
    const now = this.#stage.projection();
    if (!drawn || !now) return false;
    const { x: right, y: bottom } = this.#stage.viewer.viewport.getContainerSize();
    if (right !== width || bottom !== height) return false;
    if (now.scale / drawn.scale > COARSE || drawn.scale / now.scale > COARSE) return false;
    const corners: Position[] = [
      [0, 0],
      [right, 0],
      [0, bottom],
      [right, bottom],
    ];
    return corners.every((corner) => {
      const [x, y] = drawn.toScreen(now.fromScreen(corner));
      return x >= -BEYOND * width && x <= (1 + BEYOND) * width && y >= -BEYOND * height && y <= (1 + BEYOND) * height;
    });
  }

  #begin(): void {
    const projection = this.#stage.projection();
    if (!projection) return;
    const { x: width, y: height } = this.#stage.viewer.viewport.getContainerSize();
    Object.assign(this.#next, { projection, width, height });
    this.#stale = false;
    this.#drawing = this.#draw(this.#next, projection);
  }

  /** Draws for a few milliseconds; whether the picture is done. */
  #goOn(drawing: Generator<void>): boolean {
    const end = performance.now() + SLICE_MS;
    while (performance.now() < end) if (drawing.next().done) return true;
    return false;
  }

  #swap(): void {
    this.#drawing = null;
    [this.#shown, this.#next] = [this.#next, this.#shown];
    this.#shown.canvas.hidden = false;
    this.#next.canvas.hidden = true;
    const projection = this.#stage.projection();
    if (projection) align(this.#shown, projection);
  }

  *#draw(picture: Picture, projection: Projection): Generator<void> {
    const { width, height } = picture;
    const ratio = Math.min(devicePixelRatio, 2);
    const [left, top] = [BEYOND * width, BEYOND * height];
    const { canvas } = picture;
    const size = [Math.ceil((1 + 2 * BEYOND) * width * ratio), Math.ceil((1 + 2 * BEYOND) * height * ratio)] as const;
    [canvas.width, canvas.height] = size; // also clears it
    Object.assign(canvas.style, { width: `${size[0] / ratio}px`, height: `${size[1] / ratio}px` });
    const context = canvas.getContext("2d") as CanvasRenderingContext2D;
    context.setTransform(ratio, 0, 0, ratio, left * ratio, top * ratio);
    context.lineJoin = "round";
    const seen = yield* this.#seen(projection, width, height);
    for (let i = 0; i < seen.length; i += STROKED) {
      drawSome(context, seen.slice(i, i + STROKED), projection);
      yield;
    }
    if (this.#labels && seen.length <= MOST_WORDS) drawWords(context, seen, projection, { width, height });
  }

  /** Items in the picture, by colour. */
  *#seen(projection: Projection, width: number, height: number): Generator<void, Item[]> {
    const corners: Position[] = [
      [-BEYOND * width, -BEYOND * height],
      [(1 + BEYOND) * width, -BEYOND * height],
      [-BEYOND * width, (1 + BEYOND) * height],
      [(1 + BEYOND) * width, (1 + BEYOND) * height],
    ];
    const area = boundsOf({ type: "MultiPoint", coordinates: corners.map(projection.fromScreen) });
    const seen: Item[] = [];
    for (const [index, feature] of this.#features.entries()) {
      const item = this.#item(feature);
      if (feature.id !== this.#except && meets(grown(item.bounds), area)) seen.push(item);
      if (index % STROKED === 0) yield;
    }
    return seen.sort((a, b) => (a.color < b.color ? -1 : a.color > b.color ? 1 : 0));
  }
}

function aboutAnchor(run: readonly Position[], [left, top]: Position): Float64Array {
  const numbers = new Float64Array(2 * run.length);
  for (const [i, [x, y]] of run.entries()) [numbers[2 * i], numbers[2 * i + 1]] = [x - left, y - top];
  return numbers;
}

function newPicture(): Picture {
  return { canvas: make("canvas"), projection: null, width: 0, height: 0 };
}

/** A point has no size, and would meet nothing. */
function grown({ x, y, width, height }: L0Rect): L0Rect {
  return { x: x - 1, y: y - 1, width: width + 2, height: height + 2 };
}

/** Lays a picture where it belongs in the view as it is now. */
function align({ canvas, projection, width, height }: Picture, now: Projection): void {
  if (!projection) return;
  const zoom = now.scale / projection.scale;
  const turn = ((now.rotation - projection.rotation) * Math.PI) / 180;
  const [x, y] = now.toScreen(projection.fromScreen([-BEYOND * width, -BEYOND * height]));
  const [cos, sin] = [zoom * Math.cos(turn), zoom * Math.sin(turn)];
  canvas.style.transform = `matrix(${cos}, ${sin}, ${-sin}, ${cos}, ${x}, ${y})`;
}

/** Draws shapes, those of one colour in one stroke. */
function drawSome(context: CanvasRenderingContext2D, items: readonly Item[], projection: Projection): void {
  for (let i = 0; i < items.length;) {
    const { color } = items[i] as Item;
    context.beginPath();
    context.fillStyle = context.strokeStyle = color;
    for (; i < items.length && items[i]?.color === color; i++) addShape(context, items[i] as Item, projection);
    context.lineWidth = 1.5;
    context.stroke();
  }
}

function addShape(context: CanvasRenderingContext2D, item: Item, { scale, rotation, toScreen }: Projection): void {
  const { bounds, anchor, runs, points } = item;
  const [left, top] = toScreen(anchor);
  if (runs.length > 0 && Math.max(bounds.width, bounds.height) * scale < DOT_PX) {
    context.fillRect(left, top, Math.max(bounds.width * scale, 1.5), Math.max(bounds.height * scale, 1.5));
    return;
  }
  const turn = (rotation * Math.PI) / 180;
  const [cos, sin] = [scale * Math.cos(turn), scale * Math.sin(turn)];
  for (const run of runs) {
    let [lastX, lastY] = [Infinity, Infinity];
    for (let i = 0; i < run.length; i += 2) {
      const [dx, dy] = [run[i] as number, run[i + 1] as number];
      const [x, y] = [left + dx * cos - dy * sin, top + dx * sin + dy * cos];
      if (i === 0) context.moveTo(x, y);
      else if (i < run.length - 2 && Math.abs(x - lastX) + Math.abs(y - lastY) < NEAR_PX) continue;
      else context.lineTo(x, y);
      [lastX, lastY] = [x, y];
    }
  }
  for (const point of points) {
    const [x, y] = toScreen(point);
    context.fillRect(x - 2.5, y - 2.5, 5, 5);
  }
}

function drawWords(
  context: CanvasRenderingContext2D,
  items: readonly Item[],
  projection: Projection,
  frame: { width: number; height: number },
): void {
  context.font = "600 12.5px system-ui, sans-serif";
  const widthOf = (text: string): number => context.measureText(text).width;
  const all = items.map(({ feature }) => {
    const text = clipped(wordsOf(feature), roomFor(frame), widthOf);
    const at = projection.toScreen(wordsPlace(feature.geometry, projection.rotation));
    return { text, at, width: widthOf(text), must: false };
  });
  const inside = all.filter(({ text, at: [x, y] }) => text && x > 0 && y > 0 && x < frame.width && y < frame.height);
  placeWords(inside, frame).forEach((place, index) => {
    if (!place) return;
    const { text } = inside[index] as { text: string };
    context.strokeStyle = "rgb(255 255 255 / 92%)";
    context.lineWidth = 3.5;
    context.strokeText(text, ...place);
    context.fillStyle = "#221c2b";
    context.fillText(text, ...place);
  });
}
