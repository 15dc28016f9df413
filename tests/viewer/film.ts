/**
 * Films a cold deep link: `npm run film -- FOLDER [SECONDS]`, a screenshot every 200 ms from the address on.
 *
 * The real server is fresh and its cache empty, painting as EVERSLIDE_E2E_MODEL says (mini). Writes frame-00.jpg and so on, and
 * reports of each frame what it shows: tiles waiting, blank pixels, contrast, and how much it differs from the one before.
 */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { launch, samplePixels, stateOf } from "./browser.js";
import { RealServer } from "./realServer.js";

const MODEL = process.env["EVERSLIDE_E2E_MODEL"] ?? "mini";
const [folder = "film", seconds = "12"] = process.argv.slice(2);
const EVERY_MS = 200;
const WINDOW = { width: 1024, height: 640 };

/** The middle of the darkest square of nine pixels of the map, which is amid tissue. */
async function place(): Promise<string> {
  const server = new RealServer(MODEL, ["--idle-painting", "off"]);
  await server.start();
  const browser = await launch();
  const page = await browser.newPage({ viewport: WINDOW });
  await page.goto(server.url);
  await page.waitForFunction(() => (document.querySelector("#overview canvas") as HTMLCanvasElement).width > 1);
  await page.waitForTimeout(5000); // until the map is painted, not enlarged
  const { x, y } = await page.evaluate(() => {
    const map = document.querySelector("#overview canvas") as HTMLCanvasElement;
    const { width, height } = map;
    const { data } = (map.getContext("2d") as CanvasRenderingContext2D).getImageData(0, 0, width, height);
    let best = { light: Infinity, x: 0, y: 0 };
    for (let y = 4; y < height - 4; y++) {
      for (let x = 4; x < width - 4; x++) {
        let light = 0;
        for (let i = -4; i <= 4; i++) for (let j = -4; j <= 4; j++) light += data[4 * ((y + i) * width + x + j)] ?? 0;
        if (light < best.light) best = { light, x: (x + 0.5) / width, y: (y + 0.5) / height };
      }
    }
    return best;
  });
  const { width, height } = (await (await fetch(`${server.url}/api/slides/demo`)).json()) as Record<string, number>;
  await browser.close();
  await server.close();
  return `#slide=demo&x=${Math.round(x * (width ?? 0))}&y=${Math.round(y * (height ?? 0))}&mag=20`;
}

const hash = await place();
mkdirSync(folder, { recursive: true });
const server = new RealServer(MODEL);
await server.start();
const browser = await launch();
const page = await browser.newPage({ viewport: WINDOW });
const started = Date.now();
await page.goto(`${server.url}/${hash}`, { waitUntil: "commit" });
for (let frame = 0; Date.now() - started < 1000 * Number(seconds); frame++) {
  await page.waitForTimeout(Math.max(0, started + frame * EVERY_MS - Date.now()));
  const at = Date.now() - started;
  const name = `frame-${String(frame).padStart(2, "0")}.jpg`;
  await page.screenshot({ path: join(folder, name), type: "jpeg", quality: 70 });
  const seen = await samplePixels(page).catch(() => null);
  const state = await stateOf(page).catch(() => null);
  const facts = seen ? `blank ${seen.blank}, contrast ${seen.contrast.toFixed(2)}` : "no page yet";
  console.log(`${name} ${at} ms: ${facts}, waiting ${state?.waiting ?? "-"}, final ${state?.tilesInViewFinal ?? "-"}`);
  if (state?.tilesInViewFinal) break;
}
await browser.close();
await server.close();
