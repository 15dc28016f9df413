/** The annotations of one slide: shown at once, then saved on the server, again and again until it answers. */

import { fetchJson, isAbort, sendJson, ServerError, type Slide } from "../api.js";
import type { Connection } from "../connection.js";
import type { Feature } from "./feature.js";

const MOST_UNDO = 100;

export interface StoreOptions {
  readonly slide: Slide;
  readonly connection: Connection;
  readonly onChange: () => void;
  readonly onRefused: (error: unknown) => void;
}

export class AnnotationStore {
  readonly #options: StoreOptions;
  readonly #features = new Map<string, Feature>();
  /** Ids whose state here is not yet the server's. */
  readonly #unsaved = new Set<string>();
  readonly #before: { id: string; feature: Feature | null }[] = [];
  readonly #end = new AbortController();
  #saving = false;

  constructor(options: StoreOptions) {
    this.#options = options;
  }

  get features(): Feature[] {
    return [...this.#features.values()];
  }

  get unsaved(): number {
    return this.#unsaved.size;
  }

  get(id: string): Feature | undefined {
    return this.#features.get(id);
  }

  /** Loads what the server keeps. */
  async load(): Promise<void> {
    const { signal } = this.#end;
    await this.#insist(async () => {
      const { features } = (await fetchJson(addressOf(this.#options.slide), { signal })) as { features: Feature[] };
      for (const feature of features) if (!this.#unsaved.has(feature.id)) this.#features.set(feature.id, feature);
      this.#changed();
    }, signal);
  }

  /** Another slide is opened: nothing is told any more, but what is unsaved goes on being saved. */
  close(): void {
    this.#end.abort();
  }

  /** Adds an annotation, or replaces the one of the same id. */
  put(feature: Feature): void {
    this.#remember(feature.id);
    this.#features.set(feature.id, feature);
    this.#touched(feature.id);
  }

  remove(id: string): void {
    if (!this.#features.has(id)) return;
    this.#remember(id);
    this.#features.delete(id);
    this.#touched(id);
  }

  /** Takes back the last change made in this page; false where there is none. */
  undo(): boolean {
    const last = this.#before.pop();
    if (!last) return false;
    if (last.feature) this.#features.set(last.id, last.feature);
    else this.#features.delete(last.id);
    this.#touched(last.id);
    return true;
  }

  #remember(id: string): void {
    this.#before.push({ id, feature: this.#features.get(id) ?? null });
    if (this.#before.length > MOST_UNDO) this.#before.shift();
  }

  #touched(id: string): void {
    this.#unsaved.add(id);
    this.#changed();
    void this.#save();
  }

  #changed(): void {
    if (!this.#end.signal.aborted) this.#options.onChange();
  }

  async #save(): Promise<void> {
    if (this.#saving) return;
    this.#saving = true;
    for (let id = this.#next(); id !== undefined; id = this.#next()) await this.#saveOne(id);
    this.#saving = false;
  }

  #next(): string | undefined {
    return this.#unsaved.values().next().value;
  }

  async #saveOne(id: string): Promise<void> {
    const sent = this.#features.get(id);
    const address = `${addressOf(this.#options.slide)}/${encodeURIComponent(id)}`;
    await this.#insist(async () => {
      if (sent) await sendJson("PUT", address, sent);
      else await sendJson("DELETE", address, null).catch(ignoreMissing);
    });
    // Changed again while it was sent: it stays unsaved.
    if (this.#features.get(id) === sent) this.#unsaved.delete(id);
    this.#changed();
  }

  /** A refusal is told once, and not repeated. */
  async #insist(act: () => Promise<void>, signal?: AbortSignal): Promise<void> {
    try {
      await this.#options.connection.insist(act, signal);
    } catch (error) {
      if (!isAbort(error)) this.#options.onRefused(error);
    }
  }
}

function addressOf(slide: Slide): string {
  return `/api/slides/${encodeURIComponent(slide.id)}/annotations`;
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof ServerError && error.status === 404)) throw error;
}
