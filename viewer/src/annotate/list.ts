/** The annotations as a list: what each is called and measures; go there, or delete it. */

import { icon, make } from "../dom.js";
import { ICONS } from "../icons.js";
import { colorOf, cssColor, type Feature, labelOf } from "./feature.js";
import { measureWords } from "./shapes.js";

/** More would make the page slow, and nobody reads them. */
const MOST_SHOWN = 200;

export interface ListActions {
  go(feature: Feature): void;
  remove(feature: Feature): void;
}

export class AnnotationList {
  readonly element = make("ol", { class: "list", "aria-label": "Annotations of this slide" });
  readonly #empty: string;
  readonly #actions: ListActions;

  constructor(empty: string, actions: ListActions) {
    this.#empty = empty;
    this.#actions = actions;
  }

  /** refused: why some are not saved, by id; they come first. */
  show(features: readonly Feature[], selected: string | null, refused: ReadonlyMap<string, string>): void {
    const first = refused.size > 0 ? features.filter(({ id }) => refused.has(id)) : [];
    const newest = features.slice(-MOST_SHOWN).reverse();
    const shown = [...new Set([...first, ...newest])].slice(0, MOST_SHOWN);
    const rows = shown.map((feature) => this.#row(feature, feature.id === selected, refused.get(feature.id)));
    const rest = features.length - rows.length;
    const last = rest > 0 ? [make("li", { class: "hint" }, `and ${rest} more`)] : [];
    const focused = this.#focused();
    this.element.replaceChildren(
      ...(rows.length > 0 ? [...rows, ...last] : [make("li", { class: "hint" }, this.#empty)]),
    );
    if (focused) this.#focus(focused);
  }

  /** Which button of which row has the keyboard's focus. */
  #focused(): { readonly id: string; readonly row: number; readonly button: number } | null {
    const row = [...this.element.children].findIndex((one) => one.contains(document.activeElement));
    const item = this.element.children[row];
    if (!(item instanceof HTMLElement)) return null;
    const button = [...item.querySelectorAll("button")].findIndex((one) => one === document.activeElement);
    return { id: item.dataset["id"] ?? "", row, button };
  }

  /** Rows were made anew: the same button of the same row, else of the row that took its place. */
  #focus({ id, row, button }: { readonly id: string; readonly row: number; readonly button: number }): void {
    const rows = [...this.element.children] as HTMLElement[];
    const item = rows.find(({ dataset }) => dataset["id"] === id) ?? rows[Math.min(row, rows.length - 1)];
    item?.querySelectorAll("button")[button]?.focus();
  }

  #row(feature: Feature, selected: boolean, refused: string | undefined): HTMLLIElement {
    const dot = make("i", { class: "dot" });
    dot.style.background = cssColor(colorOf(feature));
    const name = labelOf(feature) || kindOf(feature);
    const go = make(
      "button",
      { type: "button", class: "row", "aria-pressed": String(selected), click: () => this.#actions.go(feature) },
      dot,
      make("span", { title: name }, name),
      refused === undefined
        ? make("small", {}, measureWords(feature.geometry))
        : make("small", { class: "not-saved", title: refused }, "not saved"),
    );
    const remove = make(
      "button",
      { type: "button", class: "icon-button small", "aria-label": `Delete ${name}`, title: "Delete" },
      icon(ICONS.trash),
    );
    remove.addEventListener("click", () => this.#actions.remove(feature));
    return make("li", { "data-id": feature.id }, go, remove);
  }
}

function kindOf({ geometry }: Feature): string {
  if (geometry.type.endsWith("Point")) return "Point";
  return geometry.type.endsWith("LineString") ? "Length" : "Area";
}
