/** The arithmetic of the page. Expected values are written out. */

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { here, parseJson, sendJson, ServerError, tileUrl, type Slide } from "../../viewer/src/api.js";
import { partOf, pictureSize } from "../../viewer/src/enlarge.js";
import { tilesWords } from "../../viewer/src/export/panel.js";
import { regionSize } from "../../viewer/src/export/region.js";
import { freshId } from "../../viewer/src/identifier.js";
import { Finals } from "../../viewer/src/finals.js";
import {
  type Extent,
  gridOf,
  isAncestor,
  levelAt,
  meetsFrame,
  paintingOrder,
  parentOf,
  tileKey,
  tileRect,
  tilesMeeting,
} from "../../viewer/src/geometry.js";
import { actionOf, type Actions, BINDINGS, keyOf } from "../../viewer/src/keyboard.js";
import {
  exactIndex,
  MAGNIFICATIONS,
  magnificationLabel,
  shownMagnification,
  umPerPxLabel,
} from "../../viewer/src/magnification.js";
import { samplingWords } from "../../viewer/src/sampling.js";
import { differences, formatHash, parseHash, sameHash, type View } from "../../viewer/src/permalink.js";
import { type SetAside, setAsideWords } from "../../viewer/src/setAside.js";
import { scaleBar } from "../../viewer/src/scalebar.js";
import { paintingText } from "../../viewer/src/status.js";

const SLIDE: Extent = { width: 131072, height: 98304, tile_size: 256, min_level: 0, max_level: 17, root_level: 10 };

describe("geometry", () => {
  test("grid of a level", () => {
    assert.deepEqual(gridOf(SLIDE, 17), { cols: 512, rows: 384 });
    assert.deepEqual(gridOf(SLIDE, 10), { cols: 4, rows: 3 });
    assert.deepEqual(gridOf(SLIDE, 0), { cols: 1, rows: 1 });
  });

  test("tiles of a view", () => {
    const tiles = tilesMeeting(SLIDE, 17, { x: 255, y: 512, width: 2, height: 256 });
    assert.deepEqual(tiles.map(tileKey), ["17/0_2", "17/1_2"]);
    assert.deepEqual(tilesMeeting(SLIDE, 10, { x: -9e5, y: -9e5, width: 9e6, height: 9e6 }).length, 12);
    assert.deepEqual(tilesMeeting(SLIDE, 17, { x: -600, y: 0, width: 300, height: 300 }), []);
  });

  test("tiles of a turned view", () => {
    const frame = { x: 1000, y: 1000, width: 400, height: 100 };
    const box = { x: 1150, y: 1100, width: 50, height: 50 };
    assert.ok(!meetsFrame(box, { ...frame, rotation: 0 }));
    assert.ok(meetsFrame({ ...box, y: 1040 }, { ...frame, rotation: 0 }));
    assert.ok(
      !meetsFrame(box, { ...frame, rotation: 30 }),
      "the slide turns clockwise: its right side is seen further up",
    );
    assert.ok(meetsFrame(box, { ...frame, rotation: -30 }));
    assert.ok(meetsFrame({ ...box, x: 1000, y: 1150 }, { ...frame, rotation: 90 }), "wide becomes tall");
    assert.ok(!meetsFrame(box, { ...frame, rotation: 90 }));
  });

  test("exact at 2^31", () => {
    const endless = { ...SLIDE, width: 2 ** 40, height: 2 ** 40, max_level: 40, min_level: 33, root_level: 33 };
    const [tile] = tilesMeeting(endless, 40, { x: 2 ** 31 + 1, y: 2 ** 39 + 255, width: 1, height: 1 });
    assert.deepEqual(tile, { level: 40, col: 2 ** 23, row: 2 ** 31 });
    assert.deepEqual(tileRect(endless, tile!), { x: 2 ** 31, y: 2 ** 39, width: 256, height: 256 });
    assert.deepEqual(parentOf(tile!), { level: 39, col: 2 ** 22, row: 2 ** 30 });
  });

  test("ancestors", () => {
    assert.ok(isAncestor({ level: 10, col: 1, row: 1 }, { level: 17, col: 255, row: 128 }));
    assert.ok(!isAncestor({ level: 10, col: 1, row: 1 }, { level: 17, col: 256, row: 128 }));
    assert.ok(!isAncestor({ level: 17, col: 1, row: 1 }, { level: 17, col: 1, row: 1 }));
  });

  test("a tile's part of its ancestor's picture, also at the slide's edge", () => {
    const slide = { width: 1000, height: 700, tile_size: 256, min_level: 0, max_level: 10, root_level: 3 };
    assert.deepEqual(pictureSize(slide, { level: 10, col: 3, row: 2 }), { width: 232, height: 188 });
    assert.deepEqual(pictureSize(slide, { level: 8, col: 0, row: 0 }), { width: 250, height: 175 });
    const ancestor = { level: 8, col: 0, row: 0 };
    assert.deepEqual(partOf(slide, ancestor, { level: 10, col: 1, row: 2 }), {
      x: 64,
      y: 128,
      width: 64,
      height: 47,
      factor: 4,
    });
    assert.throws(() => partOf(slide, ancestor, { level: 10, col: 4, row: 0 }), RangeError);
  });

  test("the drawn level", () => {
    assert.equal(levelAt(SLIDE, 1, 0.7), 17);
    assert.equal(levelAt(SLIDE, 2, 0.7), 17);
    assert.equal(levelAt(SLIDE, 0.5, 0.7), 16);
    assert.equal(levelAt(SLIDE, 0.36, 0.7), 16);
    assert.equal(levelAt(SLIDE, 1e-9, 0.7), 0);
  });

  test("coarse first, then nearest to the middle", () => {
    const order = paintingOrder(SLIDE, { x: 0, y: 0, width: 768, height: 256 });
    const tiles = [17, 17, 17, 16].map((level, col) => ({ level, col: col % 3, row: 0 }));
    assert.deepEqual(tiles.sort(order).map(tileKey), ["16/0_0", "17/1_0", "17/0_0", "17/2_0"]);
  });
});

