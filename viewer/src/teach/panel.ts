/** Making tours: titles, stops, texts, their order; giving them; painting them ahead. */

import { button, field, icon, make } from "../dom.js";
import { ICONS } from "../icons.js";
import { freshId } from "../identifier.js";
import { magnificationLabel } from "../magnification.js";
import type { View } from "../permalink.js";
import { shifted, type Stop, type Tour } from "./tour.js";

export interface ToursActions {
  /** What is looked at now. */
  view(): View | null;
  save(tour: Tour): void;
  remove(tour: Tour): void;
  saveAgain(): void;
  play(tour: Tour): void;
  go(stop: Stop): void;
  paintAhead(tour: Tour): void;
  cancelAhead(): void;
  /** A tour of one place at every magnification. */
  octaves(): void;
  /** Asks what organs are shown. */
  organs(): void;
  /** Asks about the labelled annotations. */
  labels(): void;
  present(): void;
}

/** The tours of a slide, and how far they are saved. */
export interface ToursState {
  readonly tours: readonly Tour[];
  readonly unsaved: number;
  /** Why the server does not take some, by id. */
  readonly refused: ReadonlyMap<string, string>;
  readonly loaded: boolean;
}

export class ToursPanel {
  readonly element: HTMLElement;
  readonly #actions: ToursActions;
  readonly #body = make("div", { class: "stack" });
  readonly #progress = make("progress", { "aria-label": "Tiles painted ahead", hidden: true });
  readonly #words = make("p", { class: "hint", "aria-live": "polite" });
  readonly #cancel: HTMLButtonElement;
  readonly #saved = make("p", { class: "hint", "aria-live": "polite" });
  readonly #again: HTMLButtonElement;
  #tours: readonly Tour[] = [];
  #refused: ReadonlyMap<string, string> = new Map();
  #open: string | null = null;

  constructor(actions: ToursActions) {
    this.#actions = actions;
    this.#cancel = button("Stop", actions.cancelAhead, { hidden: true });
    this.#again = button("Save again", actions.saveAgain, { hidden: true });
    this.element = make(
      "div",
      { class: "stack" },
      this.#body,
      this.#saved,
      this.#again,
      this.#progress,
      this.#words,
      this.#cancel,
      make("h3", {}, "For the class"),
      make(
        "div",
        { class: "buttons" },
        button("Guess the tissue", actions.organs, { title: "Ten places: which organ is it? The slides know" }),
        button("Guess the labels", actions.labels, {
          title: "Asks about the labelled annotations, their labels hidden",
        }),
        button("Presentation", actions.present, { title: "Without controls (P)" }),
      ),
    );
    this.#draw();
  }

  /** Shows the list of tours again. */
  close(): void {
    this.#open = null;
  }

