/** What painting a tile took, window by window, and a film of how the last window came about. */

import { button, make } from "../dom.js";
import { magnificationLabel } from "../magnification.js";
import type { FilmFrame, WindowWork } from "./remote.js";

const FRAME_MS = 900;

export class Film {
  readonly element = make("div", { class: "stack" });
  #timer: ReturnType<typeof setInterval> | null = null;

  /** Shows nothing where there is nothing. */
  show(work: readonly WindowWork[], frames: readonly FilmFrame[]): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.element.replaceChildren(
      ...(work.length > 0 ? [tableOf(work)] : []),
      ...(frames.length > 0 ? [this.#figure(frames)] : []),
    );
  }

  #figure(frames: readonly FilmFrame[]): HTMLElement {
    const image = make("img", { alt: "", width: 280, height: 280 });
    const caption = make("figcaption", { "aria-live": "polite" });
    const place = make("input", {
      type: "range",
      min: 0,
      max: frames.length - 1,
      step: 1,
      value: 0,
      "aria-label": "Picture of the film",
    });
    const show = (index: number): void => {
      const frame = frames[index];
      if (!frame) return;
      image.src = frame.image;
      caption.textContent = `${frame.title}: ${frame.words}`;
      place.value = String(index);
      place.setAttribute("aria-valuetext", frame.title);
    };
    const stop = (): void => {
      if (this.#timer !== null) clearInterval(this.#timer);
      this.#timer = null;
    };
    const play = button("Play the film", () => {
      stop();
      show(0);
      this.#timer = setInterval(() => {
        const next = Number(place.value) + 1;
        show(next);
        if (next >= frames.length - 1) stop();
      }, FRAME_MS);
    });
    place.addEventListener("input", () => {
      stop();
      show(Number(place.value));
    });
    show(0);
    return make("figure", { class: "film" }, image, caption, place, play);
  }
}

function tableOf(work: readonly WindowWork[]): HTMLElement {
  const rows = work.map(({ magnification, milliseconds, agreement_db }) =>
    make(
      "tr",
      {},
      make("td", {}, magnificationLabel(magnification)),
      make("td", {}, `${milliseconds} ms`),
      make("td", {}, `${agreement_db} dB`),
    ),
  );
  const head = make(
    "tr",
    {},
    make("th", {}, "Window at"),
    make("th", {}, "Time"),
    make("th", {}, "Agreement before the exact step"),
  );
  return make("table", { class: "work-table" }, make("thead", {}, head), make("tbody", {}, ...rows));
}