describe("magnification", () => {
  test("labels", () => {
    const labels = ["0.16x", "0.31x", "0.63x", "1.25x", "2.5x", "5x", "10x", "20x"];
    assert.deepEqual(MAGNIFICATIONS.map(magnificationLabel), labels);
    assert.equal(magnificationLabel(7.2912), "7.29x");
    assert.equal(magnificationLabel(13.37), "13.4x");
  });

  test("beyond 20x the slide is enlarged", () => {
    assert.equal(shownMagnification(20), "20x");
    assert.equal(shownMagnification(20.00001), "20x");
    assert.equal(shownMagnification(31), "20x (enlarged)");
  });

  test("micrometres per pixel", () => {
    assert.equal(umPerPxLabel(20), "0.5 µm/px");
    assert.equal(umPerPxLabel(5), "2 µm/px");
    assert.equal(umPerPxLabel(0.15625), "64 µm/px");
    assert.equal(umPerPxLabel(40), "0.25 µm/px");
  });

  test("which button is pressed", () => {
    assert.equal(exactIndex(5.0001), 5);
    assert.equal(exactIndex(6), -1);
  });
});

describe("scale bar", () => {
  const cases: [number, number, string, number][] = [
    [20, 160, "50 µm", 100],
    [10, 160, "100 µm", 100],
    [5, 160, "200 µm", 100],
    [2.5, 160, "500 µm", 125],
    [1.25, 160, "1 mm", 125],
    [0.15625, 160, "10 mm", 156.25],
    [40, 160, "20 µm", 80],
  ];
  for (const [magnification, maxPx, label, widthPx] of cases) {
    test(`${magnification}x: ${label}`, () => {
      const bar = scaleBar(magnification, maxPx);
      assert.equal(bar.label, label);
      assert.ok(Math.abs(bar.widthPx - widthPx) < 1e-9, `${bar.widthPx} px`);
    });
  }

  test("always 1, 2 or 5 and never wider than allowed", () => {
    for (let magnification = 0.1; magnification < 40; magnification *= 1.037) {
      const bar = scaleBar(magnification, 160);
      assert.ok(bar.widthPx <= 160.001 && bar.widthPx > 60, `${magnification}x: ${bar.widthPx} px`);
      assert.match(bar.lengthUm.toExponential(6), /^[125]\.000000e/);
    }
  });
});

