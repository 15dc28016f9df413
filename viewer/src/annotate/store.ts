/** The annotations of one slide, with steps that can be taken back; see SavedStore for how they are saved. */

import { exchangeText, sendJson, type Slide } from "../api.js";
import { freshId } from "../identifier.js";
import {
  type Changes,
  SavedStore,
  type SavedStoreOptions,
  sendOne,
  type Sent,
  type Stored,
  type Versioned,
  type Versions,
  versionsOf,
} from "../savedStore.js";
import type { SetAside } from "../setAside.js";
import type { Feature } from "./feature.js";
import { parseLines } from "./lines.js";

const MOST_UNDO = 100;
/** Changes sent in one request: some 10 MB of cells. */
const MOST_SENT = 5000;

/** A part of a file that could not be read. */
export interface LeftOut {
  readonly place: string;
  readonly why: string;
}

export interface Imported {
  readonly features: readonly Feature[];
  readonly leftOut: readonly LeftOut[];
}

export class AnnotationStore extends SavedStore<Feature> {
  /** What was before each step. */
  readonly #before: Changes<Feature>[] = [];
  /** What the last step was part of: further changes of that are the same step. */
  #run: string | null = null;
  #importing = 0;

  constructor(options: SavedStoreOptions) {
    super(options, MOST_SENT);
  }

  get slide(): Slide {
    return this.options.slide;
  }

  get features(): Feature[] {
    return this.items;
  }

  /** Annotations that the server does not have as they are here, and files that it is still reading. */
  override get unsaved(): number {
    return super.unsaved + this.#importing;
  }

  get importing(): boolean {
    return this.#importing > 0;
  }

  /** Adds an annotation, or replaces the one of the same id. */
  put(feature: Feature, run: string | null = null): void {
    this.change(new Map([[feature.id, feature]]), run);
  }

  /** Changes any number of annotations in one step; all that follow each other in the same run are one. */
  change(changes: Changes<Feature>, run: string | null = null): void {
    if (run === null || run !== this.#run)
      this.#remember(new Map([...changes.keys()].map((id) => [id, this.get(id) ?? null])));
    this.#run = run;
    this.set(changes);
  }

  /** Has the server read a file; all that is imported is one step. Throws what the server refuses. */
  async importFile(file: Blob): Promise<Imported> {
    // Sent again because the answer was lost, the same import adds nothing twice.
    const address = `${addressOf(this.options.slide)}?import=${freshId()}`;
    this.#importing += 1;
    this.changed();
    try {
      const { connection } = this.options;
      // What it replaces must be known, or undo would delete it.
      const before = await this.known();
      const text = await connection.insist(() => exchangeText(address, { method: "POST", body: file }));
      const answer = (await parseLines(text)) as Versioned & { features: Feature[]; left_out: LeftOut[] };
      this.#run = null;
      const { features } = answer;
      const was = (id: string): Feature | null => (this.loaded ? this.get(id) : before.get(id)) ?? null;
      if (features.length > 0) this.#remember(new Map(features.map(({ id }) => [id, was(id)])));
      this.accept(features, versionsOf(answer));
      return { features, leftOut: answer.left_out };
    } finally {
      this.#importing -= 1;
      this.changed();
    }
  }

  /** Takes back the last step made in this page; false where there is none. */
  undo(): boolean {
    this.#run = null;
    const last = this.#before.pop();
    if (!last) return false;
    this.set(last);
    return true;
  }

  protected override async read(signal: AbortSignal): Promise<Stored<Feature>> {
    const text = await exchangeText(`${addressOf(this.options.slide)}?versions=1`, { signal });
    const answer = (await parseLines(text)) as Versioned & { features: Feature[]; set_aside?: SetAside[] };
    return { items: answer.features, odd: answer.set_aside ?? [], versions: versionsOf(answer) };
  }

  /** One annotation by its own address, several in one request. */
  protected override async send(changes: Changes<Feature>, seen: Versions): Promise<Sent> {
    const address = addressOf(this.options.slide);
    const [first] = changes;
    if (first && changes.size === 1) return sendOne(address, ...first, seen.get(first[0]));
    const put = [...changes.values()].filter((feature) => feature !== null);
    const gone = [...changes].filter(([, feature]) => feature === null).map(([id]) => id);
    const was = Object.fromEntries(seen);
    const answer = (await sendJson("PATCH", address, { put, delete: gone, was })) as Versioned & {
      refused: { id: string; why: string }[];
    };
    return { refused: new Map(answer.refused.map(({ id, why }) => [id, why])), versions: versionsOf(answer) };
  }

  #remember(before: Changes<Feature>): void {
    this.#before.push(before);
    if (this.#before.length > MOST_UNDO) this.#before.shift();
  }
}

export function addressOf(slide: Slide): string {
  return `/api/slides/${encodeURIComponent(slide.id)}/annotations`;
}
