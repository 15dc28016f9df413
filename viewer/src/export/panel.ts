/** Link, screenshot and region export. */

import { button, field, make } from "../dom.js";
import { MAGNIFICATIONS, magnificationLabel } from "../magnification.js";

export interface RegionChoice {
  readonly magnification: number;
  readonly width: number;
  readonly height: number;
  readonly fits: boolean;
}

export interface SharePanelActions {
  copyLink(): void;
  screenshot(): void;
  /** What a region would be at each magnification that the slide has. */
  choices(): readonly RegionChoice[];
  /** "the selected annotation", or "the view". */
  areaWords(): string;
  exportRegion(magnification: number): void;
  cancel(): void;
}

export class SharePanel {
  readonly element: HTMLElement;
  readonly #actions: SharePanelActions;
  readonly #select = make("select");
  readonly #what = make("p", { class: "hint" });
  readonly #progress = make("progress", { "aria-label": "Tiles of the export", hidden: true });
  readonly #words = make("p", { class: "hint", "aria-live": "polite" });
  readonly #start: HTMLButtonElement;
  readonly #cancel: HTMLButtonElement;

  constructor(actions: SharePanelActions) {
    this.#actions = actions;
    this.#start = button("Export region", () => actions.exportRegion(Number(this.#select.value)));
    this.#cancel = button("Cancel", actions.cancel, { hidden: true });
    this.element = make(
      "div",
      { class: "stack" },
      button("Copy link to this view", actions.copyLink),
      make(
        "p",
        { class: "hint" },
        "The link carries seed, model and fingerprint: it warns where other pixels would appear.",
      ),
      button("Save screenshot", actions.screenshot),
      make("h3", {}, "Region as a picture"),
      this.#what,
      field("Magnification", this.#select),
      make("div", { class: "buttons" }, this.#start, this.#cancel),
      this.#progress,
      this.#words,
      make("p", { class: "hint" }, "Every picture has a scale bar and the SYNTHETIC badge burned in."),
    );
  }

  /** Reads anew what could be exported. */
  refresh(): void {
    const chosen = this.#select.value;
    const choices = this.#actions.choices();
    this.#select.replaceChildren(
      ...choices.map(({ magnification, width, height, fits }) => {
        const label = `${magnificationLabel(magnification)}: ${width} x ${height} px${fits ? "" : ", too large"}`;
        return make("option", { value: magnification, disabled: !fits }, label);
      }),
    );
    const best = choices.filter((choice) => choice.fits).at(-1) ?? choices[0];
    const kept = choices.find((choice) => String(choice.magnification) === chosen && choice.fits);
    this.#select.value = String((kept ?? best)?.magnification ?? MAGNIFICATIONS[0]);
    this.#start.disabled = !best?.fits;
    this.#what.textContent = `Of ${this.#actions.areaWords()}. Choose an annotation to export just what it holds.`;
  }

  progress(done: number, all: number): void {
    this.#progress.max = all;
    this.#progress.value = done;
    this.#busy(true);
    this.#words.textContent = `${done} of ${all} tiles`;
  }

  ended(words: string): void {
    this.#busy(false);
    this.#words.textContent = words;
  }

  #busy(busy: boolean): void {
    this.#progress.hidden = !busy;
    this.#cancel.hidden = !busy;
    this.#start.disabled = busy;
  }
}
