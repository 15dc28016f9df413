/** Magnification: the readout, the scale bar and the eight buttons. */

import { make } from "./dom.js";
import {
  BASE_MAGNIFICATION,
  exactIndex,
  MAGNIFICATIONS,
  MAX_MAGNIFICATION,
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
  readonly #compass: HTMLElement;
  readonly #spoken: HTMLElement;
  readonly #buttons: HTMLButtonElement[];
  #timer: ReturnType<typeof setTimeout> | null = null;

  /** root: the page; choose: called with the magnification of a pressed button; upright: of the compass. */
  constructor(root: ParentNode, choose: (magnification: number) => void, upright: () => void) {
    const part = (id: string): HTMLElement => root.querySelector(`#${id}`) as HTMLElement;
    this.#magnification = part("magnification");
    this.#resolution = part("resolution");
    this.#bar = part("scale-bar");
    this.#spoken = part("spoken");
    this.#compass = part("compass");
    this.#compass.addEventListener("click", upright);
    this.#buttons = [...MAGNIFICATIONS, MAX_MAGNIFICATION].map((magnification, index) => {
      const label = magnificationLabel(magnification);
      const enlarged = magnification > BASE_MAGNIFICATION;
      const title = `${label}, ${enlarged ? "20x enlarged: nothing finer is painted" : umPerPxLabel(magnification)} (key ${index + 1})`;
      const name = `Magnification ${label}${enlarged ? ", enlarged" : ""}`;
      const attributes = { type: "button", title, "aria-label": name, class: enlarged ? "enlarged" : "" };
      return make("button", { ...attributes, click: () => choose(magnification) }, label);
    });
    part("magnifications").append(...this.#buttons);
  }

  /** Disables what the slide cannot show. */
  limit(lowest: number): void {
    this.#buttons.forEach((button, index) => {
      button.disabled = (MAGNIFICATIONS[index] ?? MAX_MAGNIFICATION) < lowest * 0.99;
    });
  }

  show(magnification: number, rotation: number): void {
    const words = shownMagnification(magnification);
    this.#magnification.textContent = words;
    this.#resolution.textContent = umPerPxLabel(magnification);
    showScaleBar(this.#bar, magnification, WIDEST_BAR_PX);
    const degrees = Math.round(rotation) % 360;
    this.#compass.hidden = degrees === 0;
    this.#compass.style.setProperty("--turn", `${degrees}deg`);
    this.#compass.setAttribute("aria-label", `Turned by ${degrees} degrees. Make upright`);
    const exact = exactIndex(magnification);
    this.#buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(index === exact)));
    if (this.#timer !== null) clearTimeout(this.#timer);
    const turned = degrees === 0 ? "" : `, turned by ${degrees} degrees`;
    const spoken = `Magnification ${words}, ${umPerPxLabel(magnification)}${turned}`;
    this.#timer = setTimeout(() => {
      if (this.#spoken.textContent !== spoken) this.#spoken.textContent = spoken;
    }, SPEAK_AFTER_MS);
  }
}
