/**
 * Takes the pictures in `docs/`: `npm run screenshots`, with the server painting as EVERSLIDE_E2E_MODEL says (mini).
 *
 * Small JPEG files, one for each state of the page that the README shows.
 */

import { join } from "node:path";
import type { Page } from "playwright-core";
import { launch, openPage, waitFor, waitPainted } from "./browser.js";
import { randomPlaces } from "./places.js";
import { RealServer } from "./realServer.js";

const MODEL = process.env["EVERSLIDE_E2E_MODEL"] ?? "mini";
const FOLDER = process.env["EVERSLIDE_SCREENSHOTS"] ?? join(process.cwd(), "docs");
const PAINT_MS = 600_000;
const WINDOW = { width: 1280, height: 800 };

async function keep(page: Page, name: string): Promise<void> {
  const all = (
    await waitFor(
      page,
      "all panes are painted",
      ({ panes, moving }) => !moving && panes.every((pane) => pane.tilesInViewFinal),
      PAINT_MS,
    )
  ).panes;
  await page.waitForTimeout(1900); // until "Painted" has faded
  await page.screenshot({ path: join(FOLDER, `${name}.jpg`), type: "jpeg", quality: 78 });
  console.log(`${name}.jpg, ${all.length} slide${all.length > 1 ? "s" : ""}`);
}

async function tool(page: Page, name: string): Promise<void> {
  await page.locator("#rail").getByRole("button", { name }).click();
}

async function drag(page: Page, points: readonly (readonly [number, number])[]): Promise<void> {
  const [first, ...rest] = points;
  await page.mouse.move(...(first as [number, number]));
  await page.mouse.down();
  for (const [x, y] of rest) await page.mouse.move(x, y, { steps: 4 });
  await page.mouse.up();
}

async function label(page: Page, words: string): Promise<void> {
  await page.getByLabel("Label").fill(words);
  await page.getByLabel("Label").press("Enter");
  await page.getByLabel("Label").blur();
}

async function lookAround(page: Page): Promise<void> {
  await waitPainted(page, PAINT_MS);
  await page.waitForFunction(() => (document.querySelector("#overview canvas") as HTMLCanvasElement).width > 1);
  await page.waitForTimeout(3000); // the map itself is painted last
  await keep(page, "viewer");
  const [place] = await randomPlaces(page, 64);
  const at = `x=${place?.x}&y=${place?.y}`;
  const go = (magnification: number): Promise<void> =>
    page.evaluate((hash) => void (location.hash = hash), `#slide=demo&${at}&mag=${magnification}`);

  await go(1.25);
  await tool(page, "Annotate");
  await page.locator(".tool", { hasText: "Freehand" }).click();
  const ring = (x: number, y: number, size: number): [number, number][] =>
    Array.from({ length: 25 }, (_, n) => {
      const turn = (n * Math.PI) / 12;
      const radius = size * (1 + 0.18 * Math.sin(3 * turn));
      return [x + radius * Math.cos(turn), y + radius * 0.8 * Math.sin(turn)];
    });
  await drag(page, ring(640, 260, 110));
  await label(page, "Tumor");
  await drag(page, ring(900, 480, 90));
  await label(page, "Stroma");
  await keep(page, "viewer-annotate");

  await tool(page, "Measure");
  await drag(page, [
    [560, 560],
    [760, 640],
  ]);
  await keep(page, "viewer-measure");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");

  await go(5);
  await tool(page, "Adjust");
  await page.getByRole("button", { name: "H only" }).click();
  await keep(page, "viewer-stains");
  await page.getByRole("button", { name: "Reset" }).click();

  await tool(page, "Inspect");
  await page.getByLabel("Difference from the parent's pixels").check();
  await page.mouse.click(800, 420);
  await page.getByRole("button", { name: "Paint again and compare bytes" }).click();
  await page.getByText(/byte for byte/).waitFor({ timeout: PAINT_MS });
  await page.getByRole("button", { name: "Show the eight magnifications" }).click();
  await page.waitForFunction(() => document.querySelectorAll('.strip li[data-state="final"]').length === 8, null, {
    timeout: PAINT_MS,
  });
  await keep(page, "viewer-inspect");
  await page
    .locator("#panel")
    .getByRole("button", { name: /^Close/ })
    .click();

  await page.keyboard.press("n");
  await page.waitForFunction(
    () =>
      [...document.querySelectorAll<HTMLImageElement>(".seed img")].filter((image) => image.naturalWidth > 0).length ===
        6 &&
      [...document.querySelectorAll<HTMLImageElement>("img[data-address]")]
        .slice(0, 7)
        .every((image) => image.naturalWidth > 0),
    null,
    { timeout: PAINT_MS },
  );
  await keep(page, "viewer-new-slide");
  await page.keyboard.press("Escape");

  await page.keyboard.press("8");
  await waitFor(page, "at 20x", (state) => !state.moving && (state.view?.magnification ?? 0) > 19.9);
  await keep(page, "viewer-20x");
}

async function compareAndTeach(page: Page): Promise<void> {
  await waitPainted(page, PAINT_MS);
  await tool(page, "Tours");
  await page.getByRole("button", { name: "New tour" }).click();
  await page.getByLabel("Title of the tour").fill("First look");
  await page.getByRole("button", { name: "Add this view" }).click();
  await page.getByLabel("Title of stop 1").fill("Sections on the glass");
  await page
    .getByLabel("Text of stop 1")
    .fill("Sections of one block, seen as by the naked eye. Where does the tissue end?");
  await page.getByLabel("Text of stop 1").blur();
  await page.getByRole("button", { name: "Play", exact: true }).click();
  await keep(page, "viewer-tour");
  await page.locator(".card").getByRole("button", { name: "End" }).click();
  await tool(page, "Compare");
  await page.getByLabel("Compare with").selectOption("other");
  await page.getByRole("button", { name: "Put beside" }).click();
  await keep(page, "viewer-compare");
}

const server = new RealServer(MODEL, ["--slide", "other:8"]);
const browser = await launch();
try {
  await server.start();
  await lookAround((await openPage(browser, server.url, "", { viewport: WINDOW })).page);
  await compareAndTeach((await openPage(browser, server.url, "", { viewport: WINDOW, colorScheme: "dark" })).page);
  const phone = { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true };
  const { page } = await openPage(browser, server.url, "", phone);
  await keep(page, "viewer-phone");
} finally {
  await browser.close();
  await server.close();
}
