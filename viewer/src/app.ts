/** One open page: which slide is shown, where, and what the parts of the page say about it. */

import OpenSeadragon from "openseadragon";
import { fetchSlide, fetchSlides, ServerError, type Slide } from "./api.js";
import { Connection, pause } from "./connection.js";
import type { Actions } from "./keyboard.js";
import { BASE_MAGNIFICATION } from "./magnification.js";
import { Notices } from "./notices.js";
import { Overview } from "./overview.js";
import { type Look, Painting } from "./painting.js";
import { formatHash, parseHash, sameHash } from "./permalink.js";
import { Readout } from "./readout.js";
import { coarsestMagnification, createViewer, Stage } from "./stage.js";
import { Status } from "./status.js";
import { tileSourceOf } from "./tileSource.js";

const WRITE_LINK_AFTER_MS = 250;
/** A hiccup shorter than this is not worth a message. */
const COMPLAIN_AFTER_MS = 700;

export class App {
  readonly stage: Stage;
  readonly connection = new Connection();
  painting: Painting | null = null;
  readonly #page: Document;
  readonly #notices: Notices;
  readonly #overview: Overview;
  readonly #readout: Readout;
  readonly #status: Status;
  readonly #picker: HTMLSelectElement;
  #slides: Slide[] = [];
  #linkTimer: ReturnType<typeof setTimeout> | null = null;
  #newEntry = false;

  constructor(page: Document) {
    const part = (id: string): HTMLElement => page.getElementById(id) as HTMLElement;
    this.#page = page;
    this.stage = new Stage(createViewer(part("slide")));
    this.#notices = new Notices(part("notices"));
    this.#overview = new Overview(part("overview"));
    this.#readout = new Readout(page, (magnification) => this.actions.magnify(magnification));
    this.#status = new Status(part("status"), part("progress-line"));
    this.#picker = part("picker") as HTMLSelectElement;
    this.#overview.onPoint = (x, y) => this.#moveTo(x, y);
    this.#picker.addEventListener("change", () => this.#goToLink(formatLink(this.#picker.value)));
    this.stage.viewer.addHandler("viewport-change", () => this.#viewChanged());
    this.stage.viewer.addHandler("resize", () => this.#viewChanged());
    this.connection.onChange = (up) => this.#connectionChanged(up);
    addEventListener("hashchange", () => void this.#followLink());
  }

  /** What keys and buttons do. A jump gets an entry in the browser's history. */
  readonly actions: Actions = {
    pan: (right, down) => this.stage.panBy(right, down),
    zoom: (factor) => this.stage.zoomBy(factor),
    magnify: (magnification) => this.#jump(() => this.stage.magnify(magnification)),
    home: () => this.#jump(() => this.stage.home(false)),
    fullscreen: () => void this.#toggleFullscreen(),
    help: () => (this.#page.getElementById("help-dialog") as HTMLDialogElement).showModal(),
  };

  /** Loads the list of slides, however long the server takes to be there, and opens the one of the link. */
  async start(): Promise<void> {
    this.#slides = await this.#insist(fetchSlides);
    this.#picker.replaceChildren(
      ...this.#slides.map((slide) => new Option(slide.title || slide.id, slide.id)),
    );
    this.#picker.disabled = this.#slides.length < 2;
    if (this.#slides.length === 0) {
      this.#notices.show("no-slides", "This server has no slides.", "Start it with a slide, for example the demo slide.");
      return;
    }
    await this.#followLink();
  }

  async #followLink(): Promise<void> {
    const link = parseHash(location.hash);
    const known = this.#slides.find((slide) => slide.id === link.slide);
    if (link.slide !== null && !known) {
      const there = this.#slides.map((slide) => slide.id).join(", ");
      this.#notices.show("unknown-slide", `There is no slide "${link.slide}".`, `Choose one of: ${there}.`);
    }
    const slide = known ?? this.stage.slide ?? this.#slides[0];
    if (!slide) return;
    if (slide.id !== this.stage.slide?.id) await this.#open(slide);
    if (known && link.view) this.stage.show(link.view, true);
    else if (known || !this.stage.view()) this.stage.home(true);
    this.#viewChanged();
  }

  async #open(slide: Slide): Promise<void> {
    this.painting?.close();
    this.painting = new Painting({
      viewer: this.stage.viewer,
      slide,
      connection: this.connection,
      look: () => this.#look(),
      onChange: () => this.#paintingChanged(),
      onRefused: (error) => this.#notices.showError(error),
    });
    this.#picker.value = slide.id;
    this.#describe(slide);
    this.#status.open(slide.id);
    this.#overview.open(slide, this.connection, () => this.painting?.isViewFinal() ?? false);
    await this.stage.open(slide, tileSourceOf(slide, this.painting.previews));
    this.#readout.limit(slide.unbounded ? coarsestMagnification(slide) : 0);
    this.stage.home(true);
  }

  /** Who painted this: beside the title, on the badge and in the window's title. */
  #describe(slide: Slide): void {
    const origin = `model ${slide.model}, seed ${slide.seed}`;
    const about = this.#page.getElementById("about");
    if (about) about.textContent = origin;
    const badge = this.#page.getElementById("badge");
    const never = `This tissue never existed: it was painted by ${origin}, version ${slide.version}.`;
    if (badge) badge.title = `${slide.notice}. ${never}`;
    this.#page.title = `${slide.title || slide.id} · Everslide`;
  }

