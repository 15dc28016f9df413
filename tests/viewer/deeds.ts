/** What a person does in more than one test. */

import type { Position } from "../../viewer/src/geometry.js";
import type { Page } from "playwright-core";
import { adjustPixels, NEUTRAL } from "../../viewer/src/adjust/stains.js";
import { boxRing } from "../../viewer/src/annotate/shapes.js";
import { frames } from "./browser.js";
import { contentOf, decode, type Picture } from "./pictures.js";
import type { RealPages } from "./realPages.js";

const CLIP_PX = 120;

/** A square of the page's pixels. */
export async function seenAt(page: Page, x: number, y: number): Promise<Picture> {
  return decode(page, await page.screenshot({ clip: { x, y, width: CLIP_PX, height: CLIP_PX } }));
}

/**
 * Shows hematoxylin alone. changed: of 40 pixels along the diagonal of the square at (x, y); worst: their largest
 * difference, in grey levels, from what the arithmetic of the stains says.
 */
export async function showHematoxylin(page: Page, x: number, y: number): Promise<{ changed: number; worst: number }> {
  const plain = await seenAt(page, x, y);
  await page.keyboard.press("b");
  await page.getByRole("button", { name: "H only" }).click();
  await frames(page);
  const only = await seenAt(page, x, y);
  let [worst, changed] = [0, 0];
  for (let i = 0; i < CLIP_PX; i += 3) {
    const pixels = Uint8ClampedArray.from([...plain.at(i, i), 255]);
    adjustPixels(pixels, { ...NEUTRAL, eosin: 0 });
    only.at(i, i).forEach((value, channel) => (worst = Math.max(worst, Math.abs(value - (pixels[channel] ?? 0)))));
    changed += Number(String(only.at(i, i)) !== String(plain.at(i, i)));
  }
  return { changed, worst };
}

/** Has the server keep a square as the demo slide's one annotation. */
export async function keepSquare(pages: RealPages, [x, y]: Position, side: number): Promise<void> {
  await pages.forget();
  const geometry = { type: "Polygon", coordinates: [boxRing([x, y], [x + side, y + side])] };
  const feature = { type: "Feature", id: "box", geometry, properties: {} };
  await pages.send("PUT", "/api/slides/demo/annotations/box", feature);
}

/** Exports the region of the one annotation at 20x. */
export async function exportAnnotation(page: Page, paintMs: number): Promise<Picture> {
  await page.keyboard.press("a");
  await page.locator(".list .row").first().click();
  await page.keyboard.press("e");
  await page.getByText("Of the selected annotation.").waitFor();
  await page.locator("#panel").getByLabel("Magnification").selectOption("20");
  const [download] = await Promise.all([
    page.waitForEvent("download", { timeout: paintMs }),
    page.getByRole("button", { name: "Export region" }).click(),
  ]);
  return decode(page, await contentOf(download));
}

/** A tile of the demo slide as the server gives it, without loss. key: level/column_row. */
export async function tileOfDemo(pages: RealPages, page: Page, key: string): Promise<Picture> {
  const answer = await fetch(`${pages.server.url}/slides/demo_files/${key}.png`);
  return decode(page, Buffer.from(await answer.arrayBuffer()));
}
