/**
 * Annotations drawn over the slide, as SVG that follows every frame of the view; where there are too many for that, as one
 * picture, and only the chosen one as SVG.
 *
 * Each shape is drawn about its own first position, so that the numbers the browser gets stay small: at 2^31 px an
 * absolute place would not fit its 32-bit floats.
 */

import { svg } from "../dom.js";
import { type L0Rect, meets, type Position } from "../geometry.js";
import type { Projection, Stage } from "../stage.js";
import { Crowd } from "./crowd.js";
import { colorOf, cssColor, type Feature, isLocked } from "./feature.js";
import { type HandleActions, Handles } from "./handles.js";
import { boundsOf, partsOf, positionsOf } from "./shapes.js";
import { clipped, placeWords, roomFor } from "./wording.js";
import { wordsOf, wordsPlace } from "./words.js";

const POINT_PX = 6;
/** So many shapes the browser can move as SVG in every frame. */
const MOST_SVG = 300;
/** Shapes no farther than this out of the view have their words in it. */
const REACH_PX = 40;

interface Drawn {
  readonly feature: Feature;
  readonly bounds: L0Rect;
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
  readonly handles: Handles;
  readonly #svg = svg("svg", { class: "marks", "aria-hidden": "true" });
  readonly #crowd: Crowd;
  readonly #stage: Stage;
  readonly #shapes = svg("g");
  readonly #draft = svg("g", { class: "draft" });
  readonly #drawn = new Map<string, Drawn>();
  #features: readonly Feature[] = [];
  #draftDrawn: Drawn | null = null;
  #selected: Feature | null = null;
  #unsaved: ReadonlySet<string> = new Set();
  #labels = true;

  constructor(stage: Stage, actions: HandleActions) {
    this.#stage = stage;
    this.#crowd = new Crowd(stage);
    this.handles = new Handles(actions);
    this.#svg.append(this.#shapes, this.#draft, this.handles.element);
    for (const event of ["update-viewport", "resize", "open"] as const) {
      stage.viewer.addHandler(event, () => this.follow());
    }
  }

  /** What lies over the slide, from below. */
  get elements(): readonly Element[] {
    return [this.#crowd.element, this.#svg];
  }

  /** Whether all annotations are shown as the view stands. */
  get drawn(): boolean {
    return this.#crowd.drawn;
  }

  /** Shows these annotations, one with handles on its corners; unsaved: ids that the server does not take. */
  show(features: readonly Feature[], selected: Feature | null, unsaved: ReadonlySet<string>): void {
    this.#features = features;
    [this.#selected, this.#unsaved] = [selected, unsaved];
    const many = features.length > MOST_SVG;
    this.#showSvg(many ? (selected ? [selected] : []) : features);
    this.#crowd.show(many ? features : [], selected?.id ?? null, this.#labels);
    this.handles.show(selected && !isLocked(selected) ? selected : null);
    this.follow();
  }

  #showSvg(features: readonly Feature[]): void {
    const ids = new Set(features.map((feature) => feature.id));
    for (const [id, drawn] of this.#drawn) {
      if (ids.has(id)) continue;
      drawn.group.remove();
      drawn.words.remove();
      this.#drawn.delete(id);
    }
    for (const feature of features) {
      const known = this.#drawn.get(feature.id);
      if (known?.feature !== feature) {
        const drawn = drawFeature(feature);
        if (known) {
          known.group.replaceWith(drawn.group);
          known.words.replaceWith(drawn.words);
        } else this.#shapes.append(drawn.group, drawn.words);
        this.#drawn.set(feature.id, drawn);
      }
      const { classList } = (this.#drawn.get(feature.id) as Drawn).group;
      classList.toggle("selected", feature.id === this.#selected?.id);
      classList.toggle("unsaved", this.#unsaved.has(feature.id));
    }
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
    this.#svg.classList.toggle("unlabelled", !shown);
    this.show(this.#features, this.#selected, this.#unsaved);
  }

  get labels(): boolean {
    return this.#labels;
  }

  /** Puts everything where the view now has it. */
  follow(): void {
    const area = this.#stage.area(false);
    const projection = this.#stage.projection();
    if (!area || !projection) return;
    const { scale, rotation } = projection;
    // An empty layer over the slide would cost time in every frame.
    this.#svg.toggleAttribute("hidden", this.#drawn.size === 0 && this.#draftDrawn === null);
    this.#crowd.follow();
    const reach = REACH_PX / scale;
    const near = {
      x: area.x - reach,
      y: area.y - reach,
      width: area.width + 2 * reach,
      height: area.height + 2 * reach,
    };
    const all = [...this.#drawn.values(), ...(this.#draftDrawn ? [this.#draftDrawn] : [])];
    const visible = all.filter(({ bounds, anchor, group, words }) => {
      const seen = meets({ ...bounds, width: bounds.width + 1, height: bounds.height + 1 }, near);
      group.toggleAttribute("hidden", !seen);
      words.toggleAttribute("hidden", !seen);
      if (!seen) return false;
      const [x, y] = projection.toScreen(anchor);
      group.setAttribute("transform", `translate(${x} ${y}) rotate(${rotation}) scale(${scale})`);
      for (const dot of group.querySelectorAll("circle")) dot.setAttribute("r", String(POINT_PX / scale));
      return true;
    });
    this.#placeWords(visible, projection);
    this.handles.follow(projection, near);
  }

  /** Puts the words of these where they can be read; words without room are left out until the view is nearer. */
  #placeWords(visible: readonly Drawn[], projection: Projection): void {
    if (!this.#labels) return;
    const frame = { width: this.#svg.clientWidth, height: this.#svg.clientHeight };
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
  const nucleus = feature.nucleusGeometry ? partsOf(feature.nucleusGeometry).polygons.flat() : [];
  const inner = nucleus.map((ring) => pathOf(ring, "Z")).join("");
  const group = svg(
    "g",
    { class: "mark", "data-id": feature.id },
    // The light edge below keeps the line visible on dark tissue.
    svg("path", { d: outline, class: "edge" }),
    svg("path", { d: outline, class: closed ? "outline closed" : "outline" }),
    inner ? svg("path", { d: inner, class: "nucleus" }) : null,
    ...points.map(([x, y]) => svg("circle", { cx: x - anchor[0], cy: y - anchor[1], r: POINT_PX })),
  );
  group.style.setProperty("--color", color);
  const words = svg("text", { class: "words" }, wordsOf(feature));
  return { feature, bounds: boundsOf(feature.geometry), anchor, group, words, fit: null };
}