  #look(): Look | null {
    const view = this.stage.area();
    const magnification = this.stage.view()?.magnification;
    if (!view || !magnification) return null;
    return { view, devicePxPerL0Px: (magnification / BASE_MAGNIFICATION) * OpenSeadragon.pixelDensityRatio };
  }

  #viewChanged(): void {
    const now = this.stage.view(false);
    const area = this.stage.area();
    if (!now || !area) return;
    this.#readout.show(now.magnification);
    this.#overview.show(area);
    this.painting?.update();
    if (this.#linkTimer !== null) clearTimeout(this.#linkTimer);
    this.#linkTimer = setTimeout(() => this.#writeLink(), WRITE_LINK_AFTER_MS);
  }

  #paintingChanged(): void {
    const painting = this.painting;
    if (painting) this.#status.show(painting.queue.waiting, painting.counts().done);
  }

  #writeLink(): void {
    const view = this.stage.view(true);
    if (!view || !this.stage.slide) return;
    const hash = formatHash(this.stage.slide.id, view);
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

  #goToLink(hash: string): void {
    this.#writeLink();
    location.hash = hash;
  }

  async #toggleFullscreen(): Promise<void> {
    try {
      if (this.#page.fullscreenElement) await this.#page.exitFullscreen();
      // The whole page, so that the badge stays in sight.
      else await this.#page.documentElement.requestFullscreen();
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
    this.painting?.update();
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
    const slide = await this.#insist(() => fetchSlide(open.id)).catch(() => null);
    if (!slide || slide.fingerprint === open.fingerprint || this.stage.slide !== open) return;
    const view = this.stage.view(true);
    this.#slides = this.#slides.map((other) => (other.id === slide.id ? slide : other));
    await this.#open(slide);
    if (view) this.stage.show(view, true);
    this.#notices.show("changed", "The server now paints with another model.", "The slide was opened anew.");
  }

  /** Repeats a question until the server answers it. */
  async #insist<T>(question: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        const answer = await question();
        this.connection.answered();
        return answer;
      } catch (error) {
        if (!this.connection.failed(error)) {
          this.#notices.showError(error);
          throw error;
        }
        await pause(this.connection.waitMs, new AbortController().signal);
      }
    }
  }
}

function formatLink(slide: string): string {
  return `#slide=${encodeURIComponent(slide)}`;
}
