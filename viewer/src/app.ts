/** One open page: which slide is shown, where, and what the parts of the page say about it. */

import { fetchSlide, fetchSlides, ServerError, type Slide } from "./api.js";
import { drawBackdrop } from "./backdrop.js";
import { Connection } from "./connection.js";
import { part } from "./dom.js";
import { EditSlide, restoreSlide } from "./editSlide.js";
import { helpDialog } from "./help.js";
import type { Actions } from "./keyboard.js";
import { NewSlide } from "./newSlide.js";
import { Notices } from "./notices.js";
import { organWords } from "./organ.js";
import { Overview } from "./overview.js";
import { Pane } from "./pane.js";
import { differences, formatHash, type Link, parseHash, sameHash } from "./permalink.js";
import { Readout } from "./readout.js";
import { samplingWords } from "./sampling.js";
import { type SetAside, setAsideWords } from "./setAside.js";
import { coarsestMagnification, type Stage } from "./stage.js";
import { Status } from "./status.js";
import { Tools } from "./tools.js";

const WRITE_LINK_AFTER_MS = 250;
/** What an arrow key moves: a part of the window, or CSS pixels where it moves a corner or an annotation. */
const PAN = 0.2;
const STEP_PX = 8;
const FINE_PX = 1;
/** A hiccup shorter than this is not worth a message. */
const COMPLAIN_AFTER_MS = 700;

