/** Tours: bookmarks in an order, each with a text. Kept with the slide on the server. */

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

/** The list with one item moved by so many places; the same list where it cannot go there. */
export function shifted<T>(items: readonly T[], index: number, by: number): readonly T[] {
  const to = index + by;
  if (to < 0 || to >= items.length) return items;
  const copy = [...items];
  copy.splice(to, 0, ...copy.splice(index, 1));
  return copy;
}
