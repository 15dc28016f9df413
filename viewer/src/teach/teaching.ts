/** Tours as a teacher makes and gives them, and the guessing of tissues and labels. */

import type { Annotating } from "../annotate/annotating.js";
import { boundsOf } from "../annotate/shapes.js";
import { isAbort, type Slide } from "../api.js";
import type { Connection } from "../connection.js";
import { button, make } from "../dom.js";
import { LeftBehind } from "../leftBehind.js";
import type { Notices } from "../notices.js";
import { setAsideWords } from "../setAside.js";
import type { Stage } from "../stage.js";
import { paintAhead, tilesOfStops } from "./ahead.js";
import { Card } from "./card.js";
import { octavesTour } from "./octaves.js";
import { OrganQuiz } from "./organQuiz.js";
import { ToursPanel } from "./panel.js";
import { fetchPlaces } from "./places.js";
import { type Question, questionsOf } from "./quiz.js";
import type { Stop, Tour } from "./tour.js";
import { TourStore } from "./tourStore.js";

export interface TeachingOptions {
  readonly stage: Stage;
  readonly connection: Connection;
  readonly notices: Notices;
  readonly annotating: Annotating;
  readonly slides: () => readonly Slide[];
  readonly present: () => void;
}

export class Teaching {
  readonly panel: ToursPanel;
  readonly card = new Card();
  readonly organQuiz: OrganQuiz;
  readonly #options: TeachingOptions;
  #slide: Slide | null = null;
  #store: TourStore | null = null;
  readonly #left = new LeftBehind<TourStore>();
  #playing: { readonly tour: Tour; index: number } | null = null;
  #ahead: AbortController | null = null;

  constructor(options: TeachingOptions) {
    this.#options = options;
    this.card.onClose = () => this.#stopped();
    this.organQuiz = new OrganQuiz(options);
    this.panel = new ToursPanel({
      view: () => options.stage.view(),
      save: (tour) => this.#store?.put(tour),
      remove: (tour) => this.#store?.remove(tour.id),
      saveAgain: () => this.#store?.retry(),
      play: (tour) => this.play(tour),
      go: (stop) => options.stage.show(stop, false),
      paintAhead: (tour) => void this.#paintAhead(tour),
      cancelAhead: () => this.#ahead?.abort(),
      octaves: () => void this.#octaves(),
      organs: () => void this.organQuiz.start(),
      labels: () => this.quiz(),
      present: options.present,
    });
  }

