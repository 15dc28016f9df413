/** Sliders for brightness, contrast and gamma, and the stains apart. */

import { button, make } from "../dom.js";
import { type Adjustment, NEUTRAL } from "./stains.js";

interface Knob {
  readonly key: keyof Adjustment;
  readonly label: string;
  readonly low: number;
  readonly high: number;
  readonly words: (value: number) => string;
}

const percent = (value: number): string => `${Math.round(value * 100)} %`;
const KNOBS: readonly Knob[] = [
  { key: "brightness", label: "Brightness", low: -0.5, high: 0.5, words: percent },
  { key: "contrast", label: "Contrast", low: 0.2, high: 3, words: percent },
  { key: "gamma", label: "Gamma", low: 0.3, high: 3, words: (value) => value.toFixed(2) },
  { key: "hematoxylin", label: "Hematoxylin", low: 0, high: 2, words: percent },
  { key: "eosin", label: "Eosin", low: 0, high: 2, words: percent },
];

const STAIN_VIEWS: readonly (readonly [string, Partial<Adjustment>])[] = [
  ["H & E", { hematoxylin: 1, eosin: 1 }],
  ["H only", { hematoxylin: 1, eosin: 0 }],
  ["E only", { hematoxylin: 0, eosin: 1 }],
];

export class AdjustPanel {
  readonly element: HTMLElement;
  readonly #inputs = new Map<keyof Adjustment, { input: HTMLInputElement; output: HTMLOutputElement; knob: Knob }>();
  readonly #views: HTMLButtonElement[];
  #now = NEUTRAL;

  constructor(readonly onChange: (adjustment: Adjustment) => void) {
    this.#views = STAIN_VIEWS.map(([words, change]) => button(words, () => this.#set({ ...this.#now, ...change })));
    this.element = make(
      "div",
      { class: "stack" },
      ...KNOBS.slice(0, 3).map((knob) => this.#row(knob)),
      make("h3", {}, "Stains apart"),
      make("div", { class: "segmented", role: "group", "aria-label": "Stains shown" }, ...this.#views),
      ...KNOBS.slice(3).map((knob) => this.#row(knob)),
      make("p", { class: "hint" }, "Shown only: nothing of it changes the slide. Screenshots and exports show it too."),
      button("Reset", () => this.#set(NEUTRAL)),
    );
    this.#show();
  }

  get now(): Adjustment {
    return this.#now;
  }

  #row(knob: Knob): HTMLElement {
    const input = make("input", { type: "range", min: knob.low, max: knob.high, step: 0.01 });
    const output = make("output");
    input.addEventListener("input", () => this.#set({ ...this.#now, [knob.key]: Number(input.value) }));
    this.#inputs.set(knob.key, { input, output, knob });
    // The label belongs to the first control in it, and an output counts as one.
    return make("label", { class: "slider" }, make("span", {}, knob.label), input, output);
  }

  #set(adjustment: Adjustment): void {
    this.#now = adjustment;
    this.#show();
    this.onChange(adjustment);
  }

  #show(): void {
    for (const [key, { input, output, knob }] of this.#inputs) {
      input.value = String(this.#now[key]);
      output.textContent = knob.words(this.#now[key]);
      input.setAttribute("aria-valuetext", knob.words(this.#now[key]));
    }
    STAIN_VIEWS.forEach(([, view], index) => {
      const chosen = view.hematoxylin === this.#now.hematoxylin && view.eosin === this.#now.eosin;
      this.#views[index]?.setAttribute("aria-pressed", String(chosen));
    });
  }
}
