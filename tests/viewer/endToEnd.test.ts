/** Browser, page and real server together. The pictures are kept in `artefacts/` for people to look at. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import type { Slide } from "../../viewer/src/api.js";
import type { SamplingCapabilities } from "../../viewer/src/sampling.js";
import { labelOf } from "../../viewer/src/annotate/feature.js";
import { type Geometry, positionsOf } from "../../viewer/src/annotate/shapes.js";
import {
  artefact,
  blankFrames,
  frames,
  launch,
  noBrowser,
  openPage,
  samplePixels,
  stateOf,
  waitFor,
  waitPainted,
  watchFrames,
} from "./browser.js";
import { exportAnnotation, keepSquare, showHematoxylin, tileOfDemo } from "./deeds.js";
import { countNear } from "./pictures.js";
import { randomPlaces } from "./places.js";
import { drag, RealPages, saved } from "./realPages.js";
import { noServer, RealServer } from "./realServer.js";

const MODEL = process.env["EVERSLIDE_E2E_MODEL"] ?? "mini";
/** A busy machine of two cores paints the first view of a slide in well under this. */
const PAINT_MS = 180_000;

/** A PNG of 512 x 512 px that looks like stained tissue to a program: pink, with purple dots. */
async function stained(page: Page): Promise<Buffer> {
  const url = await page.evaluate(() => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 512;
    const context = canvas.getContext("2d") as CanvasRenderingContext2D;
    context.fillStyle = "rgb(214, 150, 190)";
    context.fillRect(0, 0, 512, 512);
    context.fillStyle = "rgb(96, 60, 130)";
    for (let i = 0; i < 600; i++) context.fillRect((i * 197) % 509, (i * 89) % 503, 14, 11);
    return canvas.toDataURL("image/png");
  });
  return Buffer.from(url.split(",", 2)[1] ?? "", "base64");
}

/** What the tests of one server share: a small window on six tiles with few ancestors, so that it is painted soon. */
const PLACE = "#slide=demo&x=67072&y=21504&mag=5";
const WINDOW = { viewport: { width: 800, height: 540 } };
/** At 5x a CSS pixel is 4 pixels of 20x. */
const L0_PER_PX = 4;
const BADGE_RGB = [255, 225, 168];

/** What a slide says of its organ, where its model knows any. */
const ORGAN = /, [a-z ]+: a likeness of \d+ cases?/;

