/** Browser, page and real server together. The pictures are kept in `artefacts/` for people to look at. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { artefact, launch, noBrowser, openPage, samplePixels, waitFor, waitPainted } from "./browser.js";
import { randomPlaces } from "./places.js";
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
      const { page, faults, foreign } = await openPage(browser, server.url, "", {
        viewport: { width: 1440, height: 900 },
      });
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
      const link = `#slide=demo&x=${place.x}&y=${place.y}&mag=20&seed=7&model=${MODEL}&fp=`;
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
      const { page, faults } = await openPage(browser, server.url, "");
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
