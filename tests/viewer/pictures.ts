/** Looking at pictures in tests: the browser decodes them. */

import { readFile } from "node:fs/promises";
import type { Download, Page } from "playwright-core";

export interface Picture {
  readonly width: number;
  readonly height: number;
  /** Red, green, blue at a pixel. */
  at(x: number, y: number): readonly [number, number, number];
}

/** Decodes a PNG or JPEG in a page of its own. */
export async function decode(page: Page, data: Buffer): Promise<Picture> {
  const blank = await page.context().newPage();
  try {
    const { width, height, text } = await blank.evaluate(async (base64) => {
      const image = new Image();
      image.src = `data:image/png;base64,${base64}`;
      await image.decode();
      const canvas = document.createElement("canvas");
      canvas.width = image.width;
      canvas.height = image.height;
      const context = canvas.getContext("2d") as CanvasRenderingContext2D;
      context.drawImage(image, 0, 0);
      const { data } = context.getImageData(0, 0, image.width, image.height);
      let text = "";
      for (let i = 0; i < data.length; i += 32768) text += String.fromCharCode(...data.subarray(i, i + 32768));
      return { width: image.width, height: image.height, text: btoa(text) };
    }, data.toString("base64"));
    const pixels = Buffer.from(text, "base64");
    const at = (x: number, y: number): [number, number, number] => {
      const i = 4 * (y * width + x);
      return [pixels[i] ?? -1, pixels[i + 1] ?? -1, pixels[i + 2] ?? -1];
    };
    return { width, height, at };
  } finally {
    await blank.close();
  }
}

export async function contentOf(download: Download): Promise<Buffer> {
  return readFile(await download.path());
}

/** Number of pixels of a rectangle whose colour is near another. */
export function countNear(
  picture: Picture,
  box: readonly [number, number, number, number],
  rgb: readonly number[],
): number {
  let count = 0;
  for (let y = box[1]; y < box[3]; y++) {
    for (let x = box[0]; x < box[2]; x++) {
      if (picture.at(x, y).every((value, channel) => Math.abs(value - (rgb[channel] ?? 0)) <= 6)) count += 1;
    }
  }
  return count;
}
