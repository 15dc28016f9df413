/** Choosing what to compare, and how. */

import type { Slide } from "../api.js";
import { button, field, make } from "../dom.js";
import { samplingWords } from "../sampling.js";

export type Layout = "side" | "wipe" | "blink";

export interface CompareActions {
  add(id: string): void;
  layout(layout: Layout): void;
  close(): void;
}

const LAYOUTS: readonly (readonly [Layout, string])[] = [
  ["side", "Side by side"],
  ["wipe", "Swipe"],
  ["blink", "Blink"],
];

export class ComparePanel {
  readonly element: HTMLElement;
  readonly #select = make("select");
  readonly #add: HTMLButtonElement;
  readonly #close: HTMLButtonElement;
  readonly #layouts: readonly HTMLButtonElement[];
  readonly #hint = make("p", { class: "hint" });

  constructor(actions: CompareActions) {
    this.#add = button("Put beside", () => actions.add(this.#select.value), { class: "button primary" });
    this.#close = button("Back to one slide", actions.close);
    this.#layouts = LAYOUTS.map(([layout, words]) => button(words, () => actions.layout(layout)));
    this.element = make(
      "div",
      { class: "stack" },
      field("Compare with", this.#select),
      this.#add,
      make("div", { class: "segmented", role: "group", "aria-label": "How to compare" }, ...this.#layouts),
      this.#hint,
      this.#close,
    );
  }

  show(slides: readonly Slide[], main: Slide | null, count: number, most: number, layout: Layout): void {
    const chosen = this.#select.value;
    this.#select.replaceChildren(
      ...slides.map((slide) =>
        make("option", { value: slide.id }, `${slide.title || slide.id}, seed ${slide.seed}${samplingWords(slide)}`),
      ),
    );
    const other = slides.find((slide) => slide.id !== main?.id) ?? slides[0];
    this.#select.value = slides.some((slide) => slide.id === chosen && chosen !== main?.id)
      ? chosen
      : (other?.id ?? "");
    this.#add.disabled = count >= most;
    this.#close.disabled = count < 2;
    LAYOUTS.forEach(([own], index) => {
      const one = this.#layouts[index] as HTMLButtonElement;
      one.disabled = count < 2;
      one.setAttribute("aria-pressed", String(own === layout && count > 1));
    });
    const all = count >= most ? `${most} slides is the most.` : "";
    this.#hint.textContent =
      `Views are linked: move one, all follow. Make another seed, or other steps, with New slide. ${all}`.trim();
  }
}