export class App {
  readonly connection = new Connection();
  readonly pane: Pane;
  readonly tools: Tools;
  readonly #notices = new Notices(part("notices"));
  readonly #overview = new Overview(part("overview"));
  readonly #status = new Status(part("status"), part("progress-line"), part("painting-spoken"));
  readonly #picker = part("picker") as HTMLSelectElement;
  readonly #help = helpDialog();
  readonly #newSlide = new NewSlide((id) => this.#showListed(id));
  readonly #editSlide = new EditSlide({
    renamed: (slide, title) => this.#slideRenamed(slide, title),
    deleted: (slide) => this.#slideDeleted(slide),
  });
  readonly #readout: Readout;
  #slides: Slide[] = [];
  /** What was told of slides that cannot be read. */
  #setAside = "[]";
  #linkTimer: ReturnType<typeof setTimeout> | null = null;
  #newEntry = false;
  /** The slide that was deleted last, while nothing else was undone. */
  #deleted: Slide | null = null;

  constructor() {
    this.pane = new Pane({
      element: part("slide"),
      connection: this.connection,
      onView: () => this.#viewChanged(),
      onPainting: () => this.#paintingChanged(),
      onRefused: (error) => this.#notices.showError(error),
    });
    drawBackdrop(this.pane, () => this.#overview.picture);
    this.#readout = new Readout(
      document,
      (magnification) => this.actions.magnify(magnification),
      () => this.actions.upright(),
    );
    this.tools = new Tools({
      pane: this.pane,
      connection: this.connection,
      notices: this.#notices,
      slides: () => this.#slides,
      present: () => this.actions.present(),
    });
    document.body.append(
      this.#help,
      this.#newSlide.element,
      this.tools.teaching.organQuiz.element,
      this.#editSlide.element,
    );
    this.#overview.onPoint = (x, y) => this.#moveTo(x, y);
    this.#picker.addEventListener("change", () => this.#goToSlide(this.#picker.value));
    this.connection.onChange = (up) => this.#connectionChanged(up);
    // The event's own address: by now the page may have written another one over it.
    addEventListener("hashchange", (event) => void this.#followLink(new URL(event.newURL).hash));
  }

  get stage(): Stage {
    return this.pane.stage;
  }

  /** What keys and buttons do. A jump gets an entry in the browser's history. */
  readonly actions: Actions = {
    arrow: (right, down, finely) => this.#arrow(right, down, finely ? FINE_PX : STEP_PX),
    shift: (right, down) => this.tools.annotating.keyboard.moveWhole(right * STEP_PX, down * STEP_PX),
    corner: (by) => this.tools.annotating.keyboard.step(by),
    zoom: (factor) => this.stage.zoomBy(factor),
    magnify: (magnification) => this.#jump(() => this.stage.magnify(magnification)),
    rotate: (degrees) => this.stage.rotateBy(degrees),
    upright: () => this.stage.upright(),
    home: () => this.#jump(() => this.stage.home(false)),
    fullscreen: () => void this.#toggleFullscreen(),
    help: () => this.#help.showModal(),
    tool: (id) => this.tools.dock.toggle(id),
    newSlide: () => void this.#newSlide.show(),
    editSlide: () => {
      const slide = this.#slides.find(({ id }) => id === this.stage.slide?.id);
      if (slide?.made) this.#editSlide.show(slide);
    },
    copyLink: () => void this.tools.sharing.copyLink(),
    screenshot: () => void this.tools.sharing.screenshot(),
    present: () => this.#present(!document.body.classList.contains("presenting")),
    putCorner: () => this.tools.annotating.putCorner(),
    remove: () => this.#removeChosen(),
    undo: () => this.#undo(),
    cancel: () => this.#cancel(),
    step: (by) => this.tools.teaching.step(by),
  };

  /** Loads the list of slides, however long the server takes to be there, and opens the one of the link. */
  async start(): Promise<void> {
    this.#slides = await this.#loadSlides();
    this.#listSlides();
    if (this.#slides.length === 0) {
      this.#notices.show(
        "no-slides",
        "This server has no slides.",
        "Start it with a slide, for example the demo slide.",
      );
      return;
    }
    await this.#followLink(location.hash);
  }

  async #loadSlides(): Promise<Slide[]> {
    try {
      const { slides, setAside } = await this.connection.insist(fetchSlides);
      this.#tellSetAside(setAside);
      return slides;
    } catch (error) {
      this.#notices.showError(error);
      throw error;
    }
  }

  /** Once, until it changes: a message that was dismissed does not come back with every look at the list. */
  #tellSetAside(odd: readonly SetAside[]): void {
    const told = JSON.stringify(odd);
    if (told === this.#setAside) return;
    this.#setAside = told;
    if (odd.length === 0) this.#notices.dismiss("slides-set-aside");
    else this.#notices.show("slides-set-aside", ...setAsideWords("slide", odd, "Then start the server again."));
  }

  #listSlides(): void {
    this.#picker.replaceChildren(...this.#slides.map((slide) => new Option(slide.title || slide.id, slide.id)));
    this.#picker.disabled = this.#slides.length < 2;
    if (this.stage.slide) this.#picker.value = this.stage.slide.id;
    this.tools.comparison.refresh();
  }

  async #followLink(hash: string): Promise<void> {
    if (this.#linkTimer !== null) clearTimeout(this.#linkTimer);
    const link = parseHash(hash);
    const known = this.#slides.find((slide) => slide.id === link.slide);
    if (link.slide !== null && !known) {
      const there = this.#slides.map((slide) => slide.id).join(", ");
      this.#notices.show(
        "unknown-slide",
        `There is no slide "${link.slide}".`,
        `Choose one of: ${there}.${howToMake(link)}`,
      );
    }
    const slide = known ?? this.stage.slide ?? this.#slides[0];
    if (!slide) return;
    if (slide.id !== this.stage.slide?.id) await this.#open(slide);
    if (known) this.#warnIfDifferent(link, known);
    if (known && link.view) this.stage.show(link.view, true);
    else if (known || !this.stage.view()) this.stage.home(true);
    this.#viewChanged();
  }

  /** A link promises pixels: where another painter stands behind the slide's name, they are others. */
  #warnIfDifferent(link: Link, slide: Slide): void {
    this.#notices.dismiss("differs");
    const found = differences(link.painted, slide);
    if (found.length === 0) return;
    this.#notices.show(
      "differs",
      "These are not the pixels of the link.",
      `This server paints with ${found.join(", ")}.`,
    );
  }

  async #open(slide: Slide): Promise<void> {
    this.#picker.value = slide.id;
    this.#describe(slide);
    this.#status.open(slide);
    this.#overview.open(slide, this.connection, () => this.pane.painting?.sharpen());
    await this.pane.open(slide);
    this.#readout.limit(slide.unbounded ? coarsestMagnification(slide) : 0);
    this.stage.home(true);
    this.tools.opened(slide);
  }

  /** Who painted this: beside the title, on the badge and in the window's title. */
  #describe(slide: Slide): void {
    part("edit-slide").hidden = !slide.made;
    const origin = `model ${slide.model}, seed ${slide.seed}${samplingWords(slide)}${organWords(slide)}`;
    const about = document.getElementById("about");
    if (about) about.textContent = origin;
    const badge = document.getElementById("badge");
    const never = `This tissue never existed: it was painted by ${origin}, version ${slide.version}.`;
    if (badge) badge.title = `${slide.notice}. ${never}`;
    document.title = `${slide.title || slide.id} · Everslide`;
  }

  #viewChanged(): void {
    const now = this.stage.view(false);
    const area = this.stage.area();
    if (!now || !area) return;
    this.#readout.show(now.magnification, now.rotation);
    this.#overview.show(area);
    this.tools.moved();
    if (this.#linkTimer !== null) clearTimeout(this.#linkTimer);
    this.#linkTimer = setTimeout(() => this.#writeLink(), WRITE_LINK_AFTER_MS);
  }

  #paintingChanged(): void {
    const { painting } = this.pane;
    if (painting) this.#status.show(painting.queue.waiting, painting.done);
    this.tools.painted();
  }

  #writeLink(): void {
    const view = this.stage.view(true);
    if (!view || !this.stage.slide) return;
    const hash = formatHash(this.stage.slide, view);
    if (sameHash(hash, location.hash)) return;
    // Neither call raises `hashchange`, so writing a link never moves the view.
    if (this.#newEntry) history.pushState(null, "", hash);
    else history.replaceState(null, "", hash);
    this.#newEntry = false;
  }

  #jump(move: () => void): void {
    this.#writeLink();
    this.#newEntry = true;
    move();
  }

  #moveTo(x: number, y: number): void {
    const view = this.stage.view(true);
    if (view) this.stage.show({ ...view, x, y }, false);
  }

  #goToSlide(id: string): void {
    this.#writeLink();
    location.hash = `#slide=${encodeURIComponent(id)}`;
  }

  /** Lists the server's slides anew, and goes to one of them. */
  async #showListed(id: string): Promise<void> {
    this.#slides = await this.#loadSlides();
    this.#listSlides();
    this.#goToSlide(id);
  }

  async #slideRenamed(slide: Slide, title: string): Promise<void> {
    this.#slides = await this.#loadSlides();
    this.#listSlides();
    if (this.stage.slide?.id === slide.id) this.#describe({ ...slide, title });
  }

  async #slideDeleted(slide: Slide): Promise<void> {
    this.#slides = await this.#loadSlides();
    this.#deleted = slide;
    const first = this.#slides[0];
    if (first) this.#goToSlide(first.id);
    this.#listSlides();
    this.#notices.show("slide-deleted", `The slide "${slide.title}" is deleted.`, "", 0, [
      "Undo",
      () => void this.#restore(slide),
    ]);
  }

  async #restore(slide: Slide): Promise<void> {
    this.#deleted = null;
    this.#notices.dismiss("slide-deleted");
    try {
      await restoreSlide(slide.id);
      await this.#showListed(slide.id);
    } catch (error) {
      this.#notices.showError(error);
    }
  }

  /** Without controls; the badge stays. */
  #present(on: boolean): void {
    document.body.classList.toggle("presenting", on);
    if (!on) return;
    this.tools.dock.close();
    this.#notices.show("presenting", "Presentation.", "Escape brings the controls back.", 3000);
  }

  /** Moves the corner that is chosen, else the view. */
  #arrow(right: number, down: number, px: number): void {
    if (!this.tools.annotating.keyboard.moveCorner(right * px, down * px)) this.stage.panBy(right * PAN, down * PAN);
  }

  #removeChosen(): boolean {
    if (!this.tools.annotating.selected) return false;
    this.tools.annotating.remove();
    return true;
  }

  #undo(): void {
    if (this.tools.annotating.undo()) return;
    if (this.#deleted) void this.#restore(this.#deleted);
    else this.#notices.show("undo", "There is nothing to undo on this page.");
  }

  /** Escape: one thing at a time, the innermost first. */
  #cancel(): boolean {
    const { annotating, teaching, dock } = this.tools;
    if (annotating.cancel()) return true;
    if (document.body.classList.contains("presenting")) this.#present(false);
    else if (teaching.card.shown) teaching.card.close();
    else return dock.close();
    return true;
  }

  async #toggleFullscreen(): Promise<void> {
    try {
      if (document.fullscreenElement) await document.exitFullscreen();
      // The whole page, so that the badge stays in sight.
      else await document.documentElement.requestFullscreen();
    } catch {
      this.#notices.show("fullscreen", "This browser does not allow full screen here.", "Use its own key, often F11.");
    }
  }

  #connectionChanged(up: boolean): void {
    if (!up) {
      setTimeout(() => this.#complain(), COMPLAIN_AFTER_MS);
      return;
    }
    this.#notices.dismiss("connection");
    for (const pane of this.tools.comparison.panes) pane.painting?.update();
    void this.#reopenIfChanged();
  }

  #complain(): void {
    if (this.connection.up) return;
    const refusal = this.connection.lastError instanceof ServerError ? this.connection.lastError.message : null;
    const remedy = "This page tries again by itself.";
    this.#notices.show("connection", refusal ?? "The server does not answer.", remedy);
  }

  /** A server that comes back with other weights paints another slide: what is shown would not fit to it. */
  async #reopenIfChanged(): Promise<void> {
    const open = this.stage.slide;
    if (!open) return;
    const slide = await this.connection.insist(() => fetchSlide(open.id)).catch(() => null);
    if (!slide || slide.fingerprint === open.fingerprint || this.stage.slide !== open) return;
    const view = this.stage.view(true);
    this.#slides = this.#slides.map((other) => (other.id === slide.id ? slide : other));
    await this.#open(slide);
    if (view) this.stage.show(view, true);
    this.#notices.show("changed", "The server now paints with another model.", "The slide was opened anew.");
  }
}

/** What to do for a slide that this server does not have, where the link says how it was painted. */
function howToMake({ painted: { seed, model, steps, guidance, organ } }: Link): string {
  if (!seed || !model) return "";
  const sampling = `${steps ? `, ${steps} steps` : ""}${guidance ? `, guidance ${guidance}` : ""}${organ ? `, organ ${organ}` : ""}`;
  return ` New slide with seed ${seed} and model ${model}${sampling} would paint the same, if the weights are the same.`;
}
