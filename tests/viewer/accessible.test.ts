/** For everybody: axe-core's rules on every state of the page, in light and dark, on a phone; and a first-time user. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, afterEach, before, describe, test } from "node:test";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import {
  frames,
  launch,
  noBrowser,
  type Opened,
  openPage,
  stateOf,
  waitFor,
  waitPainted,
  writeDownTexts,
} from "./browser.js";
import { contentOf, decode } from "./pictures.js";
import { noServer, RealServer } from "./realServer.js";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

interface Finding {
  readonly id: string;
  readonly impact: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

/** Every finding of axe-core, in words. The page's policy allows no foreign script: it is run as Playwright's own. */
async function findings(page: Page): Promise<string[]> {
  await page.evaluate(await readFile(AXE, "utf8"));
  const found = await page.evaluate(async () => {
    const axe = (window as unknown as { axe: { run(): Promise<{ violations: unknown[] }> } }).axe;
    return (await axe.run()).violations;
  });
  return (found as Finding[]).flatMap(({ id, impact, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${impact} ${id}: ${html} ${failureSummary}`),
  );
}

describe("for everybody", { skip: noBrowser() || noServer() }, () => {
  let browser: Browser;
  const server = new RealServer("speckle", ["--slide", "other:8"]);
  let opened: Opened | null = null;

  before(async () => {
    browser = await launch();
    await server.start();
  });
  after(async () => {
    await browser.close();
    await server.close();
  });
  afterEach(async () => {
    await opened?.page.context().close();
    opened = null;
  });
  const open = async (options: BrowserContextOptions = {}): Promise<Page> => {
    opened = await openPage(browser, server.url, "#slide=demo&x=66000&y=20000&mag=1.25", options);
    await waitPainted(opened.page, 60_000);
    return opened.page;
  };

  for (const [name, options] of [
    ["light", { colorScheme: "light" }],
    ["dark", { colorScheme: "dark" }],
    ["on a phone", { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true }],
  ] as const) {
    test(`axe-core finds nothing: ${name}`, async () => {
      const page = await open({ ...options, reducedMotion: "reduce" }); // no words half faded out
      assert.deepEqual(await findings(page), []);
      for (const tool of ["Measure", "Annotate", "Adjust", "Compare", "Inspect", "Tours", "Export"]) {
        await page.locator("#rail").getByRole("button", { name: tool }).click();
        if (tool === "Tours" && name === "light") {
          await page.getByRole("button", { name: "New tour" }).click();
          await page.getByRole("button", { name: "Add this view" }).click();
        }
        if (tool === "Compare" && name !== "on a phone") await page.getByRole("button", { name: "Put beside" }).click();
        await frames(page);
        assert.deepEqual(await findings(page), [], tool);
      }
      for (const key of ["?", "n"]) {
        await page.locator("body").press("Escape");
        await page.evaluate(() => (document.activeElement as HTMLElement).blur());
        await page.keyboard.press(key);
        await page.locator("dialog[open]").waitFor();
        assert.deepEqual(await findings(page), [], key);
        await page.keyboard.press("Escape");
      }
    });
  }

  test("axe-core would find something", async () => {
    const page = await open();
    await page.evaluate(() => document.body.append(document.createElement("input")));
    assert.match((await findings(page)).join(), /critical label/);
  });

  test("every control is reached by Tab, has a name, and shows where the focus is", async () => {
    const page = await open();
    await page.keyboard.press("a");
    const seen = new Set<string>();
    for (let i = 0; i < 60; i++) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(() => {
        const element = document.activeElement as HTMLElement;
        const name = element.getAttribute("aria-label") ?? element.textContent?.trim() ?? "";
        const ring = getComputedStyle(element).outlineStyle !== "none" || element.closest(".slide") !== null;
        return {
          name: element.id || name || (element as HTMLInputElement).labels?.[0]?.textContent || "",
          ring,
          tag: element.tagName,
        };
      });
      if (at.tag === "BODY") continue;
      assert.ok(at.name, `a control without a name: ${JSON.stringify(at)}`);
      assert.ok(at.ring, `no focus ring on ${at.name}`);
      seen.add(at.name);
    }
    for (const name of [
      "picker",
      "new-slide",
      "help",
      "Measure",
      "Export",
      "Polygon",
      "zoom-in",
      "Magnification 20x",
    ]) {
      assert.ok(seen.has(name), `${name} is not among ${[...seen].join(", ")}`);
    }
  });

  test("magnification, turning and painting are announced to those who do not see them", async () => {
    const page = await open();
    const announced = await writeDownTexts(page, "#painting-spoken");
    await page.keyboard.press("8");
    await page.waitForFunction(() => document.querySelector("#spoken")?.textContent === "Magnification 20x, 0.5 µm/px");
    await waitPainted(page);
    await page.waitForFunction(() => document.querySelector("#painting-spoken")?.textContent === "Painted");
    assert.equal((await announced())[0], "Painting");
    await page.keyboard.press("r");
    await page.waitForFunction(() => /turned by 15 degrees/.test(document.querySelector("#spoken")?.textContent ?? ""));
  });

  test("who comes first finds 20x, a measurement, a comparison and an export by their names alone", async () => {
    const page = await open();
    // Nothing but words that are on the screen is used here, no key and no help.
    await page.getByText("20x", { exact: true }).click();
    await waitFor(page, "20x", (state) => Math.abs((state.view?.magnification ?? 0) - 20) < 1e-6 && !state.moving);
    await page.getByText("Measure", { exact: true }).click();
    await page.mouse.move(600, 300);
    await page.mouse.down();
    await page.mouse.move(800, 300, { steps: 4 });
    await page.mouse.up();
    await page.getByText("100 µm", { exact: true }).first().waitFor();
    await page.getByText("Compare", { exact: true }).click();
    await page.getByText("Put beside", { exact: true }).click();
    await waitFor(page, "two slides", (state) => state.panes.length === 2 && state.panes[1]?.slide !== null);
    assert.notEqual((await stateOf(page)).panes[1]?.slide, "demo", "another slide is proposed, not the same");
    await page.getByText("Export", { exact: true }).click();
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByText("Save screenshot", { exact: true }).click(),
    ]);
    assert.ok((await decode(page, await contentOf(download))).width > 1000);
  });

  test("nothing is out of reach from a phone to a wall", async () => {
    for (const [width, height] of [
      [360, 640],
      [768, 1024],
      [1280, 720],
      [2560, 1440],
      [3840, 2160],
    ] as const) {
      opened = await openPage(browser, server.url, "#slide=demo&x=66000&y=20000&mag=1.25", {
        viewport: { width, height },
      });
      const { page } = opened;
      await page.locator("#rail").getByRole("button", { name: "Annotate" }).click();
      for (const selector of ["#badge", "#picker", "#help", "#rail button:last-child", "#panel", ".tool:last-child"]) {
        const box = await page.locator(selector).boundingBox();
        const inside =
          box && box.x >= -0.5 && box.x + box.width <= width + 0.5 && box.y >= 0 && box.y + box.height <= height + 0.5;
        assert.ok(inside, `${selector} at ${width} x ${height}: ${JSON.stringify(box)}`);
      }
      const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
      assert.ok(!wide, "no scrolling sideways");
      await page.context().close();
    }
  });
});
