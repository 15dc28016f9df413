/** A headless Chromium for the tests, and the questions they ask of a page. */

import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import type { Inspection, State } from "../../viewer/src/inspection.js";

export const CHROMIUM = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
/** The longest wait for anything that is bound to come: a busy machine may be many times slower than a free one. */
const WAIT_MS = 90_000;
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Why browser tests cannot run here, or false. With CI=true a missing browser is a failure, never a skip. */
export function noBrowser(): string | false {
  if (existsSync(CHROMIUM)) return false;
  const reason = `NOT TESTED: no Chromium at ${CHROMIUM}. Install Debian's chromium, or set CHROMIUM to its path.`;
  if (process.env["CI"] === "true") throw new Error(reason);
  console.error(reason);
  return reason;
}

export function launch(...flags: string[]): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM, args: [...FLAGS, ...flags], headless: true });
}

/** An opened page and what went wrong in it. */
export interface Opened {
  readonly page: Page;
  /** Script errors, violations of the content security policy, and tiles that could not be drawn. */
  readonly faults: string[];
  /** Requests to other hosts. */
  readonly foreign: string[];
}

export async function openPage(
  browser: Browser,
  base: string,
  hash = "",
  options: BrowserContextOptions = {},
): Promise<Opened> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  context.setDefaultTimeout(WAIT_MS);
  const page = await context.newPage();
  const opened: Opened = { page, faults: [], foreign: [] };
  page.on("pageerror", (error) => opened.faults.push(String(error)));
  page.on("console", (message) => {
    // OpenSeadragon says so when a tile that it counts as loaded has no picture: that is a hole in the frame.
    if (/Content Security Policy|Attempt(ing)? to draw/i.test(message.text())) opened.faults.push(message.text());
  });
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol !== "blob:" && url.protocol !== "data:" && url.origin !== base) opened.foreign.push(request.url());
  });
  await page.goto(`${base}/${hash}`);
  await waitFor(page, "the slide is open", (state) => state.slide !== null);
  return opened;
}

export function stateOf(page: Page): Promise<State> {
  return page.evaluate(() => (window as unknown as { everslide: Inspection }).everslide.state());
}

/** Polls the page's state until it fits; fails with the last state. */
export async function waitFor(
  page: Page,
  what: string,
  fits: (state: State) => boolean,
  timeoutMs = WAIT_MS,
): Promise<State> {
  const end = Date.now() + timeoutMs;
  let state: State | undefined;
  while (Date.now() < end) {
    state = await page
      .evaluate(() => (window as unknown as { everslide?: Inspection }).everslide?.state())
      .catch(() => undefined);
    if (state && fits(state)) return state;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`Waited ${timeoutMs} ms in vain until ${what}. The page: ${JSON.stringify(state)}`);
}

/**
 * Asks the page until the answer is yes. For questions that the page answers later: `page.waitForFunction` takes a promise
 * for a yes, whatever it becomes.
 */
export async function waitUntil(page: Page, what: string, asked: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + WAIT_MS;
  while (Date.now() < end) {
    if (await page.evaluate(asked)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`Waited ${WAIT_MS} ms in vain until ${what}.`);
}

/** Until every tile in view is shown as painted and the view stands still. */
export async function waitPainted(page: Page, timeoutMs = WAIT_MS): Promise<State> {
  const fits = ({ tilesInViewFinal, moving, waiting }: State): boolean => tilesInViewFinal && !moving && waiting === 0;
  const state = await waitFor(page, "every tile in view is final", fits, timeoutMs);
  await frames(page);
  return state;
}

/** Until what the page shows now is on the screen. */
export function frames(page: Page): Promise<void> {
  return page.evaluate(
    () => new Promise<void>((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve()))),
  );
}

/**
 * Addresses of the requests that the page makes from now on; the list grows. Those made before are not among them, however
 * late the browser reports them.
 */
export async function requestsFromNow(page: Page): Promise<readonly string[]> {
  const mark = `/static/icon.svg?from-now=${Math.random()}`;
  const made: string[] = [];
  let begun = false;
  page.on("request", (request) => {
    if (begun) made.push(request.url());
    begun ||= request.url().endsWith(mark);
  });
  await page.evaluate(async (url) => void (await fetch(url)), mark);
  return made;
}

