/** The state of painting, in words and as a quiet line below the bar. */

import { fetchProgress, type Slide } from "./api.js";
import { l0PerLevelPx } from "./geometry.js";
import { BASE_MAGNIFICATION, magnificationLabel } from "./magnification.js";

const POLL_MS = 1000;

/** "1 tile to paint", "12 tiles to paint, now at 1.25x, about 4 s". now: the magnification that is being painted. */
export function paintingText(waiting: number, secondsPerTile: number | null, now: number | null = null): string {
  const tiles = `${waiting} ${waiting === 1 ? "tile" : "tiles"} to paint`;
  const seconds = waiting * (secondsPerTile ?? 0);
  const where = now === null ? "" : `, now at ${magnificationLabel(now)}`;
  return `${tiles}${where}${seconds >= 1.5 ? `, about ${Math.round(seconds)} s` : ""}`;
}

export class Status {
  readonly #text: HTMLElement;
  readonly #line: HTMLElement;
  readonly #spoken: HTMLElement;
  #slide: Slide | null = null;
  #waiting = 0;
  #secondsPerTile: number | null = null;
  #elsewhere = 0;
  /** The magnification that the server paints now. */
  #now: number | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;

  /** text, line: seen; spoken: a live region, which gets the beginning and the end only. */
  constructor(text: HTMLElement, line: HTMLElement, spoken: HTMLElement) {
    this.#text = text;
    this.#line = line;
    this.#spoken = spoken;
  }

  open(slide: Slide): void {
    this.#slide = slide;
    this.#elsewhere = 0;
    this.#now = null;
  }

  /** waiting: tiles this page waits for; done: how many of the same lot have arrived. */
  show(waiting: number, done: number): void {
    this.#waiting = waiting;
    this.#write();
    const spoken = waiting > 0 ? "Painting" : "Painted";
    if (this.#spoken.textContent !== spoken) this.#spoken.textContent = spoken;
    this.#line.classList.toggle("busy", waiting > 0);
    this.#line.style.setProperty("--done", String(waiting > 0 ? done / (done + waiting) : 1));
    if (waiting > 0 && this.#timer === null) this.#timer = setTimeout(() => void this.#poll(), POLL_MS);
  }

  #write(): void {
    // The server may be busy for other pages too: what it has to do first decides how long this page waits.
    const seconds = this.#secondsPerTile;
    const queue = Math.max(1, this.#elsewhere / Math.max(1, this.#waiting));
    const each = seconds === null ? null : seconds * queue;
    const text = this.#waiting > 0 ? paintingText(this.#waiting, each, this.#now) : "Painted";
    if (this.#text.textContent !== text) this.#text.textContent = text;
    this.#text.classList.toggle("done", this.#waiting === 0);
  }

  async #poll(): Promise<void> {
    this.#timer = null;
    const slide = this.#slide;
    if (this.#waiting === 0 || slide === null) return;
    try {
      const progress = await fetchProgress(slide.id);
      this.#secondsPerTile = progress.seconds_per_tile;
      this.#elsewhere = progress.waiting;
      const { painting } = progress;
      this.#now = painting && BASE_MAGNIFICATION / l0PerLevelPx(slide, painting.level);
    } catch {
      // An estimate only: tile requests report a server that is gone.
      this.#secondsPerTile = null;
      this.#now = null;
    }
    this.#write();
    this.#timer ??= setTimeout(() => void this.#poll(), POLL_MS);
  }
}
