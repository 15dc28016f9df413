/** Links, screenshots and exported regions of what is open. */

import { fetchProgress, isAbort } from "../api.js";
import type { Adjustment } from "../adjust/stains.js";
import type { Annotating } from "../annotate/annotating.js";
import { boundsOf, partsOf } from "../annotate/shapes.js";
import type { Connection } from "../connection.js";
import { download } from "../dom.js";
import type { L0Rect } from "../geometry.js";
import { BASE_MAGNIFICATION } from "../magnification.js";
import type { Notices } from "../notices.js";
import type { Pane } from "../pane.js";
import { formatHash } from "../permalink.js";
import { type RegionChoice, SharePanel } from "./panel.js";
import { exportRegion, regionSize } from "./region.js";
import { snapshot } from "./snapshot.js";

const ASK_AGAIN_MS = 10_000;

export interface SharingOptions {
  readonly pane: Pane;
  readonly panes: () => readonly Pane[];
  readonly frame: HTMLElement;
  readonly annotating: Annotating;
  readonly adjustment: () => Adjustment;
  readonly connection: Connection;
  readonly notices: Notices;
}

export class Sharing {
  readonly panel: SharePanel;
  readonly #options: SharingOptions;
  #export: AbortController | null = null;
  #asked = { at: 0, seconds: Promise.resolve<number | null>(null) };

  constructor(options: SharingOptions) {
    this.#options = options;
    this.panel = new SharePanel({
      copyLink: () => void this.copyLink(),
      screenshot: () => void this.screenshot(),
      choices: () => this.#choices(),
      areaWords: () => (this.#selectedArea() ? "the selected annotation" : "the view"),
      secondsPerTile: () => this.#secondsPerTile(),
      exportRegion: (magnification) => void this.#exportRegion(magnification),
      cancel: () => this.#export?.abort(),
    });
  }

  async copyLink(): Promise<void> {
    const { slide } = this.#options.pane.stage;
    const view = this.#options.pane.stage.view();
    if (!slide || !view) return;
    const link = new URL(formatHash(slide, view), location.href).href;
    try {
      await navigator.clipboard.writeText(link);
      this.#options.notices.show("link", "The link is copied.", "", 4000);
    } catch {
      // Without https a browser may keep the clipboard to itself.
      this.#options.notices.show("link", "The link to this view:", link);
    }
  }

  async screenshot(): Promise<void> {
    const { panes, frame, adjustment, annotating, pane, notices } = this.#options;
    try {
      const { features } = annotating;
      const { labels } = annotating.layer;
      const picture = await snapshot({ panes: panes(), frame, adjustment: adjustment(), features, labels });
      download(picture, `everslide-${pane.stage.slide?.id}.png`);
    } catch (error) {
      notices.show("screenshot", "No screenshot could be made.", (error as Error).message);
    }
  }

  /** A selected shape that has an area. */
  #selectedArea(): L0Rect | null {
    const { selected } = this.#options.annotating;
    return selected && partsOf(selected.geometry).polygons.length > 0 ? boundsOf(selected.geometry) : null;
  }

  #area(): L0Rect | null {
    return this.#selectedArea() ?? this.#options.pane.stage.area();
  }

  #choices(): RegionChoice[] {
    const { slide } = this.#options.pane.stage;
    const area = this.#area();
    if (!slide || !area) return [];
    const choices: RegionChoice[] = [];
    for (let level = Math.max(slide.min_level, slide.root_level); level <= slide.max_level; level++) {
      const magnification = BASE_MAGNIFICATION / 2 ** (slide.max_level - level);
      choices.push({ magnification, ...regionSize(slide, area, level) });
    }
    return choices;
  }

  /** Asked for now and then, not with every move of the view. */
  #secondsPerTile(): Promise<number | null> {
    if (Date.now() - this.#asked.at > ASK_AGAIN_MS) this.#asked = { at: Date.now(), seconds: this.#askSeconds() };
    return this.#asked.seconds;
  }

  async #askSeconds(): Promise<number | null> {
    const { slide } = this.#options.pane.stage;
    try {
      return slide ? (await fetchProgress(slide.id)).seconds_per_tile : null;
    } catch {
      return null; // the number of tiles is shown all the same
    }
  }

  async #exportRegion(magnification: number): Promise<void> {
    const { pane, annotating, adjustment, connection } = this.#options;
    const { slide } = pane.stage;
    const area = this.#area();
    if (!slide || !area) return;
    const level = slide.max_level - Math.round(Math.log2(BASE_MAGNIFICATION / magnification));
    this.#export = new AbortController();
    const { signal } = this.#export;
    const { features } = annotating;
    try {
      const onProgress = (done: number, all: number): void => this.panel.progress(done, all);
      const options = { slide, area, level, adjustment: adjustment(), features, connection, signal, onProgress };
      download(await exportRegion(options), `everslide-${slide.id}-${magnification}x.png`);
      this.panel.ended("Saved.");
    } catch (error) {
      this.panel.ended(isAbort(error) ? "Cancelled." : (error as Error).message);
    }
  }
}
