/** Posts to the server where the view is going, so that it can paint ahead of it while nobody waits. */

import { sendJson, ServerError, type Slide } from "./api.js";
import type { L0Rect } from "./geometry.js";

const REST_MS = 200;

export class ViewportPost {
  /** A name of its own, not that of the requests for tiles: those are given up by aborting them, in the right order. */
  readonly #viewer = `view ${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
  readonly #slide: Slide;
  #next: string | null = null;
  #last = "";
  #busy = false;
  #closed = false;

  constructor(slide: Slide) {
    this.#slide = slide;
  }

  /** Posts a view; of several in a short while the latest. */
  post(level: number, view: L0Rect): void {
    const { x, y, width, height } = view;
    const body = JSON.stringify({ viewer: this.#viewer, level, x, y, width, height });
    if (body === this.#last || this.#closed) return;
    this.#last = this.#next = body;
    if (!this.#busy) void this.#post();
  }

  close(): void {
    this.#closed = true;
  }

  async #post(): Promise<void> {
    this.#busy = true;
    while (this.#next !== null && !this.#closed) {
      const body = this.#next;
      this.#next = null;
      try {
        await sendJson("POST", `/slides/${encodeURIComponent(this.#slide.id)}/viewport`, JSON.parse(body));
      } catch (error) {
        // Not reported: nothing that is seen depends on it, and the requests for tiles meet the same server.
        if (error instanceof ServerError && !error.again) this.#closed = true;
      }
      await new Promise((resolve) => setTimeout(resolve, REST_MS));
    }
    this.#busy = false;
  }
}
