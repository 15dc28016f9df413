/** The slide on the screen: OpenSeadragon set up for a microscope, and the view in slide coordinates. */

import OpenSeadragon from "openseadragon";
import type { Slide } from "./api.js";
import { type Frame, type L0Rect, MIN_PIXEL_RATIO, type Position } from "./geometry.js";
import { BASE_MAGNIFICATION, MAX_MAGNIFICATION } from "./magnification.js";
import type { View } from "./permalink.js";

/** Colour of clean glass: what is seen where nothing has arrived yet. */
export const GLASS = "#f3f2f3";
/** An unbounded slide has no overview: it opens here. */
const UNBOUNDED_MAGNIFICATION = 1.25;
/** Room around a slide that is shown whole, in CSS pixels. */
const MARGIN_PX = 20;
const FOOT_PX = 84;

/** An OpenSeadragon viewer in `element`, without controls of its own. */
export function createViewer(element: HTMLElement, tilesInMemory = 600): OpenSeadragon.Viewer {
  keepStyleSheetOut();
  const viewer = OpenSeadragon({
    element,
    showNavigationControl: false,
    showNavigator: false,
    // One slide is drawn quickly enough by the plain canvas, which cannot lose its context as WebGL can.
    drawer: "canvas",
    immediateRender: true,
    imageLoaderLimit: 6,
    timeout: 120_000,
    maxImageCacheCount: tilesInMemory,
    minPixelRatio: MIN_PIXEL_RATIO,
    placeholderFillStyle: GLASS,
    blendTime: 0,
    animationTime: 0.6,
    springStiffness: 9,
    zoomPerScroll: 1.25,
    visibilityRatio: 0.4,
    minZoomImageRatio: 0.7,
    maxZoomPixelRatio: MAX_MAGNIFICATION / BASE_MAGNIFICATION,
    preserveImageSizeOnResize: true,
    gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true, flickEnabled: true },
    gestureSettingsTouch: { pinchRotate: false },
  } as OpenSeadragon.Options);
  // What is focused is what carries the name.
  viewer.canvas.setAttribute("role", "application");
  viewer.canvas.setAttribute("aria-label", element.getAttribute("aria-label") ?? "Slide");
  // The page has its own keys.
  Object.assign((viewer as unknown as { innerTracker: object }).innerTracker, {
    keyHandler: null,
    keyDownHandler: null,
    keyUpHandler: null,
  });
  return viewer;
}

/**
 * OpenSeadragon adds an inline style unless it finds its own already there, and the page's content security policy allows
 * none. An element of that name, but of no namespace, is found and styles nothing; the page's style sheet has the rule.
 */
function keepStyleSheetOut(): void {
  const marker = document.createElementNS(null, "style");
  marker.setAttribute("data-openseadragon-mobile-css", "");
  document.head.append(marker);
}

/** Where 20x pixels are on the screen at this moment, in CSS pixels of the viewer. */
export interface Projection {
  /** CSS pixels per 20x pixel. */
  readonly scale: number;
  /** Degrees, clockwise. */
  readonly rotation: number;
  toScreen(at: Position): Position;
  fromScreen(at: Position): Position;
}

/** The open slide and where the person looks. Without a slide every question answers null and every move does nothing. */
export class Stage {
  #slide: Slide | null = null;

  constructor(readonly viewer: OpenSeadragon.Viewer) {}

  get slide(): Slide | null {
    return this.#slide;
  }

  /** Opens a slide; resolves once it can be moved. */
  open(slide: Slide, tileSource: object): Promise<void> {
    this.#slide = null;
    return new Promise((resolve, reject) => {
      this.viewer.addOnceHandler("open", () => {
        this.#slide = slide;
        // Farther out, an unbounded slide would need an overview of thousands of tiles.
        const minZoomLevel = slide.unbounded ? this.#zoomOf(coarsestMagnification(slide)) : null;
        Object.assign(this.viewer.viewport, { minZoomLevel });
        resolve();
      });
      this.viewer.addOnceHandler("open-failed", (event) => reject(new Error(String(event.message))));
      this.viewer.open(tileSource as OpenSeadragon.TileSourceSpecifier);
    });
  }

  /** The view; `target`: where it is going, else where it is at this moment. */
  view(target = true): View | null {
    const image = this.#image();
    if (!image) return null;
    const { viewport } = this.viewer;
    const centre = image.viewportToImageCoordinates(viewport.getCenter(!target));
    const zoom = image.viewportToImageZoom(viewport.getZoom(!target));
    const rotation = ((viewport.getRotation(!target) % 360) + 360) % 360;
    return { x: centre.x, y: centre.y, magnification: zoom * BASE_MAGNIFICATION, rotation };
  }

  /** The visible area, where the view is going, else at this moment; of a turned view the box around it. */
  area(target = true): L0Rect | null {
    const image = this.#image();
    return image ? image.viewportToImageRectangle(this.viewer.viewport.getBounds(!target).getBoundingBox()) : null;
  }

  /** What is seen, where the view is going, else at this moment. */
  frame(target = true): Frame | null {
    const view = this.view(target);
    if (!view) return null;
    const { x: width, y: height } = this.viewer.viewport.getContainerSize();
    const l0PerPx = BASE_MAGNIFICATION / view.magnification;
    // Half a pixel less on each side: there OpenSeadragon may see a tile or not.
    return { ...view, width: (width - 1) * l0PerPx, height: (height - 1) * l0PerPx };
  }

