/** Magnification: the readout, the scale bar and the eight buttons. */

import {
  exactIndex,
  MAGNIFICATIONS,
  magnificationLabel,
  shownMagnification,
  umPerPxLabel,
} from "./magnification.js";
import { showScaleBar } from "./scalebar.js";

const WIDEST_BAR_PX = 160;
const SPEAK_AFTER_MS = 500;

export class Readout {
  readonly #magnification: HTMLElement;
  readonly #resolution: HTMLElement;
  readonly #bar: HTMLElement;
  readonly #spoken: HTMLElement;
  readonly #buttons: HTMLButtonElement[];
  #timer: ReturnType<typeof setTimeout> | null = null;

  /** root: the page; choose: called with the magnification of a pressed button. */
  constructor(root: ParentNode, choose: (magnification: number) => void) {
    const part = (id: string): HTMLElement => root.querySelector(`#${id}`) as HTMLElement;
    this.#magnification = part("magnification");
    this.#resolution = part("resolution");
    this.#bar = part("scale-bar");
    this.#spoken = part("spoken");
    this.#buttons = MAGNIFICATIONS.map((magnification, index) => {
      const button = document.createElement("button");
      const label = magnificationLabel(magnification);
      button.type = "button";
      button.textContent = label;
      button.title = `${label}, ${umPerPxLabel(magnification)} (key ${index + 1})`;
      button.setAttribute("aria-label", `Magnification ${label}`);
      button.addEventListener("click", () => choose(magnification));
      return button;
    });
    part("magnifications").append(...this.#buttons);
  }

  /** Disables what the slide cannot show. */
  limit(lowest: number): void {
    this.#buttons.forEach((button, index) => {
      button.disabled = (MAGNIFICATIONS[index] ?? 0) < lowest * 0.99;
    });
  }

  show(magnification: number): void {
    const words = shownMagnification(magnification);
    this.#magnification.textContent = words;
    this.#resolution.textContent = umPerPxLabel(magnification);
    showScaleBar(this.#bar, magnification, WIDEST_BAR_PX);
    const exact = exactIndex(magnification);
    this.#buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(index === exact)));
    if (this.#timer !== null) clearTimeout(this.#timer);
    const spoken = `Magnification ${words}, ${umPerPxLabel(magnification)}`;
    this.#timer = setTimeout(() => {
      if (this.#spoken.textContent !== spoken) this.#spoken.textContent = spoken;
    }, SPEAK_AFTER_MS);
  }
}
