/** Two panels over the same annotations: one to measure, one to draw, label and exchange. */

import { button, field, icon, make } from "../dom.js";
import { ICONS } from "../icons.js";
import type { Tool } from "./drawing.js";
import type { Download } from "./exchange.js";
import { cssColor, type Feature, labelOf, LABELS, PLAIN, type Rgb } from "./feature.js";
import { AnnotationList, type ListActions } from "./list.js";
import type { LeftOut } from "./store.js";

/** More reasons would make the page slow. */
const MOST_LISTED = 500;

/** What the file chooser offers; the server looks at what is in a file, not at its name. */
const FILES = ".geojson,.json,.geojsonl,.geojsons,.ndjson,.gz,.zip,application/geo+json";

export interface PanelActions extends ListActions {
  choose(tool: Tool | null): void;
  relabel(label: string, color: Rgb): void;
  importFile(file: File): void;
  exportFile(kind: Download): void;
  /** label: of which; null: all. */
  removeAll(label: string | null): void;
  lock(locked: boolean): void;
  saveAgain(): void;
  undo(): void;
}

export interface PanelState {
  readonly features: readonly Feature[];
  readonly selected: Feature | null;
  readonly locked: boolean;
  readonly tool: Tool | null;
  readonly label: string;
  readonly color: Rgb;
  readonly saving: Saving;
}

export interface Saving {
  readonly unsaved: number;
  /** Why the server does not take some, by id. */
  readonly refused: ReadonlyMap<string, string>;
  readonly importing: boolean;
  readonly loaded: boolean;
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
    this.element = make(
      "div",
      { class: "stack" },
      this.#tools.element,
      this.#tools.hint,
      this.#list.element,
      make(
        "div",
        { class: "buttons" },
        button("Table (CSV)", () => actions.exportFile("table")),
        button("By class (CSV)", () => actions.exportFile("classes")),
      ),
    );
  }

  show({ features, selected, tool, saving }: PanelState): void {
    this.#tools.show(tool);
    this.#list.show(
      features.filter(({ geometry }) => !geometry.type.endsWith("Point")),
      selected?.id ?? null,
      saving.refused,
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
  readonly #again: HTMLButtonElement;
  readonly #removeClass: HTMLButtonElement;
  readonly #locked = make("input", { type: "checkbox" });
  readonly #lockedField = make(
    "label",
    { class: "check", hidden: true },
    this.#locked,
    make("span", {}, "Locked: it cannot be moved"),
  );
  readonly #leftOut = make("details", { class: "left-out", hidden: true });
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
    this.#again = button("Save again", actions.saveAgain, { hidden: true });
    this.#removeClass = button("", () => actions.removeAll(this.#label.value.trim()), { hidden: true });
    this.#locked.addEventListener("change", () => actions.lock(this.#locked.checked));
    const file = make("input", { type: "file", accept: FILES, hidden: true });
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
      this.#lockedField,
      this.#list.element,
      this.#saved,
      this.#leftOut,
      make(
        "div",
        { class: "buttons" },
        this.#again,
        button("Import GeoJSON", () => file.click()),
        button("Export GeoJSON", () => actions.exportFile("geojson")),
        button("With lengths and areas", () => actions.exportFile("measures"), {
          title: "Export GeoJSON with lengths and areas among QuPath's measurements",
        }),
        button("Undo", actions.undo, { title: "Undo (Ctrl+Z)" }),
        this.#removeClass,
        button("Delete all", () => actions.removeAll(null), { title: "Delete all annotations of this slide" }),
        file,
      ),
    );
  }

  /** Lists what of a file, or of what is stored, could not be read. */
  showLeftOut(leftOut: readonly LeftOut[]): void {
    const rows = leftOut.slice(0, MOST_LISTED).map(({ place, why }) => make("li", {}, `${place}: ${why}`));
    const more = leftOut.length - rows.length;
    this.#leftOut.hidden = leftOut.length === 0;
    this.#leftOut.replaceChildren(
      make("summary", {}, `${leftOut.length} left out`),
      make("ul", {}, ...rows, ...(more > 0 ? [make("li", {}, `and ${more} more`)] : [])),
    );
  }

  show({ features, selected, locked, tool, label, color, saving }: PanelState): void {
    this.#tools.show(tool);
    this.#list.show(features, selected?.id ?? null, saving.refused);
    this.#lockedField.hidden = selected?.properties.isLocked === undefined;
    this.#locked.checked = locked;
    const alike = label ? features.filter((feature) => labelOf(feature) === label).length : 0;
    this.#removeClass.hidden = alike === 0;
    this.#removeClass.textContent = `Delete class ${label} (${alike})`;
    this.#again.hidden = saving.refused.size === 0;
    this.#color = color;
    if (document.activeElement !== this.#label) this.#label.value = label;
    for (const swatch of this.#swatches)
      swatch.button.setAttribute("aria-pressed", String(String(swatch.color) === String(color)));
    const text = savingWords(saving, features.length);
    if (this.#saved.textContent !== text) this.#saved.textContent = text;
  }
}

/** What is said of saving: "All saved" only where it is. */
export function savingWords({ unsaved, refused, importing, loaded }: Saving, count: number): string {
  const [why] = refused.values();
  if (why !== undefined) return `${refused.size} not saved: ${why}`;
  if (importing) return "Importing, the server reads the file...";
  if (unsaved > 0) return `Saving ${unsaved}...`;
  return loaded && count > 0 ? "All saved with the slide." : "";
}
