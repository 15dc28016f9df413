/** Places on the demo slide, the same in every run. */

import type { Page } from "playwright-core";
import { randomNumbers } from "./random.js";

const SEED = 20;

/** Random places; those with tissue on the map of the slide first. */
export async function randomPlaces(page: Page, count: number): Promise<{ x: number; y: number }[]> {
  const random = randomNumbers(SEED);
  const shares = Array.from({ length: count }, () => ({ right: random.next().value, down: random.next().value }));
  const greens = await page.evaluate((points) => {
    const map = document.querySelector("#overview canvas") as HTMLCanvasElement;
    const context = map.getContext("2d") as CanvasRenderingContext2D;
    return points.map(
      ({ right, down }) => context.getImageData(right * map.width, down * map.height, 1, 1).data[1] ?? 255,
    );
  }, shares);
  const isTissue = (index: number): boolean => (greens[index] ?? 255) < 205;
  return shares
    .map(({ right, down }, index) => ({
      x: Math.floor(right * 131072),
      y: Math.floor(down * 98304),
      tissue: isTissue(index),
    }))
    .sort((a, b) => Number(b.tissue) - Number(a.tissue));
}
