/** The organs that a model can be asked for, each with a small picture and the number of cases behind it. */

import { fetchPicture } from "./api.js";
import { make } from "./dom.js";
import { capital, likeness, type OrganOffer } from "./organ.js";

/** Of every organ's picture: what differs between them is the organ. */
const SEED = 7;

export class OrganGallery {
  readonly element = make("div", { class: "stack", hidden: true });
  /** Called when another organ is chosen. */
  onChange: () => void = () => {};
  readonly #list = make("div", { class: "organs", role: "group", "aria-label": "Organs to choose from" });
  readonly #pictures = new Map<string, string>();
  #seen: IntersectionObserver | null = null;
  #asking = new AbortController();
  #chosen = "";
  #offered = "";

  constructor() {
    this.element.append(
      make("h3", {}, "Organ"),
      this.#list,
      make(
        "p",
        { class: "hint" },
        "An organ that was learned from three cases is a likeness of three cases, not of the organ. Of no whole section " +
          "means that outline and colours are borrowed from other organs. Synthetic, not for diagnosis.",
      ),
    );
  }

  /** "" has one drawn from the seed. */
  get chosen(): string {
    return this.#chosen;
  }

  /** Offers the organs of a model. What was chosen stays chosen where it is offered again. */
  offer(model: string, organs: readonly OrganOffer[]): void {
    const offered = JSON.stringify([model, organs]);
    if (offered !== this.#offered) this.#draw(model, organs);
    this.#offered = offered;
    this.element.hidden = organs.length === 0;
  }

  /** Asks for the pictures in sight, and for others as they come into sight. */
  look(): void {
    this.#asking = new AbortController();
    this.#seen?.disconnect();
    this.#seen = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) if (isIntersecting) void this.#load(target as HTMLImageElement);
    });
    for (const picture of this.#list.querySelectorAll("img")) this.#seen.observe(picture);
  }

  /** Gives up pictures that are still being painted: nobody looks. */
  leave(): void {
    this.#seen?.disconnect();
    this.#asking.abort();
  }

  #draw(model: string, organs: readonly OrganOffer[]): void {
    if (!organs.some(({ name }) => name === this.#chosen)) this.#chosen = "";
    const sorted = [...organs].sort((a, b) => a.name.localeCompare(b.name));
    this.#list.replaceChildren(
      this.#one("", make("span", { class: "any" }, "?"), "Any organ", "drawn from the seed"),
      ...sorted.map(({ name, cases, sections }) => {
        const address = `/api/gallery/${encodeURIComponent(model)}/${SEED}.jpeg?organ=${encodeURIComponent(name)}`;
        const picture = make("img", { alt: "", width: 112, height: 84, "data-address": address });
        return this.#one(name, picture, capital(name), likeness(cases, sections));
      }),
    );
    this.#showChosen();
    this.look();
  }

  #one(organ: string, picture: HTMLElement, name: string, words: string): HTMLElement {
    const click = (): void => {
      this.#chosen = organ;
      this.#showChosen();
      this.onChange();
    };
    return make(
      "button",
      { type: "button", class: "organ", "data-organ": organ, click },
      picture,
      make("span", {}, name),
      make("small", {}, words),
    );
  }

  #showChosen(): void {
    for (const one of this.#list.querySelectorAll("button")) {
      one.setAttribute("aria-pressed", String(one.dataset["organ"] === this.#chosen));
    }
  }

  /** A picture is fetched once in the life of the page. */
  async #load(picture: HTMLImageElement): Promise<void> {
    const address = picture.dataset["address"] ?? "";
    this.#seen?.unobserve(picture);
    try {
      const known =
        this.#pictures.get(address) ?? URL.createObjectURL(await fetchPicture(address, this.#asking.signal));
      this.#pictures.set(address, known);
      picture.src = known;
    } catch {
      // The organ can be chosen without its picture.
    }
  }
}
