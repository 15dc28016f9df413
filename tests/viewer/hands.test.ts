/** What people's files and hands do to annotations and slides: nothing is lost, and what is said is so. */

import type { Position } from "../../viewer/src/geometry.js";
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import type { Page } from "playwright-core";
import { boundsOf, boxRing, type Geometry } from "../../viewer/src/annotate/shapes.js";
import { frames, noBrowser, stateOf, waitFor } from "./browser.js";
import { contentOf } from "./pictures.js";
import { drag, RealPages, saved } from "./realPages.js";
import { noServer } from "./realServer.js";

/** At 5x a CSS pixel is four 20x pixels; the view's middle is in the middle of the slide's frame. */
const SMALL = "#slide=hands&x=2048&y=1536&mag=5";
const SCALE = 0.25;
/** The first lacks its seed, the last is in no model. */
const SLIDES = `[[slide]]
name = "seedless"
[[slide]]
name = "sound"
seed = 3
title = "Sound"
[[slide]]
name = "other-model"
seed = 4
model = "maxi"
`;

describe("hands", { skip: noBrowser() || noServer() }, () => {
  const pages = new RealPages("speckle", 60_000, ["--slide", "hands:5:4096x3072"]);

  async function open(hash = SMALL): Promise<Page> {
    await pages.forget("hands");
    const page = await pages.open(hash);
    await page.keyboard.press("a");
    return page;
  }

  async function importFile(page: Page, content: unknown, name = "file.geojson"): Promise<void> {
    const buffer = Buffer.from(typeof content === "string" ? content : JSON.stringify(content));
    await page.locator("#panel input[type=file]").setInputFiles({ name, mimeType: "application/geo+json", buffer });
  }

  const kept = async (): Promise<Geometry[]> => (await pages.kept("hands")).map(({ geometry }) => geometry);

  /** A place on the screen -> where it is on the slide, and back. */
  async function toScreen(page: Page, at: Position): Promise<[number, number]> {
    const box = await page.locator("#slide").boundingBox();
    const { view } = await stateOf(page);
    assert.ok(box && view);
    const scale = view.magnification / 20;
    return [box.x + box.width / 2 + (at[0] - view.x) * scale, box.y + box.height / 2 + (at[1] - view.y) * scale];
  }

  const feature = (geometry: Geometry, properties: object = {}): object => ({ type: "Feature", geometry, properties });
  const square = (x: number, y: number, side: number): Geometry => ({
    type: "Polygon",
    coordinates: [boxRing([x, y], [x + side, y + side])],
  });

  test("what the server refuses is shown as not saved, can be edited, and is saved in the end", async () => {
    const page = await open();
    const refusal = { error: { status: 400, expected: "less", found: "too much", do: "try later" } };
    await page.route("**/annotations/*", (route) =>
      route.fulfill({ status: 400, contentType: "application/json", body: JSON.stringify(refusal) }),
    );
    await page.locator(".tool", { hasText: "Box" }).click();
    await drag(page, [500, 200], [600, 300]);
    await page.getByText("1 not saved: Found too much, expected less.").waitFor();
    await page.getByText("try later").waitFor();
    assert.equal(await page.getByText("All saved").count(), 0);
    assert.equal(await page.locator("ol.list:visible .not-saved").count(), 1);
    assert.equal(await page.locator(".mark.unsaved").count(), 1);
    assert.equal((await stateOf(page)).unsaved, 1);
    assert.deepEqual(await kept(), []);
    await page.getByRole("button", { name: "Save again" }).click();
    await page.getByText("1 not saved").waitFor();
    await page.unroute("**/annotations/*");
    await page.getByLabel("Label").fill("Gland");
    await page.getByLabel("Label").press("Enter");
    await page.getByText("All saved with the slide.").waitFor();
    assert.equal((await kept()).length, 1);
  });

  test("what somebody else changed meanwhile is not overwritten but on request", async () => {
    const page = await open();
    const id = "11111111-2222-4333-8444-555555555555";
    const other = "11111111-2222-4333-8444-666666666666";
    const both = [id, other].map((key, n) => ({ ...feature(square(1000 + 400 * n, 1000, 200)), id: key }));
    await importFile(page, both);
    await saved(page, 2);
    const theirs = square(1000, 1000, 500);
    await pages.send("PUT", `/api/slides/hands/annotations/${id}`, { ...feature(theirs), id });
    const label = async (words: string): Promise<void> => {
      await page.locator("ol.list:visible button.row").last().click();
      await page.getByLabel("Label").fill(words);
      await page.getByLabel("Label").press("Enter");
    };
    await label("Gland");
    await page.getByText("1 not saved: Found one that somebody changed meanwhile").waitFor();
    assert.deepEqual((await kept())[0], theirs);
    await page.getByRole("button", { name: "Save again" }).click();
    await saved(page, 2);
    assert.deepEqual(await kept(), [square(1000, 1000, 200), square(1400, 1000, 200)]);
    await label("Duct");
    await saved(page, 2);
    await pages.send("PUT", `/api/slides/hands/annotations/${id}`, { ...feature(theirs), id });
    await page.getByRole("button", { name: "Delete all" }).click();
    await page.getByText("1 not saved: expected the annotation as it was when it was loaded").waitFor();
    assert.deepEqual(await kept(), [theirs], "what nobody changed is deleted");
  });

  test("an import is one request and one step, and reports what it left out", async () => {
    const page = await open();
    const posts: string[] = [];
    page.on("request", (one) => void (one.method() !== "GET" && posts.push(one.method())));
    const rows = [square(1000, 1000, 200), square(1400, 1000, 200)].map((geometry) => feature(geometry));
    await importFile(page, [...rows, { ...(rows[0] as object), geometry: null }, 7]);
    await page.getByText("2 imported, 2 left out, because").waitFor();
    await page.getByText("2 left out", { exact: true }).click();
    await page.getByText("feature 4: expected a GeoJSON feature, found 7").last().waitFor();
    await saved(page, 2);
    assert.deepEqual(posts, ["POST"]);
    await page.keyboard.press("Control+z");
    await saved(page, 0);
    assert.deepEqual(posts, ["POST", "PATCH"]);
    assert.deepEqual(await kept(), []);
    await importFile(page, rows.slice(0, 1));
    await page.getByText("1 annotation imported.").waitFor();
    assert.equal(await page.getByText("2 imported").count(), 0, "what is said is of the last import");
  });

  test("an import while the server is gone is done when it is back, and once", async () => {
    const page = await open();
    await pages.server.stop("SIGKILL");
    await importFile(page, [feature(square(1000, 1000, 200)), feature(square(1400, 1000, 200))]);
    await page.getByText("Importing, the server reads the file...").waitFor();
    await pages.server.start();
    await saved(page, 2);
    assert.equal((await kept()).length, 2);
  });

  /** Loads the page anew, its annotations held back until the function that is returned is called. */
  async function reloadHeld(page: Page): Promise<() => void> {
    let go = (): void => {};
    const held = new Promise<void>((resolve) => (go = resolve));
    await page.route("**/hands/annotations?versions=1", async (route) => {
      await held;
      await route.continue().catch(() => {}); // given up meanwhile
    });
    const asked = page.waitForRequest("**/hands/annotations?versions=1");
    await page.reload();
    await asked;
    await page.keyboard.press("a");
    return go;
  }

  test("an import before the slide's annotations are there gives back what it replaced when it is undone", async () => {
    const page = await open();
    const id = "11111111-2222-4333-8444-555555555555";
    const [old, fresh] = [square(1000, 1000, 200), square(1400, 1000, 300)];
    await importFile(page, { ...feature(old), id });
    await saved(page, 1);
    const go = await reloadHeld(page);
    await importFile(page, { ...feature(fresh), id });
    await page.getByText("Importing, the server reads the file...").waitFor();
    go();
    await page.getByText("1 annotation imported.").waitFor();
    await saved(page, 1);
    assert.deepEqual(await kept(), [fresh]);
    await page.keyboard.press("Control+z");
    await saved(page, 1);
    assert.deepEqual(await kept(), [old]);
  });

  test("an import goes on where another slide is chosen before the annotations are there", async () => {
    const page = await open();
    const go = await reloadHeld(page);
    await importFile(page, feature(square(1000, 1000, 200)));
    await page.getByText("Importing, the server reads the file...").waitFor();
    await page.locator("#picker").selectOption("other");
    go();
    await page.getByText(/1 annotation imported into /).waitFor();
    assert.deepEqual(await kept(), [square(1000, 1000, 200)]);
  });

  test("what an import left out is listed with its own slide", async () => {
    const page = await open();
    const list = page.getByText("1 left out", { exact: true });
    await importFile(page, [feature(square(1000, 1000, 200)), 7]);
    await list.waitFor();
    await page.locator("#picker").selectOption("other");
    await waitFor(page, "the other slide", (state) => state.slide === "other");
    assert.equal(await list.count(), 0, "it is of the slide before");
    await page.locator("#picker").selectOption("hands");
    await list.waitFor();
    let go = (): void => {};
    const held = new Promise<void>((resolve) => (go = resolve));
    await page.route("**/hands/annotations?import=*", async (route) => {
      await held;
      await route.continue();
    });
    await importFile(page, [feature(square(1400, 1000, 200)), 7, 8]);
    await page.getByText("Importing, the server reads the file...").waitFor();
    await page.locator("#picker").selectOption("other");
    await waitFor(page, "the other slide", (state) => state.slide === "other");
    go();
    await page.getByText(/1 imported into .*, 2 left out, because/).waitFor();
    assert.equal(await page.getByText("2 left out", { exact: true }).count(), 0);
    await page.locator("#picker").selectOption("hands");
    await page.getByText("2 left out", { exact: true }).waitFor();
  });

  test("ten thousand cells are shown, moved, chosen and taken back in one step", async () => {
    const page = await open();
    const cells = Array.from({ length: 10_000 }, (_, i) => {
      const [x, y] = [40 + (i % 100) * 40, 30 + Math.floor(i / 100) * 30];
      const properties = { objectType: "cell", classification: { name: "Tumor", color: [255, 0, 255] } };
      return { ...feature(square(x, y, 16), properties), nucleusGeometry: square(x + 4, y + 4, 8) };
    });
    await importFile(page, { type: "FeatureCollection", features: cells });
    await page.getByText("10000 annotations imported.").waitFor();
    await page.getByText("All saved with the slide.").waitFor();
    await page.waitForFunction(() => window.everslide.state().annotationsDrawn);
    assert.ok(await hasPixels(page, "magenta"), "they are on the screen");
    const moves = await framesWhilePanning(page);
    console.log(`# panning over 10,000 cells: ${moves} ms a frame (median, 90 %, longest)`);
    await page.waitForFunction(() => window.everslide.state().annotationsDrawn);
    assert.ok(await hasPixels(page, "magenta"), "also after the view moved");
    await page.evaluate(() => window.everslide.viewer.viewport.zoomTo(20, undefined, true));
    await page.waitForFunction(() => window.everslide.state().annotationsDrawn);
    assert.ok(await hasPixels(page, "magenta"), "and nearer");
    await page.keyboard.press("Control+z");
    await page.waitForFunction(() => window.everslide.state().unsaved === 0);
    assert.deepEqual(await kept(), []);
    assert.ok(!(await hasPixels(page, "magenta")));
  });

  test("an outline of forty corners is moved as a whole, its corners dragged, added and deleted", async () => {
    const page = await open();
    const ring = Array.from({ length: 40 }, (_, i): Position => {
      const angle = (i * Math.PI) / 20;
      return [Math.round(2048 + 900 * Math.cos(angle)), Math.round(1536 + 900 * Math.sin(angle))];
    });
    const outline: Geometry = { type: "Polygon", coordinates: [[...ring, ring[0] as Position]] };
    await importFile(page, feature(outline));
    await saved(page, 1);
    await page.keyboard.press("a");
    await page.mouse.click(...(await toScreen(page, [2048, 1536])));
    await page.locator(".handles circle").nth(39).waitFor();
    assert.equal(await page.locator(".handles circle").count(), 40);

    const middle = await toScreen(page, [2048, 1536]);
    await drag(page, middle, [middle[0] + 50, middle[1] + 25]);
    await changed(page, async () => boundsOf((await kept())[0] as Geometry).x > 1148);
    const moved = (await kept())[0] as Geometry;
    assert.deepEqual(boundsOf(moved), { x: 1148 + 50 / SCALE, y: 636 + 25 / SCALE, width: 1800, height: 1800 });
    assert.deepEqual((await stateOf(page)).view?.x, 2048, "the slide stays where it is");

    const corner = await toScreen(page, [2948 + 200, 1536 + 100]);
    await drag(page, corner, [corner[0] + 20, corner[1]]);
    await changed(page, async () => boundsOf((await kept())[0] as Geometry).width > 1800);

    const edge = page.locator(".handles rect").first();
    const box = await edge.boundingBox();
    assert.ok(box);
    await drag(page, [box.x + 3, box.y + 3], [box.x + 40, box.y + 20]);
    await changed(page, async () => ringOf(await kept()).length === 42);

    await page.locator(".handles circle").nth(5).click();
    await page.locator(".handles circle.chosen").waitFor();
    await page.keyboard.press("Delete");
    await changed(page, async () => ringOf(await kept()).length === 41);
    await page.locator(".handles circle").nth(7).dblclick();
    await changed(page, async () => ringOf(await kept()).length === 40);
    for (let i = 0; i < 5; i++) await page.keyboard.press("Control+z");
    await changed(page, async () => JSON.stringify(await kept()) === JSON.stringify([outline]));
  });

  test("by keyboard alone an annotation is chosen, its corners are moved, added and deleted, and it is moved", async () => {
    const page = await open();
    await importFile(page, feature(square(1848, 1336, 400)));
    await saved(page, 1);
    const corners = async (): Promise<string> => JSON.stringify(ringOf(await kept()).slice(0, -1));
    const row = page.locator("ol.list:visible button.row");
    await row.focus();
    await page.keyboard.press("Enter");
    assert.equal(await row.getAttribute("aria-pressed"), "true");
    assert.ok(await row.evaluate((one) => one === document.activeElement), "the focus stays in the list");
    await page.waitForFunction(() => !window.everslide.state().moving);
    const px = 20 / ((await stateOf(page)).view?.magnification ?? 0);

    await page.keyboard.press("k");
    await page.getByText("Corner 1 of 4.").waitFor();
    await page.getByText("Arrows move it, with Shift finely.").waitFor();
    await page.keyboard.press("Shift+K");
    await page.getByText("Corner 4 of 4.").waitFor();
    for (let i = 0; i < 2; i++) await page.keyboard.press("k");
    await page.getByText("Corner 2 of 4.").waitFor();
    for (let i = 0; i < 3; i++) await page.keyboard.press("ArrowRight");
    await page.keyboard.press("Shift+ArrowUp");
    await changed(page, async () => {
      const [x, y] = ringOf(await kept())[1] as Position;
      return Math.abs(x - 2248 - 24 * px) < 0.01 && Math.abs(y - 1336 + px) < 0.01;
    });
    await page.keyboard.press("Enter");
    await changed(page, async () => ringOf(await kept()).length === 6);
    await page.keyboard.press("Delete");
    await changed(page, async () => ringOf(await kept()).length === 5);
    for (let i = 0; i < 3; i++) await page.keyboard.press("Control+z");
    await changed(page, async () => (await corners()) === "[[1848,1336],[2248,1336],[2248,1736],[1848,1736]]");

    await page.keyboard.press("k");
    await page.keyboard.press("Escape");
    assert.equal(await page.locator(".handles .chosen").count(), 0);
    await page.keyboard.press("Control+ArrowLeft");
    await page.keyboard.press("Control+ArrowDown");
    await changed(page, async () => {
      const { x, y, width } = boundsOf((await kept())[0] as Geometry);
      return Math.abs(x - 1848 + 8 * px) < 0.01 && Math.abs(y - 1336 - 8 * px) < 0.01 && Math.abs(width - 400) < 0.01;
    });
    const before = (await stateOf(page)).view?.x;
    await page.keyboard.press("Control+z");
    await changed(page, async () => (await corners()) === "[[1848,1336],[2248,1336],[2248,1736],[1848,1736]]");
    await page.keyboard.press("Escape");
    await page.keyboard.press("ArrowLeft");
    await waitFor(page, "the slide moves again", (state) => (state.view?.x ?? 0) < (before ?? 0));
  });

  test("a corner out of the view is brought into it, also of an outline of more corners than have handles", async () => {
    const page = await open();
    const ring = Array.from({ length: 1000 }, (_, i): Position => {
      const angle = (i * Math.PI) / 500;
      return [2048 + 1400 * Math.cos(angle), 1536 + 1400 * Math.sin(angle)];
    });
    await importFile(page, feature({ type: "Polygon", coordinates: [[...ring, ring[0] as Position]] }));
    await saved(page, 1);
    await page.locator("ol.list:visible button.row").focus();
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => !window.everslide.state().moving);
    await page.evaluate(() => window.everslide.viewer.viewport.zoomTo(20, undefined, true));
    await page.keyboard.press("k");
    await page.getByText("Corner 1 of 1000.").waitFor();
    await waitFor(page, "the corner is in view", (state) => Math.abs((state.view?.x ?? 0) - 3448) < 1);
    await page.evaluate(() => window.everslide.viewer.viewport.goHome(true));
    for (let i = 0; i < 5; i++) await page.keyboard.press("Shift+K");
    await page.getByText("Corner 996 of 1000.").waitFor();
    await page.locator(".handles circle.chosen").waitFor();
  });

  test("whole numbers beyond 2^53 keep their digits when an annotation is changed and exported", async () => {
    const page = await open();
    const place = JSON.stringify(square(1848, 1336, 400));
    const numbers = '"cell": 12345678901234567890, "measurements": [{"name": "id", "value": -9007199254740993}]';
    const properties = `{"name": 9007199254740993, ${numbers}, "text": "12345678901234567890, 1", "x": 0.12345678901234568}`;
    await importFile(page, `{"type": "Feature", "geometry": ${place}, "properties": ${properties}}`);
    await saved(page, 1);
    assert.match(await page.locator("ol.list:visible .row").innerText(), /^9007199254740993/);
    await page.locator("ol.list:visible .row").click();
    await page.waitForFunction(() => !window.everslide.state().moving);
    await page.keyboard.press("Control+ArrowLeft");
    await saved(page, 1);
    const stored = await (await fetch(`${pages.server.url}/api/slides/hands/annotations`)).text();
    const [file] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Export GeoJSON" }).click(),
    ]);
    for (const text of [stored, (await contentOf(file)).toString()]) {
      const squeezed = text.replace(/\s+/g, "");
      assert.ok(squeezed.includes(`{"name":9007199254740993,${numbers.replace(/\s+/g, "")}`), text);
      assert.ok(text.includes('"12345678901234567890, 1"') && text.includes("0.12345678901234568"), text);
    }
  });

  test("what of a slide is not saved is there when the slide is shown again, and counted until then", async () => {
    const page = await open();
    const refusal = { error: { status: 400, expected: "less", found: "too much", do: "try later" } };
    await page.route("**/hands/annotations/*", (route) =>
      route.fulfill({ status: 400, contentType: "application/json", body: JSON.stringify(refusal) }),
    );
    await page.locator(".tool", { hasText: "Box" }).click();
    await drag(page, [500, 200], [600, 300]);
    await page.getByText("1 not saved: Found too much, expected less.").waitFor();
    await page.locator("#picker").selectOption("other");
    await waitFor(page, "the other slide", (state) => state.slide === "other");
    assert.deepEqual([(await stateOf(page)).annotations.length, (await stateOf(page)).unsaved], [0, 1]);
    assert.equal(await page.getByText("1 not saved").count(), 0, "nothing of this slide is unsaved");
    await page.unroute("**/hands/annotations/*");
    await page.locator("#picker").selectOption("hands");
    await page.getByText("1 not saved: Found too much, expected less.").waitFor();
    await page.getByRole("button", { name: "Save again" }).click();
    await saved(page, 1);
    assert.equal((await kept()).length, 1);
  });

  test("a torn file is imported as far as it goes, and reported", async () => {
    const page = await open();
    const rows = [square(1000, 1000, 200), square(1400, 1000, 200)].map((geometry) => feature(geometry));
    await importFile(page, JSON.stringify({ type: "FeatureCollection", features: rows }).slice(0, -40));
    await page.getByText("1 imported, 1 left out, because").waitFor();
    await page
      .locator("#notices")
      .getByText(/line 1 column \d+: damaged, or cut off here/)
      .waitFor();
    await saved(page, 1);
  });

  test("a locked annotation is not moved until it is unlocked", async () => {
    const page = await open();
    await importFile(page, feature(square(1848, 1336, 400), { isLocked: true }));
    await saved(page, 1);
    await page.mouse.click(...(await toScreen(page, [2048, 1536])));
    const lock = page.getByLabel("Locked: it cannot be moved");
    await lock.waitFor();
    assert.equal(await page.locator(".handles circle").count(), 0);
    await lock.uncheck();
    await page.locator(".handles circle").first().waitFor();
    await saved(page, 1);
    assert.equal((await pages.kept("hands"))[0]?.properties.isLocked, false);
  });

  test("all are deleted, or those of a class, and come back in one step", async () => {
    const page = await open();
    const classes = ["Tumor", "Tumor", "Stroma"];
    await importFile(
      page,
      classes.map((name, n) => feature(square(1000 + 400 * n, 1000, 200), { classification: { name } })),
    );
    await saved(page, 3);
    await page.locator("ol.list:visible button.row", { hasText: "Tumor" }).first().click();
    await page.getByRole("button", { name: "Delete class Tumor (2)" }).click();
    await saved(page, 1);
    await page.getByText("2 annotations deleted.").waitFor();
    await page.keyboard.press("Control+z");
    await saved(page, 3);
    await page.getByRole("button", { name: "Delete all" }).click();
    await saved(page, 0);
    await page.keyboard.press("Control+z");
    await saved(page, 3);
    assert.equal((await kept()).length, 3);
  });

  test("a drag of no size makes nothing, and the next one does", async () => {
    const page = await open();
    for (const tool of ["Box", "Freehand"]) {
      await page.locator(".tool", { hasText: tool }).click();
      await drag(page, [500, 300], [560, 360], [500, 300]);
      if (tool === "Box") await drag(page, [500, 300], [560, 300]);
      else await drag(page, [500, 300], [502, 301]);
    }
    assert.deepEqual((await stateOf(page)).annotations.length, 1, "what was drawn freely there and back");
    await page.locator(".tool", { hasText: "Box" }).click();
    await drag(page, [500, 300], [560, 360]);
    await saved(page, 2);
  });

  test("gives lengths, areas and counts as tables and as measurements", async () => {
    const page = await open();
    await importFile(page, [feature(square(1000, 1000, 200), { classification: "Tumor" })]);
    await saved(page, 1);
    const measures = await downloaded(page, "With lengths and areas");
    const [written] = JSON.parse(measures.content).features;
    assert.deepEqual(
      [measures.name, written.properties.measurements],
      ["hands-measures.geojson", { "Area µm^2": 10000, "Perimeter µm": 400 }],
    );
    await page.keyboard.press("m");
    const table = await downloaded(page, "Table (CSV)");
    assert.equal(table.name, "hands.csv");
    assert.match(table.content, /,Tumor,,Polygon,,,10000.0,400.0,1100.0,1100.0,SYNTHETIC - not for diagnosis\r\n$/);
    const classes = await downloaded(page, "By class (CSV)");
    assert.match(classes.content, /^class,annotations,.*\r\nTumor,1,,,10000.0,SYNTHETIC/);
  });

  test("a slide that was made is renamed, deleted and brought back", async () => {
    const wish = { title: "By mistake", seed: "7", model: "speckle", width: 4096, height: 3072 };
    const made = await pages.send("POST", "/api/slides", wish);
    const { id } = (await made.json()) as { id: string };
    const page = await pages.open("#slide=demo&x=66000&y=20000&mag=5");
    const edit = page.getByRole("button", { name: "Rename or delete this slide" });
    assert.ok(await edit.isHidden(), "the demo slide stays");
    await page.locator("#picker").selectOption({ label: "By mistake" });
    await edit.click();
    await page.getByLabel("What it is called").fill("Lymph node");
    await page.getByRole("button", { name: "Rename", exact: true }).click();
    await page.waitForFunction(() => document.title.startsWith("Lymph node"));
    assert.equal(await page.locator("#picker option:checked").textContent(), "Lymph node");
    for (const undo of [
      () => page.getByRole("button", { name: "Undo", exact: true }).click(),
      () => page.keyboard.press("Control+z"),
    ]) {
      await edit.click();
      await page.getByRole("button", { name: "Delete slide" }).click();
      await waitFor(page, "another slide is open", ({ slide }) => slide === "demo");
      assert.equal((await fetch(`${pages.server.url}/api/slides/${id}`)).status, 404);
      assert.equal(await page.locator("#picker option", { hasText: "Lymph node" }).count(), 0);
      await undo();
      await waitFor(page, "the slide is back", ({ slide }) => slide === id);
    }
    assert.equal(await page.locator("#picker option:checked").textContent(), "Lymph node");
  });

  test("keys work by place where the layout has no Latin letters", async () => {
    const page = await pages.open();
    const press = (key: string, code: string): Promise<boolean> =>
      page.evaluate(
        (init) =>
          !document.body.dispatchEvent(new KeyboardEvent("keydown", { bubbles: true, cancelable: true, ...init })),
        { key, code },
      );
    assert.ok(await press("\u044c", "KeyM"));
    await page.locator("#panel-title", { hasText: "Measure" }).waitFor();
    assert.ok(await press("'", "Digit4"));
    await waitFor(page, "1.25x", ({ view }) => Math.abs((view?.magnification ?? 0) - 1.25) < 1e-6);
  });
});