  /** How 20x pixels lie on the screen in this frame. In doubles, so exact also beyond 2^31. */
  projection(): Projection | null {
    const view = this.view(false);
    if (!view) return null;
    const { x: width, y: height } = this.viewer.viewport.getContainerSize();
    const scale = view.magnification / BASE_MAGNIFICATION;
    const turn = (view.rotation * Math.PI) / 180;
    const [cos, sin] = [Math.cos(turn), Math.sin(turn)];
    return {
      scale,
      rotation: view.rotation,
      toScreen: ([x, y]) => {
        const [right, down] = [(x - view.x) * scale, (y - view.y) * scale];
        return [width / 2 + right * cos - down * sin, height / 2 + right * sin + down * cos];
      },
      fromScreen: ([x, y]) => {
        const [right, down] = [x - width / 2, y - height / 2];
        return [view.x + (right * cos + down * sin) / scale, view.y + (down * cos - right * sin) / scale];
      },
    };
  }

  /** The 20x pixel at a point of the viewer. */
  fromScreen(at: Position): Position | null {
    return this.projection()?.fromScreen(at) ?? null;
  }

  /** Shows an area with room around it; a point keeps the magnification. */
  showArea(area: L0Rect): void {
    const view = this.view(true);
    if (!view) return;
    const { x: width, y: height } = this.viewer.viewport.getContainerSize();
    const fit = Math.min(width / Math.max(area.width, 1), height / Math.max(area.height, 1)) * 0.5;
    const magnification =
      area.width + area.height > 0 ? Math.min(fit * BASE_MAGNIFICATION, BASE_MAGNIFICATION) : view.magnification;
    this.show({ ...view, x: area.x + area.width / 2, y: area.y + area.height / 2, magnification }, false);
  }

  /** Turns the view back, the short way. */
  upright(): void {
    const view = this.view(true);
    if (view) this.show({ ...view, rotation: 0 }, false);
  }

  rotateBy(degrees: number): void {
    if (this.#image()) this.viewer.viewport.rotateBy(degrees);
  }

  /** Shows a view, at once or in motion. */
  show(view: View, immediately: boolean): void {
    const image = this.#image();
    if (!image) return;
    const { viewport } = this.viewer;
    viewport.zoomTo(this.#zoomOf(view.magnification), undefined, immediately);
    viewport.panTo(image.imageToViewportCoordinates(view.x, view.y), immediately);
    const turn = view.rotation - (((viewport.getRotation(false) % 360) + 360) % 360);
    if (turn !== 0)
      viewport.rotateBy(turn > 180 ? turn - 360 : turn < -180 ? turn + 360 : turn, undefined, immediately);
    viewport.applyConstraints(immediately);
  }

  /** Changes the magnification and keeps the centre. */
  magnify(magnification: number): void {
    const { viewport } = this.viewer;
    if (!this.#image()) return;
    viewport.zoomTo(this.#zoomOf(magnification));
    viewport.applyConstraints();
  }

  zoomBy(factor: number): void {
    if (!this.#image()) return;
    this.viewer.viewport.zoomBy(factor);
    this.viewer.viewport.applyConstraints();
  }

  /** Moves by a part of the window: (0.25, 0) is a quarter to the right. */
  panBy(right: number, down: number): void {
    if (!this.#image()) return;
    const { viewport } = this.viewer;
    const bounds = viewport.getBoundsNoRotate(false);
    const step = new OpenSeadragon.Point(right * bounds.width, down * bounds.height);
    viewport.panBy(step.rotate(-viewport.getRotation(false)));
    viewport.applyConstraints();
  }

  /** The whole slide; of an unbounded one its middle. */
  home(immediately: boolean): void {
    const slide = this.#slide;
    if (!slide) return;
    const middle = { x: slide.width / 2, y: slide.height / 2 };
    if (slide.unbounded) {
      this.show({ ...middle, magnification: UNBOUNDED_MAGNIFICATION, rotation: 0 }, immediately);
      return;
    }
    const { x: width, y: height } = this.viewer.viewport.getContainerSize();
    const fit = Math.min((width - 2 * MARGIN_PX) / slide.width, (height - MARGIN_PX - FOOT_PX) / slide.height);
    // The panels at the foot of the page do not cover the slide.
    const y = middle.y + (FOOT_PX - MARGIN_PX) / 2 / fit;
    this.show({ x: middle.x, y, magnification: fit * BASE_MAGNIFICATION, rotation: 0 }, immediately);
  }

  #zoomOf(magnification: number): number {
    return this.#image()?.imageToViewportZoom(magnification / BASE_MAGNIFICATION) ?? 1;
  }

  #image(): OpenSeadragon.TiledImage | null {
    return this.#slide && this.viewer.world.getItemCount() > 0 ? this.viewer.world.getItemAt(0) : null;
  }
}

/** The magnification of a slide's coarsest level. */
export function coarsestMagnification(slide: Slide): number {
  return BASE_MAGNIFICATION / 2 ** (slide.max_level - slide.min_level);
}
