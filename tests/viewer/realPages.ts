/** Pages of the real server: one server for a group of tests, one page for a test. */

import assert from "node:assert/strict";
import { after, afterEach, before } from "node:test";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import type { Feature } from "../../viewer/src/annotate/feature.js";
import { launch, type Opened, openPage, waitFor, waitPainted } from "./browser.js";
import { RealServer } from "./realServer.js";

/** A place with tissue. */
export const PLACE = "#slide=demo&x=66000&y=20000&mag=5";

export class RealPages {
  readonly server: RealServer;
  #browser: Browser | null = null;
  #opened: Opened | null = null;

  /**
   * Call inside `describe`: starts and ends what the tests need, and checks what no test may cause.
   *
   * paintMs: the longest that a view takes to be painted. flags: further ones of `everslide serve`.
   */
  constructor(
    model = "speckle",
    readonly paintMs = 60_000,
    flags: readonly string[] = [],
  ) {
    this.server = new RealServer(model, ["--slide", "other:8", ...flags]);
    before(async () => {
      this.#browser = await launch();
      await this.server.start();
    });
    after(async () => {
      await this.#browser?.close();
      await this.server.close();
    });
    afterEach(async () => {
      const opened = this.#opened;
      this.#opened = null;
      await opened?.page.context().close();
      assert.deepEqual(opened?.faults ?? [], [], "no script errors, no violations of the content security policy");
      assert.deepEqual(opened?.foreign ?? [], [], "no request leaves the server");
    });
  }

  /** A page that has only begun to be painted. */
  async openCold(hash = PLACE, options: BrowserContextOptions = {}): Promise<Page> {
    this.#opened = await openPage(this.#browser as Browser, this.server.url, hash, options);
    return this.#opened.page;
  }

  /** A painted page. */
  async open(hash = PLACE, options: BrowserContextOptions = {}): Promise<Page> {
    const page = await this.openCold(hash, options);
    await waitPainted(page, this.paintMs);
    return page;
  }

  /** The annotations that the server keeps. */
  async kept(slide = "demo"): Promise<Feature[]> {
    const answer = await fetch(`${this.server.url}/api/slides/${slide}/annotations`);
    return ((await answer.json()) as { features: Feature[] }).features;
  }

  /** Sends a value as JSON to an address of the server, "/api/...". */
  async send(method: string, path: string, value: unknown): Promise<Response> {
    const headers = { "Content-Type": "application/json" };
    return fetch(`${this.server.url}${path}`, { method, headers, body: JSON.stringify(value) });
  }

  async forget(slide = "demo"): Promise<void> {
    await fetch(`${this.server.url}/api/slides/${slide}/annotations`, { method: "DELETE" });
  }
}

export async function drag(page: Page, ...points: (readonly [number, number])[]): Promise<void> {
  const [first, ...rest] = points;
  await page.mouse.move(...(first as [number, number]));
  await page.mouse.down();
  for (const [x, y] of rest) await page.mouse.move(x, y, { steps: 5 });
  await page.mouse.up();
}

/** Clicks far enough apart in time to be no double click. */
export async function clicks(page: Page, ...points: (readonly [number, number])[]): Promise<void> {
  for (const [x, y] of points) {
    await page.mouse.click(x, y);
    await page.waitForTimeout(350);
  }
}

/** Until so many annotations are there and on the server. */
export async function saved(page: Page, count: number): Promise<void> {
  await waitFor(page, "saved", (state) => state.annotations.length === count && state.unsaved === 0);
}
