/**
 * `window.everslide`: what tests and the curious may ask of the open page. Reading only; it changes nothing.
 *
 *   everslide.viewer    the OpenSeadragon viewer
 *   everslide.state()   the state of the view and of painting, see State
 */

import type OpenSeadragon from "openseadragon";
import type { Feature } from "./annotate/feature.js";
import type { App } from "./app.js";
import { tileKey } from "./geometry.js";
import type { View } from "./permalink.js";

export interface State {
  /** The open slide, null while none is. */
  readonly slide: string | null;
  /** Where the view is going; x, y in 20x pixels. */
  readonly view: View | null;
  /** Whether the view is still moving. */
  readonly moving: boolean;
  /** Tiles this page waits for, ancestors included. */
  readonly waiting: number;
  /** Paint requests under way. */
  readonly painting: number;
  /** Addresses of the tiles in view, at the level that is drawn. */
  readonly tilesInView: readonly string[];
  /** Whether there are tiles in view and all of them are shown as painted. */
  readonly tilesInViewFinal: boolean;
  /** Every slide on the page, the main one first, that of a quiz last. */
  readonly panes: readonly { slide: string | null; view: View | null; tilesInViewFinal: boolean }[];
  readonly annotations: readonly Feature[];
  /** Whether all of them that are in view are shown. */
  readonly annotationsDrawn: boolean;
  /** Annotations and tours that the server does not have yet. */
  readonly unsaved: number;
  /** Whether the server answers. */
  readonly connected: boolean;
}

export interface Inspection {
  readonly viewer: OpenSeadragon.Viewer;
  /** All of a comparison, the main one first. */
  viewers(): OpenSeadragon.Viewer[];
  state(): State;
}

/** The state of a page. */
export function stateOf({ stage, pane: { painting }, connection, tools }: App): State {
  const tiles = painting?.tilesInView() ?? [];
  const now = stage.view(false);
  const target = stage.view(true);
  const quiz = tools.teaching.organQuiz.pane;
  return {
    slide: stage.slide?.id ?? null,
    view: target,
    moving: JSON.stringify(now) !== JSON.stringify(target),
    waiting: painting?.queue.waiting ?? 0,
    painting: painting?.queue.running ?? 0,
    tilesInView: tiles.map(tileKey),
    tilesInViewFinal: painting?.isViewFinal() ?? false,
    panes: [...tools.comparison.panes, ...(quiz ? [quiz] : [])].map((pane) => ({
      slide: pane.stage.slide?.id ?? null,
      view: pane.stage.view(true),
      tilesInViewFinal: pane.painting?.isViewFinal() ?? false,
    })),
    annotations: tools.annotating.features,
    annotationsDrawn: tools.annotating.layer.drawn,
    unsaved: tools.unsaved,
    connected: connection.up,
  };
}
