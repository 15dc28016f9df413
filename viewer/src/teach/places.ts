/** Places amid the tissue of a slide, as the server finds them. */

import { fetchJson, type Slide } from "../api.js";
import type { Place } from "./octaves.js";

/** At most so many, those most amid tissue first; the same ones every time. */
export async function fetchPlaces(slide: Slide, count: number): Promise<Place[]> {
  const address = `/api/slides/${encodeURIComponent(slide.id)}/tissue?count=${count}`;
  return ((await fetchJson(address)) as { places: Place[] }).places;
}