/** Writes down every text that an element shows from now on: words that stand for a moment only are not missed. */
export async function writeDownTexts(page: Page, selector: string): Promise<() => Promise<string[]>> {
  await page.evaluate((selector) => {
    const element = document.querySelector(selector) as Element;
    const texts: string[] = [];
    const look = (): void => void (texts.at(-1) !== element.textContent && texts.push(element.textContent ?? ""));
    new MutationObserver(look).observe(element, { childList: true, characterData: true, subtree: true });
    Object.assign(window, { texts });
  }, selector);
  return () => page.evaluate(() => (window as unknown as { texts: string[] }).texts);
}

export interface Pixels {
  /** Share of sampled points that show nothing: the page's background or transparency. */
  readonly blank: number;
  /** Sum of absolute brightness differences of neighbouring samples: grows as a picture sharpens. */
  readonly contrast: number;
}

/** Samples the drawn canvas on a grid. */
export function samplePixels(page: Page): Promise<Pixels> {
  return page.evaluate(() => {
    const canvas = document.querySelector("#slide canvas") as HTMLCanvasElement;
    const { data, width, height } = (canvas.getContext("2d") as CanvasRenderingContext2D).getImageData(
      0,
      0,
      canvas.width,
      canvas.height,
    );
    let blank = 0;
    let samples = 0;
    let contrast = 0;
    for (let y = 4; y < height; y += 12) {
      for (let x = 4; x < width - 4; x += 12) {
        const at = 4 * (y * width + x);
        samples += 1;
        if ((data[at + 3] ?? 0) < 255) blank += 1;
        contrast += Math.abs((data[at + 1] ?? 0) - (data[at + 5] ?? 0));
      }
    }
    return { blank: blank / samples, contrast };
  });
}

export interface Watch {
  readonly frames: number;
  /** Frames that showed nothing at one of the points looked at. */
  readonly blank: number;
  /** The first such points: number of the frame, and 20x pixel. */
  readonly where: readonly (readonly [number, number, number])[];
}

/** Looks at some points of every frame from now on, those that lie on the slide: a flick may carry the view past its edge. */
export function watchFrames(page: Page): Promise<void> {
  return page.evaluate(() => {
    const watch = { frames: 0, blank: 0, where: [] as [number, number, number][] };
    Object.assign(window, { watch });
    const { viewer } = window.everslide;
    const points = [1, 2, 3, 4, 5].flatMap((i) => [1, 2, 3].map((j) => [i / 6, j / 4] as const));
    // Where the frame on the canvas was drawn; by the time it is looked at, the view may have moved on.
    let corner = { x: 0, y: 0 };
    let [right, down] = [corner, corner];
    const drawn = (): void => {
      const { viewport } = viewer;
      const { x, y } = viewport.getContainerSize();
      const at = (px: number, py: number): { x: number; y: number } => {
        const place = viewport.getCenter(true); // any point, for its class
        [place.x, place.y] = [px, py];
        return viewer.world.getItemAt(0).viewportToImageCoordinates(viewport.pointFromPixel(place, true));
      };
      [corner, right, down] = [at(0, 0), at(x, 0), at(0, y)];
    };
    drawn();
    viewer.addHandler("update-viewport", drawn);
    const look = (): void => {
      const canvas = document.querySelector("#slide canvas") as HTMLCanvasElement;
      const context = canvas.getContext("2d") as CanvasRenderingContext2D;
      const slide = viewer.world.getItemAt(0).getContentSize();
      const blanks = points
        .map(([u, v]) => ({
          x: corner.x + u * (right.x - corner.x) + v * (down.x - corner.x),
          y: corner.y + u * (right.y - corner.y) + v * (down.y - corner.y),
          alpha: context.getImageData(canvas.width * u, canvas.height * v, 1, 1).data[3],
        }))
        .filter(({ x, y, alpha }) => alpha !== 255 && x >= 0 && y >= 0 && x < slide.x && y < slide.y);
      watch.frames += 1;
      watch.blank += Number(blanks.length > 0);
      for (const { x, y } of blanks) if (watch.where.length < 9) watch.where.push([watch.frames, x, y]);
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
}

export function blankFrames(page: Page): Promise<Watch> {
  return page.evaluate(() => (window as unknown as { watch: Watch }).watch);
}

/** Where pictures of the page are kept for people to look at. */
export function artefact(name: string): string {
  const folder = join(process.cwd(), "artefacts");
  mkdirSync(folder, { recursive: true });
  return join(folder, name);
}