describe("files that hands edited", { skip: noBrowser() || noServer() }, () => {
  const folder = mkdtempSync(join(tmpdir(), "everslide-slides-"));
  const file = join(folder, "slides.toml");
  writeFileSync(file, SLIDES);
  const pages = new RealPages("speckle", 60_000, ["--slides", file]);
  after(() => rmSync(folder, { recursive: true }));

  test("slides that cannot be read are told with their file, and the message is dismissed by keyboard", async () => {
    const page = await pages.open();
    const notice = page.locator(".notice", { hasText: "2 stored slides cannot be read." });
    await notice
      .getByText(/slide 1: missing field 'seed'; .*slide 3: .*keeps them as they are in .*slides\.toml/)
      .waitFor();
    const alert = page.getByRole("alert").filter({ has: notice });
    assert.equal(await alert.count(), 1, "screen readers are told");
    await notice.getByRole("button", { name: "Dismiss this message" }).focus();
    await page.keyboard.press("Enter");
    assert.equal(await notice.count(), 0);
    await waitFor(page, "the others are there", ({ slide }) => slide === "demo");
    assert.equal(await page.locator("#picker option", { hasText: "Sound" }).count(), 1);
  });
});

function ringOf([geometry]: readonly Geometry[]): readonly Position[] {
  return (geometry?.coordinates as readonly (readonly Position[])[])[0] ?? [];
}

