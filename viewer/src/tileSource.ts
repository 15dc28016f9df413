/** A slide as OpenSeadragon's tile source. */

import type OpenSeadragon from "openseadragon";
import { type Slide, tileUrl } from "./api.js";
import type { Previews } from "./previews.js";

/** Options of an inline tile source whose downloads are the viewer's own. */
export function tileSourceOf(slide: Slide, previews: Previews): object {
  return {
    width: slide.width,
    height: slide.height,
    tileSize: slide.tile_size,
    tileOverlap: 0,
    minLevel: slide.min_level,
    maxLevel: slide.max_level,
    getTileUrl: (level: number, col: number, row: number) => tileUrl(slide, { level, col, row }),
    hasTransparency: () => false,
    downloadTileStart: (job: OpenSeadragon.ImageJob) => previews.start(job),
    downloadTileAbort: (job: OpenSeadragon.ImageJob) => previews.abort(job),
  };
}
