/** Organs as a person meets them: in the dialog, in the bar, in a quiz and a tour, on the real server with its weights. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Page } from "playwright-core";
import type { State } from "../../viewer/src/inspection.js";
import { artefact, noBrowser, waitFor } from "./browser.js";
import { RealPages } from "./realPages.js";
import { noServer } from "./realServer.js";

const PAINT_MS = 300_000;
const OVERVIEW = "#slide=demo-colon&x=65536&y=49152&mag=0.15625";

interface Facts {
  id: string;
  organ: string | null;
  organ_cases: number;
  organ_drawn: boolean;
}

interface Offer {
  name: string;
  cases: number;
}

describe("organs", { skip: noBrowser() || noServer() }, () => {
  const pages = new RealPages("mini", PAINT_MS, ["--idle-painting", "off"]);

  const facts = async (id: string): Promise<Facts> =>
    (await (await fetch(`${pages.server.url}/api/slides/${id}`)).json()) as Facts;
  const offered = async (): Promise<Offer[]> => {
    const answer = await fetch(`${pages.server.url}/api/models`);
    return ((await answer.json()) as { models: { organs: Offer[] }[] }).models[0]?.organs ?? [];
  };
  const look = (page: Page, name: string): Promise<unknown> =>
    page.screenshot({ path: artefact(`${name}.jpg`), type: "jpeg", quality: 78 });

  test("six demo slides of six organs, and the bar says how many cases are behind one", async () => {
    const page = await pages.openCold(OVERVIEW);
    const listed = await page.locator("#picker option").allTextContents();
    assert.deepEqual(
      ["Colon", "Skin", "Liver", "Brain", "Kidney", "Placenta"].map((title) => listed.includes(title)),
      Array(6).fill(true),
    );
    const { organ, organ_cases } = await facts("demo-colon");
    assert.equal(organ, "colon");
    assert.match((await page.textContent("#about")) ?? "", new RegExp(`, colon: a likeness of ${organ_cases} cases?$`));
    await page.waitForFunction(() => location.hash.includes("&organ=colon&fp="));
  });

  test("a new slide with a region of another organ, by keyboard alone", async () => {
    const page = await pages.openCold(OVERVIEW);
    await page.keyboard.press("n");
    const add = page.getByRole("button", { name: "Add a region of another organ" });
    await add.waitFor();
    await add.focus();
    await page.keyboard.press("Enter");
    const region = page.getByRole("group", { name: "Region 1" });
    assert.equal(await region.getByLabel("Organ").evaluate((one) => one === document.activeElement), true);
    await page.keyboard.type("Fat");
    for (const typed of ["60", "5", "8", "6"]) {
      await page.keyboard.press("Tab");
      await page.keyboard.type(typed);
    }
    await page.keyboard.press("Enter");
    const alert = page.locator("dialog").getByRole("alert");
    await alert.getByText("Region 1 (fat) lies outside: it reaches from 60 to 68 mm from the left").waitFor();
    assert.equal(await region.getByLabel("From the left").evaluate((one) => one === document.activeElement), true);
    await look(page, "new-slide-region");
    await page.keyboard.type("50");
    const sent = page.waitForRequest((request) => request.method() === "POST" && request.url().endsWith("/api/slides"));
    await page.keyboard.press("Enter");
    assert.deepEqual((JSON.parse((await sent).postData() ?? "{}") as { regions: unknown }).regions, [
      { x_um: 50000, y_um: 5000, width_um: 8000, height_um: 6000, organ: "fat" },
    ]);
    await waitFor(page, "it is open", (state) => state.slide === "my-slide");
  });

  test("a new slide of an organ, chosen by its picture, before the seed", async () => {
    const page = await pages.openCold(OVERVIEW);
    await page.keyboard.press("n");
    const liver = page.locator('.organ[data-organ="liver"]');
    await liver.scrollIntoViewIfNeeded();
    await page.waitForFunction(
      () => (document.querySelector('.organ[data-organ="liver"] img') as HTMLImageElement).naturalWidth === 256,
      null,
      { timeout: PAINT_MS },
    );
    const organs = await offered();
    assert.equal(await page.locator(".organ").count(), organs.length + 1, "and any organ, drawn from the seed");
    const cases = organs.find(({ name }) => name === "liver")?.cases ?? 0;
    assert.equal(await liver.locator("small").textContent(), `likeness of ${cases} case${cases === 1 ? "" : "s"}`);
    const [organBox, seedBox] = [await liver.boundingBox(), await page.locator(".seed").first().boundingBox()];
    assert.ok((organBox?.y ?? 0) < (seedBox?.y ?? 0), "organs stand before seeds");
    const asked = page.waitForRequest((request) => /gallery\/mini\/\d{6,}\.jpeg\?organ=liver$/.test(request.url()));
    await liver.click();
    await asked;
    assert.equal(await liver.getAttribute("aria-pressed"), "true");
    await page.waitForFunction(
      () =>
        [...document.querySelectorAll<HTMLImageElement>(".seed img")].filter((image) => image.naturalWidth === 256)
          .length === 6,
      null,
      { timeout: PAINT_MS },
    );
    await look(page, "new-slide-organs");
    await page.locator("dialog").getByLabel("Title").fill("My liver");
    await page.getByRole("button", { name: "Make slide" }).click();
    await waitFor(page, "it is open", (state) => state.slide === "my-liver");
    assert.deepEqual(
      [(await facts("my-liver")).organ, (await facts("my-liver")).organ_drawn, (await facts("demo")).organ_drawn],
      ["liver", false, true],
    );
  });

  test("guesses ten tissues, and the answers are what the slides know", async () => {
    const page = await pages.openCold(OVERVIEW);
    let shown = "";
    page.on("request", (request) => {
      shown = /slides\/([a-z0-9-]+)_files\/.*preview/.exec(request.url())?.[1] ?? shown;
    });
    await page.keyboard.press("t");
    await page.getByRole("button", { name: "Guess the tissue" }).click();
    const quiz = page.locator("dialog.quiz");
    await quiz.getByText("Which organ is this?").waitFor();
    assert.ok(await quiz.getByText("SYNTHETIC - not for diagnosis").isVisible(), "what is painted says what it is");
    const asked = new Set<string>();
    let right = 0;
    for (let number = 1; number <= 10; number++) {
      await quiz.getByText(`${number} of 10, ${right} right`).waitFor();
      await quiz.getByText("Which organ is this?").waitFor();
      const choices = quiz.locator(".stack .buttons button");
      const names = await choices.allTextContents();
      assert.equal(new Set(names).size, 4);
      if (number === 1) {
        const fits = (state: State): boolean => state.panes[1]?.tilesInViewFinal === true;
        const { panes } = await waitFor(page, "the place is painted", fits, PAINT_MS);
        assert.deepEqual([panes[0]?.slide, panes[1]?.slide], ["demo-colon", shown]);
        await look(page, "quiz-question");
      }
      const guessed = number % 2 === 1 ? 0 : 1;
      await choices.nth(guessed).click();
      const verdict = (await quiz.locator(".verdict").textContent()) ?? "";
      const found = /^(Right|No): it is (.+), a likeness of (\d+) cases?\.$/.exec(verdict);
      assert.ok(found, verdict);
      const [, said, organ = "", cases] = found;
      assert.equal(said === "Right", names[guessed]?.toLowerCase() === organ);
      assert.ok(names.map((name) => name.toLowerCase()).includes(organ));
      const known = [(await facts(shown)).organ, ...(shown === "my-slide" ? ["fat"] : [])];
      assert.ok(known.includes(organ), `the slide ${shown} or a region of it is ${known.join(" or ")}, not ${organ}`);
      assert.equal(Number(cases), (await offered()).find(({ name }) => name === organ)?.cases);
      asked.add(shown);
      right += Number(said === "Right");
      if (number === 2) await look(page, "quiz-answer");
      await quiz.getByRole("button", { name: "Next" }).click();
    }
    await quiz.getByText(`${right} of 10 right.`).waitFor();
    assert.ok(asked.size >= 6, [...asked].join(", "));
    await look(page, "quiz-score");
    await quiz.getByRole("button", { name: "Once more" }).click();
    await quiz.getByText("1 of 10, 0 right").waitFor();
    await page.keyboard.press("Escape");
    assert.ok(await quiz.isHidden());
    await waitFor(page, "the slide of before", (state) => state.slide === "demo-colon");
  });

  test("makes a tour of an organ at eight magnifications in one click", async () => {
    const page = await pages.openCold(OVERVIEW);
    await page.keyboard.press("t");
    await page.getByRole("button", { name: "Eight magnifications" }).click();
    const card = page.locator(".card");
    await card.getByRole("heading", { name: "Colon at 0.16x" }).waitFor();
    await card.getByText("1 of 8").waitFor();
    assert.match((await card.locator(".prose").textContent()) ?? "", /Synthetic, a likeness of \d+ cases?\.$/);
    await page.getByRole("button", { name: "Play Colon at eight magnifications" }).waitFor();
    for (let stop = 1; stop < 8; stop++) await page.keyboard.press("PageDown");
    await card.getByRole("heading", { name: "Colon at 20x" }).waitFor();
    const { view } = await waitFor(page, "at 20x", (state) => !state.moving && state.view?.magnification === 20);
    const { tours } = (await (await fetch(`${pages.server.url}/api/slides/demo-colon/tours`)).json()) as {
      tours: { title: string; stops: { x: number; y: number }[] }[];
    };
    assert.deepEqual(
      tours.map((tour) => [tour.title, tour.stops.length]),
      [["Colon at eight magnifications", 8]],
    );
    assert.deepEqual(
      [Math.round(view?.x ?? 0), Math.round(view?.y ?? 0)],
      [tours[0]?.stops[7]?.x, tours[0]?.stops[7]?.y],
    );
    await waitFor(page, "the tissue is painted", (state) => state.tilesInViewFinal, PAINT_MS);
    await look(page, "octaves-20x");
    await page.keyboard.press("PageUp");
    await page.keyboard.press("PageUp");
    await page.keyboard.press("PageUp");
    await waitFor(page, "at 2.5x", (state) => !state.moving && state.view?.magnification === 2.5);
    await waitFor(page, "painted too", (state) => state.tilesInViewFinal, PAINT_MS);
    await look(page, "octaves-2.5x");
  });
});
