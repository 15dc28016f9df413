/** Tours: bookmarks in an order, each with a text. Kept with the slide on the server. */

import { fetchJson, sendJson, type Slide } from "../api.js";
import type { View } from "../permalink.js";

export interface Stop extends View {
  readonly title: string;
  readonly text: string;
}

export interface Tour {
  readonly id: string;
  readonly title: string;
  readonly stops: readonly Stop[];
}

const base = (slide: Slide): string => `/api/slides/${encodeURIComponent(slide.id)}/tours`;

export async function fetchTours(slide: Slide): Promise<Tour[]> {
  return ((await fetchJson(base(slide))) as { tours: Tour[] }).tours;
}

export async function saveTour(slide: Slide, tour: Tour): Promise<void> {
  await sendJson("PUT", `${base(slide)}/${encodeURIComponent(tour.id)}`, tour);
}

export async function deleteTour(slide: Slide, tour: Tour): Promise<void> {
  await sendJson("DELETE", `${base(slide)}/${encodeURIComponent(tour.id)}`, null);
}

/** The list with one item moved by so many places; the same list where it cannot go there. */
export function shifted<T>(items: readonly T[], index: number, by: number): readonly T[] {
  const to = index + by;
  if (to < 0 || to >= items.length) return items;
  const copy = [...items];
  copy.splice(to, 0, ...copy.splice(index, 1));
  return copy;
}