describe(`every tool on tissue of the model ${MODEL}`, { skip: noBrowser() || noServer() }, () => {
  const pages = new RealPages(MODEL, PAINT_MS);
  const open = (): Promise<Page> => pages.open(PLACE, WINDOW);
  const offered = async (): Promise<SamplingCapabilities> => {
    const { models } = (await (await fetch(`${pages.server.url}/api/models`)).json()) as {
      models: SamplingCapabilities[];
    };
    return models[0] as SamplingCapabilities;
  };
  const tileOf = async (slide: string): Promise<Response> =>
    fetch(`${pages.server.url}/slides/${slide}_files/15/65_20.png`);

  test("a cold deep link has its map at once; a length and an annotation are there again after a reload", async () => {
    const page = await pages.openCold(PLACE, WINDOW);
    await page.waitForFunction(() => {
      const map = document.querySelector("#overview canvas") as HTMLCanvasElement;
      if (map.width < 2) return false;
      const { data } = (map.getContext("2d") as CanvasRenderingContext2D).getImageData(0, 0, map.width, map.height);
      return data.some((value, index) => index % 4 === 1 && value < 190); // the green of tissue
    });
    assert.equal((await stateOf(page)).tilesInViewFinal, false, "the map is there before the view");
    await page.screenshot({ path: artefact("viewer-mini-cold-link.png") });
    await waitPainted(page, PAINT_MS);
    await page.keyboard.press("m");
    await drag(page, [430, 250], [630, 250]);
    await saved(page, 1);
    await page.keyboard.press("a");
    await page.locator(".tool", { hasText: "Box" }).click();
    await drag(page, [430, 330], [530, 410]);
    await page.getByLabel("Label").fill("Gland");
    await page.getByLabel("Label").press("Enter");
    await saved(page, 2);
    await page.reload();
    await waitPainted(page, PAINT_MS);
    await waitFor(page, "both are there again", (state) => state.annotations.length === 2);
    await page.locator(".words:visible", { hasText: "Gland" }).waitFor();
    const [line, box] = await pages.kept();
    const ends = positionsOf(line?.geometry as Geometry);
    assert.ok(Math.abs((ends[1]?.[0] ?? 0) - (ends[0]?.[0] ?? 0) - 200 * L0_PER_PX) < 1, JSON.stringify(ends));
    assert.equal(box && labelOf(box), "Gland");
    await page.screenshot({ path: artefact("viewer-mini-annotated.png") });
  });

  test("hematoxylin alone", async () => {
    await pages.forget();
    const page = await open();
    const { changed, worst } = await showHematoxylin(page, 440, 250);
    assert.ok(changed > 20 && worst <= 12, `${changed} of 40 pixels changed, off by at most ${worst}`);
    await page.screenshot({ path: artefact("viewer-mini-hematoxylin.png") });
  });

  test("a slide of other steps, made in the dialog, beside the demo slide", { skip: MODEL !== "mini" }, async () => {
    const page = await open();
    const { steps: choices, own_steps: own } = await offered();
    const other = choices.find((count) => count !== own) as number;
    await page.keyboard.press("n");
    const dialog = page.locator("dialog[open]");
    await dialog.getByLabel("Title").fill("In other steps");
    await dialog.getByLabel("Seed", { exact: true }).fill("7");
    const steps = dialog.getByLabel("Steps from noise to detail");
    await steps.waitFor();
    assert.deepEqual(
      await steps.locator("option").allTextContents(),
      choices.map((count) => (count === own ? `${count}, the model's own` : `${count}`)),
    );
    assert.equal(await steps.inputValue(), "", "the model's own unless chosen");
    assert.ok(await dialog.getByLabel("Guidance by the tissue").isVisible());
    await steps.selectOption(String(other));
    await steps.scrollIntoViewIfNeeded();
    await page.screenshot({ path: artefact("viewer-mini-new-slide.png") });
    await dialog.getByRole("button", { name: "Make slide" }).click();
    await waitFor(page, "it is open", (state) => state.slide === "in-other-steps");
    const about = (await page.textContent("#about")) ?? "";
    assert.equal(about.replace(ORGAN, ""), `model ${MODEL}, seed 7, ${other} steps`);
    await page.evaluate((place) => (location.hash = place.replace("=demo", "=in-other-steps")), PLACE);
    await page.keyboard.press("c");
    await page.getByLabel("Compare with").selectOption({ label: "Demo slide, seed 7" });
    await page.getByRole("button", { name: "Put beside" }).click();
    await waitFor(
      page,
      "both are painted",
      ({ panes, moving }) => !moving && panes.length === 2 && panes.every((pane) => pane.tilesInViewFinal),
      PAINT_MS,
    );
    await frames(page);
    const names = await page.locator(".pane-name").allTextContents();
    assert.deepEqual(
      names.map((name) => name.replace(ORGAN, "")),
      [`In other steps (${MODEL}, seed 7, ${other} steps)`, `Demo slide (${MODEL}, seed 7)`],
    );
    const views = (await stateOf(page)).panes.map((pane) => pane.view);
    assert.ok(Math.abs((views[0]?.x ?? 0) - (views[1]?.x ?? 1)) < 1 && views[0]?.magnification === 5);
    await page.keyboard.press("Escape");
    await page.screenshot({ path: artefact("viewer-mini-compared.png") });

    const [theirs, demos] = await Promise.all(["in-other-steps", "demo"].map(tileOf));
    assert.notEqual(theirs?.headers.get("etag"), demos?.headers.get("etag"));
    assert.notDeepEqual(await theirs?.arrayBuffer(), await demos?.arrayBuffer());
    const { fingerprint } = (await (await fetch(`${pages.server.url}/api/slides/demo`)).json()) as Slide;
    await page.waitForFunction((other) => location.hash.includes(`&steps=${other}&`), other);
    await page.evaluate(
      (hash) => (location.hash = hash),
      `${PLACE.replace("=demo", "=in-other-steps")}&seed=7&model=${MODEL}&fp=${fingerprint}`,
    );
    await page.getByText("These are not the pixels of the link.").waitFor();
  });

  test("a tile is inspected and painted again, byte for byte, and its place shown at eight magnifications", async () => {
    const page = await open();
    await page.keyboard.press("i");
    await page.mouse.move(450, 300);
    await page.mouse.click(450, 300);
    await page.waitForFunction(() => /painted and cached/.test(document.querySelector(".facts")?.textContent ?? ""));
    await page.getByRole("button", { name: "Paint again and compare bytes" }).click();
    await page.getByText(/^Equal, byte for byte\./).waitFor();
    const verdict = (await page.locator(".verdict", { hasText: "Equal" }).textContent()) ?? "";
    const [, windows, calls] = (/(\d+) windows, (\d+) denoiser calls/.exec(verdict) ?? []).map(Number);
    const steps = (await offered()).own_steps ?? 1;
    assert.equal(calls, steps * (windows ?? 0), verdict);
    await page.waitForFunction(
      (steps) => document.querySelector(".facts")?.textContent?.includes(`Steps of a window${steps}Denoiser calls`),
      steps,
    );
    await page.getByRole("button", { name: "Show the eight magnifications" }).click();
    await page.waitForFunction(() => document.querySelectorAll('.strip li[data-state="final"]').length === 8, null, {
      timeout: PAINT_MS,
    });
    await page.screenshot({ path: artefact("viewer-mini-inspected.png") });
  });

  test("a tour is painted ahead and given", async () => {
    const page = await open();
    await page.keyboard.press("t");
    await page.getByRole("button", { name: "New tour" }).click();
    await page.getByLabel("Title of the tour").fill("Nearer");
    await page.getByRole("button", { name: "Add this view" }).click();
    await page.locator("#slide .openseadragon-canvas").focus();
    await page.keyboard.press("7");
    await waitFor(page, "at 10x", (state) => Math.abs((state.view?.magnification ?? 0) - 10) < 1e-6 && !state.moving);
    await page.getByRole("button", { name: "Add this view" }).click();
    await page.getByRole("button", { name: "Paint ahead" }).click();
    await page.getByText(/^All \d+ tiles of "Nearer" are painted\.$/).waitFor({ timeout: PAINT_MS });
    await page.getByRole("button", { name: "Play", exact: true }).click();
    await page.locator(".card").getByText("1 of 2").waitFor();
    await page.keyboard.press("p");
    await page.keyboard.press("PageDown");
    await page.locator(".card").getByText("2 of 2").waitFor();
    await waitFor(page, "the second stop", (state) => Math.abs((state.view?.magnification ?? 0) - 10) < 1e-6);
    await waitPainted(page, PAINT_MS);
    await page.screenshot({ path: artefact("viewer-mini-tour.png") });
  });

  test("the region of an annotation at 20x, pixel for pixel", async () => {
    await keepSquare(pages, [261 * 256, 82 * 256], 256); // just tile 261/82 of level 17
    const page = await open();
    const picture = await exportAnnotation(page, PAINT_MS);
    const tile = await tileOfDemo(pages, page, "17/261_82");
    assert.deepEqual([picture.width, picture.height], [256, 256]);
    for (let i = 60; i < 200; i += 7) assert.deepEqual(picture.at(i, i), tile.at(i, i), `pixel ${i}`);
    assert.ok(countNear(picture, [0, 0, 256, 40], BADGE_RGB) > 500);
  });

  test("the server restarts in mid-pan: nothing is blank, and the view sharpens", async () => {
    // Far out, where a tile has few ancestors: a painter that was just started remembers none.
    const page = await pages.open("#slide=demo&x=69632&y=24576&mag=0.625", WINDOW);
    const { tilesInView: before } = await stateOf(page);
    await watchFrames(page);
    await page.mouse.move(400, 300);
    await page.mouse.down();
    await page.mouse.move(500, 300, { steps: 5 });
    await pages.server.stop("SIGKILL");
    await page.mouse.move(620, 300, { steps: 10 });
    await page.mouse.up();
    await page.getByText("The server does not answer.").waitFor();
    await pages.server.start();
    const { tilesInView: now } = await waitPainted(page, PAINT_MS);
    assert.ok(
      now.some((tile) => !before.includes(tile)),
      "the pan went on to tiles that were not painted",
    );
    await page.waitForFunction(() => document.querySelectorAll(".notice").length === 0);
    const seen = await blankFrames(page);
    assert.ok(seen.frames > 10 && seen.blank === 0, JSON.stringify(seen));
  });
});

