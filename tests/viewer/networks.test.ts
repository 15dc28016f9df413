/** The page on networks as they are: plain http by name, below a path of a proxy, in a frame, in many tabs. */

import assert from "node:assert/strict";
import { createServer, request as ask, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { launch, noBrowser, waitFor, waitPainted } from "./browser.js";
import { FakeServer } from "./fakeServer.js";
import { drag, PLACE, saved } from "./realPages.js";
import { noServer, RealServer } from "./realServer.js";

const PREFIX = "/slides-app";

/** A server of a test's own: what `answer` does, on any free port. */
async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function end(server: Server): void {
  server.close();
  server.closeAllConnections();
}

/** Gives `to` the path PREFIX of a host that has other pages. headers: what the proxy adds. */
function proxyTo(to: string, headers: Record<string, string>): Server {
  return createServer((asked, answer) => {
    if (!asked.url?.startsWith(`${PREFIX}/`)) return void answer.writeHead(404).end("another application's");
    const path = asked.url.slice(PREFIX.length);
    const sent = { ...asked.headers, ...headers };
    const { hostname, port } = new URL(to);
    const onward = ask({ hostname, port, path, method: asked.method, headers: sent }, (from) => {
      answer.writeHead(from.statusCode ?? 500, from.headers);
      from.pipe(answer);
    });
    answer.on("close", () => onward.destroy());
    onward.on("error", () => answer.destroy());
    asked.pipe(onward);
  });
}

describe("networks", { skip: noBrowser() || noServer() }, () => {
  const flags = ["--host", "0.0.0.0", "--trusted-proxies", "127.0.0.1", "--frame-ancestors", "http://127.0.0.1:*"];
  const server = new RealServer("speckle", flags);
  let browser: Browser;
  before(async () => {
    browser = await launch("--host-resolver-rules=MAP microscope-3.lan 127.0.0.1");
    await server.start();
  });
  const ends: Server[] = [];
  after(async () => {
    ends.forEach(end);
    await browser.close();
    await server.close();
  });

  /** A page, and what went wrong in it. */
  async function opened(url: string, context?: BrowserContext): Promise<{ page: Page; faults: string[] }> {
    const page = await (context ?? (await browser.newContext({ viewport: { width: 1200, height: 800 } }))).newPage();
    const faults: string[] = [];
    page.on("pageerror", (error) => faults.push(String(error)));
    page.on("response", (answer) => answer.status() >= 400 && faults.push(`${answer.status()} ${answer.url()}`));
    await page.goto(url);
    return { page, faults };
  }

  test("over plain http, by a name of the network, people draw, save and make tours", async () => {
    const base = server.url.replace("127.0.0.1", "microscope-3.lan");
    const { page, faults } = await opened(`${base}/${PLACE}`);
    await waitPainted(page, 30_000);
    assert.equal(await page.evaluate(() => isSecureContext), false);
    await page.keyboard.press("a");
    await page.getByRole("button", { name: "Box" }).first().click();
    await drag(page, [500, 300], [580, 380]);
    await saved(page, 1);
    await page.keyboard.press("Escape");
    await page.keyboard.press("t");
    await page
      .getByRole("button", { name: /new tour/i })
      .first()
      .click();
    const kept = async (): Promise<number> =>
      ((await (await fetch(`${server.url}/api/slides/demo/tours`)).json()) as { tours: unknown[] }).tours.length;
    for (let tries = 0; tries < 200 && (await kept()) === 0; tries++) await page.waitForTimeout(50);
    assert.equal(await kept(), 1);
    assert.deepEqual(faults, []);
    await page.context().close();
  });

  for (const [how, headers] of [
    ["that says its path", { "x-forwarded-prefix": PREFIX, "x-forwarded-for": "203.0.113.9" }],
    ["that says nothing", {}],
  ] as const) {
    test(`below a path of a proxy ${how}, tiles, pictures and writing work`, async () => {
      const proxy = proxyTo(server.url, headers);
      const base = await listen(proxy);
      ends.push(proxy);
      const { page, faults } = await opened(`${base}${PREFIX}/${PLACE}`);
      await waitPainted(page, 30_000);
      await page.keyboard.press("n");
      await page.waitForFunction(() =>
        [...document.querySelectorAll<HTMLImageElement>("dialog .seed img")].some((one) => one.naturalWidth > 0),
      );
      const titled = await page.evaluate(async () => {
        const wish = { title: "below", seed: "5", model: "speckle", width: 2048, height: 2048 };
        const init = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(wish) };
        return (await fetch("api/slides", init)).status;
      });
      assert.equal(titled, 201);
      assert.deepEqual(faults, []);
      await page.context().close();
    });
  }

  test("a page that is named shows the viewer in a frame; another one does not", async () => {
    const course = createServer((_asked, answer) => {
      answer.setHeader("Content-Type", "text/html");
      answer.end(`<h1>Week 3</h1><iframe src="${server.url}/${PLACE}" width=800 height=600></iframe>`);
    });
    const at = await listen(course);
    ends.push(course);
    for (const [url, shown] of [
      [at, true],
      [at.replace("127.0.0.1", "localhost"), false],
    ] as const) {
      const page = await browser.newPage();
      await page.goto(url);
      const frame = await (await page.waitForSelector("iframe")).contentFrame();
      const started = frame?.waitForFunction(() => "everslide" in window, null, { timeout: shown ? 30_000 : 3_000 });
      assert.equal(await started?.then(Boolean, () => false), shown, url);
      await page.close();
    }
  });
});

describe("many tabs", { skip: noBrowser() }, () => {
  const fake = new FakeServer(100);
  let browser: Browser;
  before(async () => {
    browser = await launch();
    await fake.start();
  });
  after(async () => {
    fake.held = false;
    await browser.close();
    await fake.stop();
  });

  test("all tabs together wait on four connections; a new one has its picture while the others wait", async () => {
    fake.held = true; // no tile is painted while the test looks
    const context = await browser.newContext({ viewport: { width: 1000, height: 700 } });
    const waiting = new Map<object, Page>();
    let most = 0;
    context.on("request", (request) => {
      const url = new URL(request.url());
      if (!/_files\//.test(url.pathname) || url.searchParams.has("preview")) return;
      waiting.set(request, request.frame().page());
      most = Math.max(most, waiting.size);
    });
    context.on("requestfinished", (request) => void waiting.delete(request));
    context.on("requestfailed", (request) => void waiting.delete(request));
    for (const place of [30_000, 50_000, 70_000, 90_000]) {
      const page = await context.newPage();
      await page.goto(`${fake.url}/#slide=demo&x=${place}&y=40000&mag=20`);
      await waitFor(page, "its tiles are asked for", (state) => state.waiting > 4, 20_000);
      const full = (): boolean => window.everslide.viewer.world.getItemAt(0).getFullyLoaded();
      await page.waitForFunction(full, null, { timeout: 20_000 });
    }
    assert.equal(most, 4);
    const [first] = context.pages();
    assert.ok([...waiting.values()].includes(first as Page));
    await first?.close();
    for (const [request, page] of waiting) if (page === first) waiting.delete(request);
    for (let tries = 0; tries < 100 && waiting.size < 4; tries++) await new Promise((done) => setTimeout(done, 50));
    assert.equal(waiting.size, 4, "the turns of the closed tab are the others'");
    assert.equal(new Set(waiting.values()).size, 3, "each has its share");
    await context.close();
  });
});
