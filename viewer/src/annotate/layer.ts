/**
 * Annotations drawn over the slide, as SVG that follows every frame of the view.
 *
 * Each shape is drawn about its own first position, so that the numbers the browser gets stay small: at 2^31 px an
 * absolute place would not fit its 32-bit floats.
 */

import { svg } from "../dom.js";
import { meets } from "../geometry.js";
import type { Projection, Stage } from "../stage.js";
import { colorOf, cssColor, type Feature, labelOf } from "./feature.js";
import { boundsOf, type Geometry, measureWords, partsOf, type Position, positionsOf } from "./shapes.js";
import { clipped, placeWords, roomFor } from "./wording.js";

const POINT_PX = 6;
const HANDLE_PX = 6;
/** A freehand outline has dozens of corners; handles on each would hide it. */
const MOST_HANDLES = 16;

interface Drawn {
  readonly feature: Feature;
  readonly anchor: Position;
  readonly group: SVGGElement;
  readonly words: SVGTextElement;
  /** How its words were fitted; null before they were seen. */
  fit: Fit | null;
}

/** Widths in CSS pixels: of all the words, of those that are shown, and the room that these were to fit in. */
interface Fit {
  readonly whole: number;
  readonly shown: number;
  readonly room: number;
}

export class MarksLayer {
  readonly element = svg("svg", { class: "marks", "aria-hidden": "true" });
  readonly #stage: Stage;
  readonly #shapes = svg("g");
  readonly #draft = svg("g", { class: "draft" });
  readonly #handles = svg("g", { class: "handles" });
  readonly #drawn = new Map<string, Drawn>();
  #draftDrawn: Drawn | null = null;
  #selected: Feature | null = null;
  #labels = true;
  /** A handle of the selected annotation was pressed; `index` counts as `positionsOf`. */
  onGrab: (index: number, event: PointerEvent) => void = () => {};

