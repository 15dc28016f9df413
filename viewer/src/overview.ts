/** The small map of the whole slide: where the view is; a click or a drag moves it. Unbounded slides have none. */

import { fetchFinal, fetchPreview, type Slide } from "./api.js";
import type { Connection } from "./connection.js";
import { l0PerLevelPx, type L0Rect } from "./geometry.js";

const SMALLEST_MARK_PX = 7;

export class Overview {
  readonly #element: HTMLElement;
  readonly #picture: HTMLCanvasElement;
  readonly #mark: HTMLElement;
  #slide: Slide | null = null;
  #loading = new AbortController();
  /** Called with the 20x pixel that was pointed at. */
  onPoint: (x: number, y: number) => void = () => {};

  constructor(element: HTMLElement) {
    this.#element = element;
    this.#picture = element.querySelector("canvas") as HTMLCanvasElement;
    this.#mark = element.querySelector("[data-mark]") as HTMLElement;
    element.addEventListener("pointerdown", (event) => {
      element.setPointerCapture(event.pointerId);
      this.#point(event);
    });
    element.addEventListener("pointermove", (event) => {
      if (element.hasPointerCapture(event.pointerId)) this.#point(event);
    });
  }

  /** The map; one pixel wide until it is there. */
  get picture(): HTMLCanvasElement {
    return this.#picture;
  }

  /** Shows another slide. Call before its tiles are asked for: the map is one coarse tile, and is to be painted first. */
  open(slide: Slide, connection: Connection): void {
    this.#loading.abort();
    this.#loading = new AbortController();
    this.#slide = slide;
    this.#element.hidden = slide.unbounded;
    if (slide.unbounded) return;
    this.#element.style.aspectRatio = `${slide.width} / ${slide.height}`;
    this.#picture.width = 1;
    void this.#load(slide, connection, this.#loading.signal);
  }

  /** Marks the visible area. */
  show(area: L0Rect): void {
    const slide = this.#slide;
    if (!slide || slide.unbounded) return;
    const width = this.#element.clientWidth;
    const height = this.#element.clientHeight;
    const left = clamp((area.x / slide.width) * width, 0, width);
    const top = clamp((area.y / slide.height) * height, 0, height);
    const right = clamp(((area.x + area.width) / slide.width) * width, 0, width);
    const bottom = clamp(((area.y + area.height) / slide.height) * height, 0, height);
    const markWidth = Math.max(right - left, SMALLEST_MARK_PX);
    const markHeight = Math.max(bottom - top, SMALLEST_MARK_PX);
    this.#mark.hidden = right - left >= width && bottom - top >= height;
    this.#mark.style.width = `${markWidth}px`;
    this.#mark.style.height = `${markHeight}px`;
    this.#mark.style.left = `${(left + right - markWidth) / 2}px`;
    this.#mark.style.top = `${(top + bottom - markHeight) / 2}px`;
  }

  /** The finest level that fits one tile is the picture: its preview at once, its final self when painted. */
  async #load(slide: Slide, connection: Connection, signal: AbortSignal): Promise<void> {
    const level = Math.floor(slide.max_level - Math.log2(Math.max(slide.width, slide.height) / slide.tile_size));
    const tile = { level: Math.max(slide.min_level, level), col: 0, row: 0 };
    let painted = false;
    const load = async (fetchIt: typeof fetchFinal): Promise<void> => {
      const { blob, final } = await connection.insist(() => fetchIt(slide, tile, signal), signal);
      const picture = await createImageBitmap(blob);
      if (!painted && !signal.aborted) this.#draw(slide, tile.level, picture);
      painted ||= final;
      picture.close();
    };
    // Both at once: were the painting asked for after the preview, the view's first fine tile would be at work by then.
    // Given up for another slide, or refused: the map stays empty, and the slide itself reports what is wrong.
    await Promise.allSettled([load(fetchFinal), load(fetchPreview)]);
  }

  #draw(slide: Slide, level: number, picture: ImageBitmap): void {
    const scale = l0PerLevelPx(slide, level);
    // A tile at the slide's edge may come cut to the slide or whole.
    const width = Math.min(picture.width, slide.width / scale);
    const height = Math.min(picture.height, slide.height / scale);
    this.#picture.width = Math.ceil(width);
    this.#picture.height = Math.ceil(height);
    this.#picture.getContext("2d")?.drawImage(picture, 0, 0, width, height, 0, 0, width, height);
  }

  #point(event: PointerEvent): void {
    if (!this.#slide) return;
    const box = this.#element.getBoundingClientRect();
    const right = clamp((event.clientX - box.left) / box.width, 0, 1);
    const down = clamp((event.clientY - box.top) / box.height, 0, 1);
    this.onPoint(right * this.#slide.width, down * this.#slide.height);
  }
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
