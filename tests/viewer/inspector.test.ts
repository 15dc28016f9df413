/** Comparing slides and looking into tiles, done as a person does it, on the real server. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { noBrowser, stateOf, waitFor, waitPainted, writeDownTexts } from "./browser.js";
import { drag, RealPages } from "./realPages.js";
import { noServer } from "./realServer.js";

describe("for people who inspect models", { skip: noBrowser() || noServer() }, () => {
  const pages = new RealPages();

  test("compares slides side by side, by swipe and blinking, views linked", async () => {
    const page = await pages.open();
    await page.getByRole("button", { name: "Compare" }).click();
    await page.getByLabel("Compare with").selectOption("other");
    await page.getByRole("button", { name: "Put beside" }).click();
    const both = (what: string): Promise<unknown> =>
      waitFor(
        page,
        what,
        ({ panes, moving }) => !moving && panes.length === 2 && panes.every((pane) => pane.tilesInViewFinal),
        60_000,
      );
    await both("both are painted");
    // The one that is moved leads, the other follows a frame later.
    const together = async (): Promise<void> => {
      const { panes } = await waitFor(page, "they stand less than half a pixel apart", ({ moving, panes }) => {
        const [a, b] = panes.map((pane) => pane.view);
        const apart = Math.hypot((a?.x ?? 0) - (b?.x ?? 0), (a?.y ?? 0) - (b?.y ?? 0)) * ((a?.magnification ?? 1) / 20);
        return !moving && apart < 0.5 && a?.magnification === b?.magnification;
      });
      assert.deepEqual(
        panes.map((pane) => pane.slide),
        ["demo", "other"],
      );
    };
    await together();
    assert.equal((await stateOf(page)).view?.magnification, 5, "the magnification survives the smaller frame");
    await page.keyboard.press("7");
    await page.keyboard.press("ArrowLeft");
    await both("both moved");
    await together();
    const boxes = await page
      .locator(".pane")
      .evaluateAll((panes) => panes.map((pane) => pane.getBoundingClientRect().x));
    assert.ok((boxes[1] ?? 0) > (boxes[0] ?? 0) + 300, "side by side");
    // The second slide is moved, the first follows.
    const second = await page.locator(".pane").nth(1).boundingBox();
    assert.ok(second);
    const before = (await stateOf(page)).view;
    await drag(page, [second.x + 300, 500], [second.x + 200, 450], [second.x + 200, 450]);
    await waitFor(page, "the first followed", (state) => state.view?.x !== before?.x);
    await both("both are painted there");
    await together();

    await page.getByRole("button", { name: "Swipe" }).click();
    await both("wiped");
    await together();
    await page.getByLabel("Border between the slides").fill("25");
    assert.match(
      await page
        .locator(".pane")
        .nth(1)
        .evaluate((pane) => getComputedStyle(pane).clipPath),
      /inset\(0px 0px 0px 25%\)/,
    );
    await page.getByRole("button", { name: "Blink" }).click();
    for (const next of ["hidden", "visible", "hidden"]) {
      await page.waitForFunction((next) => {
        const pane = document.querySelectorAll(".pane")[1] as HTMLElement;
        return getComputedStyle(pane).visibility === next;
      }, next);
    }
    await page.getByRole("button", { name: "Back to one slide" }).click();
    await waitFor(page, "one is left", (state) => state.panes.length === 1);
    await waitPainted(page);
  });

  test("four slides is the most, and each can be taken away", async () => {
    const page = await pages.open();
    await page.keyboard.press("c");
    const add = page.getByRole("button", { name: "Put beside" });
    for (let i = 0; i < 3; i++) await add.click();
    await page.getByText("4 slides is the most.").waitFor();
    assert.ok(await add.isDisabled());
    await page
      .getByRole("button", { name: /^Remove/ })
      .first()
      .click();
    await waitFor(page, "three are left", (state) => state.panes.length === 3);
  });

  test("inspects a tile, paints it again and compares the bytes", async () => {
    const page = await pages.open();
    await page.keyboard.press("i");
    await page.mouse.move(900, 500);
    const address = page.locator(".facts dd").first();
    await page.waitForFunction(() => /^15\/\d+_\d+$/.test(document.querySelector(".facts dd")?.textContent ?? ""));
    const first = await address.textContent();
    await page.mouse.move(700, 300);
    await page.waitForFunction((old) => document.querySelector(".facts dd")?.textContent !== old, first);
    const facts = (await page.locator(".facts").textContent()) ?? "";
    assert.match(
      facts,
      /5x, 2 µm\/px, scale 2.*Seed7Modelspeckle.*painted and cached.*0 grey levels.*SHA-256[0-9a-f]{24}/s,
    );
    await page.mouse.click(700, 300);
    await page.getByRole("button", { name: "Paint again and compare bytes" }).click();
    await page.getByText(/^Equal, byte for byte\. \d+ windows, \d+ denoiser calls, \d+ ms\.$/).waitFor();
    await page.waitForFunction(() =>
      /Steps of a window1Denoiser calls\d+Time\d+ ms/.test(document.querySelector(".facts")?.textContent ?? ""),
    );
    // What it took, window by window, and how the last window came about.
    const rows = await page.locator(".work-table tbody tr").allTextContents();
    assert.ok(rows.length >= 1 && rows.every((row) => /^[\d.]+x\d+[\d.]* ms[\d.]+ dB$/.test(row)), rows.join());
    assert.match((await page.locator(".film figcaption").textContent()) ?? "", /^Parent: /);
    await page.getByLabel("Picture of the film").fill("4");
    assert.match((await page.locator(".film figcaption").textContent()) ?? "", /^Tile: /);
    assert.equal(
      await page
        .locator(".film img")
        .evaluate((image: HTMLImageElement) => image.decode().then(() => image.naturalWidth)),
      256,
    );
    const captions = await writeDownTexts(page, ".film figcaption");
    await page.getByRole("button", { name: "Play the film" }).click();
    await page.waitForFunction(() => (window as unknown as { texts: string[] }).texts.at(-1)?.startsWith("Tile: "));
    const played = (await captions()).map((words) => words.split(":")[0]);
    assert.deepEqual(played, ["Parent", "Noise", "Detail", "Window", "Tile"]);
    await page.getByLabel("Difference from the parent's pixels").check();
    await page.getByText(/^\d+ tiles compared with their parents, largest difference 0\.$/).waitFor();
    await page.getByLabel("State: painted, cached, waiting, preview").check();
    const drawn = await page.evaluate(() => {
      const canvas = document.querySelector(".tile-overlay") as HTMLCanvasElement;
      const { data } = (canvas.getContext("2d") as CanvasRenderingContext2D).getImageData(
        0,
        0,
        canvas.width,
        canvas.height,
      );
      return data.filter((value, index) => index % 4 === 3 && value > 0).length / (canvas.width * canvas.height);
    });
    assert.ok(drawn > 0.9, "every tile in view is marked with its state");
    await page.getByRole("button", { name: "Show the eight magnifications" }).click();
    await page.waitForFunction(() => document.querySelectorAll('.strip li[data-state="final"]').length === 8, null, {
      timeout: 60_000,
    });
    const labels = await page.locator(".strip li").allTextContents();
    assert.deepEqual(labels, ["0.16x", "0.31x", "0.63x", "1.25x", "2.5x", "5x", "10x", "20x"]);
  });
});