  constructor(stage: Stage) {
    this.#stage = stage;
    this.element.append(this.#shapes, this.#draft, this.#handles);
    for (const event of ["update-viewport", "resize", "open"] as const) {
      stage.viewer.addHandler(event, () => this.follow());
    }
  }

  /** Shows these annotations. */
  show(features: readonly Feature[]): void {
    const ids = new Set(features.map((feature) => feature.id));
    for (const [id, drawn] of this.#drawn) {
      if (!ids.has(id)) {
        drawn.group.remove();
        drawn.words.remove();
        this.#drawn.delete(id);
      }
    }
    for (const feature of features) {
      const known = this.#drawn.get(feature.id);
      if (known?.feature === feature) continue;
      const drawn = drawFeature(feature);
      if (known) {
        known.group.replaceWith(drawn.group);
        known.words.replaceWith(drawn.words);
      } else this.#shapes.append(drawn.group, drawn.words);
      this.#drawn.set(feature.id, drawn);
    }
    this.follow();
  }

  /** Shows one annotation with handles on its corners. */
  select(feature: Feature | null): void {
    this.#selected = feature;
    for (const [id, drawn] of this.#drawn) drawn.group.classList.toggle("selected", id === feature?.id);
    const positions = feature ? positionsOf(feature.geometry) : [];
    const shown = positions.length <= MOST_HANDLES ? positions : [];
    this.#handles.replaceChildren(
      ...shown.map((_, index) =>
        svg("circle", { r: HANDLE_PX, pointerdown: (event: PointerEvent) => this.onGrab(index, event) }),
      ),
    );
    this.follow();
  }

  /** Shows what is being drawn, or nothing. */
  draft(feature: Feature | null): void {
    this.#draftDrawn = feature ? drawFeature(feature) : null;
    this.#draft.replaceChildren(...(this.#draftDrawn ? [this.#draftDrawn.group, this.#draftDrawn.words] : []));
    this.follow();
  }

  /** Shows or hides labels and measures. */
  set labels(shown: boolean) {
    this.#labels = shown;
    this.element.classList.toggle("unlabelled", !shown);
    this.follow();
  }

  get labels(): boolean {
    return this.#labels;
  }

  /** Puts everything where the view now has it. */
  follow(): void {
    const area = this.#stage.area();
    const projection = this.#stage.projection();
    if (!area || !projection) return;
    const { scale, rotation } = projection;
    // An empty layer over the slide would cost time in every frame.
    this.element.toggleAttribute("hidden", this.#drawn.size === 0 && this.#draftDrawn === null);
    const all = [...this.#drawn.values(), ...(this.#draftDrawn ? [this.#draftDrawn] : [])];
    const visible = all.filter(({ feature, anchor, group, words }) => {
      const bounds = boundsOf(feature.geometry);
      const reach = 40 / scale;
      const box = {
        x: bounds.x - reach,
        y: bounds.y - reach,
        width: bounds.width + 2 * reach,
        height: bounds.height + 2 * reach,
      };
      const seen = meets(box, area);
      group.toggleAttribute("hidden", !seen);
      words.toggleAttribute("hidden", !seen);
      if (!seen) return false;
      const [x, y] = projection.toScreen(anchor);
      group.setAttribute("transform", `translate(${x} ${y}) rotate(${rotation}) scale(${scale})`);
      for (const dot of group.querySelectorAll("circle")) dot.setAttribute("r", String(POINT_PX / scale));
      return true;
    });
    this.#placeWords(visible, projection);
    const corners = this.#selected ? positionsOf(this.#selected.geometry) : [];
    for (const [index, handle] of [...this.#handles.children].entries()) {
      const corner = corners[index];
      if (!corner) continue;
      const [x, y] = projection.toScreen(corner);
      handle.setAttribute("transform", `translate(${x} ${y})`);
    }
  }

  /** Puts the words of these where they can be read; words without room are left out until the view is nearer. */
  #placeWords(visible: readonly Drawn[], projection: Projection): void {
    if (!this.#labels) return;
    const frame = { width: this.element.clientWidth, height: this.element.clientHeight };
    const places = placeWords(
      visible.map((drawn) => ({
        at: projection.toScreen(wordsPlace(drawn.feature.geometry, projection.rotation)),
        width: fitWords(drawn, roomFor(frame)),
        must: drawn === this.#draftDrawn || drawn.feature.id === this.#selected?.id,
      })),
      frame,
    );
    for (const [index, { words }] of visible.entries()) {
      const place = places[index];
      words.toggleAttribute("hidden", !place);
      if (place) words.setAttribute("transform", `translate(${place[0]} ${place[1]})`);
    }
  }
}

/** Cuts words that are wider than the frame; their width. Words are measured anew only where the room matters. */
function fitWords(drawn: Drawn, room: number): number {
  const { fit, words, feature } = drawn;
  if (fit && (fit.room === room || fit.whole <= Math.min(fit.room, room))) return fit.shown;
  const widthOf = (text: string): number => {
    if (words.textContent !== text) words.textContent = text;
    return words.getComputedTextLength();
  };
  const whole = widthOf(wordsOf(feature));
  const shown = widthOf(clipped(wordsOf(feature), room, widthOf));
  drawn.fit = { whole, shown, room };
  return shown;
}

/** Words belong to a line's end and at the corner of a shape that is highest on an unturned screen. */
export function wordsPlace(geometry: Geometry, rotation: number): Position {
  const positions = positionsOf(geometry);
  if (partsOf(geometry).lines.length > 0) return positions.at(-1) ?? [0, 0];
  const turn = (rotation * Math.PI) / 180;
  const height = ([x, y]: Position): number => x * Math.sin(turn) + y * Math.cos(turn);
  return positions.reduce((best, position) => (height(position) < height(best) ? position : best));
}

function drawFeature(feature: Feature): Drawn {
  const anchor = positionsOf(feature.geometry)[0] ?? [0, 0];
  const color = cssColor(colorOf(feature));
  const { points, lines, polygons } = partsOf(feature.geometry);
  const pathOf = (line: readonly Position[], close: string): string =>
    line.length > 0 ? `M${line.map(([x, y]) => `${x - anchor[0]} ${y - anchor[1]}`).join("L")}${close}` : "";
  const outline = [...lines.map((line) => pathOf(line, "")), ...polygons.flat().map((ring) => pathOf(ring, "Z"))].join(
    "",
  );
  const closed = polygons.length > 0;
  const group = svg(
    "g",
    { class: "mark", "data-id": feature.id },
    // The light edge below keeps the line visible on dark tissue.
    svg("path", { d: outline, class: "edge" }),
    svg("path", { d: outline, class: closed ? "outline closed" : "outline" }),
    ...points.map(([x, y]) => svg("circle", { cx: x - anchor[0], cy: y - anchor[1], r: POINT_PX })),
  );
  group.style.setProperty("--color", color);
  const words = svg("text", { class: "words" }, wordsOf(feature));
  return { feature, anchor, group, words, fit: null };
}

/** "Gland: 0.42 mm², 2.6 mm around". */
export function wordsOf(feature: Feature): string {
  return [labelOf(feature), measureWords(feature.geometry)].filter(Boolean).join(": ");
}
