/** Link, screenshot and region export. */

import { button, field, make } from "../dom.js";
import { MAGNIFICATIONS, magnificationLabel } from "../magnification.js";

export interface RegionChoice {
  readonly magnification: number;
  readonly width: number;
  readonly height: number;
  readonly fits: boolean;
  /** Tiles that may have to be painted for it. */
  readonly tiles: number;
}

/** "12 tiles; about 30 s if none is painted yet". seconds: for one, null while nobody knows. */
export function tilesWords(tiles: number, seconds: number | null): string {
  const words = `${tiles} ${tiles === 1 ? "tile" : "tiles"}`;
  if (seconds === null) return words;
  const all = tiles * seconds;
  const time = all < 90 ? `${Math.max(1, Math.round(all))} s` : `${Math.round(all / 60)} min`;
  return `${words}; about ${time} if none is painted yet`;
}

export interface SharePanelActions {
  copyLink(): void;
  screenshot(): void;
  /** What a region would be at each magnification that the slide has. */
  choices(): readonly RegionChoice[];
  /** "the selected annotation", or "the view". */
  areaWords(): string;
  /** How long the server takes for a tile; null while it does not know. */
  secondsPerTile(): Promise<number | null>;
  exportRegion(magnification: number): void;
  cancel(): void;
}

export class SharePanel {
  readonly element: HTMLElement;
  readonly #actions: SharePanelActions;
  readonly #select = make("select");
  readonly #what = make("p", { class: "hint" });
  readonly #cost = make("p", { class: "hint" });
  readonly #progress = make("progress", { "aria-label": "Tiles of the export", hidden: true });
  readonly #words = make("p", { class: "hint", "aria-live": "polite" });
  readonly #start: HTMLButtonElement;
  readonly #cancel: HTMLButtonElement;

  constructor(actions: SharePanelActions) {
    this.#actions = actions;
    this.#start = button("Export region", () => actions.exportRegion(Number(this.#select.value)));
    this.#cancel = button("Cancel", actions.cancel, { hidden: true });
    this.#select.addEventListener("change", () => void this.#showCost());
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
      this.#cost,
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
    void this.#showCost();
    this.#what.textContent = `Of ${this.#actions.areaWords()}. Choose an annotation to export just what it holds.`;
  }

  /** Says how much the chosen region may cost, before it is painted. */
  async #showCost(): Promise<void> {
    const chosen = this.#actions.choices().find((choice) => String(choice.magnification) === this.#select.value);
    if (!chosen?.fits) {
      this.#cost.textContent = chosen ? "Too large for one picture: choose a smaller region or magnification." : "";
      return;
    }
    this.#cost.textContent = tilesWords(chosen.tiles, null);
    const seconds = await this.#actions.secondsPerTile();
    if (String(chosen.magnification) === this.#select.value) {
      this.#cost.textContent = tilesWords(chosen.tiles, seconds);
    }
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
