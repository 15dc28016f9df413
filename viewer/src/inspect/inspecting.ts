/** For people who look into the model: facts about the tile under the pointer, overlays, and every magnification. */

import { isAbort } from "../api.js";
import type { Connection } from "../connection.js";
import { button, checkbox, make } from "../dom.js";
import { type TileAddress, tileAt, tileKey, tileRect } from "../geometry.js";
import { magnificationLabel } from "../magnification.js";
import { samplingWords } from "../sampling.js";
import type { Pane } from "../pane.js";
import { Film } from "./film.js";
import { InspectOverlay, type Shown } from "./overlay.js";
import { fetchFacts, paintAgain, type Repainted, type TileFacts } from "./remote.js";
import { Strip } from "./strip.js";

const SETTLE_MS = 120;

export class Inspecting {
  readonly element: HTMLElement;
  readonly overlay: InspectOverlay;
  readonly #pane: Pane;
  readonly #connection: Connection;
  readonly #facts = make("dl", { class: "facts", "aria-live": "polite" });
  readonly #again: HTMLButtonElement;
  readonly #verdict = make("p", { class: "verdict", "aria-live": "polite" });
  readonly #agreement = make("p", { class: "hint", "aria-live": "polite" });
  readonly #film = new Film();
  readonly #strip = new Strip();
  #shown: Shown = { grid: true, state: false, difference: false };
  #open = false;
  #tile: TileAddress | null = null;
  /** What painting this tile again took. */
  #took: Repainted | null = null;
  #pinned = false;
  #asking = new AbortController();
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(pane: Pane, connection: Connection) {
    this.#pane = pane;
    this.#connection = connection;
    this.overlay = new InspectOverlay(pane);
    this.overlay.onDifferences = () => this.#sayAgreement();
    this.#again = button("Paint again and compare bytes", () => void this.#paintAgain());
    const set = (change: Partial<Shown>): void => {
      this.#shown = { ...this.#shown, ...change };
      this.overlay.show(this.#shown);
      this.#sayAgreement();
    };
    this.element = make(
      "div",
      { class: "stack" },
      checkbox("Grid of tiles", (grid) => set({ grid }), true),
      checkbox("State: painted, cached, waiting, preview", (state) => set({ state })),
      checkbox("Difference from the parent's pixels", (difference) => set({ difference })),
      this.#agreement,
      make("h3", {}, "Tile under the pointer"),
      this.#facts,
      this.#again,
      this.#verdict,
      this.#film.element,
      make("h3", {}, "This place at every magnification"),
      button("Show the eight magnifications", () => this.#showStrip()),
      this.#strip.element,
      make(
        "p",
        { class: "hint" },
        "A click keeps a tile; another click, or Escape, lets it go. By keyboard the tile is the middle one.",
      ),
    );
    pane.stage.viewer.element.addEventListener("pointermove", (event) => this.#pointed(event));
  }

  /** The panel was opened or closed. */
  set open(open: boolean) {
    this.#open = open;
    this.overlay.show(open ? this.#shown : { grid: false, state: false, difference: false });
    this.#pinned = false;
    if (open) this.#take(this.#middle());
    else this.overlay.mark(null);
  }

  get open(): boolean {
    return this.#open;
  }

  /** The view moved, or something was painted. */
  refresh(): void {
    if (!this.#open) return;
    this.overlay.refresh();
    const drawn = this.#pane.painting?.tilesInView()[0]?.level;
    if (this.#tile && drawn !== undefined && this.#tile.level !== drawn && !this.#pinned) this.#take(this.#middle());
  }

  /** A click on the slide keeps the tile under it. */
  clicked(x: number, y: number): void {
    if (!this.#open) return;
    this.#pinned = !this.#pinned;
    this.#take(this.#tileAt(x, y));
  }

  #pointed(event: PointerEvent): void {
    if (!this.#open || this.#pinned || event.buttons > 0) return;
    const box = this.#pane.stage.viewer.element.getBoundingClientRect();
    const at = this.#pane.stage.fromScreen([event.clientX - box.left, event.clientY - box.top]);
    if (at) this.#take(this.#tileAt(...at));
  }

  #middle(): TileAddress | null {
    const view = this.#pane.stage.view();
    return view && this.#tileAt(view.x, view.y);
  }

  #tileAt(x: number, y: number): TileAddress | null {
    const { slide } = this.#pane.stage;
    const level = this.#pane.painting?.tilesInView()[0]?.level;
    if (!slide || level === undefined) return null;
    return tileAt(slide, level, x, y);
  }

  #take(tile: TileAddress | null): void {
    if (tile && this.#tile && tileKey(tile) === tileKey(this.#tile)) return;
    this.#tile = tile;
    this.overlay.mark(tile);
    this.#took = null;
    this.#verdict.textContent = "";
    this.#film.show([], []);
    this.#again.disabled = tile === null;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#ask(), SETTLE_MS);
  }

  async #ask(): Promise<void> {
    const { slide } = this.#pane.stage;
    const tile = this.#tile;
    if (!slide || !tile) return this.#facts.replaceChildren();
    this.#asking.abort();
    this.#asking = new AbortController();
    try {
      const facts = await fetchFacts(slide, tile, this.#asking.signal);
      this.#facts.replaceChildren(...rowsOf(tile, facts, this.#took));
    } catch (error) {
      if (!isAbort(error)) this.#facts.replaceChildren(make("dd", {}, (error as Error).message));
    }
  }

  async #paintAgain(): Promise<void> {
    const { slide } = this.#pane.stage;
    const tile = this.#tile;
    if (!slide || !tile) return;
    this.#pinned = true;
    this.#again.disabled = true;
    this.#verdict.textContent = "Painting...";
    try {
      const again = await paintAgain(slide, tile);
      if (tile !== this.#tile) return;
      this.#took = again;
      this.#verdict.textContent = verdictOf(again);
      this.#film.show(again.work, again.film);
      await this.#ask();
    } catch (error) {
      this.#verdict.textContent = (error as Error).message;
    } finally {
      this.#again.disabled = this.#tile === null;
    }
  }

  #showStrip(): void {
    const { slide } = this.#pane.stage;
    if (!slide || !this.#tile) return;
    const { x, y, width, height } = tileRect(slide, this.#tile);
    void this.#strip.show(slide, [x + width / 2, y + height / 2], this.#connection);
  }

  #sayAgreement(): void {
    const { known, largest } = this.overlay.differences();
    const words =
      known > 0
        ? `${known} tiles compared with their parents, largest difference ${largest}.`
        : "Nothing to compare yet.";
    this.#agreement.textContent = this.#shown.difference ? words : "";
  }
}

/** took: known once the tile was painted again. */
function rowsOf(tile: TileAddress, facts: TileFacts, took: Repainted | null): HTMLElement[] {
  const count = (value: number | null | undefined): string =>
    took === null ? "paint again to see" : String(value ?? "not counted by this model");
  const rows: readonly (readonly [string, string])[] = [
    ["Address", tileKey(tile)],
    ["Magnification", `${magnificationLabel(facts.magnification)}, ${facts.um_per_px} µm/px, scale ${facts.scale}`],
    ["Seed", facts.seed],
    ["Model", `${facts.model}${samplingWords(facts)}`],
    ["Organ", facts.organ ?? "not known"],
    ["Steps of a window", count(took?.steps)],
    ["Denoiser calls", count(took?.denoiser_calls)],
    ["Time", took === null ? "paint again to see" : `${Math.round(took.milliseconds)} ms`],
    ["Fingerprint", facts.fingerprint],
    ["State", facts.cached ? "painted and cached" : "not painted yet"],
    ["Difference from parent", facts.difference === null ? "not known yet" : `${facts.difference} grey levels`],
    ["SHA-256", facts.sha256?.slice(0, 24) ?? "not painted yet"],
  ];
  return rows.flatMap(([term, value]) => [make("dt", {}, term), make("dd", {}, value)]);
}

/** "Equal, byte for byte. 4 windows, 4 denoiser calls, 231 ms." */
export function verdictOf(again: Repainted): string {
  const verdict = again.equal
    ? "Equal, byte for byte."
    : `NOT equal: the largest difference is ${again.largest_difference} grey levels.`;
  const work = again.windows === null ? "" : `${again.windows} windows, ${again.denoiser_calls} denoiser calls, `;
  return `${verdict} ${work}${Math.round(again.milliseconds)} ms.`;
}