describe("permalink", () => {
  const seed = "18446744073709551615";
  const painted = {
    id: "demo",
    seed,
    model: "mini",
    steps: null,
    guidance: 1,
    organ: null,
    organ_cases: null,
    organ_sections: null,
    regions: [],
    fingerprint: "f00d",
  };
  const at = (x: number, y: number, magnification: number, rotation = 0): View => ({ x, y, magnification, rotation });

  test("round trip, exact at 2^31 and beyond", () => {
    for (const x of [0, 65536, 2 ** 31 + 1, 2 ** 40 - 1]) {
      const { slide, view, painted: by } = parseHash(formatHash(painted, at(x, x + 2, 20, 90)));
      assert.deepEqual({ slide, view }, { slide: "demo", view: at(x, x + 2, 20, 90) });
      assert.deepEqual(by, { seed, model: "mini", steps: null, guidance: null, organ: null, fingerprint: "f00d" });
    }
    const provenance = "&seed=18446744073709551615&model=mini&fp=f00d";
    assert.equal(formatHash(painted, at(1.4, 2.6, 0.15625)), `#slide=demo&x=1&y=3&mag=0.15625${provenance}`);
    assert.equal(formatHash(painted, at(1, 3, 5, 45)), `#slide=demo&x=1&y=3&mag=5&rot=45${provenance}`);
  });

  test("a link reports what differs from the slide that is there", () => {
    const link = parseHash("#slide=demo&x=1&y=2&mag=5&seed=7&model=mini&fp=beef").painted;
    assert.deepEqual(differences(link, painted), [
      "seed 18446744073709551615 instead of 7",
      "fingerprint f00d instead of beef",
    ]);
    assert.deepEqual(differences(parseHash(formatHash(painted, at(1, 2, 5))).painted, painted), []);
    assert.deepEqual(differences(parseHash("#slide=demo").painted, painted), [], "a short link promises nothing");
  });

  test("a link to a slide of other steps and guidance says them, and warns where they are others", () => {
    const other = { ...painted, steps: 2, guidance: 2.5, fingerprint: "beef" };
    const hash = formatHash(other, at(1, 2, 5));
    assert.equal(hash, `#slide=demo&x=1&y=2&mag=5&seed=${seed}&model=mini&steps=2&guidance=2.5&fp=beef`);
    assert.deepEqual(differences(parseHash(hash).painted, other), []);
    assert.deepEqual(differences(parseHash(hash).painted, painted), [
      "steps (the model's own) instead of 2",
      "guidance 1 instead of 2.5",
      "fingerprint f00d instead of beef",
    ]);
    const plain = parseHash(formatHash(painted, at(1, 2, 5))).painted;
    assert.deepEqual(differences(plain, other), ["fingerprint beef instead of f00d"]);
  });

  test("a link says what a slide is of, and warns where that is another organ", () => {
    const node = { ...painted, organ: "lymph node", organ_cases: 1 };
    const hash = formatHash(node, at(1, 2, 5));
    assert.equal(hash, `#slide=demo&x=1&y=2&mag=5&seed=${seed}&model=mini&organ=lymph%20node&fp=f00d`);
    assert.equal(parseHash(hash).painted.organ, "lymph node");
    assert.deepEqual(differences(parseHash(hash).painted, node), []);
    assert.deepEqual(differences(parseHash(hash).painted, painted), ["organ (none) instead of lymph node"]);
    assert.deepEqual(differences(parseHash(formatHash(painted, at(1, 2, 5))).painted, node), []);
  });

  test("steps and guidance in words, none for a model's own", () => {
    assert.equal(samplingWords(painted), "");
    assert.equal(samplingWords({ steps: 1, guidance: 1 }), ", 1 step");
    assert.equal(samplingWords({ steps: 2, guidance: 2.5 }), ", 2 steps, guidance 2.5");
  });

  test("any turn is one between 0 and 360 degrees", () => {
    assert.equal(parseHash("#x=1&y=2&mag=5&rot=-90").view?.rotation, 270);
    assert.equal(parseHash("#x=1&y=2&mag=5&rot=725").view?.rotation, 5);
    assert.equal(parseHash("#x=1&y=2&mag=5&rot=oops").view?.rotation, 0);
  });

  test("impossible views are no views", () => {
    for (const hash of [
      "",
      "#",
      "#slide=demo",
      "#slide=demo&x=1&y=2",
      "#slide=demo&x=1&y=2&mag=0",
      "#slide=demo&x=1&y=2&mag=-5",
      "#slide=demo&x=abc&y=2&mag=5",
      "#slide=demo&x=1e999&y=2&mag=5",
      "#slide=demo&x=&y=2&mag=5",
      "#slide=demo&x=Infinity&y=2&mag=5",
    ]) {
      assert.equal(parseHash(hash).view, null, hash);
    }
    assert.equal(parseHash("#x=1&y=2&mag=900").view?.magnification, 40);
    assert.equal(parseHash("#slide=").slide, null);
  });

  test("names are escaped", () => {
    assert.equal(parseHash(formatHash({ ...painted, id: "a&b=c #" }, at(1, 1, 1))).slide, "a&b=c #");
  });

  test("the same link", () => {
    assert.ok(sameHash("#slide=a&x=1&y=2&mag=5", "#mag=5.0&x=1&y=2&slide=a"));
    assert.ok(!sameHash("#slide=a&x=1&y=2&mag=5", "#slide=a&x=1&y=3&mag=5"));
    assert.ok(!sameHash("#slide=a&x=1&y=2&mag=5", "#slide=a&x=1&y=2&mag=5&rot=10"));
    assert.ok(!sameHash("#slide=a&x=1&y=2&mag=5&fp=1", "#slide=a&x=1&y=2&mag=5&fp=2"));
  });
});