describe("end to end", { skip: noBrowser() || noServer() }, () => {
  let browser: Browser;
  before(async () => {
    browser = await launch();
  });
  after(() => browser.close());

  test(`a slide of model ${MODEL}: overview, 5x and 20x at a random place`, async () => {
    const server = new RealServer(MODEL);
    try {
      await server.start();
      const { page, faults, foreign } = await openPage(browser, server.url, "", WINDOW);
      const keep = async (name: string): Promise<void> => {
        const state = await waitPainted(page, PAINT_MS);
        assert.ok(state.tilesInView.length >= 4, JSON.stringify(state));
        assert.ok(await page.locator("#badge").isVisible());
        await page.waitForTimeout(1800); // until "Painted" has faded
        await page.screenshot({ path: artefact(name) });
      };
      await waitPainted(page, PAINT_MS);
      // The map of the slide arrives like any tile.
      await page.waitForFunction(() => (document.querySelector("#overview canvas") as HTMLCanvasElement).width > 1);
      await page.waitForTimeout(1000);
      await keep("viewer-overview.png");
      const [place] = await randomPlaces(page, 64);
      assert.ok(place);
      await page.evaluate(({ x, y }) => (location.hash = `#slide=demo&x=${x}&y=${y}&mag=5`), place);
      await waitFor(page, "at 5x", (state) => Math.abs((state.view?.magnification ?? 0) - 5) < 1e-6);
      await keep("viewer-5x.png");
      await page.keyboard.press("8");
      await waitFor(page, "at 20x", (state) => Math.abs((state.view?.magnification ?? 0) - 20) < 1e-6 && !state.moving);
      await keep("viewer-20x.png");
      assert.equal((await samplePixels(page)).blank, 0);
      assert.equal(await page.textContent("#magnification"), "20x");
      const link = `#slide=demo&x=${place.x}&y=${place.y}&mag=20&seed=7&model=${MODEL}`;
      await page.waitForFunction((begins) => location.hash.startsWith(begins), link);
      assert.deepEqual(faults, []);
      assert.deepEqual(foreign, []);
      await page.context().close();
    } finally {
      await server.close();
    }
  });

  test("makes a slide in the tissue and stain of a picture", async () => {
    const server = new RealServer(MODEL);
    try {
      await server.start();
      const { page, faults } = await openPage(browser, server.url, "", WINDOW);
      const buffer = await stained(page);
      await page.keyboard.press("n");
      const dialog = page.locator("dialog[open]");
      await dialog.getByLabel("Title").fill("Like it");
      await dialog
        .getByLabel("In the tissue and stain of a picture")
        .setInputFiles({ name: "like.png", mimeType: "image/png", buffer });
      await dialog.getByLabel("That picture's µm per pixel").fill("9");
      await dialog.getByRole("button", { name: "Make slide" }).click();
      await dialog.getByRole("alert").getByText(/0.1/).waitFor();
      await dialog.getByLabel("That picture's µm per pixel").fill("0.5");
      await dialog.getByRole("button", { name: "Make slide" }).click();
      await waitFor(page, "it is open", (state) => state.slide === "like-it");
      await waitPainted(page, PAINT_MS);
      assert.deepEqual(faults, []);
      await page.context().close();
    } finally {
      await server.close();
    }
  });

  test("a crash of the server in the middle of a view is survived, on the endless slide", async () => {
    const server = new RealServer("speckle");
    try {
      await server.start();
      const { page, faults } = await openPage(browser, server.url, "#slide=endless&x=1073741825&y=1073741824&mag=20");
      await waitPainted(page, PAINT_MS);
      await server.stop("SIGKILL");
      await page.keyboard.press("ArrowRight");
      await page.keyboard.press("ArrowRight");
      await page.keyboard.press("ArrowRight");
      await page.keyboard.press("ArrowRight");
      await page.getByText("The server does not answer.").waitFor();
      await server.start();
      await waitPainted(page, PAINT_MS);
      await page.waitForFunction(() => document.querySelectorAll(".notice").length === 0);
      assert.deepEqual(faults, []);
      await page.context().close();
    } finally {
      await server.close();
    }
  });
});
