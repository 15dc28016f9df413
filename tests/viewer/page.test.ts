/** The page against a server that paints slowly: what a person sees and does. */

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import type { Browser } from "playwright-core";
import {
  blankFrames,
  frames,
  launch,
  noBrowser,
  type Opened,
  openPage,
  requestsFromNow,
  samplePixels,
  stateOf,
  waitFor,
  waitPainted,
  waitUntil,
  watchFrames,
} from "./browser.js";
import { FakeServer } from "./fakeServer.js";

const DEEP = "#slide=demo&x=60123&y=40321&mag=20";
const PAINTED = "&seed=7&model=waves&fp=f00d";

describe("page", { skip: noBrowser() }, () => {
  let browser: Browser;
  let server: FakeServer;
  let opened: Opened | null = null;

  before(async () => {
    browser = await launch();
  });
  after(() => browser.close());
  beforeEach(async () => {
    server = new FakeServer(30);
    await server.start();
  });
  afterEach(async () => {
    await opened?.page.context().close();
    await server.stop();
    assert.deepEqual(opened?.faults, [], "no script errors, no violations of the content security policy, no hole");
    assert.deepEqual(opened?.foreign, [], "no request leaves the server");
    opened = null;
  });
  const open = async (hash = "", options = {}): Promise<Opened> => {
    opened = await openPage(browser, server.url, hash, options);
    return opened;
  };

  test("opens the first slide whole and paints it", async () => {
    const { page } = await open();
    await waitPainted(page);
    assert.equal(await page.title(), "Demo slide · Everslide");
    assert.equal(await page.textContent("#about"), "model waves, seed 7");
    const badge = page.locator("#badge");
    assert.equal(await badge.textContent(), "SYNTHETIC - not for diagnosis");
    assert.ok(await badge.isVisible());
    assert.match((await badge.getAttribute("title")) ?? "", /model waves, seed 7/);
    assert.equal(await page.locator("#slide #badge").count(), 0, "the badge is not part of the canvas");
    assert.ok(await page.locator("#overview").isVisible());
    await page.waitForFunction(() => document.querySelector("#status")?.textContent === "Painted");
  });

  test("shows an enlarged ancestor at once, never a blank, and sharpens", async () => {
    server = await restartedSlower(server, 60);
    const { page } = await open();
    await waitPainted(page);
    await watchFrames(page);
    server.held = true;
    await page.evaluate((hash) => (location.hash = hash), DEEP);
    await waitFor(page, "painting", (state) => state.waiting > 0);
    assert.match((await page.textContent("#status")) ?? "", /^\d+ tiles? to paint/);
    await page.waitForFunction(() =>
      / to paint, now at [\d.]+x/.test(document.querySelector("#status")?.textContent ?? ""),
    );
    await waitFor(page, "there", (state) => !state.moving);
    await frames(page);
    const first = await samplePixels(page);
    assert.equal(first.blank, 0, "no blank pixel while painting");
    server.held = false;
    while (!(await stateOf(page)).tilesInViewFinal) {
      assert.equal((await samplePixels(page)).blank, 0, "no blank pixel while painting");
    }
    await waitPainted(page);
    const last = await samplePixels(page);
    const seen = await blankFrames(page);
    assert.ok(seen.frames > 5 && seen.blank === 0, `no frame flashes: ${JSON.stringify(seen)}`);
    assert.ok(last.contrast > 1.5 * first.contrast, `sharpened: contrast ${first.contrast} became ${last.contrast}`);
  });

  test("a picture that the browser failed to decode is decoded again, and shown before it counts as painted", async () => {
    const { page } = await open();
    await waitPainted(page);
    await page.evaluate(() => {
      // Of the first pictures that OpenSeadragon decodes, every third fails.
      let [decoded, failed] = [0, 0];
      const decode = window.createImageBitmap;
      window.createImageBitmap = ((source: ImageBitmapSource, options?: ImageBitmapOptions) => {
        const fails = options?.colorSpaceConversion !== undefined && ++decoded % 3 === 0 && failed < 12;
        if (fails) Object.assign(window, { failed: ++failed });
        return fails ? Promise.reject(new Error("not decoded")) : decode(source, options);
      }) as typeof decode;
    });
    await page.evaluate((hash) => (location.hash = hash), DEEP);
    await waitFor(page, "there", (state) => !state.moving && state.view?.magnification === 20);
    await waitPainted(page);
    const shown = await samplePixels(page);
    assert.ok((await page.evaluate(() => (window as unknown as { failed: number }).failed)) > 2, "some did fail");
    await page.reload();
    await waitPainted(page);
    assert.deepEqual(shown, await samplePixels(page));
  });

  test("each octave that is painted sharpens the view, and the server is not asked for better previews", async () => {
    server.most = 3;
    const { page } = await open(DEEP);
    const paintedUpTo = async (count: number): Promise<void> => {
      server.most = count;
      while (server.painted.size < count) await page.waitForTimeout(20);
    };
    await paintedUpTo(3);
    let before = (await samplePixels(page)).contrast;
    for (const count of [6, 9]) {
      await paintedUpTo(count);
      for (;;) {
        const { blank, contrast } = await samplePixels(page);
        assert.equal(blank, 0, "no blank pixel while it sharpens");
        if (contrast > 1.02 * before) {
          before = contrast;
          break;
        }
        await page.waitForTimeout(20);
      }
    }
    const asked = new Map<string, number>();
    for (const request of server.requests.filter((one) => one.endsWith("&preview=1")))
      asked.set(request, (asked.get(request) ?? 0) + 1);
    assert.ok(Math.max(...asked.values()) <= 2, "once when it comes into view, and once for the map");
    server.most = Infinity;
    await waitPainted(page);
  });

  test("the server is informed where the view is going", async () => {
    const { page } = await open(DEEP);
    await waitPainted(page);
    await page.keyboard.press("ArrowRight");
    await waitFor(page, "there", (state) => !state.moving);
    while (server.viewports.length < 2) await page.waitForTimeout(20);
    const [first, last] = [server.viewports[0], server.viewports.at(-1)];
    assert.ok(first && last && first.level === 17 && last.level === 17 && first.viewer === last.viewer);
    assert.ok(Math.abs(first.x + first.width / 2 - 60123) < 1 && Math.abs(first.y + first.height / 2 - 40321) < 1);
    assert.ok(last.x > first.x && last.y === first.y && last.width === first.width);
  });

  test("the map of the slide is painted first, before any tile of a cold deep link", async () => {
    [server.held, server.most] = [true, 1];
    const { page } = await open(DEEP);
    const [tile] = (await waitFor(page, "the view has tiles", (state) => state.waiting > 0)).tilesInView;
    while ((await samplePixels(page)).blank > 0) await page.waitForTimeout(50);
    server.held = false;
    await waitUntil(page, "the map is drawn as it will stay, while nothing else is painted", async () => {
      const map = document.querySelector("#overview canvas") as HTMLCanvasElement;
      if (map.width < 2) return false;
      const answer = await fetch("/slides/demo_files/8/0_0.jpeg?preview=1");
      if (answer.headers.get("X-Everslide-State") !== "final") return false;
      const expected = new OffscreenCanvas(map.width, map.height).getContext("2d");
      expected?.drawImage(await createImageBitmap(await answer.blob()), 0, 0);
      const pixels = [map.getContext("2d"), expected].map((one) => one?.getImageData(0, 0, map.width, map.height).data);
      return String(pixels[0]) === String(pixels[1]);
    });
    assert.deepEqual([...server.painted], ["demo/8/0_0"]);
    // The view, which had but glass, shows the map enlarged.
    const previews = (): number =>
      server.requests.filter((request) => request.includes(`/${tile}.jpeg`) && request.endsWith("&preview=1")).length;
    while (previews() < 2) await page.waitForTimeout(50);
    assert.equal((await stateOf(page)).tilesInViewFinal, false);
    server.most = Infinity;
    await waitPainted(page);
  });

  test("between two painted places, over ground never seen, no frame is blank", async () => {
    const { page } = await open("#slide=demo&x=20000&y=30000&mag=5");
    await waitPainted(page);
    const there = "#slide=demo&x=90000&y=70000&mag=5";
    await page.evaluate((hash) => (location.hash = hash), there);
    await waitFor(page, "there", (state) => state.view?.x === 90000);
    await waitPainted(page);
    const map = await page.locator("#overview").boundingBox();
    assert.ok(map);
    await watchFrames(page);
    await page.mouse.click(map.x + (map.width * 20000) / 131072, map.y + (map.height * 30000) / 98304);
    const moving = await stateOf(page);
    assert.ok(moving.tilesInViewFinal, "where it goes is painted");
    await waitFor(page, "back", (state) => !state.moving && Math.abs((state.view?.x ?? 0) - 20000) < 1000);
    const seen = await blankFrames(page);
    assert.ok(seen.frames > 5 && seen.blank === 0, JSON.stringify(seen));
  });

  test("while one preview is late, the swaps of the other tiles leave no hole where it is missing", async () => {
    const late = "17/234_157"; // in the middle of the view
    const { page } = await open("#slide=demo&x=30000&y=30000&mag=20");
    await waitPainted(page);
    server.withheld.add(late);
    await watchFrames(page);
    await page.evaluate((hash) => (location.hash = hash), DEEP);
    const others = await waitFor(page, "the others are painted", ({ tilesInView, waiting, view }) => {
      return view?.x === 60123 && tilesInView.length > 9 && waiting === 0 && server.painted.has("demo/17/235_157");
    });
    assert.ok(!others.tilesInViewFinal);
    server.withheld.clear();
    await waitPainted(page);
    const seen = await blankFrames(page);
    assert.ok(seen.frames > 5 && seen.blank === 0, JSON.stringify(seen));
  });

  test("a final tile that overtakes the decoding of its preview leaves no hole", async () => {
    server = await restartedSlower(server, 1);
    const { page } = await open();
    await waitPainted(page);
    await watchFrames(page);
    await page.evaluate(() => {
      const decode = window.createImageBitmap.bind(window) as (...given: unknown[]) => Promise<ImageBitmap>;
      const slow = (...given: unknown[]): Promise<ImageBitmap> =>
        new Promise((resolve) => setTimeout(resolve, 250)).then(() => decode(...given));
      Object.assign(window, { createImageBitmap: slow });
    });
    for (const mag of [20, 10, 5]) {
      await page.evaluate((hash) => (location.hash = hash), DEEP.replace("mag=20", `mag=${mag}`));
      await waitFor(page, "there", (state) => Math.abs((state.view?.magnification ?? 0) - mag) < 1e-6);
      await page.keyboard.press("ArrowRight");
      await waitPainted(page);
    }
    const seen = await blankFrames(page);
    assert.ok(seen.frames > 5 && seen.blank === 0, JSON.stringify(seen));
  });

  test("a deep link opens at the same place, exactly, also near 2^31", async () => {
    for (const [slide, x, y] of [
      ["demo", 60123, 40321],
      ["endless", 2147483649, 2147483653],
    ] as const) {
      const { page } = await open(`#slide=${slide}&x=${x}&y=${y}&mag=20`);
      const state = await waitPainted(page);
      assert.equal(state.slide, slide);
      assert.ok(Math.abs((state.view?.x ?? 0) - x) < 1e-3 && Math.abs((state.view?.y ?? 0) - y) < 1e-3);
      await page.waitForFunction(() => location.hash.includes("fp="));
      assert.equal(
        new URL(page.url()).hash,
        `#slide=${slide}&x=${x}&y=${y}&mag=20${PAINTED}`,
        "the link did not drift",
      );
      const expected = await page.evaluate(() => {
        const image = window.everslide.viewer.world.getItemAt(0);
        return [...new Set((image as any).getTilesToDraw().map((info: any) => info.tile.level))];
      });
      assert.deepEqual(expected, [Number(state.tilesInView[0]?.split("/")[0])], "the level drawn is the one computed");
      if (slide === "demo") await page.context().close();
    }
  });

  test("the link follows the view, back returns, a hand-edited one moves", async () => {
    const { page } = await open("#slide=demo&x=50000&y=50000&mag=5");
    await waitPainted(page);
    await page.keyboard.press("8");
    await page.waitForFunction(() => location.hash.includes("mag=20&"));
    assert.equal(new URL(page.url()).hash, `#slide=demo&x=50000&y=50000&mag=20${PAINTED}`);
    await page.goBack();
    await waitFor(page, "the view went back to 5x", (state) => Math.abs((state.view?.magnification ?? 0) - 5) < 1e-6);
    await page.goForward();
    await waitFor(page, "the view is at 20x again", (state) => Math.abs((state.view?.magnification ?? 0) - 20) < 1e-6);
    await page.evaluate(() => (location.hash = "#slide=demo&x=70000&y=30000&mag=2.5"));
    await waitFor(page, "the view moved", (state) => Math.round(state.view?.x ?? 0) === 70000);
    await page.evaluate(() => (location.hash = "#slide=demo&x=oops&y=1&mag=2.5"));
    await waitFor(page, "an impossible view shows the whole slide", (state) => (state.view?.magnification ?? 9) < 0.2);
    await page.evaluate(() => (location.hash = "#slide=nowhere"));
    await page.getByText('There is no slide "nowhere".').waitFor();
    await page.getByLabel("Dismiss this message").click();
    assert.equal(await page.locator(".notice").count(), 0);
  });

  test("keys and buttons", async () => {
    const { page } = await open("#slide=demo&x=50000&y=50000&mag=5");
    const magnification = async (): Promise<number> => (await stateOf(page)).view?.magnification ?? 0;
    for (const [key, expected] of [
      ["8", 20],
      ["1", 0.15625],
      ["7", 10],
      ["+", 15],
      ["-", 10],
    ] as const) {
      await page.keyboard.press(key);
      assert.ok(Math.abs((await magnification()) / expected - 1) < 1e-6, `${key}: ${await magnification()}`);
    }
    const before = (await stateOf(page)).view;
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowDown");
    const moved = (await stateOf(page)).view;
    assert.ok((moved?.x ?? 0) > (before?.x ?? 0) && (moved?.y ?? 0) > (before?.y ?? 0));
    await page.getByRole("button", { name: "Magnification 2.5x" }).click();
    assert.ok(Math.abs((await magnification()) - 2.5) < 1e-6);
    await page.waitForFunction(() => document.querySelector("#magnification")?.textContent === "2.5x");
    await page.waitForFunction(() => document.querySelector("#resolution")?.textContent === "4 µm/px");
    assert.equal(await page.getByRole("button", { name: "Magnification 2.5x" }).getAttribute("aria-pressed"), "true");
    await page.waitForFunction(() => document.querySelector("#spoken")?.textContent === "Magnification 2.5x, 4 µm/px");
    await page.keyboard.press("?");
    assert.ok(await page.getByRole("dialog").isVisible());
    await page.keyboard.press("Escape");
    await page.keyboard.press("h");
    assert.ok((await magnification()) < 0.2);
    for (const name of ["Zoom in", "Zoom out", "Show the whole slide", "Turn to the right", "Full screen", "Help"]) {
      assert.ok(await page.getByRole("button", { name, exact: true }).isVisible(), name);
    }
  });

  test("fingers move and pinch, and the page fills the screen and leaves it", async () => {
    const { page } = await open("#slide=demo&x=50000&y=50000&mag=5", { hasTouch: true });
    await waitPainted(page);
    const session = await page.context().newCDPSession(page);
    const touch = (type: string, ...points: [number, number][]): Promise<unknown> =>
      session.send("Input.dispatchTouchEvent", {
        type: type as "touchStart",
        touchPoints: points.map(([x, y], id) => ({ x, y, id })),
      });
    await touch("touchStart", [700, 400]);
    for (let i = 1; i <= 5; i++) await touch("touchMove", [700 - 20 * i, 400]);
    await touch("touchEnd");
    await waitFor(page, "moved to the right", (state) => !state.moving && (state.view?.x ?? 0) > 50000 + 150);
    await touch("touchStart", [600, 400], [700, 400]);
    for (let i = 1; i <= 5; i++) await touch("touchMove", [600 - 20 * i, 400], [700 + 20 * i, 400]);
    await touch("touchEnd");
    await waitFor(page, "nearer", (state) => !state.moving && (state.view?.magnification ?? 0) > 8);
    await page.keyboard.press("f");
    await page.waitForFunction(() => document.fullscreenElement === document.documentElement);
    assert.ok(await page.locator("#badge").isVisible(), "the badge stays");
    await page.keyboard.press("f");
    await page.waitForFunction(() => document.fullscreenElement === null);
  });

  test("cannot be zoomed beyond 20x drawn double", async () => {
    const { page } = await open(DEEP);
    for (let i = 0; i < 8; i++) await page.keyboard.press("+");
    assert.ok(Math.abs(((await stateOf(page)).view?.magnification ?? 0) - 40) < 1e-6);
    await page.waitForFunction(() => document.querySelector("#magnification")?.textContent === "20x (enlarged)");
  });

  test("an unbounded slide opens in its middle, without a map", async () => {
    const { page } = await open("#slide=endless");
    const state = await waitPainted(page);
    assert.deepEqual(state.view, { x: 2 ** 31, y: 2 ** 31, magnification: 1.25, rotation: 0 });
    assert.ok(!(await page.locator("#overview").isVisible()));
    await page.keyboard.press("1");
    for (let i = 0; i < 9; i++) await page.keyboard.press("-");
    const far = await stateOf(page);
    assert.ok((far.view?.magnification ?? 0) > 0.15, "it cannot be zoomed out to an overview");
  });

  test("gives up the tiles that left the view", async () => {
    server = await restartedSlower(server, 400);
    const { page } = await open(DEEP);
    await waitFor(page, "painting", (state) => state.painting === 4);
    await page.evaluate(() => (location.hash = "#slide=demo&x=20000&y=80000&mag=1.25"));
    // Until the view stands still, tiles on the way there are still in view.
    await waitFor(page, "only the new view is waited for", ({ moving, waiting, view }) => {
      return !moving && waiting > 0 && (view?.magnification ?? 20) < 2;
    });
    const asked = await requestsFromNow(page);
    await waitPainted(page);
    const late = asked.filter((url) => url.includes("_files/17/"));
    assert.deepEqual(late, [], "nothing of 20x is asked for after leaving it");
    assert.ok(
      asked.some((url) => url.includes("_files/")),
      "what is seen now is asked for",
    );
  });

  test("a server that restarts in the middle of painting is waited for", async () => {
    server = await restartedSlower(server, 100);
    const { page } = await open(DEEP);
    await waitFor(page, "painting", (state) => state.painting > 0);
    await server.stop();
    await page.getByText("The server does not answer.").waitFor();
    assert.equal((await stateOf(page)).connected, false);
    // Moving on while nobody answers must not leave dead tiles behind.
    const failed = page.waitForEvent("requestfailed", (request) => request.url().includes("preview=1"));
    await page.keyboard.press("ArrowRight");
    await failed;
    await server.start();
    await waitPainted(page);
    await page.waitForFunction(() => document.querySelectorAll(".notice").length === 0);
  });

  test("a server that comes back with another model has the slide opened anew", async () => {
    const { page } = await open(DEEP);
    await waitPainted(page);
    await server.stop();
    server.fingerprint = "beef";
    server.painted.clear();
    await page.keyboard.press("ArrowRight");
    await page.getByText("The server does not answer.").waitFor();
    await server.start();
    await page.getByText("The server now paints with another model.").waitFor();
    const view = (await waitPainted(page)).view;
    assert.ok(Math.abs((view?.magnification ?? 0) - 20) < 1e-6, "the view is kept");
    assert.ok(server.requests.at(-1)?.includes("v=beef") || server.requests.some((line) => line.includes("v=beef")));
  });

  test("what the server refuses is reported, once, with what to do", async () => {
    server.refused.add("17/234_157");
    const { page } = await open(DEEP);
    await page.getByText("Go to another place.").waitFor();
    await waitFor(page, "all others are painted", (state) => state.waiting === 0 && !state.moving);
    assert.equal(await page.locator(".notice").count(), 1);
    const asked = server.requests.filter((line) => line.includes("/17/234_157")).length;
    assert.ok(asked <= 2, `asked ${asked} times`);
  });

  test("a phone's page has everything in reach", async () => {
    // Two device pixels per CSS pixel: the page must compute the finer level that OpenSeadragon draws then.
    const { page } = await open("#slide=demo&x=60123&y=40321&mag=5", {
      viewport: { width: 390, height: 780 },
      deviceScaleFactor: 2,
      hasTouch: true,
      isMobile: true,
    });
    await waitPainted(page);
    assert.match((await stateOf(page)).tilesInView[0] ?? "", /^16\//);
    for (const selector of ["#badge", "#picker", "#magnifications", "#scale-bar", "#zoom-in", "#help"]) {
      const box = await page.locator(selector).boundingBox();
      const inside = box && box.x >= 0 && box.x + box.width <= 391 && box.y + box.height <= 781;
      assert.ok(inside, `${selector} ${JSON.stringify(box)}`);
    }
  });
});

/** The same fake with another speed. */
async function restartedSlower(server: FakeServer, paintMs: number): Promise<FakeServer> {
  await server.stop();
  const slower = new FakeServer(paintMs);
  await slower.start();
  return slower;
}
