/** How a slide is painted, where its model leaves that open: in how many steps, and how strongly guided. */

import { field, make } from "./dom.js";

/** A slide's choice. steps: from noise to detail, null: the model's own; guidance: 1 is none. */
export interface SamplingConfig {
  readonly steps: number | null;
  readonly guidance: number;
}

/** What a model lets a slide choose: no steps and guidance 1 where there is no choice. */
export interface SamplingCapabilities {
  readonly steps: readonly number[];
  readonly own_steps: number | null;
  /** The strongest. */
  readonly guidance: number;
}

const GUIDANCES = [1, 1.5, 2, 3, 4, 6, 8];

/** ", 2 steps, guidance 3", or nothing for a model's own sampling. */
export function samplingWords({ steps, guidance }: SamplingConfig): string {
  const walked = steps === null ? "" : `, ${steps} step${steps === 1 ? "" : "s"}`;
  return guidance === 1 ? walked : `${walked}, guidance ${guidance}`;
}

/** The fields to choose from; those without a choice are hidden. */
export class SamplingFields {
  readonly element: HTMLElement;
  readonly #steps = make("select");
  readonly #guidance = make("select");
  readonly #stepsField = field("Steps from noise to detail", this.#steps);
  readonly #guidanceField = field("Guidance by the tissue", this.#guidance);

  constructor() {
    this.element = make("div", { class: "two", hidden: true }, this.#stepsField, this.#guidanceField);
  }

  /** Offers what the chosen model does; null offers nothing. What was chosen stays chosen where it is offered again. */
  offer(offer: SamplingCapabilities | null): void {
    const steps = offer?.steps ?? [];
    const own = offer?.own_steps ?? null;
    const guidances = GUIDANCES.filter((one) => one <= (offer?.guidance ?? 1));
    const ofSteps = steps.map((count): Choice =>
      count === own ? ["", `${count}, the model's own`] : [String(count), String(count)],
    );
    choices(this.#steps, ofSteps, "");
    const ofGuidance = guidances.map((one): Choice => [String(one), one === 1 ? "none" : `${one}, twice the time`]);
    choices(this.#guidance, ofGuidance, "1");
    this.#stepsField.hidden = steps.length < 2;
    this.#guidanceField.hidden = guidances.length < 2;
    this.element.hidden = this.#stepsField.hidden && this.#guidanceField.hidden;
  }

  get chosen(): SamplingConfig {
    return {
      steps: this.#steps.value === "" ? null : Number(this.#steps.value),
      guidance: Number(this.#guidance.value || 1),
    };
  }
}

type Choice = readonly [value: string, words: string];

function choices(select: HTMLSelectElement, offered: readonly Choice[], usual: string): void {
  const before = select.value;
  select.replaceChildren(...offered.map(([value, words]) => make("option", { value }, words)));
  select.value = offered.some(([value]) => value === before) ? before : usual;
}
