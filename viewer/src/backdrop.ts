/**
 * Below the tiles: glass, and the map of the slide enlarged, so that nothing is blank while a line is slow or a server gone.
 *
 * Drawn into OpenSeadragon's own canvas, behind what it drew, and only where a frame lacks a tile. Every frame raises
 * `tiled-image-drawn`; `update-viewport` is not raised for those that follow the swap of a tile.
 */

import type { Pane } from "./pane.js";
import { GLASS } from "./stage.js";

/** map: a picture of the whole slide, one pixel wide while there is none. */
export function drawBackdrop(pane: Pane, map: () => HTMLCanvasElement | null): void {
  pane.stage.viewer.addHandler("tiled-image-drawn", () => {
    const { slide, viewer } = pane.stage;
    const projection = pane.stage.projection();
    if (!slide || !projection || pane.painting?.isFrameFull()) return;
    const { canvas } = viewer.drawer as unknown as { canvas: HTMLCanvasElement };
    const context = canvas.getContext("2d") as CanvasRenderingContext2D;
    const ratio = canvas.width / viewer.viewport.getContainerSize().x;
    const [x, y] = projection.toScreen([0, 0]);
    const picture = map();
    context.save();
    context.globalCompositeOperation = "destination-over";
    context.setTransform(ratio, 0, 0, ratio, x * ratio, y * ratio);
    context.rotate((projection.rotation * Math.PI) / 180);
    const [width, height] = [slide.width * projection.scale, slide.height * projection.scale];
    // What is drawn first lies on top: the map, then glass where there is none.
    if (picture && picture.width > 1 && !slide.unbounded) context.drawImage(picture, 0, 0, width, height);
    context.fillStyle = GLASS;
    context.fillRect(0, 0, width, height);
    context.restore();
  });
}
