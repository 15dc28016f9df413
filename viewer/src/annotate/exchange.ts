/** Annotations as files: imported, exported, and measured as a table. What is left out is reported. */

import { fetchBlob, type Slide } from "../api.js";
import { download } from "../dom.js";
import type { Notices } from "../notices.js";
import { collectionText, type Feature } from "./feature.js";
import { boundsOf } from "./shapes.js";
import type { AnnotationStore, LeftOut } from "./store.js";

/** Reasons listed in a message; the panel lists them all. */
const MOST_LISTED = 3;

export type Download = "geojson" | "measures" | "table" | "classes";

export interface ExchangeOptions {
  readonly notices: Notices;
  /** What could not be read of the last file, to be listed with its slide's annotations. */
  readonly onLeftOut: (store: AnnotationStore, leftOut: readonly LeftOut[]) => void;
  /** Whether a slide is the one that is shown. */
  readonly isShown: (store: AnnotationStore) => boolean;
}

export class Exchange {
  readonly #options: ExchangeOptions;

  constructor(options: ExchangeOptions) {
    this.#options = options;
  }

  async importFile(store: AnnotationStore, file: File): Promise<void> {
    const { notices, onLeftOut, isShown } = this.#options;
    try {
      // Read here, so that a file that changes or goes away meanwhile is not half of one.
      const content = new Blob([await file.arrayBuffer()]);
      const { features, leftOut } = await store.importFile(content);
      onLeftOut(store, leftOut);
      const [words, more] = importedWords(features.length, leftOut, isShown(store) ? null : store.slide.title);
      notices.show("imported", words, `${more} ${outsideWords(features, store.slide)}`.trim());
    } catch (error) {
      notices.show("import", `${file.name} could not be read.`, (error as Error).message);
    }
  }

  async exportFile(
    kind: Download,
    name: string,
    address: string,
    features: readonly Feature[],
    unsaved: number,
  ): Promise<void> {
    if (kind === "geojson") {
      download(new Blob([collectionText(features)], { type: "application/geo+json" }), `${name}.geojson`);
      return;
    }
    const files = {
      measures: [`${address}?measures=1`, `${name}-measures.geojson`],
      table: [`${address}.csv`, `${name}.csv`],
      classes: [`${address}.csv?by=class`, `${name}-classes.csv`],
    } as const;
    try {
      download(await fetchBlob(files[kind][0]), files[kind][1]);
      if (unsaved > 0)
        this.#options.notices.show("table", `${unsaved} annotations are not saved, and not in the file.`);
    } catch (error) {
      this.#options.notices.showError(error);
    }
  }
}

/**
 * "2 annotations imported." or "2 imported, 1 left out, because ..."; and what can be done. elsewhere: the title of the slide,
 * where another one is shown.
 */
export function importedWords(
  count: number,
  leftOut: readonly LeftOut[],
  elsewhere: string | null = null,
): [string, string] {
  const into = elsewhere === null ? "" : ` into ${elsewhere}`;
  if (leftOut.length === 0) return [`${count === 1 ? "1 annotation" : `${count} annotations`} imported${into}.`, ""];
  const reasons = leftOut.slice(0, MOST_LISTED).map(({ place, why }) => `${place}: ${why}`);
  const there = elsewhere === null ? "" : `, with ${elsewhere}`;
  const more = leftOut.length > MOST_LISTED ? ` The panel Annotate lists all ${leftOut.length}${there}.` : "";
  return [`${count} imported${into}, ${leftOut.length} left out, because`, `${reasons.join("; ")}.${more}`];
}

/** What is said where imported annotations lie beside the slide, as those in um, in degrees or with y upwards do. */
export function outsideWords(
  features: readonly Feature[],
  slide: Pick<Slide, "width" | "height" | "unbounded">,
): string {
  if (slide.unbounded) return "";
  const outside = features.filter(({ geometry }) => {
    const { x, y, width, height } = boundsOf(geometry);
    return x > slide.width || y > slide.height || x + width < 0 || y + height < 0;
  }).length;
  if (outside === 0) return "";
  const some = outside === features.length ? (outside === 1 ? "It lies" : "All lie") : `${outside} of them lie`;
  return `${some} outside the slide: coordinates are 20x pixels from its upper left corner, downwards.`;
}
