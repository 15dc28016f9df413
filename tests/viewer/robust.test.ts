/** What a restless hand, a slow line and a server that goes away do to the page. Real server, model speckle. */

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, afterEach, before, describe, test } from "node:test";
import type { Browser, CDPSession, Page } from "playwright-core";
import {
  artefact,
  blankFrames,
  launch,
  noBrowser,
  type Opened,
  openPage,
  requestsFromNow,
  stateOf,
  waitFor,
  waitPainted,
  watchFrames,
} from "./browser.js";
import { randomNumbers } from "./random.js";
import { noServer, RealServer } from "./realServer.js";

const PLACE = "#slide=demo&x=66000&y=20000&mag=5";
const MOVES = 200;
/** OpenSeadragon's own bound is 600 tiles; those in view may exceed it for a moment. */
const MOST_TILES = 700;
const MOST_HEAP_BYTES = 160 * 2 ** 20;
const MOST_GROWTH_BYTES = 40 * 2 ** 20;

async function heapBytes(session: CDPSession): Promise<number> {
  await session.send("HeapProfiler.collectGarbage");
  const { metrics } = await session.send("Performance.getMetrics");
  return metrics.find(({ name }) => name === "JSHeapUsedSize")?.value ?? NaN;
}

/** Level, column and row of a request for a final tile, or null. */
function finalTile(url: string): string | null {
  return /_files\/(\d+\/\d+_\d+)\.jpeg\?v=[0-9a-f]+$/.exec(url)?.[1] ?? null;
}

/** Whether `coarse` is `fine` itself or one of its ancestors. */
function leadsTo(coarse: string, fine: string): boolean {
  const [a, b] = [coarse, fine].map((key) => key.split(/[/_]/).map(Number)) as [number[], number[]];
  const octaves = (b[0] ?? 0) - (a[0] ?? 0);
  return octaves >= 0 && (b[1] ?? 0) >> octaves === a[1] && (b[2] ?? 0) >> octaves === a[2];
}

