/** The tours of one slide; see SavedStore for how they are saved. */

import { fetchJson, type Slide } from "../api.js";
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
import type { Tour } from "./tour.js";

export class TourStore extends SavedStore<Tour> {
  constructor(options: SavedStoreOptions) {
    super(options, 1);
  }

  get tours(): Tour[] {
    return this.items;
  }

  /** Adds a tour, or replaces the one of the same id. */
  put(tour: Tour): void {
    this.set(new Map([[tour.id, tour]]));
  }

  remove(id: string): void {
    this.set(new Map([[id, null]]));
  }

  protected override async read(signal: AbortSignal): Promise<Stored<Tour>> {
    const answer = await fetchJson(addressOf(this.options.slide), { signal });
    const kept = answer as Versioned & { tours: Tour[]; set_aside?: SetAside[] };
    return { items: kept.tours, odd: kept.set_aside ?? [], versions: versionsOf(kept) };
  }

  /** One, as `mostSent` says. */
  protected override async send(changes: Changes<Tour>, seen: Versions): Promise<Sent> {
    const [[id, tour]] = [...changes] as [[string, Tour | null]];
    return sendOne(addressOf(this.options.slide), id, tour, seen.get(id));
  }
}

function addressOf(slide: Slide): string {
  return `/api/slides/${encodeURIComponent(slide.id)}/tours`;
}
