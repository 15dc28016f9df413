/** Tours, questions, new slides and links, done as a person does it, on the real server. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { noBrowser, stateOf, waitFor, waitPainted, waitUntil } from "./browser.js";
import { decode } from "./pictures.js";
import { PLACE, RealPages } from "./realPages.js";
import { noServer } from "./realServer.js";

describe("for teachers, and for everybody", { skip: noBrowser() || noServer() }, () => {
  const pages = new RealPages();

  test("makes a tour, paints it ahead, gives it, without controls", async () => {
    const page = await pages.open();
    await page.getByRole("button", { name: "Tours" }).click();
    await page.getByRole("button", { name: "New tour" }).click();
    await page.getByLabel("Title of the tour").fill("First look");
    await page.getByRole("button", { name: "Add this view" }).click();
    await page.locator("#slide .openseadragon-canvas").focus();
    await page.keyboard.press("7");
    await page.keyboard.press("ArrowRight");
    await page.getByRole("button", { name: "Add this view" }).click();
    await page.getByLabel("Title of stop 2").fill("The rim");
    await page.getByLabel("Text of stop 2").fill("Look at the border.");
    await page.getByRole("button", { name: "Paint ahead" }).click();
    await page.getByText(/^All \d+ tiles of "First look" are painted\.$/).waitFor({ timeout: 60_000 });
    await waitUntil(page, "the tour is kept", async () => {
      const { tours } = (await (await fetch("/api/slides/demo/tours")).json()) as { tours: any[] };
      const kept = tours.map((tour) => [tour.title, tour.stops.length, tour.stops[1]?.text]);
      return JSON.stringify(kept) === '[["First look",2,"Look at the border."]]';
    });

    await page.reload();
    await waitPainted(page, 60_000);
    await page.keyboard.press("t");
    await page.getByRole("button", { name: "Play First look" }).click();
    await page.locator(".card").getByText("1 of 2").waitFor();
    await page.keyboard.press("p");
    assert.ok(await page.locator("#rail").isHidden());
    assert.ok(await page.locator("#badge").isVisible(), "the badge stays");
    await page.keyboard.press("PageDown");
    await page.locator(".card").getByText("Look at the border.").waitFor();
    await waitFor(page, "the second stop", (state) => Math.abs((state.view?.magnification ?? 0) - 10) < 1e-6);
    await page.keyboard.press("Escape");
    assert.ok(await page.locator("#rail").isVisible());
    await page.keyboard.press("Escape");
    assert.ok(await page.locator(".card").isHidden());
  });

  test("a tour that the server refuses is shown as not saved, stays, and is saved in the end", async () => {
    const page = await pages.open("#slide=other&x=66000&y=20000&mag=5");
    const refusal = { error: { status: 400, expected: "less", found: "too much", do: "try later" } };
    await page.route("**/tours/*", (route) =>
      route.fulfill({ status: 400, contentType: "application/json", body: JSON.stringify(refusal) }),
    );
    await page.keyboard.press("t");
    await page.getByRole("button", { name: "New tour" }).click();
    await page.getByLabel("Title of the tour").fill("Kept");
    await page.getByRole("button", { name: "Add this view" }).click();
    await page.getByText("1 not saved: Found too much, expected less.").waitFor();
    await page.getByText("try later").waitFor();
    assert.equal(await page.getByText("All saved").count(), 0);
    assert.equal((await stateOf(page)).unsaved, 1);
    await page.getByRole("button", { name: "All tours" }).click();
    assert.equal(await page.locator(".list:visible .not-saved").innerText(), "not saved");
    await page.unroute("**/tours/*");
    await page.getByRole("button", { name: "Save again" }).click();
    await page.getByText("All saved with the slide.").waitFor();
    assert.equal(await page.locator(".list:visible .not-saved").count(), 0);
    const tours = async (): Promise<any[]> =>
      ((await (await fetch(`${pages.server.url}/api/slides/other/tours`)).json()) as { tours: any[] }).tours;
    assert.deepEqual(
      (await tours()).map((tour) => [tour.title, tour.stops.length]),
      [["Kept", 1]],
    );

    const [kept] = await tours();
    await pages.send("PUT", `/api/slides/other/tours/${kept.id}`, { title: "Theirs", stops: [] });
    await page.locator(".list:visible .row").click();
    await page.getByLabel("Title of the tour").fill("Mine");
    await page.getByLabel("Title of the tour").blur();
    await page.getByText("1 not saved: Found one that somebody changed meanwhile").waitFor();
    assert.deepEqual(
      (await tours()).map((tour) => tour.title),
      ["Theirs"],
    );
    await page.getByRole("button", { name: "Save again" }).click();
    await page.getByText("All saved with the slide.").waitFor();
    assert.deepEqual(
      (await tours()).map((tour) => tour.title),
      ["Mine"],
    );
    await page.getByRole("button", { name: "All tours" }).click();

    await page.route("**/tours/*", (route) =>
      route.fulfill({ status: 400, contentType: "application/json", body: JSON.stringify(refusal) }),
    );
    await page.locator(".list:visible .row").click();
    await page.getByRole("button", { name: "Delete tour" }).click();
    await page.getByText("1 not saved: Found too much, expected less.").waitFor();
    await page.unroute("**/tours/*");
    await page.getByRole("button", { name: "Save again" }).click();
    await waitFor(page, "the tour is deleted", (state) => state.unsaved === 0);
    assert.deepEqual(await tours(), []);
  });

  test("changes of a tour made while the server is gone are saved in their order when it is back", async () => {
    const page = await pages.open("#slide=other&x=66000&y=20000&mag=5");
    await page.keyboard.press("t");
    await page.getByRole("button", { name: "New tour" }).click();
    await page.getByText("All saved with the slide.").waitFor();
    await pages.server.stop("SIGKILL");
    for (const title of ["one", "two", "three"]) {
      await page.getByLabel("Title of the tour").fill(title);
      await page.getByLabel("Title of the tour").press("Enter");
    }
    await page.getByText("Saving...").waitFor();
    await pages.server.start();
    await page.getByText("All saved with the slide.").waitFor();
    const answer = (await (await fetch(`${pages.server.url}/api/slides/other/tours`)).json()) as { tours: any[] };
    assert.deepEqual(
      answer.tours.map((tour) => tour.title),
      ["three"],
    );
    await page.getByRole("button", { name: "Delete tour" }).click();
    await waitFor(page, "the tour is deleted", (state) => state.unsaved === 0);
  });

  test("a stored tour that cannot be read is reported, and the others are there", async () => {
    const page = await pages.openCold("#slide=other&x=66000&y=20000&mag=5");
    await page.route("**/other/tours", (route) =>
      route.fulfill({
        contentType: "application/json",
        body: JSON.stringify({
          tours: [{ id: "a", title: "Sound", stops: [] }],
          set_aside: [{ id: "b", why: "no stops", file: "/data/tours/other-8.json" }],
        }),
      }),
    );
    await page.reload();
    await page.getByText("1 stored tour cannot be read.").waitFor();
    await page.getByText("b: no stops. The server keeps it as it is in /data/tours/other-8.json:").waitFor();
    await page.keyboard.press("t");
    await page.getByText("Sound").waitFor();
  });

  test("asks about labelled annotations, labels hidden", async () => {
    await pages.forget();
    const at = (id: string, x: number, name: string): object => ({
      type: "Feature",
      id,
      geometry: { type: "Point", coordinates: [x, 20000] },
      properties: { classification: { name, color: [1, 2, 3] } },
    });
    const features = [at("a", 66000, "Gland"), at("b", 67000, "Stroma")];
    await pages.send("POST", "/api/slides/demo/annotations", { type: "FeatureCollection", features });
    const page = await pages.open();
    await waitFor(page, "both are there", (state) => state.annotations.length === 2);
    await page.keyboard.press("t");
    await page.getByRole("button", { name: "Guess the labels" }).click();
    await page.getByText("What is this?").waitFor();
    assert.equal(await page.locator(".words:visible").count(), 0);
    const answer = async (): Promise<string> => {
      const x = (await waitFor(page, "there", (state) => !state.moving)).view?.x ?? 0;
      return Math.abs(x - 66000) < 10 ? "Gland" : "Stroma";
    };
    await page
      .locator(".card")
      .getByRole("button", { name: await answer(), exact: true })
      .click();
    await page.getByText("Right.").waitFor();
    await page.locator(".card").getByRole("button", { name: "Next" }).click();
    const other = (await answer()) === "Gland" ? "Stroma" : "Gland";
    await page.locator(".card").getByRole("button", { name: other, exact: true }).click();
    await page.getByText(/^No: it is labelled/).waitFor();
    await page.locator(".card").getByRole("button", { name: "Next" }).click();
    await page.getByText("1 of 2 right.").waitFor();
    await page.keyboard.press("Escape");
    assert.ok((await page.locator(".words:visible").count()) > 0, "the labels are back");
  });

  test("makes a new slide from the gallery of seeds", async () => {
    const page = await pages.open();
    await page.getByRole("button", { name: "New slide" }).click();
    const seeds = page.locator(".seed");
    const loaded = (): boolean =>
      [...document.querySelectorAll<HTMLImageElement>(".seed img")].filter((image) => image.naturalWidth === 256)
        .length === 6;
    await page.waitForFunction(loaded, null, { timeout: 120_000 });
    const seed = (await seeds.nth(2).getAttribute("data-seed")) ?? "";
    await seeds.nth(2).click();
    assert.deepEqual(
      await page.getByLabel("Model").locator("option").allTextContents(),
      ["speckle"],
      "only what is served",
    );
    assert.equal(await page.getByText("Steps from noise to detail").isVisible(), false, "speckle has no steps");
    assert.equal(await page.getByText("Guidance by the tissue").isVisible(), false);
    await page.getByLabel("Title").fill("Third of six");
    await page.getByLabel("Size").selectOption({ label: "One section, 16 x 12 mm" });
    await page.getByRole("button", { name: "Make slide" }).click();
    await waitFor(page, "it is open", (state) => state.slide === "third-of-six");
    await waitPainted(page, 60_000);
    assert.equal(await page.textContent("#about"), `model speckle, seed ${seed}`);
    await page.keyboard.press("n");
    await page.getByLabel("Seed", { exact: true }).fill("99999999999999999999");
    await page.getByRole("button", { name: "Make slide" }).click();
    await page
      .getByRole("alert")
      .getByText(/expected a seed/)
      .waitFor();
  });

  test("a seed typed before the models are known is kept", async () => {
    const page = await pages.open();
    // Held in the page: a route set now may miss a request made at once.
    await page.evaluate(() => {
      const ask = window.fetch.bind(window);
      const held = new Promise<void>((resolve) => Object.assign(window, { answerModels: resolve }));
      window.fetch = async (url, init) => {
        if (String(url).endsWith("api/models")) await held;
        return ask(url, init);
      };
    });
    await page.keyboard.press("n");
    const seed = page.getByLabel("Seed", { exact: true });
    await seed.fill("99999999999999999999");
    assert.ok(await page.getByRole("button", { name: "Make slide" }).isDisabled(), "no model to make it with yet");
    await page.evaluate(() => (window as unknown as { answerModels(): void }).answerModels());
    await page.locator(".seed").nth(5).waitFor();
    assert.equal(await seed.inputValue(), "99999999999999999999");
    await page.getByRole("button", { name: "Make slide" }).click();
    await page
      .getByRole("alert")
      .getByText(/expected a seed/)
      .waitFor();
    await page.getByRole("button", { name: "Other seeds" }).click();
    assert.notEqual(await seed.inputValue(), "99999999999999999999", "other seeds were asked for");
  });

  test("zooms into a picture of one's own", async () => {
    const page = await pages.open();
    const answer = await fetch(`${pages.server.url}/slides/demo_files/9/0_0.png`);
    const buffer = Buffer.from(await answer.arrayBuffer());
    await page.keyboard.press("n");
    await page.locator("dialog").getByLabel("Title").fill("My picture");
    await page
      .getByLabel("Or zoom into a picture of your own")
      .setInputFiles({ name: "own.png", mimeType: "image/png", buffer });
    assert.ok(await page.getByLabel("Size").isDisabled(), "a picture brings its own size");
    await page.getByLabel("Its µm per pixel").fill("8");
    await page.getByRole("button", { name: "Make slide" }).click();
    await waitFor(page, "it is open", (state) => state.slide === "my-picture");
    await waitPainted(page, 60_000);
    const slide = (await (await fetch(`${pages.server.url}/api/slides/my-picture`)).json()) as {
      width: number;
      max_level: number;
    };
    const own = await decode(page, buffer);
    assert.equal(slide.width, own.width * 16);
    const tile = await fetch(`${pages.server.url}/slides/my-picture_files/${slide.max_level - 4}/0_0.png`);
    const shown = await decode(page, Buffer.from(await tile.arrayBuffer()));
    for (let i = 3; i < 150; i += 7) assert.deepEqual(shown.at(i, i), own.at(i, i), `pixel ${i}`);
    await page.keyboard.press("8");
    await waitFor(page, "at 20x", (state) => !state.moving && (state.view?.magnification ?? 0) > 19.9);
    await waitPainted(page, 60_000);
  });

  test("a link carries who painted it, and warns where that differs", async () => {
    const page = await pages.open();
    const { fingerprint } = (await (await fetch(`${pages.server.url}/api/slides/demo`)).json()) as {
      fingerprint: string;
    };
    await page.waitForFunction(() => location.hash.includes("fp="));
    assert.equal(new URL(page.url()).hash, `${PLACE}&seed=7&model=speckle&fp=${fingerprint}`);
    assert.equal(await page.locator(".notice").count(), 0);
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.getByRole("button", { name: "Copy link to this view" }).first().click();
    await page.getByText("The link is copied.").waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), page.url());
    await page.evaluate(() => (location.hash = "#slide=demo&x=66000&y=20000&mag=5&seed=7&model=mini&fp=beef"));
    await page.getByText("These are not the pixels of the link.").waitFor();
    const words = (await page.locator(".notice", { hasText: "not the pixels" }).textContent()) ?? "";
    assert.match(words, new RegExp(`model speckle instead of mini, fingerprint ${fingerprint} instead of beef`));
    await page.evaluate(() => (location.hash = "#slide=gone&x=1&y=2&mag=5&seed=12&model=speckle&fp=1"));
    await page.getByText(/New slide with seed 12 and model speckle/).waitFor();
  });
});