describe("robust", { skip: noBrowser() || noServer() }, () => {
  let browser: Browser;
  const server = new RealServer("speckle");
  let opened: Opened | null = null;

  before(async () => {
    browser = await launch();
    await server.start();
  });
  after(async () => {
    await browser.close();
    await server.close();
  });
  afterEach(async () => {
    await opened?.page.context().close();
    assert.deepEqual(opened?.faults ?? [], []);
    opened = null;
  });
  const open = async (hash = PLACE): Promise<Page> => {
    opened = await openPage(browser, server.url, hash);
    await waitPainted(opened.page, 60_000);
    return opened.page;
  };

  test(`${MOVES} quick zooms and pans leave no dead tile, no old requests, and no growing memory`, async (t) => {
    const page = await open();
    const session = await page.context().newCDPSession(page);
    await session.send("Performance.enable");
    const random = randomNumbers(6);
    const move = async (): Promise<void> => {
      const next = random.next().value;
      const pan = (["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"] as const)[Math.floor(next * 40) % 4];
      await page.keyboard.press(
        next < 0.5 ? (pan as string) : next < 0.8 ? String(3 + (Math.floor(next * 100) % 6)) : next < 0.9 ? "+" : "-",
      );
      await page.waitForTimeout(20 + 60 * random.next().value);
    };
    const asked = new Set<string>();
    const painted = new Set<string>();
    page.on("request", (request) => {
      const tile = finalTile(request.url());
      if (tile) asked.add(tile);
    });
    page.on("requestfinished", (request) => {
      const tile = finalTile(request.url());
      if (tile) painted.add(tile);
    });
    const heaps: number[] = [];
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < MOVES / 2; i++) await move();
      await waitFor(page, "the view stands", (state) => !state.moving);
      heaps.push(await heapBytes(session));
    }
    // What is asked for from now on belongs to what is seen now.
    const late = await requestsFromNow(page);
    const { tilesInView } = await waitPainted(page);
    for (const tile of late.map(finalTile)) {
      if (tile)
        assert.ok(
          tilesInView.some((seen) => leadsTo(tile, seen)),
          `${tile} is out of view`,
        );
    }

    const dead = await page.evaluate(() => {
      const image = window.everslide.viewer.world.getItemAt(0) as any;
      const tiles = image.getTilesToDraw().map((info: any) => info.tile);
      return { drawn: tiles.length, dead: tiles.filter((tile: any) => !tile.exists || !tile.loaded).length };
    });
    assert.ok(dead.drawn >= tilesInView.length && dead.dead === 0, JSON.stringify(dead));
    const tiles = await page.evaluate(() => (window.everslide.viewer as any).tileCache.numTilesLoaded() as number);
    assert.ok(tiles <= MOST_TILES, `${tiles} tiles in memory`);
    const last = await heapBytes(session);
    const growth = last - (heaps[0] ?? 0);
    assert.ok(last < MOST_HEAP_BYTES && growth < MOST_GROWTH_BYTES, `heap ${heaps} then ${last}`);
    assert.ok(painted.size < asked.size, "what left the view was given up");
    t.diagnostic(
      `${asked.size} tiles asked for, ${painted.size} answered; ${tiles} tiles, ${Math.round(last / 2 ** 20)} MiB of heap`,
    );
  });

  test("a server that restarts in mid-pan leaves nothing blank, and the view sharpens when it is back", async () => {
    const page = await open();
    await watchFrames(page);
    await page.mouse.move(900, 500);
    await page.mouse.down();
    await page.mouse.move(700, 420, { steps: 5 });
    await server.stop("SIGKILL");
    await page.mouse.move(300, 260, { steps: 10 });
    await page.mouse.up();
    await page.getByText("The server does not answer.").waitFor();
    const before = await stateOf(page);
    assert.ok(!before.connected);
    await page.keyboard.press("ArrowRight");
    await server.start();
    const state = await waitPainted(page, 90_000);
    assert.ok(state.connected);
    await page.waitForFunction(() => document.querySelectorAll(".notice").length === 0);
    const seen = await blankFrames(page);
    assert.ok(seen.frames > 10 && seen.blank === 0, JSON.stringify(seen));
  });

  test("over a slow line something is seen at once, and everything in the end", async () => {
    const page = await open();
    const session = await page.context().newCDPSession(page);
    await session.send("Network.enable");
    const line = { offline: false, latency: 250, downloadThroughput: 60_000, uploadThroughput: 30_000 };
    await session.send("Network.emulateNetworkConditions", line);
    await watchFrames(page);
    await page.keyboard.press("7");
    // An idle server may have painted them ahead, so that no tile waits to be painted: but all have to come.
    await waitFor(page, "10x", ({ view, moving }) => !moving && Math.abs((view?.magnification ?? 0) - 10) < 0.1);
    await waitPainted(page, 120_000);
    const seen = await blankFrames(page);
    assert.ok(seen.frames > 10 && seen.blank === 0, JSON.stringify(seen));
  });

  test("frame times while panning over cached tiles are measured, without a blank one", async (t) => {
    const page = await open();
    // There and back once, so that every tile of the way is in memory.
    const way = async (): Promise<void> => {
      for (const key of ["ArrowRight", "ArrowRight", "ArrowLeft", "ArrowLeft"]) {
        await page.keyboard.press(key);
        await waitPainted(page, 60_000);
      }
    };
    await way();
    await page.evaluate(() => {
      const times: number[] = [];
      let last = performance.now();
      const tick = (now: number): void => {
        times.push(now - last);
        last = now;
        requestAnimationFrame(tick);
      };
      requestAnimationFrame(tick);
      Object.assign(window, { times });
    });
    for (const key of ["ArrowRight", "ArrowRight", "ArrowLeft", "ArrowLeft"]) {
      await page.keyboard.press(key);
      await waitFor(page, "moved", (state) => !state.moving);
    }
    const times = (await page.evaluate(() => (window as unknown as { times: number[] }).times))
      .slice(1)
      .sort((a, b) => a - b);
    assert.ok(times.length > 20, `${times.length} frames`);
    const at = (share: number): number => Math.round((times[Math.floor(times.length * share)] ?? NaN) * 10) / 10;
    const figures = { frames: times.length, median_ms: at(0.5), p90_ms: at(0.9), p99_ms: at(0.99) };
    writeFileSync(artefact("frame-times.json"), JSON.stringify(figures));
    t.diagnostic(JSON.stringify(figures));
  });
});
