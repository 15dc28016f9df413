/**
 * Which final tiles are asked for, and when: a few at a time, in the order wanted; what is no longer wanted is aborted.
 *
 * Knows nothing of OpenSeadragon or of HTTP: `ask` answers with the final tile or throws.
 */

import { isAbort } from "./api.js";
import { type Connection, pause } from "./connection.js";
import { type TileAddress, tileKey } from "./geometry.js";

export interface PaintQueueOptions {
  /** Requests at the same time. */
  readonly limit: number;
  readonly connection: Connection;
  readonly ask: (tile: TileAddress, signal: AbortSignal) => Promise<Blob>;
  readonly onFinal: (tile: TileAddress, blob: Blob) => void;
  /** The server refuses this tile for good. */
  readonly onRefused: (tile: TileAddress, error: unknown) => void;
  /** The number of waiting tiles changed. */
  readonly onChange: () => void;
}

export class PaintQueue {
  readonly #options: PaintQueueOptions;
  readonly #running = new Map<string, AbortController>();
  readonly #refused = new Set<string>();
  #wanted: readonly TileAddress[] = [];

  constructor(options: PaintQueueOptions) {
    this.#options = options;
  }

  /** Tiles wanted and not yet there, those in painting included. */
  get waiting(): number {
    return this.#wanted.length;
  }

  get running(): number {
    return this.#running.size;
  }

  isWaiting(tile: TileAddress): boolean {
    return this.#wanted.some((wanted) => tileKey(wanted) === tileKey(tile));
  }

  /** Replaces what is wanted, most urgent first. */
  want(tiles: readonly TileAddress[]): void {
    this.#wanted = tiles.filter((tile) => !this.#refused.has(tileKey(tile)));
    const keys = new Set(this.#wanted.map(tileKey));
    for (const [key, controller] of this.#running) {
      if (!keys.has(key)) {
        this.#running.delete(key);
        controller.abort();
      }
    }
    this.#start();
    this.#options.onChange();
  }

  #start(): void {
    // While the server is gone, one request asks for all.
    const limit = this.#options.connection.up ? this.#options.limit : 1;
    for (const tile of this.#wanted) {
      if (this.#running.size >= limit) return;
      if (!this.#running.has(tileKey(tile))) void this.#run(tile);
    }
  }

  async #run(tile: TileAddress): Promise<void> {
    const key = tileKey(tile);
    const controller = new AbortController();
    this.#running.set(key, controller);
    try {
      if (!this.#options.connection.up) await pause(this.#options.connection.waitMs, controller.signal);
      const blob = await this.#options.ask(tile, controller.signal);
      this.#options.connection.answered();
      this.#drop(key);
      this.#options.onFinal(tile, blob);
    } catch (error) {
      if (isAbort(error)) return;
      if (!this.#options.connection.failed(error)) {
        this.#refused.add(key);
        this.#drop(key);
        this.#options.onRefused(tile, error);
      }
    } finally {
      if (this.#running.get(key) === controller) this.#running.delete(key);
      this.#start();
      this.#options.onChange();
    }
  }

  #drop(key: string): void {
    this.#wanted = this.#wanted.filter((tile) => tileKey(tile) !== key);
  }
}
