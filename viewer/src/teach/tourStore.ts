/**
 * The tours of one slide: shown at once, then saved on the server, one after the other and again and again until it answers.
 * What it refuses stays on the page, is marked as not saved, and is sent again when it is changed or when the person asks.
 */

import { fetchJson, isAbort, sendJson, ServerError, type Slide } from "../api.js";
import type { Connection } from "../connection.js";
import type { Tour } from "./tour.js";

/** Something that the server keeps and cannot read. */
export interface Odd {
  readonly id: string;
  readonly why: string;
}

export interface TourStoreOptions {
  readonly slide: Slide;
  readonly connection: Connection;
  readonly onChange: () => void;
  readonly onRefused: (error: unknown) => void;
  readonly onSetAside: (odd: readonly Odd[]) => void;
}

export class TourStore {
  readonly #options: TourStoreOptions;
  readonly #tours = new Map<string, Tour>();
  /** Ids whose state here is still to be sent. */
  readonly #pending = new Set<string>();
  /** Ids whose state here the server does not take, and why. */
  readonly #refused = new Map<string, string>();
  #end = new AbortController();
  #saving = false;
  #loaded = false;

  constructor(options: TourStoreOptions) {
    this.#options = options;
  }

  get tours(): Tour[] {
    return [...this.#tours.values()];
  }

  /** Tours that the server does not have as they are here, and those that it has and that are deleted here. */
  get unsaved(): number {
    return this.#pending.size + this.#refused.size;
  }

  /** Why the server does not take them, by id. */
  get refused(): ReadonlyMap<string, string> {
    return this.#refused;
  }

  get loaded(): boolean {
    return this.#loaded;
  }

  async load(): Promise<void> {
    const { signal } = this.#end;
    const { connection, slide, onRefused, onSetAside } = this.#options;
    try {
      const answer = await connection.insist(() => fetchJson(addressOf(slide), { signal }), signal);
      const { tours, set_aside: odd = [] } = answer as { tours: Tour[]; set_aside?: Odd[] };
      for (const tour of tours) {
        if (!this.#pending.has(tour.id) && !this.#refused.has(tour.id)) this.#tours.set(tour.id, tour);
      }
      this.#loaded = true;
      this.#changed();
      if (odd.length > 0) onSetAside(odd);
    } catch (error) {
      if (!isAbort(error)) onRefused(error);
    }
  }

  close(): void {
    this.#end.abort();
  }

  /** What the server does not have is still here; the rest is loaded anew. */
  reopen(): void {
    this.#end = new AbortController();
    this.#loaded = false;
    for (const id of this.#tours.keys()) {
      if (!this.#pending.has(id) && !this.#refused.has(id)) this.#tours.delete(id);
    }
  }

  /** Adds a tour, or replaces the one of the same id. */
  put(tour: Tour): void {
    this.#tours.set(tour.id, tour);
    this.#toSave(tour.id);
  }

  remove(id: string): void {
    this.#tours.delete(id);
    this.#toSave(id);
  }

  /** Sends again what was refused. */
  retry(): void {
    for (const id of [...this.#refused.keys()]) this.#toSave(id);
  }

  #toSave(id: string): void {
    this.#pending.add(id);
    this.#refused.delete(id);
    this.#changed();
    void this.#save();
  }

  #changed(): void {
    if (!this.#end.signal.aborted) this.#options.onChange();
  }

  /** One after the other: of two changes of a tour the later one stays. */
  async #save(): Promise<void> {
    if (this.#saving) return;
    this.#saving = true;
    for (let [id] = this.#pending; id !== undefined; [id] = this.#pending) await this.#send(id);
    this.#saving = false;
  }

  async #send(id: string): Promise<void> {
    const tour = this.#tours.get(id) ?? null;
    const address = `${addressOf(this.#options.slide)}/${encodeURIComponent(id)}`;
    let why: string | null = null;
    try {
      await this.#options.connection.insist(() =>
        tour ? sendJson("PUT", address, tour) : sendJson("DELETE", address, null).catch(ignoreMissing),
      );
    } catch (error) {
      why = error instanceof ServerError ? error.message : String(error);
      this.#options.onRefused(error);
    }
    // Changed again while it was sent: it is still to be sent.
    if ((this.#tours.get(id) ?? null) === tour) {
      this.#pending.delete(id);
      if (why !== null) this.#refused.set(id, why);
    }
    this.#changed();
  }
}

function addressOf(slide: Slide): string {
  return `/api/slides/${encodeURIComponent(slide.id)}/tours`;
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof ServerError && error.status === 404)) throw error;
}
