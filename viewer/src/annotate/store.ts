/**
 * The annotations of one slide: shown at once, then saved on the server, again and again until it answers. What it refuses
 * stays on the page, is marked as not saved, and is sent again when it is changed or when the person asks.
 */

import { exchangeText, isAbort, sendJson, ServerError, type Slide } from "../api.js";
import type { Connection } from "../connection.js";
import { freshId } from "../identifier.js";
import type { Feature } from "./feature.js";
import { parseLines } from "./lines.js";

const MOST_UNDO = 100;
/** Changes sent in one request: some 10 MB of cells. */
const MOST_SENT = 5000;

/** States of annotations by id; null: there is none. */
export type Changes = ReadonlyMap<string, Feature | null>;

/** Something of a file or of the server's disk that cannot be read. */
export interface LeftOut {
  readonly place: string;
  readonly why: string;
}

export interface Imported {
  readonly features: readonly Feature[];
  readonly leftOut: readonly LeftOut[];
}

export interface StoreOptions {
  readonly slide: Slide;
  readonly connection: Connection;
  readonly onChange: () => void;
  readonly onRefused: (error: unknown) => void;
  /** Stored on the server, and unreadable. */
  readonly onSetAside: (leftOut: readonly LeftOut[]) => void;
}

export class AnnotationStore {
  readonly #options: StoreOptions;
  readonly #features = new Map<string, Feature>();
  /** Ids whose state here is still to be sent. */
  readonly #pending = new Set<string>();
  /** Ids whose state here the server does not take, and why. */
  readonly #refused = new Map<string, string>();
  /** What was before each step. */
  readonly #before: Changes[] = [];
  #end = new AbortController();
  /** What the last step was part of: further changes of that are the same step. */
  #run: string | null = null;
  #importing = 0;
  #saving = false;
  #loaded = false;

  constructor(options: StoreOptions) {
    this.#options = options;
  }

