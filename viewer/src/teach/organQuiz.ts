/** "Guess the tissue": ten places of the slides that know their organ, on a stage of their own that names nothing. */

import { fetchJson, type Slide } from "../api.js";
import type { Connection } from "../connection.js";
import { button, make } from "../dom.js";
import { capital, likeness, type OrganOffer } from "../organ.js";
import type { Notices } from "../notices.js";
import { Pane } from "../pane.js";
import { type Asked, askable, askedOf, choicesOf, QUESTIONS } from "./organQuestions.js";
import { fetchPlaces } from "./places.js";
import type { Place } from "./octaves.js";

/** Fewer than the main slide keeps: memory is shared. */
const TILES_IN_MEMORY = 250;
const PLACES = 12;

type Known = Place & { readonly organ: string };

export interface OrganQuizOptions {
  readonly connection: Connection;
  readonly notices: Notices;
  readonly slides: () => readonly Slide[];
}

export class OrganQuiz {
  readonly element: HTMLDialogElement;
  readonly #options: OrganQuizOptions;
  readonly #count = make("span", { class: "count" });
  readonly #picture = make("div", { class: "quiz-pane" });
  readonly #question = make("div", { class: "stack", "aria-live": "polite" });
  #pane: Pane | null = null;
  /** Of the quiz that runs; another one, or none, makes what an older one still waits for void. */
  #run = new AbortController();
  #asked: readonly Asked[] = [];
  #known: readonly OrganOffer[] = [];
  #right = 0;

  constructor(options: OrganQuizOptions) {
    this.#options = options;
    const zoom = (factor: number) => (): void => this.#pane?.stage.zoomBy(factor);
    this.element = make(
      "dialog",
      { class: "wide quiz", "aria-labelledby": "quiz-title" },
      make("header", {}, make("h2", { id: "quiz-title" }, "Guess the tissue"), this.#count),
      this.#picture,
      this.#question,
      make(
        "div",
        { class: "buttons end" },
        button("Zoom in", zoom(2)),
        button("Zoom out", zoom(0.5)),
        button("Close", () => this.element.close()),
      ),
    );
    this.element.addEventListener("close", () => this.#end());
  }

  /** What the quiz shows; null while none runs. */
  get pane(): Pane | null {
    return this.#pane;
  }

  /** Ten questions, from the first. */
  async start(): Promise<void> {
    const slides = askable(this.#options.slides());
    if (slides.length === 0) {
      const remedy = "Serve slides of two organs at least, of a model that knows organs, such as mini.";
      this.#options.notices.show("no-organs", "No two slides here know their organ.", remedy);
      return;
    }
    this.#run.abort();
    this.#run = new AbortController();
    const { signal } = this.#run;
    this.#asked = askedOf(slides, Math.random);
    this.#right = 0;
    if (!this.element.open) this.element.showModal();
    this.#pane ??= this.#openPane();
    this.#known = await this.#organsKnown();
    if (!signal.aborted) await this.#ask(0, signal);
  }

  #openPane(): Pane {
    const label = "A place of a slide whose organ is to be guessed. Drag to move, turn the wheel to zoom.";
    const element = make("div", { class: "slide", role: "group", "aria-label": label });
    this.#picture.replaceChildren(
      element,
      make("strong", { class: "badge quiz-badge" }, "SYNTHETIC - not for diagnosis"),
    );
    return new Pane({
      element,
      connection: this.#options.connection,
      tilesInMemory: TILES_IN_MEMORY,
      onView: () => {},
      onPainting: () => {},
      onRefused: (error) => this.#options.notices.showError(error),
    });
  }

  /** The organs of all models that are served; wrong answers are taken from them. */
  async #organsKnown(): Promise<OrganOffer[]> {
    try {
      const { models } = (await fetchJson("/api/models")) as { models: { organs: OrganOffer[] }[] };
      return models.flatMap(({ organs }) => organs);
    } catch {
      return []; // those of the slides are there
    }
  }

  async #ask(index: number, signal: AbortSignal): Promise<void> {
    const asked = this.#asked[index];
    if (!asked) return this.#showScore();
    this.#count.textContent = `${index + 1} of ${QUESTIONS}, ${this.#right} right`;
    this.#question.replaceChildren(make("p", { class: "hint" }, "Looking for tissue …"));
    try {
      // Nobody looks at the place before any more: what it waits for is not to be painted first.
      if (this.#pane?.stage.slide !== asked.slide) this.#pane?.painting?.close();
      const { slide, place } = await this.#found(asked.slide, signal);
      if (this.#pane?.stage.slide !== slide) await this.#pane?.open(slide);
      if (signal.aborted) return;
      this.#pane?.stage.show({ ...place, magnification: asked.magnification, rotation: 0 }, true);
      this.#show(index, place.organ, signal);
    } catch (error) {
      if (signal.aborted) return;
      this.#question.replaceChildren(make("p", { class: "verdict" }, (error as Error).message));
    }
  }

  /** A place of the slide, or of another one where that has no tissue whose organ it knows. */
  async #found(first: Slide, signal: AbortSignal): Promise<{ slide: Slide; place: Known }> {
    for (const slide of new Set([first, ...this.#asked.map((asked) => asked.slide)])) {
      const places = await this.#options.connection.insist(() => fetchPlaces(slide, PLACES), signal);
      const known = places.filter((place): place is Known => place.organ !== null);
      const place = known[Math.floor(Math.random() * known.length)];
      if (place) return { slide, place };
    }
    throw new Error("No slide here has tissue to ask about.");
  }

  #show(index: number, answer: string, signal: AbortSignal): void {
    const present = this.#asked.map(({ slide }) => slide.organ ?? "");
    const known = this.#known.map(({ name }) => name);
    const verdict = make("p", { class: "verdict" });
    const choices = choicesOf(answer, present, known, Math.random).map((organ) => ({
      organ,
      element: button(capital(organ), () => answered(organ)),
    }));
    const actions = make("div", { class: "buttons" }, ...choices.map(({ element }) => element));
    const answered = (organ: string): void => {
      const correct = organ === answer;
      this.#right += Number(correct);
      this.#count.textContent = `${index + 1} of ${QUESTIONS}, ${this.#right} right`;
      verdict.textContent = `${correct ? "Right" : "No"}: it is ${answer}${this.#behind(answer)}.`;
      for (const { organ: one, element } of choices) {
        element.disabled = true;
        if (one === answer) element.classList.add("right");
      }
      const next = button("Next", () => void this.#ask(index + 1, signal), { class: "button primary" });
      actions.append(next);
      next.focus();
    };
    this.#question.replaceChildren(make("p", {}, "Which organ is this?"), actions, verdict);
    choices[0]?.element.focus();
  }

  /** ", a likeness of 3 cases". */
  #behind(organ: string): string {
    const offer = this.#known.find(({ name }) => name === organ);
    return offer ? `, a ${likeness(offer.cases, offer.sections)}` : "";
  }

  #showScore(): void {
    const again = button("Once more", () => void this.start(), { class: "button primary" });
    const words = `${this.#right} of ${QUESTIONS} right.`;
    this.#count.textContent = "";
    this.#question.replaceChildren(make("p", { class: "score" }, words), make("div", { class: "buttons" }, again));
    again.focus();
  }

  #end(): void {
    this.#run.abort();
    this.#pane?.close();
    this.#pane = null;
    this.#picture.replaceChildren();
    this.#question.replaceChildren();
  }
}