/** Until it is so on the server. */
async function changed(page: Page, fits: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if (await fits()) return;
    await page.waitForTimeout(100);
  }
  throw new Error("Waited in vain until the server had the change.");
}

async function downloaded(page: Page, button: string): Promise<{ name: string; content: string }> {
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: button }).click(),
  ]);
  return { name: download.suggestedFilename(), content: (await contentOf(download)).toString() };
}

/** Whether the picture of many annotations shows pure magenta where the view is. */
async function hasPixels(page: Page, _color: "magenta"): Promise<boolean> {
  await frames(page);
  return page.evaluate(() =>
    [...document.querySelectorAll<HTMLCanvasElement>(".crowd:not([hidden]) canvas:not([hidden])")].some((canvas) => {
      const context = canvas.getContext("2d") as CanvasRenderingContext2D;
      const { width, height } = canvas;
      const { data } = context.getImageData(width / 4, height / 4, width / 2, height / 2);
      for (let i = 0; i < data.length; i += 4)
        if (data[i + 3]! > 200 && data[i]! > 200 && data[i + 1]! < 60) return true;
      return false;
    }),
  );
}

/** Milliseconds a frame while the view is moved in each: median, 90 %, longest. */
function framesWhilePanning(page: Page): Promise<string> {
  return page.evaluate(async () => {
    const { viewport } = window.everslide.viewer;
    const centre = viewport.getCenter();
    const times: number[] = [];
    await new Promise<void>((resolve) => {
      const step = (now: number): void => {
        times.push(now);
        const at = centre.clone();
        at.x += 0.15 * Math.sin(times.length / 20);
        viewport.panTo(at, true);
        if (times.length < 150) requestAnimationFrame(step);
        else resolve();
      };
      requestAnimationFrame(step);
    });
    const spans = times.slice(1).map((time, i) => time - (times[i] as number));
    spans.sort((a, b) => a - b);
    return [0.5, 0.9, 1].map((part) => (spans[Math.ceil(part * spans.length) - 1] as number).toFixed(1)).join(", ");
  });
}