  get features(): Feature[] {
    return [...this.#features.values()];
  }

  /** Annotations that the server does not have as they are here, and files that it is still reading. */
  get unsaved(): number {
    return this.#pending.size + this.#refused.size + this.#importing;
  }

  /** Why the server does not take them, by id. */
  get refused(): ReadonlyMap<string, string> {
    return this.#refused;
  }

  get importing(): boolean {
    return this.#importing > 0;
  }

  /** Whether what the server keeps is among the features. */
  get loaded(): boolean {
    return this.#loaded;
  }

  get(id: string): Feature | undefined {
    return this.#features.get(id);
  }

  /** Loads what the server keeps. */
  async load(): Promise<void> {
    const { signal } = this.#end;
    try {
      await this.#options.connection.insist(async () => {
        const text = await exchangeText(addressOf(this.#options.slide), { signal });
        const answer = (await parseLines(text)) as {
          features: Feature[];
          set_aside?: { id: string; why: string }[];
        };
        for (const feature of answer.features) {
          if (!this.#pending.has(feature.id) && !this.#refused.has(feature.id)) this.#features.set(feature.id, feature);
        }
        this.#loaded = true;
        this.#changed();
        const odd = (answer.set_aside ?? []).map(({ id, why }) => ({ place: id, why }));
        if (odd.length > 0) this.#options.onSetAside(odd);
      }, signal);
    } catch (error) {
      if (!isAbort(error)) this.#options.onRefused(error);
    }
  }

  close(): void {
    this.#end.abort();
  }

  /** What the server does not have is still here; the rest is loaded anew. */
  reopen(): void {
    this.#end = new AbortController();
    this.#loaded = false;
    for (const id of this.#features.keys()) {
      if (!this.#pending.has(id) && !this.#refused.has(id)) this.#features.delete(id);
    }
  }

  /** Adds an annotation, or replaces the one of the same id. */
  put(feature: Feature, run: string | null = null): void {
    this.change(new Map([[feature.id, feature]]), run);
  }

  /** Changes any number of annotations in one step; all that follow each other in the same run are one. */
  change(changes: Changes, run: string | null = null): void {
    if (run === null || run !== this.#run) this.#remember(changes);
    this.#run = run;
    this.#set(changes);
  }

  /** Has the server read a file; all that is imported is one step. Throws what the server refuses. */
  async importFile(file: Blob): Promise<Imported> {
    // Sent again because the answer was lost, the same import adds nothing twice.
    const address = `${addressOf(this.#options.slide)}?import=${freshId()}`;
    this.#importing += 1;
    this.#changed();
    try {
      const { connection } = this.#options;
      const text = await connection.insist(() => exchangeText(address, { method: "POST", body: file }));
      const answer = (await parseLines(text)) as { features: Feature[]; left_out: LeftOut[] };
      const changes = new Map(answer.features.map((feature) => [feature.id, feature]));
      this.#run = null;
      if (changes.size > 0) this.#remember(changes);
      for (const [id, feature] of changes) {
        this.#features.set(id, feature);
        this.#refused.delete(id);
      }
      return { features: answer.features, leftOut: answer.left_out };
    } finally {
      this.#importing -= 1;
      this.#changed();
    }
  }

  /** Takes back the last step made in this page; false where there is none. */
  undo(): boolean {
    this.#run = null;
    const last = this.#before.pop();
    if (!last) return false;
    this.#set(last);
    return true;
  }

  /** Sends again what was refused. */
  retry(): void {
    for (const id of this.#refused.keys()) this.#pending.add(id);
    this.#refused.clear();
    this.#changed();
    void this.#save();
  }

  #remember(changes: Changes): void {
    this.#before.push(new Map([...changes.keys()].map((id) => [id, this.#features.get(id) ?? null])));
    if (this.#before.length > MOST_UNDO) this.#before.shift();
  }

  #set(changes: Changes): void {
    for (const [id, feature] of changes) {
      if (feature) this.#features.set(id, feature);
      else this.#features.delete(id);
      this.#pending.add(id);
      this.#refused.delete(id);
    }
    this.#changed();
    void this.#save();
  }

  #changed(): void {
    if (!this.#end.signal.aborted) this.#options.onChange();
  }

  async #save(): Promise<void> {
    if (this.#saving) return;
    this.#saving = true;
    while (this.#pending.size > 0) {
      // After this turn, so that what is changed in one go is sent in one request.
      await Promise.resolve();
      await this.#send([...this.#pending].slice(0, MOST_SENT));
    }
    this.#saving = false;
  }

  async #send(ids: readonly string[]): Promise<void> {
    const sent = new Map(ids.map((id) => [id, this.#features.get(id) ?? null]));
    let refused = new Map<string, string>();
    try {
      refused = await this.#options.connection.insist(() => send(addressOf(this.#options.slide), sent));
    } catch (error) {
      const why = error instanceof ServerError ? error.message : String(error);
      refused = new Map(ids.map((id) => [id, why]));
      this.#options.onRefused(error);
    }
    for (const [id, feature] of sent) {
      // Changed again while it was sent: it is still to be sent.
      if ((this.#features.get(id) ?? null) !== feature) continue;
      this.#pending.delete(id);
      const why = refused.get(id);
      if (why !== undefined) this.#refused.set(id, why);
    }
    this.#changed();
  }
}

/** One annotation by its own address, several in one request. Why some are refused, by id; throws where all are. */
async function send(address: string, changes: Changes): Promise<Map<string, string>> {
  const [first] = changes;
  if (first && changes.size === 1) {
    const [id, feature] = first;
    const own = `${address}/${encodeURIComponent(id)}`;
    if (feature) await sendJson("PUT", own, feature);
    else await sendJson("DELETE", own, null).catch(ignoreMissing);
    return new Map();
  }
  const put = [...changes.values()].filter((feature) => feature !== null);
  const gone = [...changes].filter(([, feature]) => feature === null).map(([id]) => id);
  const answer = (await sendJson("PATCH", address, { put, delete: gone })) as {
    refused: { id: string; why: string }[];
  };
  return new Map(answer.refused.map(({ id, why }) => [id, why]));
}

export function addressOf(slide: Slide): string {
  return `/api/slides/${encodeURIComponent(slide.id)}/annotations`;
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof ServerError && error.status === 404)) throw error;
}
