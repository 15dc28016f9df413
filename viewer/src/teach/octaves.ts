/** A tour of one place at every magnification, coarse to fine. Pure logic. */

import type { Slide } from "../api.js";
import { freshId } from "../identifier.js";
import { BASE_MAGNIFICATION, magnificationLabel, MAGNIFICATIONS } from "../magnification.js";
import { behindOrgan, capital } from "../organ.js";
import type { Stop, Tour } from "./tour.js";

/** What to look for at each of MAGNIFICATIONS. */
const LOOK_FOR: readonly string[] = [
  "The whole glass: how many pieces there are, and of what shape.",
  "Whole pieces: their outline, and layers as the naked eye sees them.",
  "One piece: where it is dense, where pale, where torn.",
  "Layers and lumens: how the tissue is built.",
  "Lobules, glands and vessels, and what lies between them.",
  "Groups of cells, bundles of fibres.",
  "Rows and nests of cells; nuclei compared with each other.",
  "Single nuclei and fibres: the finest that is painted.",
];

/** A place of the slide, in 20x pixels, and what organ is there, where the slide knows. */
export interface Place {
  readonly x: number;
  readonly y: number;
  readonly organ: string | null;
}

/** A slide without an end has no stops that are coarser than what is shown of it. */
export function octavesTour(slide: Slide, place: Place): Tour {
  const coarsest = BASE_MAGNIFICATION / 2 ** (slide.max_level - slide.min_level);
  const what = place.organ === null ? "One place" : capital(place.organ);
  const behind = behindOrgan(slide, place.organ);
  const stops = MAGNIFICATIONS.flatMap((magnification, index): Stop[] => {
    if (magnification < coarsest * 0.999) return [];
    const title = `${what} at ${magnificationLabel(magnification)}`;
    const text = `${LOOK_FOR[index]} Synthetic${behind}.`;
    return [{ x: place.x, y: place.y, magnification, rotation: 0, title, text }];
  });
  const count = stops.length === MAGNIFICATIONS.length ? "eight" : String(stops.length);
  return { id: freshId(), title: `${what} at ${count} magnifications`, stops };
}
