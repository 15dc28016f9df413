/** One slide on the page: its stage, and the painting of what is seen of it. A comparison has several. */

import OpenSeadragon from "openseadragon";
import type { Slide } from "./api.js";
import type { Connection } from "./connection.js";
import { BASE_MAGNIFICATION } from "./magnification.js";
import { type Look, Painting } from "./painting.js";
import { createViewer, Stage } from "./stage.js";
import { tileSourceOf } from "./tileSource.js";

export interface PaneOptions {
  readonly element: HTMLElement;
  readonly connection: Connection;
  readonly tilesInMemory?: number;
  readonly onView: () => void;
  readonly onPainting: () => void;
  readonly onRefused: (error: unknown) => void;
}

export class Pane {
  readonly stage: Stage;
  painting: Painting | null = null;
  readonly #options: PaneOptions;

  constructor(options: PaneOptions) {
    this.#options = options;
    this.stage = new Stage(createViewer(options.element, options.tilesInMemory));
    const changed = (): void => {
      if (!this.stage.slide) return;
      this.painting?.update();
      options.onView();
    };
    this.stage.viewer.addHandler("viewport-change", changed);
    this.stage.viewer.addHandler("resize", changed);
  }

  /** Opens a slide; resolves once it can be moved. */
  async open(slide: Slide): Promise<void> {
    this.painting?.close();
    this.painting = new Painting({
      viewer: this.stage.viewer,
      slide,
      connection: this.#options.connection,
      look: (target) => this.#look(target),
      onChange: this.#options.onPainting,
      onRefused: this.#options.onRefused,
    });
    await this.stage.open(slide, tileSourceOf(slide, this.painting.previews));
  }

  close(): void {
    this.painting?.close();
    this.stage.viewer.destroy();
  }

  #look(target: boolean): Look | null {
    const view = this.stage.area(target);
    const frame = this.stage.frame(target);
    const magnification = this.stage.view(target)?.magnification;
    if (!view || !frame || !magnification) return null;
    const devicePxPerL0Px = (magnification / BASE_MAGNIFICATION) * OpenSeadragon.pixelDensityRatio;
    return { view, frame, devicePxPerL0Px };
  }
}