  /** Tours that the server does not have as they are here, of slides that were left too. */
  get unsaved(): number {
    return (this.#store?.unsaved ?? 0) + this.#left.unsaved;
  }

  open(slide: Slide): void {
    this.#ahead?.abort();
    this.card.close();
    if (this.#slide && this.#store) this.#left.leave(this.#slide.id, this.#store);
    this.#slide = slide;
    this.panel.close();
    this.#options.notices.dismiss("tours-set-aside");
    this.#store = this.#left.take(slide.id) ?? this.#storeOf(slide);
    this.panel.show(this.#store);
    void this.#store.load();
  }

  #storeOf(slide: Slide): TourStore {
    const { connection, notices } = this.#options;
    const store: TourStore = new TourStore({
      slide,
      connection,
      onChange: () => this.panel.show(store),
      onRefused: (error) => notices.showError(error),
      onSetAside: (odd) => notices.show("tours-set-aside", ...setAsideWords("tour", odd)),
    });
    return store;
  }

  play(tour: Tour): void {
    if (tour.stops.length === 0) {
      this.#options.notices.show(
        "empty-tour",
        "This tour has no stops yet.",
        "Go somewhere, then choose Add this view.",
      );
      return;
    }
    this.#playing = { tour, index: 0 };
    this.#showStop();
  }

  /** Goes on, or back, in the tour that is shown; false where none is. */
  step(by: number): boolean {
    if (!this.#playing) return false;
    const { tour, index } = this.#playing;
    this.#playing.index = Math.min(Math.max(index + by, 0), tour.stops.length - 1);
    this.#showStop();
    return true;
  }

  /** Makes a tour of one place amid tissue at every magnification, keeps it, and gives it. */
  async #octaves(): Promise<void> {
    const slide = this.#slide;
    if (!slide) return;
    const { connection, notices } = this.#options;
    try {
      const [place] = await connection.insist(() => fetchPlaces(slide, 1));
      if (this.#slide !== slide) return;
      if (!place) {
        notices.show("no-tissue", "No tissue was found on this slide.", "Take another slide.");
        return;
      }
      const tour = octavesTour(slide, place);
      this.#store?.put(tour);
      this.play(tour);
    } catch (error) {
      notices.showError(error);
    }
  }

  /** Asks about the labelled annotations. */
  quiz(): void {
    const questions = questionsOf(this.#options.annotating.features, Math.random);
    if (questions.length === 0) {
      const remedy = "Draw a few and give them labels, such as Gland and Stroma.";
      this.#options.notices.show("no-quiz", "This slide has no labelled annotations to ask about.", remedy);
      return;
    }
    this.#options.annotating.layer.labels = false;
    this.#ask(questions, 0, 0);
  }

  #showStop(): void {
    if (!this.#playing) return;
    const { tour, index } = this.#playing;
    const stop = tour.stops[index] as Stop;
    this.#options.stage.show(stop, false);
    const back = button("Back", () => this.step(-1), { disabled: index === 0, title: "Back (Page Up)" });
    const last = index === tour.stops.length - 1;
    const next = last
      ? button("End", () => this.card.close())
      : button("Next", () => this.step(1), { title: "Next (Page Down)" });
    next.classList.add("primary");
    const actions = make("div", { class: "buttons" }, back, next);
    this.card.show(
      stop.title || tour.title,
      `${index + 1} of ${tour.stops.length}`,
      make("p", { class: "prose" }, stop.text),
      actions,
    );
  }

  #ask(questions: readonly Question[], index: number, right: number): void {
    const question = questions[index];
    if (!question) return this.#showScore(questions.length, right);
    this.#options.stage.showArea(boundsOf(question.feature.geometry));
    const verdict = make("p", { class: "verdict", "aria-live": "polite" });
    const choices = question.choices.map((choice) => button(choice, () => answered(choice)));
    const actions = make("div", { class: "buttons" }, ...choices);
    const answered = (choice: string): void => {
      const correct = choice === question.answer;
      verdict.textContent = correct ? "Right." : `No: it is labelled ${question.answer}.`;
      choices.forEach((one) => {
        one.disabled = true;
        if (one.textContent === question.answer) one.classList.add("right");
      });
      const next = button("Next", () => this.#ask(questions, index + 1, right + Number(correct)), {
        class: "button primary",
      });
      actions.append(next);
      next.focus();
    };
    this.card.show("What is this?", `${index + 1} of ${questions.length}`, actions, verdict);
  }

  #showScore(all: number, right: number): void {
    this.card.show(
      "Well done",
      "",
      make("p", {}, `${right} of ${all} right.`),
      button("Once more", () => this.quiz()),
    );
  }

  #stopped(): void {
    this.#playing = null;
    this.#options.annotating.layer.labels = true;
  }

  async #paintAhead(tour: Tour): Promise<void> {
    const slide = this.#slide;
    if (!slide) return;
    this.#ahead?.abort();
    this.#ahead = new AbortController();
    const { x: width, y: height } = this.#options.stage.viewer.viewport.getContainerSize();
    const tiles = tilesOfStops(slide, tour.stops, { width, height, ratio: devicePixelRatio });
    const { signal } = this.#ahead;
    const { connection } = this.#options;
    try {
      await paintAhead({ slide, tiles, connection, signal, onProgress: (done, all) => this.panel.progress(done, all) });
      this.panel.ended(`All ${tiles.length} tiles of "${tour.title}" are painted.`);
    } catch (error) {
      this.panel.ended(isAbort(error) ? "Stopped." : (error as Error).message);
    }
  }
}
