/** Places on the demo slide, the same in every run. */

import type { Page } from "playwright-core";
import { randomNumbers } from "./random.js";

const SEED = 20;

/** Random places; those amid tissue on the map of the slide first. */
export async function randomPlaces(page: Page, count: number): Promise<{ x: number; y: number }[]> {
  const random = randomNumbers(SEED);
  const shares = Array.from({ length: count }, () => ({ right: random.next().value, down: random.next().value }));
  const greens = await page.evaluate((points) => {
    const map = document.querySelector("#overview canvas") as HTMLCanvasElement;
    const context = map.getContext("2d") as CanvasRenderingContext2D;
    return points.map(({ right, down }) => {
      const around = context.getImageData(right * map.width - 1, down * map.height - 1, 3, 3).data;
      return Math.max(...around.filter((_, index) => index % 4 === 1)); // the palest of nine pixels, in green
    });
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
