/**
 * What is shown before a tile is painted: OpenSeadragon's downloads, each answered at once with a preview.
 *
 * A download never fails while its tile is in view: it waits for the server to come back.
 */

import type OpenSeadragon from "openseadragon";
import { fetchPreview, isAbort, type Slide, type TileAnswer } from "./api.js";
import type { Connection } from "./connection.js";
import type { Finals } from "./finals.js";
import { type TileAddress, tileKey } from "./geometry.js";

export interface PreviewsOptions {
  readonly slide: Slide;
  readonly finals: Finals;
  readonly connection: Connection;
  /** A download is over: the tile will show its final self, or an enlarged ancestor. */
  readonly onAnswer: (tile: OpenSeadragon.Tile, final: boolean) => void;
  /** The server refuses this tile for good. */
  readonly onRefused: (error: unknown) => void;
}

export function addressOf(tile: OpenSeadragon.Tile): TileAddress {
  return { level: tile.level, col: tile.x, row: tile.y };
}

export class Previews {
  readonly #options: PreviewsOptions;
  readonly #running = new Map<OpenSeadragon.ImageJob, AbortController>();
  readonly #refused = new Set<string>();

  constructor(options: PreviewsOptions) {
    this.#options = options;
  }

  /** OpenSeadragon's `downloadTileStart`. */
  start(job: OpenSeadragon.ImageJob): void {
    const controller = new AbortController();
    this.#running.set(job, controller);
    void this.#run(job, controller.signal).finally(() => this.#running.delete(job));
  }

  /** OpenSeadragon's `downloadTileAbort`. */
  abort(job: OpenSeadragon.ImageJob): void {
    this.#running.get(job)?.abort();
  }

  /** Gives up the downloads of tiles that nobody looks at any more. */
  keepOnly(seen: (tile: TileAddress) => boolean): void {
    for (const job of [...this.#running.keys()]) {
      if (!seen(addressOf(job.tile))) job.abort();
    }
  }

  /** Whether the server refused this tile: asking again would not help. */
  isRefused(tile: TileAddress): boolean {
    return this.#refused.has(tileKey(tile));
  }

  /** Asks anew for a preview, which may have become sharper or final since. */
  async refresh(tile: TileAddress, signal: AbortSignal): Promise<TileAnswer> {
    const answer = await fetchPreview(this.#options.slide, tile, signal);
    if (answer.final) this.#options.finals.put(tileKey(tile), answer.blob);
    return answer;
  }

  async #run(job: OpenSeadragon.ImageJob, signal: AbortSignal): Promise<void> {
    const { connection, finals, onAnswer, onRefused } = this.#options;
    const tile = addressOf(job.tile);
    const known = finals.get(tileKey(tile));
    if (known) {
      onAnswer(job.tile, true);
      job.finish(known, null, "rasterBlob");
      return;
    }
    try {
      const answer = await connection.insist(() => this.refresh(tile, signal), signal);
      onAnswer(job.tile, answer.final);
      job.finish(answer.blob, null, "rasterBlob");
    } catch (error) {
      if (isAbort(error)) return;
      this.#refused.add(tileKey(tile));
      onRefused(error);
      job.fail(String(error), null);
    }
  }
}
