/**
 * Things of one slide that a person edits, by id: shown at once, then saved on the server, again and again until it answers.
 * What it refuses stays on the page, is marked as not saved, and is sent again when it is changed or when the person asks.
 * It refuses what somebody else changed meanwhile, by the version that was seen; who asks again overwrites that.
 */

import { isAbort, sendVersion, ServerError, type Slide } from "./api.js";
import type { Connection } from "./connection.js";
import type { SetAside } from "./setAside.js";

/** Versions of things by id, where the server gives them. */
export type Versions = ReadonlyMap<string, string>;

/** Of answers of the server. */
export interface Versioned {
  readonly versions?: Readonly<Record<string, string>>;
}

export function versionsOf({ versions = {} }: Versioned): Versions {
  return new Map(Object.entries(versions));
}

/** What the server keeps. */
export interface Stored<T> {
  readonly items: readonly T[];
  readonly odd: readonly SetAside[];
  readonly versions: Versions;
}

/** What became of changes. refused: why, by id. */
export interface Sent {
  readonly refused: ReadonlyMap<string, string>;
  readonly versions: Versions;
}

/** States of things by id; null: there is none. */
export type Changes<T> = ReadonlyMap<string, T | null>;

export interface SavedStoreOptions {
  readonly slide: Slide;
  readonly connection: Connection;
  readonly onChange: () => void;
  readonly onRefused: (error: unknown) => void;
  readonly onSetAside: (odd: readonly SetAside[]) => void;
}

export abstract class SavedStore<T extends { readonly id: string }> {
  readonly #items = new Map<string, T>();
  /** Ids whose state here is still to be sent. */
  readonly #pending = new Set<string>();
  /** Ids whose state here the server does not take, and why. */
  readonly #refused = new Map<string, string>();
  /** What the server was last seen to keep. */
  readonly #versions = new Map<string, string>();
  #end = new AbortController();
  #saving = false;
  #loaded = false;
  #loading: Promise<void> = Promise.resolve();

  /** mostSent: changes sent in one request. */
  constructor(
    protected readonly options: SavedStoreOptions,
    readonly mostSent: number,
  ) {}

  /** Loads what the server keeps. */
  protected abstract read(signal: AbortSignal): Promise<Stored<T>>;

  /** Sends at most `mostSent` changes of what was seen in these versions. Throws where all are refused. */
  protected abstract send(changes: Changes<T>, seen: Versions): Promise<Sent>;

  protected get items(): T[] {
    return [...this.#items.values()];
  }

  /** Things that the server does not have as they are here, and those that it has and that are deleted here. */
  get unsaved(): number {
    return this.#pending.size + this.#refused.size;
  }

  /** Why the server does not take them, by id. */
  get refused(): ReadonlyMap<string, string> {
    return this.#refused;
  }

  /** Whether what the server keeps is among the items. */
  get loaded(): boolean {
    return this.#loaded;
  }

  get(id: string): T | undefined {
    return this.#items.get(id);
  }

  load(): Promise<void> {
    this.#loading = this.#load();
    return this.#loading;
  }

  /**
   * Things by id, of which the server's are known: if need be they are read first, also when the slide is no longer shown.
   * Throws what the server refuses.
   */
  protected async known(): Promise<ReadonlyMap<string, T>> {
    await this.#loading;
    if (this.#loaded) return new Map(this.#items);
    const { signal } = new AbortController();
    const { items } = await this.options.connection.insist(() => this.read(signal), signal);
    const unsaved = [...this.#items].filter(([id]) => !this.#isSaved(id));
    const saved = items.filter(({ id }) => this.#isSaved(id)).map((item): [string, T] => [item.id, item]);
    return new Map([...saved, ...unsaved]);
  }

  async #load(): Promise<void> {
    const { signal } = this.#end;
    try {
      const { items, odd, versions } = await this.options.connection.insist(() => this.read(signal), signal);
      this.accept(
        items.filter(({ id }) => this.#isSaved(id)),
        versions,
      );
      this.#loaded = true;
      this.changed();
      if (odd.length > 0) this.options.onSetAside(odd);
    } catch (error) {
      if (!isAbort(error)) this.options.onRefused(error);
    }
  }

  close(): void {
    this.#end.abort();
  }

  /** What the server does not have is still here; the rest is loaded anew. */
  reopen(): void {
    this.#end = new AbortController();
    this.#loaded = false;
    for (const id of this.#items.keys()) if (this.#isSaved(id)) this.#items.delete(id);
  }

  /** Sends again what was refused. */
  retry(): void {
    for (const id of this.#refused.keys()) {
      this.#pending.add(id);
      this.#versions.delete(id);
    }
    this.#refused.clear();
    this.changed();
    void this.#save();
  }

  /** Changes things here, and saves them. */
  protected set(changes: Changes<T>): void {
    for (const [id, item] of changes) {
      if (item) this.#items.set(id, item);
      else this.#items.delete(id);
      this.#pending.add(id);
      this.#refused.delete(id);
    }
    this.changed();
    void this.#save();
  }

  /** Takes over what the server keeps already. */
  protected accept(items: readonly T[], versions: Versions): void {
    for (const item of items) {
      this.#items.set(item.id, item);
      this.#refused.delete(item.id);
      this.#see(item.id, versions.get(item.id));
    }
  }

  #see(id: string, version: string | undefined): void {
    if (version === undefined) this.#versions.delete(id);
    else this.#versions.set(id, version);
  }

  protected changed(): void {
    if (!this.#end.signal.aborted) this.options.onChange();
  }

  #isSaved(id: string): boolean {
    return !this.#pending.has(id) && !this.#refused.has(id);
  }

  /** One request after the other: of two changes of a thing the later one stays. */
  async #save(): Promise<void> {
    if (this.#saving) return;
    this.#saving = true;
    while (this.#pending.size > 0) {
      // After this turn, so that what is changed in one go is sent in one request.
      await Promise.resolve();
      await this.#sendAll([...this.#pending].slice(0, this.mostSent));
    }
    this.#saving = false;
  }

  async #sendAll(ids: readonly string[]): Promise<void> {
    const sent = new Map(ids.map((id) => [id, this.#items.get(id) ?? null]));
    const seen = new Map([...this.#versions].filter(([id]) => sent.has(id)));
    let refused: ReadonlyMap<string, string>;
    let versions: Versions = seen;
    try {
      ({ refused, versions } = await this.options.connection.insist(() => this.send(sent, seen)));
    } catch (error) {
      const why = error instanceof ServerError ? error.message : String(error);
      refused = new Map(ids.map((id) => [id, why]));
      this.options.onRefused(error);
    }
    for (const [id, item] of sent) {
      if (!refused.has(id)) this.#see(id, versions.get(id));
      // Changed again while it was sent: it is still to be sent.
      if ((this.#items.get(id) ?? null) !== item) continue;
      this.#pending.delete(id);
      const why = refused.get(id);
      if (why !== undefined) this.#refused.set(id, why);
    }
    this.changed();
  }
}

/** Sends one thing to its own address: PUT, or DELETE where it is gone. */
export async function sendOne(
  address: string,
  id: string,
  item: unknown,
  version: string | undefined = undefined,
): Promise<Sent> {
  const own = `${address}/${encodeURIComponent(id)}`;
  const kept = await sendVersion(own, item, version).catch((error: unknown) => {
    if (item === null && error instanceof ServerError && error.status === 404) return null; // it is gone already
    throw error;
  });
  return { refused: new Map(), versions: new Map(kept === null ? [] : [[id, kept]]) };
}
