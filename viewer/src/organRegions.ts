/** Regions of a new slide that are of other organs: fields for each, in mm, and what the server is asked for. */

import { button, field, make } from "./dom.js";
import { capital, type OrganOffer } from "./organ.js";
import { type Area, type Extent, inMiddle, RegionError, type RegionWish, wishOf } from "./regionWish.js";

export const MOST_REGIONS = 20;
const SIDES = ["x", "y", "width", "height"] as const;
const WORDS: Record<(typeof SIDES)[number], string> = {
  x: "From the left, mm",
  y: "From the top, mm",
  width: "Width, mm",
  height: "Height, mm",
};

interface Row {
  element: HTMLElement;
  organ: HTMLSelectElement;
  sides: Record<(typeof SIDES)[number], HTMLInputElement>;
}

export class OrganRegions {
  readonly element = make("div", { class: "stack", hidden: true });
  readonly #list = make("div", { class: "stack" });
  readonly #add: HTMLButtonElement;
  /** Beside the fields, where it is seen: the dialog's own stands far below. */
  readonly #error = make("p", { class: "verdict", role: "alert" });
  #organs: readonly string[] = [];
  #rows: Row[] = [];

  /** extent: of the slide as it is chosen now, in mm; null where it is not known before the server has seen a picture. */
  constructor(readonly extent: () => Extent | null) {
    this.#add = button("Add a region of another organ", () => this.#append());
    this.element.append(this.#list, this.#error, this.#add);
  }

  /** Offers the organs of a model. Regions of organs that it does not know go. */
  offer(organs: readonly OrganOffer[]): void {
    this.#organs = organs.map(({ name }) => name).sort((a, b) => a.localeCompare(b));
    this.element.hidden = organs.length === 0;
    for (const row of [...this.#rows]) {
      if (this.#organs.includes(row.organ.value)) this.#fill(row.organ, row.organ.value);
      else this.#remove(row);
    }
  }

  /** What the server is asked for. Throws RegionError, which is shown, with the field in question focused. */
  get chosen(): RegionWish[] {
    this.#error.textContent = "";
    for (const { sides } of this.#rows) for (const side of SIDES) sides[side].removeAttribute("aria-invalid");
    return this.#rows.map(({ organ, sides }, index) => {
      const typed = {} as Area<string>;
      for (const side of SIDES) typed[side] = sides[side].value;
      try {
        return wishOf(index + 1, organ.value, typed, this.extent());
      } catch (error) {
        if (error instanceof RegionError) {
          sides[error.side].setAttribute("aria-invalid", "true");
          sides[error.side].select();
          this.#error.textContent = error.message;
        }
        throw error;
      }
    });
  }

  #append(): void {
    const area = inMiddle(this.extent());
    const organ = make("select");
    this.#fill(organ, this.#organs[0] ?? "");
    const sides = {} as Row["sides"];
    for (const side of SIDES) {
      sides[side] = make("input", { type: "text", inputmode: "decimal", maxlength: 14, value: String(area[side]) });
    }
    const row: Row = {
      element: make("fieldset", { class: "region" }),
      organ,
      sides,
    };
    row.element.append(
      make("legend"),
      field("Organ", organ),
      ...SIDES.map((side) => field(WORDS[side], sides[side])),
      button("Remove", () => {
        this.#remove(row);
        this.#add.focus();
      }),
    );
    this.#rows.push(row);
    this.#list.append(row.element);
    this.#number();
    organ.focus();
  }

  #remove(row: Row): void {
    this.#rows = this.#rows.filter((one) => one !== row);
    row.element.remove();
    this.#number();
  }

  #fill(select: HTMLSelectElement, chosen: string): void {
    select.replaceChildren(...this.#organs.map((name) => make("option", { value: name }, capital(name))));
    select.value = chosen;
  }

  #number(): void {
    this.#rows.forEach(({ element }, index) => {
      (element.querySelector("legend") as HTMLElement).textContent = `Region ${index + 1}`;
      element.querySelector("button")?.setAttribute("aria-label", `Remove region ${index + 1}`);
    });
    this.#add.disabled = this.#rows.length >= MOST_REGIONS;
  }
}
