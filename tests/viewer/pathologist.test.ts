/** Measuring, annotating, adjusting, turning and exporting, done as a person does it, on the real server. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { frames, noBrowser, stateOf, waitFor, waitPainted } from "./browser.js";
import { exportAnnotation, keepSquare, seenAt, showHematoxylin, tileOfDemo } from "./deeds.js";
import { contentOf, countNear, decode } from "./pictures.js";
import { clicks, drag, RealPages, saved } from "./realPages.js";
import { noServer } from "./realServer.js";

/** At 5x, 2 um per CSS pixel. */
const UM_PER_PX = 2;
const BADGE_RGB = [255, 225, 168];

describe("for pathologists", { skip: noBrowser() || noServer() }, () => {
  const pages = new RealPages();

  test("measures a length and an area, and keeps them with the slide", async () => {
    await pages.forget();
    const page = await pages.open();
    await page.getByRole("button", { name: "Measure" }).click();
    await drag(page, [600, 300], [900, 700]);
    await page.locator(".words", { hasText: "1 mm" }).waitFor({ state: "attached" });
    await page.getByRole("button", { name: "Area" }).click();
    await clicks(page, [600, 300], [800, 300], [800, 500], [600, 500], [600, 500]);
    await saved(page, 2);
    const area = (200 * UM_PER_PX) ** 2 / 1e6;
    assert.equal(await page.locator(".list .row small").first().textContent(), `${area} mm², 1.6 mm around`);
    assert.equal(await page.locator(".list .row small").last().textContent(), "1 mm");
    const [line] = await pages.kept();
    assert.equal(line?.geometry.type, "LineString");
    await page.reload();
    await waitFor(page, "both are there again", (state) => state.annotations.length === 2);
  });

  test("a measure takes no label, whatever was labelled last", async () => {
    await pages.forget();
    const page = await pages.open();
    await page.keyboard.press("a");
    await page.locator(".tool", { hasText: "Box" }).click();
    await drag(page, [600, 300], [760, 420]);
    await page.getByLabel("Label").fill("Tumor");
    await page.getByLabel("Label").press("Enter");
    await saved(page, 1);
    await page.getByRole("button", { name: "Measure" }).click();
    await drag(page, [600, 500], [800, 500]);
    await saved(page, 2);
    await page.getByRole("button", { name: "Annotate" }).click();
    await page.locator(".tool", { hasText: "Point" }).click();
    await page.mouse.click(900, 600);
    await saved(page, 3);
    const labels = (await pages.kept()).map(
      ({ properties }) => (properties.classification as { name?: string } | undefined)?.name ?? "",
    );
    assert.deepEqual(labels, ["Tumor", "", "Tumor"]);
  });

  test("on a phone the words of annotations stay on the screen and apart", async () => {
    await pages.forget();
    // Around the middle of the view and at its edges; two of them at the same place.
    const places = [
      [66000, 20000],
      [66000, 20000],
      [66010, 20010],
      [66700, 20000],
      [65300, 20300],
    ];
    const features = places.map((coordinates, index) => ({
      type: "Feature",
      id: `words-${index}`,
      geometry: { type: "Point", coordinates },
      properties: { classification: { name: `Immune cells, field ${index}`, color: [1, 2, 3] } },
    }));
    await pages.send("POST", "/api/slides/demo/annotations", { type: "FeatureCollection", features });
    const page = await pages.open(undefined, {
      viewport: { width: 390, height: 780 },
      hasTouch: true,
      isMobile: true,
    });
    await page
      .locator(".words:visible")
      .nth(places.length - 1)
      .waitFor();
    const boxes = await page
      .locator(".words")
      .evaluateAll((all) => all.map((one) => one.getBoundingClientRect().toJSON()));
    for (const [index, box] of boxes.entries()) {
      assert.ok(box.left >= 0 && box.right <= 390, `words ${index} from ${box.left} to ${box.right} px`);
      for (const other of boxes.slice(index + 1)) {
        const meet =
          box.left < other.right && other.left < box.right && box.top < other.bottom && other.top < box.bottom;
        assert.ok(!meet, `${JSON.stringify(box)} over ${JSON.stringify(other)}`);
      }
    }
  });

  test("a label wider than a phone is cut on the slide and in pictures, and whole in the list", async () => {
    await pages.forget();
    const label = "Lymphocytes along the border of a gland, as far as one sees, with a word in the end";
    const feature = {
      type: "Feature",
      id: "wide",
      geometry: { type: "Point", coordinates: [66000, 20000] },
      properties: { classification: { name: label, color: [1, 2, 3] } },
    };
    await pages.send("PUT", "/api/slides/demo/annotations/wide", feature);
    const page = await pages.open(undefined, { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true });
    const words = page.locator(".words:visible");
    await words.waitFor();
    const cut = (await words.textContent()) ?? "";
    assert.ok(cut.endsWith("…") && label.startsWith(cut.slice(0, -1)) && cut.length > 30, cut);
    const [box, frame] = [await words.boundingBox(), await page.locator("#panes").boundingBox()];
    assert.ok(box && frame && box.x >= 0 && box.x + box.width <= 390, JSON.stringify(box));

    await page.setViewportSize({ width: 1280, height: 800 });
    await page.waitForFunction((label) => document.querySelector(".words")?.textContent === label, label);
    await page.setViewportSize({ width: 390, height: 780 });
    await page.waitForFunction((cut) => document.querySelector(".words")?.textContent === cut, cut);

    // The picture has the words where the page has them, and not beyond.
    await waitPainted(page);
    const [download] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("s")]);
    const picture = await decode(page, await contentOf(download));
    const place = await words.boundingBox();
    const [left, top] = [(place?.x ?? 0) - frame.x, (place?.y ?? 0) - frame.y];
    const [right, bottom] = [left + (place?.width ?? 0), top + (place?.height ?? 0)];
    const ink = (from: number, to: number): number =>
      countNear(picture, [Math.round(from), Math.round(top), Math.round(to), Math.round(bottom)], [42, 36, 51]);
    assert.ok(ink(left, right) > 300, `${ink(left, right)} pixels of words`);
    assert.ok(ink(right - 20, right) > 0, "to the end");
    assert.equal(ink(right + 1, picture.width), 0);

    await page.keyboard.press("a");
    const row = page.locator(".list .row");
    await row.focus();
    await page.keyboard.press("Shift+Tab");
    await page.keyboard.press("Tab");
    assert.equal(await row.locator("span").textContent(), label);
    assert.ok(await row.locator("span").evaluate((span) => span.scrollWidth <= span.clientWidth), "all of it is seen");
  });

  test("draws point, box, polygon and freehand; labels, colours, moves, deletes and undoes", async () => {
    await pages.forget();
    const page = await pages.open();
    await page.keyboard.press("a");
    const tool = (name: string): Promise<void> => page.locator(".tool", { hasText: name }).click();
    await tool("Point");
    await page.mouse.click(700, 200);
    await tool("Box");
    await drag(page, [600, 300], [760, 420]);
    await tool("Polygon");
    await clicks(page, [850, 300], [950, 300], [900, 400], [850, 300]);
    await tool("Freehand");
    await drag(page, [600, 520], [700, 520], [700, 600], [600, 600], [600, 524]);
    await saved(page, 4);
    assert.deepEqual(
      (await pages.kept()).map(({ geometry }) => geometry.type),
      ["Point", "Polygon", "Polygon", "Polygon"],
    );
    const { projectionScale, box } = await page.evaluate(() => {
      const state = window.everslide.state() as any;
      return { projectionScale: state.view.magnification / 20, box: state.annotations[1].geometry.coordinates[0] };
    });
    assert.ok(Math.abs((box[2][0] - box[0][0]) * projectionScale - 160) < 0.6, "the box is as wide as it was drawn");

    await tool("Freehand"); // again: no tool
    await page.mouse.click(680, 360);
    await page.getByLabel("Label").fill("Gland");
    await page.getByLabel("Label").press("Enter");
    await page.getByLabel("Label").press("Tab");
    await page.getByRole("button", { name: "Colour of Tumor" }).click();
    await saved(page, 4);
    const labelled = (await pages.kept())[1];
    assert.deepEqual(labelled?.properties.classification, { name: "Gland", color: [200, 0, 0] });

    const corner = page.locator(".handles circle").first();
    const at = await corner.boundingBox();
    assert.ok(at);
    await drag(page, [at.x + at.width / 2, at.y + at.height / 2], [560, 260]);
    await saved(page, 4);
    const movedRing = (await pages.kept())[1]?.geometry.coordinates as unknown as number[][][];
    assert.ok(Math.abs((movedRing[0]?.[0]?.[0] ?? 0) - (box[0][0] - 40 / projectionScale)) < 1 / projectionScale);
    assert.deepEqual(movedRing[0]?.[0], movedRing[0]?.at(-1), "the ring stays closed");

    await page.locator("#slide").focus();
    await page.keyboard.press("Delete");
    await saved(page, 3);
    await page.keyboard.press("Control+z");
    await saved(page, 4);
    assert.equal((await pages.kept()).length, 4);
  });

  test("draws by keyboard alone", async () => {
    await pages.forget();
    const page = await pages.open();
    await page.keyboard.press("a");
    await page.locator(".tool", { hasText: "Polygon" }).focus();
    await page.keyboard.press("Enter");
    await page.locator("#slide .openseadragon-canvas").focus();
    for (const key of ["Enter", "ArrowRight", "Enter", "ArrowDown", "Enter", "Enter"]) await page.keyboard.press(key);
    await saved(page, 1);
    const [shape] = await pages.kept();
    const ring = shape?.geometry.coordinates as unknown as number[][][];
    assert.equal(ring[0]?.length, 4);
    assert.equal(ring[0]?.[0]?.[0], 66000);
    await page.keyboard.press("Escape");
    await page.keyboard.press("Escape");
    await page.keyboard.press("Escape");
    assert.ok(await page.locator("#panel").isHidden());
  });

  test("exchanges GeoJSON with QuPath, exactly, also near 2^31", async () => {
    await pages.forget("endless");
    const page = await pages.open("#slide=endless&x=2147483000&y=2147482000&mag=10");
    await page.keyboard.press("a");
    const qupath = {
      type: "Feature",
      id: "0b7a3e6a-6d5f-4a53-9d0c-9f2f3f0d3c11",
      geometry: {
        type: "LineString",
        coordinates: [
          [2147483000.25, 2147482000],
          [2147483100.25, 2147482000],
        ],
      },
      properties: { objectType: "annotation", classification: { name: "Tumor", color: [200, 0, 0] }, isLocked: true },
    };
    const file = {
      name: "qupath.geojson",
      mimeType: "application/json",
      buffer: Buffer.from(JSON.stringify([qupath])),
    };
    await page.locator("#panel input[type=file]").setInputFiles(file);
    await saved(page, 1);
    await page.locator(".words", { hasText: "Tumor: 50 µm" }).waitFor({ state: "attached" });
    const box = await page.locator(".mark .outline").boundingBox();
    assert.ok(box && Math.abs(box.width - 50) < 4, `drawn ${box?.width} px wide, 50 expected`);
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Export GeoJSON" }).click(),
    ]);
    assert.equal(download.suggestedFilename(), "endless.geojson");
    const written = JSON.parse((await contentOf(download)).toString());
    assert.deepEqual(written, { type: "FeatureCollection", features: [qupath] });
    const bad = { name: "bad.geojson", mimeType: "application/json", buffer: Buffer.from("<xml>") };
    await page.locator("#panel input[type=file]").setInputFiles(bad);
    await page.getByText("bad.geojson could not be read.").waitFor();
  });

  test("an annotation made while the server is gone is saved when it is back", async () => {
    await pages.forget();
    const page = await pages.open();
    await pages.server.stop("SIGKILL");
    await page.keyboard.press("m");
    await drag(page, [600, 300], [700, 300]);
    await page.getByText("The server does not answer.").waitFor();
    assert.equal((await stateOf(page)).unsaved, 1);
    await pages.server.start();
    await saved(page, 1);
    assert.equal((await pages.kept()).length, 1);
  });

  test("turns, measures right while turned, and stands upright again", async () => {
    await pages.forget();
    const page = await pages.open();
    for (const key of ["r", "r", "r", "r", "r", "r", "Shift+R", "r"]) await page.keyboard.press(key);
    const turned = await waitFor(
      page,
      "turned by a right angle",
      (state) => Math.abs((state.view?.rotation ?? 0) - 90) < 1e-6 && !state.moving,
    );
    await waitPainted(page);
    assert.ok(
      new URL(page.url()).hash.includes("&rot=90&") ||
        (await page.waitForFunction(() => location.hash.includes("&rot=90&"))),
    );
    await page.keyboard.press("m");
    await drag(page, [640, 300], [640, 550]);
    await saved(page, 1);
    const line = (await pages.kept())[0]?.geometry.coordinates as unknown as number[][];
    const [[ax = 0, ay = 0], [bx = 0, by = 0]] = line as [number[], number[]];
    assert.ok(
      Math.abs(bx - ax - 1000) < 3 && Math.abs(by - ay) < 3,
      `down on the screen is right on the slide: ${line}`,
    );
    assert.equal(await page.locator(".words").textContent(), "500 µm");
    await page.keyboard.press("ArrowRight");
    const after = await stateOf(page);
    assert.ok(
      (after.view?.y ?? 0) < (turned.view?.y ?? 0) && Math.abs((after.view?.x ?? 0) - (turned.view?.x ?? 0)) < 1,
    );
    for (const key of ["r", "r"]) await page.keyboard.press(key);
    await waitPainted(page, 60_000); // also at an angle, where the corners of the box around the view are not seen
    await page.getByRole("button", { name: /Make upright/ }).click();
    await waitFor(page, "upright", (state) => state.view?.rotation === 0 && !state.moving);
    await waitPainted(page);
  });

  test("shows each stain alone, as the arithmetic says", async () => {
    const page = await pages.open();
    const plain = await seenAt(page, 700, 300);
    const { changed, worst } = await showHematoxylin(page, 700, 300);
    assert.ok(changed > 20, "the picture changed");
    assert.ok(worst <= 12, `eight bits in between cost at most 12 levels, found ${worst}`);
    await page.getByLabel("Brightness").fill("0.2");
    await page.getByRole("button", { name: "Reset" }).click();
    await frames(page);
    const back = await seenAt(page, 700, 300);
    for (let i = 0; i < 120; i += 3) assert.deepEqual(back.at(i, i), plain.at(i, i));
  });

  test("saves a screenshot with badge, scale bar and annotations burned in", async () => {
    await pages.forget();
    const page = await pages.open();
    await page.keyboard.press("m");
    await drag(page, [700, 400], [900, 400]);
    await saved(page, 1);
    await page.getByRole("button", { name: "Export", exact: true }).click();
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Save screenshot" }).click(),
    ]);
    assert.equal(download.suggestedFilename(), "everslide-demo.png");
    const picture = await decode(page, await contentOf(download));
    const frame = await page.locator("#panes").boundingBox();
    assert.deepEqual([picture.width, picture.height], [Math.round(frame?.width ?? 0), Math.round(frame?.height ?? 0)]);
    const badge = countNear(picture, [picture.width - 300, 0, picture.width, 50], BADGE_RGB);
    assert.ok(badge > 2000, `${badge} pixels of the badge`);
    // The bar stands for 200 um, 100 px at 5x, in ink.
    const bar = countNear(picture, [0, picture.height - 13, 300, picture.height - 12], [42, 36, 51]);
    assert.ok(Math.abs(bar - 100) <= 1, `${bar} px`);
    const [left = 0, top = 0] = [frame?.x, frame?.y];
    const line = countNear(
      picture,
      [Math.round(700 - left), Math.round(398 - top), Math.round(900 - left), Math.round(403 - top)],
      [40, 70, 170],
    );
    assert.ok(line > 300, `${line} pixels of the line`);
  });

  test("exports the region of an annotation at 20x, pixel for pixel, with the badge", async () => {
    await keepSquare(pages, [65536, 19456], 512); // just tiles 256..257, 76..77 of level 17
    const page = await pages.open();
    const picture = await exportAnnotation(page, 60_000);
    assert.deepEqual([picture.width, picture.height], [512, 512]);
    const tile = await tileOfDemo(pages, page, "17/257_77");
    for (let i = 20; i < 200; i += 7) assert.deepEqual(picture.at(256 + i, 256 + i), tile.at(i, i), `pixel ${i}`);
    assert.ok(countNear(picture, [150, 0, 512, 50], BADGE_RGB) > 1000);
  });
});