  /** Shows tours. One that is being edited is not drawn anew: its text fields keep their focus. */
  show(state: ToursState): void {
    [this.#tours, this.#refused] = [state.tours, state.refused];
    if (!this.#tours.some(({ id }) => id === this.#open)) this.#edit(null);
    const words = savedWords(state);
    if (this.#saved.textContent !== words) this.#saved.textContent = words;
    this.#again.hidden = state.refused.size === 0;
  }

  progress(done: number, all: number): void {
    this.#progress.hidden = false;
    this.#cancel.hidden = false;
    this.#progress.max = Math.max(all, 1);
    this.#progress.value = done;
    this.#words.textContent = `${done} of ${all} tiles painted`;
  }

  ended(words: string): void {
    this.#progress.hidden = true;
    this.#cancel.hidden = true;
    this.#words.textContent = words;
  }

  #draw(): void {
    const open = this.#tours.find((tour) => tour.id === this.#open);
    this.#body.replaceChildren(...(open ? this.#editor(open) : this.#overview()));
  }

  #overview(): HTMLElement[] {
    const rows = this.#tours.map((tour) => {
      const name = tour.title || "Untitled tour";
      const edit = make(
        "button",
        { type: "button", class: "row" },
        make("span", {}, name),
        this.#refused.has(tour.id)
          ? make("small", { class: "not-saved", title: this.#refused.get(tour.id) ?? "" }, "not saved")
          : make("small", {}, `${tour.stops.length} stops`),
      );
      edit.addEventListener("click", () => this.#edit(tour.id));
      const play = button("Play", () => this.#actions.play(tour), { "aria-label": `Play ${name}` });
      return make("li", {}, edit, play);
    });
    const none = make("li", { class: "hint" }, "No tours of this slide yet.");
    const add = button("New tour", () => this.#add(), { class: "button primary" });
    return [
      make("ol", { class: "list", "aria-label": "Tours of this slide" }, ...(rows.length > 0 ? rows : [none])),
      make(
        "div",
        { class: "buttons" },
        add,
        button("Eight magnifications", this.#actions.octaves, {
          title: "Makes a tour of one place amid tissue, from 0.16x to 20x, and gives it",
        }),
      ),
    ];
  }

  #editor(tour: Tour): HTMLElement[] {
    const title = make("input", { type: "text", value: tour.title, maxlength: 200 });
    title.addEventListener("change", () => this.#change({ ...tour, title: title.value }, false));
    const stops = tour.stops.map((stop, index) => this.#stop(tour, stop, index));
    const add = button("Add this view", () => this.#addStop(tour), { class: "button primary" });
    const remove = button("Delete tour", () => this.#remove(tour));
    return [
      button("All tours", () => this.#edit(null)),
      field("Title of the tour", title),
      make("ol", { class: "stops", "aria-label": "Stops" }, ...stops),
      make(
        "div",
        { class: "buttons" },
        add,
        button("Play", () => this.#actions.play(this.#now(tour))),
      ),
      make(
        "div",
        { class: "buttons" },
        button("Paint ahead", () => this.#actions.paintAhead(this.#now(tour))),
        remove,
      ),
    ];
  }

  #stop(tour: Tour, stop: Stop, index: number): HTMLLIElement {
    const name = stop.title || `Stop ${index + 1}`;
    const title = make("input", {
      type: "text",
      value: stop.title,
      maxlength: 200,
      "aria-label": `Title of stop ${index + 1}`,
    });
    const text = make("textarea", { rows: 2, maxlength: 5000, "aria-label": `Text of stop ${index + 1}` }, stop.text);
    const put = (change: Partial<Stop>): void => {
      const now = this.#now(tour);
      const stops = now.stops.map((old, at) => (at === index ? { ...old, ...change } : old));
      this.#change({ ...now, stops }, false);
    };
    title.addEventListener("change", () => put({ title: title.value }));
    text.addEventListener("change", () => put({ text: text.value }));
    const small = (words: string, shape: string, act: () => void): HTMLElement =>
      make(
        "button",
        { type: "button", class: "icon-button small", "aria-label": `${words} ${name}`, title: words, click: act },
        icon(shape),
      );
    const arrange = (by: number): void =>
      this.#change({ ...this.#now(tour), stops: shifted(this.#now(tour).stops, index, by) });
    const drop = (): void =>
      this.#change({ ...this.#now(tour), stops: this.#now(tour).stops.filter((_, at) => at !== index) });
    return make(
      "li",
      {},
      title,
      text,
      make(
        "div",
        { class: "buttons" },
        button(`Go (${magnificationLabel(stop.magnification)})`, () => this.#actions.go(stop)),
        small("Earlier:", "M12 18V6M6.5 11.5 12 6l5.5 5.5", () => arrange(-1)),
        small("Later:", "M12 6v12M6.5 12.5 12 18l5.5-5.5", () => arrange(1)),
        small("Delete", ICONS.trash, drop),
      ),
    );
  }

  #edit(id: string | null): void {
    this.#open = id;
    this.#draw();
  }

  #add(): void {
    const tour = { id: freshId(), title: `Tour ${this.#tours.length + 1}`, stops: [] };
    this.#actions.save(tour);
    this.#edit(tour.id);
  }

  #addStop(tour: Tour): void {
    const view = this.#actions.view();
    const now = this.#now(tour);
    if (view)
      this.#change({ ...now, stops: [...now.stops, { ...view, title: `Stop ${now.stops.length + 1}`, text: "" }] });
  }

  #remove(tour: Tour): void {
    this.#edit(null);
    this.#actions.remove(tour);
  }

  /** A text field keeps its focus: then nothing is drawn anew. */
  #change(tour: Tour, draw = true): void {
    this.#actions.save(tour);
    if (draw) this.#draw();
  }

  #now(tour: Tour): Tour {
    return this.#tours.find(({ id }) => id === tour.id) ?? tour;
  }
}

/** What is said of saving: "All saved" only where it is. */
export function savedWords({ tours, unsaved, refused, loaded }: ToursState): string {
  const [why] = refused.values();
  if (why !== undefined) return `${refused.size} not saved: ${why}`;
  if (unsaved > 0) return "Saving...";
  return loaded && tours.length > 0 ? "All saved with the slide." : "";
}
