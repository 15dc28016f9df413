/** Two panels over the same annotations: one to measure, one to draw, label and exchange. */

import { button, field, icon, make } from "../dom.js";
import { ICONS } from "../icons.js";
import type { Tool } from "./drawing.js";
import { cssColor, type Feature, LABELS, PLAIN, type Rgb } from "./feature.js";
import { AnnotationList, type ListActions } from "./list.js";

export interface PanelActions extends ListActions {
  choose(tool: Tool | null): void;
  relabel(label: string, color: Rgb): void;
  importFile(file: File): void;
  exportFile(): void;
  undo(): void;
}

export interface PanelState {
  readonly features: readonly Feature[];
  readonly selected: Feature | null;
  readonly tool: Tool | null;
  readonly label: string;
  readonly color: Rgb;
  readonly unsaved: number;
}

type ToolButton = readonly [Tool, string, keyof typeof ICONS, string];
const MEASURES: readonly ToolButton[] = [
  ["line", "Length", "line", "Drag from one end to the other, or click at each corner and twice at the last."],
  ["polygon", "Area", "polygon", "Click at each corner, twice at the last."],
  ["freehand", "Outline", "freehand", "Draw around it in one stroke."],
];
const SHAPES: readonly ToolButton[] = [
  ["point", "Point", "point", "Click at the place."],
  ["box", "Box", "box", "Drag from corner to corner."],
  ["polygon", "Polygon", "polygon", "Click at each corner, twice at the last."],
  ["freehand", "Freehand", "freehand", "Draw around it in one stroke."],
];
const BY_KEYBOARD =
  "By keyboard: arrows move the slide, Enter puts a corner in the middle, Enter again there finishes.";

class ToolRow {
  readonly element: HTMLElement;
  readonly hint = make("p", { class: "hint", "aria-live": "polite" });
  readonly #buttons: readonly HTMLButtonElement[];
  readonly #tools: readonly ToolButton[];

  constructor(tools: readonly ToolButton[], choose: (tool: Tool | null) => void) {
    this.#tools = tools;
    this.#buttons = tools.map(([tool, words, shape]) => {
      const one = make("button", { type: "button", class: "tool" }, icon(ICONS[shape]), make("span", {}, words));
      one.addEventListener("click", () => choose(one.getAttribute("aria-pressed") === "true" ? null : tool));
      return one;
    });
    this.element = make("div", { class: "tool-row", role: "group", "aria-label": "What to draw" }, ...this.#buttons);
  }

  show(tool: Tool | null): void {
    this.#tools.forEach(([own], index) => this.#buttons[index]?.setAttribute("aria-pressed", String(own === tool)));
    const words = this.#tools.find(([own]) => own === tool)?.[3];
    const text = words ? `${words} ${BY_KEYBOARD}` : "Choose what to draw.";
    if (this.hint.textContent !== text) this.hint.textContent = text;
  }
}

export class MeasurePanel {
  readonly element: HTMLElement;
  readonly #tools: ToolRow;
  readonly #list: AnnotationList;

  constructor(actions: PanelActions) {
    this.#tools = new ToolRow(MEASURES, actions.choose);
    this.#list = new AnnotationList("Nothing measured yet.", actions);
    this.element = make("div", { class: "stack" }, this.#tools.element, this.#tools.hint, this.#list.element);
  }

  show({ features, selected, tool }: PanelState): void {
    this.#tools.show(tool);
    this.#list.show(
      features.filter(({ geometry }) => !geometry.type.endsWith("Point")),
      selected?.id ?? null,
    );
  }
}

export class AnnotatePanel {
  readonly element: HTMLElement;
  readonly #tools: ToolRow;
  readonly #list: AnnotationList;
  readonly #label = make("input", {
    type: "text",
    list: "labels",
    maxlength: 200,
    placeholder: "none",
    autocomplete: "off",
  });
  readonly #swatches: readonly { readonly color: Rgb; readonly button: HTMLButtonElement }[];
  readonly #saved = make("p", { class: "hint", "aria-live": "polite" });
  #color: Rgb = PLAIN;

  constructor(actions: PanelActions) {
    this.#tools = new ToolRow(SHAPES, actions.choose);
    this.#list = new AnnotationList("No annotations on this slide yet.", actions);
    const relabel = (): void => actions.relabel(this.#label.value.trim(), this.#color);
    this.#label.addEventListener("change", () => {
      this.#color = LABELS.find((label) => label.name === this.#label.value.trim())?.color ?? this.#color;
      relabel();
    });
    const named = [{ name: "Blue", color: PLAIN }, ...LABELS];
    this.#swatches = named.map(({ name, color }) => {
      const one = make("button", { type: "button", class: "swatch", "aria-label": `Colour of ${name}`, title: name });
      one.style.background = cssColor(color);
      one.addEventListener("click", () => {
        this.#color = color;
        relabel();
      });
      return { color, button: one };
    });
    const file = make("input", { type: "file", accept: ".geojson,.json,application/geo+json", hidden: true });
    file.addEventListener("change", () => {
      if (file.files?.[0]) actions.importFile(file.files[0]);
      file.value = "";
    });
    this.element = make(
      "div",
      { class: "stack" },
      this.#tools.element,
      this.#tools.hint,
      make("datalist", { id: "labels" }, ...LABELS.map(({ name }) => make("option", { value: name }))),
      field("Label", this.#label),
      make(
        "div",
        { class: "swatches", role: "group", "aria-label": "Colour" },
        ...this.#swatches.map((one) => one.button),
      ),
      this.#list.element,
      this.#saved,
      make(
        "div",
        { class: "buttons" },
        button("Import GeoJSON", () => file.click()),
        button("Export GeoJSON", actions.exportFile),
        button("Undo", actions.undo, { title: "Undo (Ctrl+Z)" }),
        file,
      ),
    );
  }

  show({ features, selected, tool, label, color, unsaved }: PanelState): void {
    this.#tools.show(tool);
    this.#list.show(features, selected?.id ?? null);
    this.#color = color;
    if (document.activeElement !== this.#label) this.#label.value = label;
    for (const swatch of this.#swatches)
      swatch.button.setAttribute("aria-pressed", String(String(swatch.color) === String(color)));
    const text = unsaved > 0 ? `Saving ${unsaved}...` : features.length > 0 ? "All saved with the slide." : "";
    if (this.#saved.textContent !== text) this.#saved.textContent = text;
  }
}