describe("the cost of an exported region", () => {
  test("is given in tiles and time", () => {
    assert.equal(tilesWords(1, null), "1 tile");
    assert.equal(tilesWords(12, 0.5), "12 tiles; about 6 s if none is painted yet");
    assert.equal(tilesWords(1200, 0.5), "1200 tiles; about 10 min if none is painted yet");
  });

  test("counts every tile that the region touches", () => {
    const slide = { width: 4096, height: 4096, tile_size: 256, max_level: 12 } as Slide;
    const area = { x: 250, y: 0, width: 10, height: 256 };
    assert.deepEqual(regionSize(slide, area, 12), { width: 10, height: 256, tiles: 2, fits: true });
    assert.equal(regionSize(slide, { x: -500, y: -500, width: 9000, height: 9000 }, 12).tiles, 256);
    assert.equal(regionSize(slide, area, 11).tiles, 1);
  });
});

describe("interface to the server", () => {
  test("fresh ids are UUIDs, each another one, also where the browser has no randomUUID", () => {
    const ids = Array.from({ length: 100 }, freshId);
    assert.equal(new Set(ids).size, 100);
    for (const id of ids) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  test("addresses are below the page's own path", () => {
    assert.equal(here("/api/slides"), "api/slides");
  });

  test("seeds keep all their digits", () => {
    assert.deepEqual(parseJson('{"seed": 18446744073709551615, "width": 3}'), {
      seed: "18446744073709551615",
      width: 3,
    });
    assert.deepEqual(parseJson('{"seed": "12"}'), { seed: "12" });
  });

  test("tile addresses carry the fingerprint", () => {
    const slide = { tiles: "/slides/demo_files/{level}/{col}_{row}.jpeg", fingerprint: "a b" } as Slide;
    assert.equal(tileUrl(slide, { level: 17, col: 8388608, row: 1 }), "/slides/demo_files/17/8388608_1.jpeg?v=a%20b");
  });
});

test("finals: the least recently used go first", () => {
  const finals = new Finals(25);
  const blob = new Blob(["0123456789"]);
  finals.put("a", blob);
  finals.put("b", blob);
  assert.ok(finals.get("a"));
  finals.put("c", blob);
  assert.deepEqual(
    ["a", "b", "c"].filter((key) => finals.has(key)),
    ["a", "c"],
  );
  finals.put("a", blob);
  assert.equal(finals.count, 2);
});

describe("keys", () => {
  const done: string[] = [];
  // Every action notes its name and what it was given.
  const actions = new Proxy({} as Actions, {
    get:
      (_, name) =>
      (...given: unknown[]) =>
        void done.push([String(name), ...given].join(" ")),
  });

  test("what they do", () => {
    for (const key of ["ArrowLeft", "+", "1", "8", "9", "0", "h", "H", "f", "?", "r", "R", "m", "Ctrl+z", "PageUp"]) {
      actionOf(key, actions)?.();
    }
    const moves = [
      "arrow -1 0 false",
      "zoom 1.5",
      "magnify 0.15625",
      "magnify 20",
      "magnify 40",
      "upright",
      "home",
      "home",
    ];
    assert.deepEqual(done, [
      ...moves,
      "fullscreen",
      "help",
      "rotate 15",
      "rotate -15",
      "tool measure",
      "undo",
      "step -1",
    ]);
    for (const key of ["x", "F1", "Ctrl+a", "Shift", "z"]) assert.equal(actionOf(key, actions), null, key);
  });

  test("a key is known by what it writes, else by its place", () => {
    const none = { shiftKey: false, ctrlKey: false, metaKey: false };
    const shift = { ...none, shiftKey: true };
    const presses: [string, string, typeof none, string][] = [
      ["m", "KeyM", none, "m"],
      ["a", "KeyQ", none, "a"], // French: the letter that is written on it
      ["z", "KeyW", { ...none, ctrlKey: true }, "Ctrl+z"],
      ["Z", "KeyZ", { ...none, metaKey: true }, "Ctrl+z"], // Caps Lock
      ["Z", "KeyZ", { ...shift, metaKey: true }, "Ctrl+Shift+z"], // elsewhere the opposite of undo
      ["R", "KeyR", none, "r"], // Caps Lock
      ["r", "KeyR", shift, "R"],
      [")", "Minus", none, "-"], // French
      ["'", "Minus", none, "-"], // Italian
      ["-", "Slash", none, "-"], // German
      [",", "KeyM", none, ","],
      ["\u044c", "KeyM", none, "m"], // Russian
      ["\u041a", "KeyR", shift, "R"],
      ["\u044f", "KeyZ", { ...none, ctrlKey: true }, "Ctrl+z"],
      ["\u03bc", "KeyM", none, "m"], // Greek
      ["\u05d9", "KeyH", none, "h"], // Hebrew
      ["\u0631", "KeyV", none, "v"], // Arabic
      ["\u0131", "KeyI", none, "i"], // Turkish
      ["Dead", "KeyN", none, "n"],
      ["Process", "KeyM", none, "m"], // an input method
      ["'", "Digit4", none, "4"], // French
      ["-", "Digit6", none, "6"],
      ["4", "Digit4", shift, "4"],
      ["\u010d", "Digit4", none, "4"], // Czech
      ["+", "Digit1", none, "1"],
      ["\u0664", "Digit4", none, "4"], // Arabic digits
      ["4", "Numpad4", none, "4"],
      ["ArrowLeft", "Numpad4", none, "ArrowLeft"], // without Num Lock
      ["$", "Digit4", shift, "$"],
      ["?", "Digit7", shift, "?"], // Russian
      ["\u061f", "Slash", shift, "?"], // Arabic
      ["+", "Equal", shift, "+"],
      ["\u2212", "NumpadSubtract", none, "-"],
      ["Enter", "Enter", none, "Enter"],
      ["ArrowUp", "ArrowUp", shift, "Shift+ArrowUp"],
      ["ArrowUp", "ArrowUp", { ...none, ctrlKey: true }, "Ctrl+arrowup"],
      ["\u043b", "KeyK", none, "k"],
      ["\u00f6", "Semicolon", none, "\u00f6"],
      ["m", "", none, "m"], // a keyboard on a screen
    ];
    for (const [key, code, held, name] of presses) assert.equal(keyOf({ key, code, ...held }), name, `${key} ${code}`);
  });

  test("no key does two things, and the help lists each", () => {
    const keys = BINDINGS.flatMap((binding) => binding.keys);
    assert.equal(new Set(keys).size, keys.length);
    const listed = BINDINGS.filter(({ words }) => words)
      .map(({ keys, shown }) => shown ?? keys[0])
      .join(" ");
    for (const key of ["M", "A", "B", "C", "I", "T", "E", "N", "L", "S", "P", "F", "H", "R", "K", "0", "?"]) {
      assert.ok(listed.toUpperCase().includes(key), key);
    }
  });
});

test("the state of painting in words", () => {
  assert.equal(paintingText(1, null), "1 tile to paint");
  assert.equal(paintingText(12, 0.05), "12 tiles to paint");
  assert.equal(paintingText(12, 0.3), "12 tiles to paint, about 4 s");
  assert.equal(paintingText(12, 0.3, 1.25), "12 tiles to paint, now at 1.25x, about 4 s");
});

test("asking again helps where the server is busy or gone, not where its disk is full", () => {
  const again = [400, 404, 408, 413, 429, 500, 502, 503, 507].filter((status) => new ServerError(status, "", "").again);
  assert.deepEqual(again, [408, 429, 500, 502, 503]);
});

test("answers that are not the server's own, in words", async () => {
  const own = globalThis.fetch;
  const told = async (status: number, type: string, text: string): Promise<string> => {
    globalThis.fetch = () => Promise.resolve(new Response(text, { status, headers: { "Content-Type": type } }));
    const error = await sendJson("PUT", "/api/slides/demo/annotations/a", {}).then(
      () => null,
      (error: unknown) => error,
    );
    assert.ok(error instanceof ServerError, `${status} is no success`);
    return error.message;
  };
  try {
    assert.match(await told(413, "text/html", "<html>nginx</html>"), /more than the server, or a proxy before it/);
    assert.match(await told(504, "text/html", "<html>nginx</html>"), /waited in vain/);
    assert.match(await told(418, "text/html", "<html></html>"), /answered 418/);
    assert.match(await told(200, "text/html; charset=utf-8", "<html>Sign in</html>"), /is not Everslide/);
    globalThis.fetch = () =>
      Promise.resolve(new Response(null, { status: 204, headers: { "Content-Type": "text/html" } }));
    assert.equal(await sendJson("DELETE", "/api/slides/demo/annotations/a", null), null, "nothing is no page");
    const body = JSON.stringify({ error: { found: "8 MB", expected: "less", do: "" } });
    assert.equal(await told(413, "application/json", body), "Found 8 MB, expected less.");
  } finally {
    globalThis.fetch = own;
  }
});

test("what cannot be read, in words", () => {
  const odd = (id: string, why: string, file = "/data/tours/demo-7.json"): SetAside => ({ id, why, file });
  assert.deepEqual(setAsideWords("tour", [odd("b", "no stops")]), [
    "1 stored tour cannot be read.",
    "b: no stops. The server keeps it as it is in /data/tours/demo-7.json: mend it there, or delete it.",
  ]);
  const places = [1, 2, 3, 4].map((line) => odd(`line ${line}`, `line ${line} of 'a': damaged`, `${line % 2}.json`));
  assert.deepEqual(setAsideWords("slide", places, "Then start the server again."), [
    "4 stored slides cannot be read.",
    "line 1 of 'a': damaged; line 2 of 'a': damaged; line 3 of 'a': damaged. And 1 more: the server's log lists all. " +
      "The server keeps them as they are in 1.json, 0.json: mend it there, or delete it. Then start the server again.",
  ]);
});

test("each row of the README's table of features names a test that exists", async () => {
  const readme = await readFile("README.md", "utf8");
  const rows = readme.split("\n").filter((line) => /^\|.*\| `[^`]+` \|$/.test(line));
  const folder = join("tests", "viewer");
  const files = (await readdir(folder)).filter((name) => name.endsWith(".test.ts"));
  const sources = (await Promise.all(files.map((name) => readFile(join(folder, name), "utf8")))).join("\n");
  assert.ok(rows.length >= 16, `${rows.length} rows`);
  for (const row of rows) {
    const title = /`([^`]+)` \|$/.exec(row)?.[1] ?? "";
    assert.ok(sources.includes(`test("${title}"`), `no test is named ${title}`);
  }
});
