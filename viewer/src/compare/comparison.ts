/** Two to four slides at the same place: side by side, one wiped over the other, or blinking. */

import type { Slide } from "../api.js";
import type { Filter } from "../adjust/filter.js";
import { drawBackdrop } from "../backdrop.js";
import type { Connection } from "../connection.js";
import { icon, make } from "../dom.js";
import { ICONS } from "../icons.js";
import { organWords } from "../organ.js";
import { samplingWords } from "../sampling.js";
import type { Notices } from "../notices.js";
import { Pane } from "../pane.js";
import { ComparePanel, type Layout } from "./panel.js";
import { Linker } from "./linker.js";

export const MOST_PANES = 4;
/** Tiles kept for each further slide, fewer than for the main one: memory is shared. */
const TILES_IN_MEMORY = 250;
const BLINK_MS = 700;

export interface ComparisonOptions {
  readonly main: Pane;
  readonly frame: HTMLElement;
  readonly connection: Connection;
  readonly notices: Notices;
  readonly filter: Filter;
  readonly slides: () => readonly Slide[];
}

interface Further {
  readonly pane: Pane;
  readonly element: HTMLElement;
  readonly slideElement: HTMLElement;
}

export class Comparison {
  readonly panel: ComparePanel;
  readonly #options: ComparisonOptions;
  readonly #linker = new Linker();
  readonly #further: Further[] = [];
  readonly #wipe = make("input", {
    type: "range",
    class: "wipe",
    min: 0,
    max: 100,
    value: 50,
    "aria-label": "Border between the slides",
  });
  readonly #mainName = make("span", { class: "pane-name" });
  #layout: Layout = "side";
  #blink: ReturnType<typeof setInterval> | null = null;

  constructor(options: ComparisonOptions) {
    this.#options = options;
    this.#linker.add(options.main);
    this.#wipe.addEventListener("input", () => this.#placeWipe());
    options.main.stage.viewer.element.parentElement?.append(this.#mainName);
    this.panel = new ComparePanel({
      add: (id) => void this.add(id),
      layout: (layout) => this.layout(layout),
      close: () => this.close(),
    });
    this.#arrange();
  }

  /** All panes, the main one first. */
  get panes(): readonly Pane[] {
    return [this.#options.main, ...this.#further.map(({ pane }) => pane)];
  }

  get open(): boolean {
    return this.#further.length > 0;
  }

  /** Call when the view of the main pane changed. */
  mainMoved(): void {
    this.#linker.changed(this.#options.main);
  }

  /** Call when the main pane shows another slide, or the list of slides changed. */
  refresh(): void {
    const { main, slides } = this.#options;
    this.panel.show(slides(), main.stage.slide, this.#further.length + 1, MOST_PANES, this.#layout);
    this.#mainName.textContent = main.stage.slide ? nameOf(main.stage.slide) : "";
  }

  /** Puts another slide beside those shown. */
  async add(id: string): Promise<void> {
    const slide = this.#options.slides().find((known) => known.id === id);
    if (!slide || this.#further.length + 1 >= MOST_PANES) return;
    const { frame, connection, notices, filter, main } = this.#options;
    const slideElement = make("div", {
      class: "slide",
      role: "group",
      "aria-label": `${nameOf(slide)}. Linked to the first slide.`,
    });
    const name = make("span", { class: "pane-name" }, nameOf(slide));
    const remove = make(
      "button",
      {
        type: "button",
        class: "icon-button small pane-close",
        "aria-label": `Remove ${nameOf(slide)}`,
        title: "Remove",
      },
      icon(ICONS.close),
    );
    const element = make("div", { class: "pane" }, slideElement, name, remove);
    frame.append(element);
    // The frame takes its new shape before OpenSeadragon measures it.
    frame.dataset["layout"] = this.#layout;
    frame.dataset["panes"] = String(this.#further.length + 2);
    const pane = new Pane({
      element: slideElement,
      connection,
      tilesInMemory: TILES_IN_MEMORY,
      onView: () => this.#linker.changed(pane),
      onPainting: () => {},
      onRefused: (error) => notices.showError(error),
    });
    drawBackdrop(pane, () => null);
    const further = { pane, element, slideElement };
    remove.addEventListener("click", () => this.#remove(further));
    this.#further.push(further);
    filter.add(slideElement);
    this.#arrange();
    await pane.open(slide);
    this.#linker.align(pane, main);
    this.#linker.add(pane);
  }

  layout(layout: Layout): void {
    this.#layout = layout;
    this.#arrange();
  }

  /** Back to one slide. */
  close(): void {
    for (const further of [...this.#further]) this.#remove(further);
  }

  #remove(further: Further): void {
    this.#linker.remove(further.pane);
    this.#options.filter.remove(further.slideElement);
    further.pane.close();
    further.element.remove();
    this.#further.splice(this.#further.indexOf(further), 1);
    this.#arrange();
  }

  #arrange(): void {
    const { frame } = this.#options;
    const layout = this.open ? this.#layout : "single";
    frame.dataset["layout"] = layout;
    frame.dataset["panes"] = String(this.#further.length + 1);
    if (layout === "wipe") frame.append(this.#wipe);
    else this.#wipe.remove();
    if (this.#blink !== null) clearInterval(this.#blink);
    this.#blink = layout === "blink" ? setInterval(() => this.#nextBlink(), BLINK_MS) : null;
    for (const { element } of this.#further) {
      element.style.clipPath = "";
      element.style.visibility = "";
    }
    if (layout === "wipe") this.#placeWipe();
    this.refresh();
  }

  /** The last slide lies over the others, from the border on. */
  #placeWipe(): void {
    for (const { element } of this.#further) element.style.clipPath = `inset(0 0 0 ${this.#wipe.value}%)`;
    this.#options.frame.style.setProperty("--wipe", `${this.#wipe.value}%`);
  }

  #nextBlink(): void {
    const shown = this.#further.findIndex(({ element }) => element.style.visibility !== "hidden");
    const next = shown + 1 >= this.#further.length && shown >= 0 ? -1 : shown + 1;
    this.#further.forEach(({ element }, index) => (element.style.visibility = index === next ? "" : "hidden"));
  }
}

function nameOf(slide: Slide): string {
  return `${slide.title || slide.id} (${slide.model}, seed ${slide.seed}${samplingWords(slide)}${organWords(slide)})`;
}
