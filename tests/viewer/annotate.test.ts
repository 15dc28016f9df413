/** Shapes, their measures, and GeoJSON as QuPath writes and reads it. */

import type { Position } from "../../viewer/src/geometry.js";
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { movedWhole, reshaped } from "../../viewer/src/annotate/editing.js";
import { importedWords, outsideWords } from "../../viewer/src/annotate/exchange.js";
import { parseLines } from "../../viewer/src/annotate/lines.js";
import { savingWords } from "../../viewer/src/annotate/panel.js";
import { colorOf, type Feature, featureOf, labelOf, PLAIN, relabelled } from "../../viewer/src/annotate/feature.js";
import {
  areaUm2,
  areaWords,
  boundsOf,
  boxRing,
  cornersOf,
  type Geometry,
  isHit,
  lengthUm,
  lengthWords,
  measureWords,
  moved,
  positionsOf,
  translated,
  withCorner,
  withoutCorner,
} from "../../viewer/src/annotate/shapes.js";
import { clipped, placeWords, roomFor } from "../../viewer/src/annotate/wording.js";
import { questionsOf, shuffled } from "../../viewer/src/teach/quiz.js";
import { tilesOfStops } from "../../viewer/src/teach/ahead.js";
import { shifted } from "../../viewer/src/teach/tour.js";
import type { Slide } from "../../viewer/src/api.js";

const FAR = 2 ** 31;

describe("measures, at 0.5 um per pixel", () => {
  test("lengths", () => {
    assert.equal(
      lengthUm([
        [0, 0],
        [300, 400],
      ]),
      250,
    );
    assert.equal(
      lengthUm([
        [0, 0],
        [300, 400],
        [300, 0],
      ]),
      450,
    );
    assert.equal(
      lengthUm([
        [FAR, FAR],
        [FAR + 3, FAR + 4],
      ]),
      2.5,
    );
    assert.equal(lengthUm([[1, 1]]), 0);
  });

  test("areas", () => {
    assert.equal(areaUm2([boxRing([0, 0], [100, 200])]), 5000);
    assert.equal(areaUm2([boxRing([100, 200], [0, 0])]), 5000, "whichever way round it is drawn");
    assert.equal(areaUm2([boxRing([0, 0], [100, 200]), boxRing([10, 10], [30, 30])]), 4900, "holes do not count");
    assert.equal(
      areaUm2([
        [
          [0, 0],
          [10, 0],
          [0, 10],
          [0, 0],
        ],
      ]),
      12.5,
    );
    const far: Position[] = [
      [FAR, FAR],
      [FAR + 1, FAR],
      [FAR + 1, FAR + 1],
      [FAR, FAR + 1],
      [FAR, FAR],
    ];
    assert.equal(areaUm2([far]), 0.25, "exact far from the origin");
  });

  test("a circle's area is near that of a circle", () => {
    const ring = Array.from({ length: 361 }, (_, n): Position => {
      const angle = (n * Math.PI) / 180;
      return [FAR + 1000 * Math.cos(angle), FAR + 1000 * Math.sin(angle)];
    });
    assert.ok(Math.abs(areaUm2([ring]) / (Math.PI * 500 ** 2) - 1) < 1e-4);
  });

  test("words", () => {
    assert.equal(lengthWords(214.3), "214 µm");
    assert.equal(lengthWords(0.51), "0.51 µm");
    assert.equal(lengthWords(15432), "15.4 mm");
    assert.equal(areaWords(12345), "12,300 µm²");
    assert.equal(areaWords(1_234_567), "1.23 mm²");
    assert.equal(measureWords({ type: "Polygon", coordinates: [boxRing([0, 0], [2000, 2000])] }), "1 mm², 4 mm around");
    assert.equal(
      measureWords({
        type: "LineString",
        coordinates: [
          [0, 0],
          [0, 100],
        ],
      }),
      "50 µm",
    );
    assert.equal(measureWords({ type: "Point", coordinates: [0, 0] }), "");
  });
});

describe("shapes", () => {
  const ring = { type: "Polygon", coordinates: [boxRing([0, 0], [100, 100]), boxRing([40, 40], [60, 60])] } as const;

  test("what a click meets", () => {
    assert.ok(isHit(ring, [20, 20], 1));
    assert.ok(!isHit(ring, [50, 50], 1), "not in its hole");
    assert.ok(isHit(ring, [101, 50], 2), "near its edge");
    assert.ok(!isHit(ring, [104, 50], 2));
    const line = {
      type: "LineString",
      coordinates: [
        [0, 0],
        [100, 100],
      ],
    } as const;
    assert.ok(isHit(line, [51, 49], 2));
    assert.ok(!isHit(line, [110, 110], 2), "not beyond its end");
    assert.ok(isHit({ type: "Point", coordinates: [5, 5] }, [6, 6], 1));
  });

  test("bounds", () => {
    assert.deepEqual(boundsOf(ring), { x: 0, y: 0, width: 100, height: 100 });
  });

  test("a corner of a ring moves with both its ends", () => {
    const first = moved(ring, 0, [-5, -6]);
    assert.deepEqual(positionsOf(first)[0], [-5, -6]);
    assert.deepEqual(positionsOf(first)[4], [-5, -6]);
    const inner = moved(ring, 5, [42, 43]);
    assert.deepEqual(positionsOf(inner).slice(5), [
      [42, 43],
      [60, 40],
      [60, 60],
      [40, 60],
      [42, 43],
    ]);
    assert.deepEqual(positionsOf(ring)[0], [0, 0], "the old shape is left as it was");
    assert.deepEqual(
      moved(
        {
          type: "LineString",
          coordinates: [
            [0, 0],
            [1, 1],
          ],
        },
        1,
        [9, 9],
      ).coordinates,
      [
        [0, 0],
        [9, 9],
      ],
    );
  });
});

describe("outlines that are edited", () => {
  const square = boxRing([0, 0], [100, 100]);
  const holed: Geometry = { type: "Polygon", coordinates: [square, boxRing([40, 40], [60, 60])] };
  const two: Geometry = { type: "MultiPolygon", coordinates: [[square.slice(0, 3).concat([[0, 0]])], [square]] };

  test("corners: the two ends of a ring are one, a line has a middle less than corners", () => {
    assert.deepEqual(
      cornersOf(holed).map(({ index }) => index),
      [0, 1, 2, 3, 5, 6, 7, 8],
    );
    assert.deepEqual(cornersOf(holed)[3], { index: 3, at: [0, 100], next: [0, 0] });
    const line: Geometry = { type: "LineString", coordinates: square };
    assert.deepEqual(cornersOf(line).at(-1), { index: 4, at: [0, 0], next: null });
    assert.deepEqual(cornersOf({ type: "Point", coordinates: [1, 2] }), [{ index: 0, at: [1, 2], next: null }]);
  });

  test("a corner more", () => {
    const more = withCorner(holed, 3, [-9, 50]);
    assert.deepEqual(more.coordinates[0], [
      [0, 0],
      [100, 0],
      [100, 100],
      [0, 100],
      [-9, 50],
      [0, 0],
    ]);
    assert.deepEqual(more.coordinates[1], holed.coordinates[1]);
    assert.deepEqual((withCorner(holed, 5, [50, 30]).coordinates[1] as Position[])[1], [50, 30]);
  });

  test("a corner less, a hole or a part less where it has too few, never nothing", () => {
    assert.deepEqual(withoutCorner(holed, 0)?.coordinates[0], [
      [100, 0],
      [100, 100],
      [0, 100],
      [100, 0],
    ]);
    assert.deepEqual(withoutCorner(holed, 2)?.coordinates[0], [
      [0, 0],
      [100, 0],
      [0, 100],
      [0, 0],
    ]);
    const triangles = withoutCorner(holed, 6) as Geometry;
    assert.equal((triangles.coordinates[1] as Position[]).length, 4);
    assert.equal(withoutCorner(triangles, 6)?.coordinates.length, 1, "the hole is gone");
    const triangle = withoutCorner(withoutCorner(triangles, 6) as Geometry, 0) as Geometry;
    assert.equal(withoutCorner(triangle, 0), null);
    assert.deepEqual(withoutCorner(two, 1)?.coordinates, [[square]], "the part is gone");
    assert.equal(withoutCorner({ type: "LineString", coordinates: square.slice(0, 2) }, 0), null);
    assert.deepEqual(
      withoutCorner(
        {
          type: "MultiPoint",
          coordinates: [
            [1, 2],
            [3, 4],
          ],
        },
        0,
      )?.coordinates,
      [[3, 4]],
    );
    assert.equal(withoutCorner({ type: "Point", coordinates: [1, 2] }, 0), null);
  });

  test("the whole moves, with its nucleus, its depth and its kind; another outline is no ellipse", () => {
    const deep = [1, 2, 3] as unknown as Position;
    assert.deepEqual(translated({ type: "LineString", coordinates: [deep, [4, 5]] }, [10, 20]).coordinates, [
      [11, 22, 3],
      [14, 25],
    ]);
    assert.deepEqual(moved({ type: "Point", coordinates: deep }, 0, [7, 8]).coordinates, [7, 8, 3]);
    const ellipse = { ...holed, isEllipse: true, plane: { c: -1, z: 3, t: 0 } };
    const cell = { ...featureOf(ellipse, "", [1, 2, 3], "a"), nucleusGeometry: holed };
    const gone = movedWhole(cell, [5, 0]);
    assert.deepEqual(boundsOf(gone.nucleusGeometry as Geometry), { x: 5, y: 0, width: 100, height: 100 });
    assert.deepEqual(gone.geometry, { ...ellipse, coordinates: translated(holed, [5, 0]).coordinates });
    assert.deepEqual(reshaped(cell, ellipse).geometry, { ...holed, plane: ellipse.plane });
  });
});

describe("words beside shapes", () => {
  const frame = { width: 400, height: 300 };
  const words = (x: number, y: number, width = 100, must = false): { at: Position; width: number; must: boolean } => ({
    at: [x, y],
    width,
    must,
  });

  test("stand above to the right", () => {
    assert.deepEqual(placeWords([words(100, 100)], frame), [[108, 92]]);
  });

  test("stay within the frame", () => {
    const [right, top, corner] = placeWords([words(390, 100), words(10, 2), words(-30, 330)], frame);
    assert.deepEqual(
      [right, top, corner],
      [
        [296, 92],
        [18, 17],
        [4, 292],
      ].map((place) => place as unknown as Position),
    );
  });

  test("make room for each other", () => {
    const places = placeWords([words(150, 100), words(150, 100), words(150, 100), words(150, 100)], frame);
    assert.deepEqual(places, [
      [158, 92],
      [42, 92],
      [158, 113],
      [42, 113],
    ]);
  });

  test("are left out where there is none, but those that must be seen", () => {
    const crowd = Array.from({ length: 40 }, () => words(150, 100));
    assert.equal(placeWords(crowd, frame).filter((place) => place !== null).length, 12);
    const chosen = placeWords([...crowd, words(150, 100, 100, true)], frame);
    assert.deepEqual(chosen.at(-1), [158, 92]);
    assert.notDeepEqual(chosen[0], [158, 92], "it comes first");
  });
});

describe("words wider than the frame", () => {
  const widthOf = (text: string): number => 10 * [...text].length;

  test("end in an ellipsis, as late as there is room", () => {
    assert.equal(clipped("Immune cells", roomFor({ width: 128, height: 1 }), widthOf), "Immune cells");
    assert.equal(clipped("Immune cells", roomFor({ width: 127, height: 1 }), widthOf), "Immune cel…");
    assert.equal(clipped("Immune cells", 80, widthOf), "Immune…", "no space before it");
    assert.equal(clipped("🔬🔬🔬🔬", 30, widthOf), "🔬🔬…", "no half of a character");
    assert.equal(clipped("Immune cells", 3, widthOf), "…");
    assert.equal(clipped("", 0, widthOf), "");
  });
});

describe("GeoJSON", () => {
  /** As QuPath 0.5 exports; older versions pack the colour and leave out the id. */
  const qupath = {
    type: "FeatureCollection",
    features: [
      {
        type: "Feature",
        id: "0b7a3e6a-6d5f-4a53-9d0c-9f2f3f0d3c11",
        geometry: { type: "Polygon", coordinates: [boxRing([1000, 2000], [1500.5, 2600])] },
        properties: {
          objectType: "annotation",
          name: "first",
          classification: { name: "Tumor", color: [200, 0, 0] },
          measurements: { "Area um^2": 75075 },
        },
      },
      {
        type: "Feature",
        geometry: { type: "Point", coordinates: [5, 6] },
        properties: { object_type: "annotation", classification: { name: "Stroma", colorRGB: -6895466 } },
      },
    ],
  };

  const [first, second] = qupath.features as unknown as [Feature, Feature];

  test("classes are names, text or objects; what is none of them is no label", () => {
    const labels = [
      [{ name: "Tumor" }, "Tumor"],
      [{ names: ["Tumor", "Positive"], name: "other" }, "Tumor: Positive"],
      ["Stroma", "Stroma"],
      [["Tumor", "Positive"], "Tumor: Positive"],
      [{ name: null }, "first"],
      [{ name: 7 }, "7"],
      [null, "first"],
      [[null, {}], "first"],
      [true, "first"],
    ];
    for (const [classification, label] of labels) {
      assert.equal(labelOf({ ...first, properties: { name: "first", classification } }), label);
    }
    assert.equal(labelOf({ ...first, properties: { name: null } }), "");
    assert.equal(labelOf({ ...first, properties: { name: "\u202eTu\0mor\n 1\u2069 \ud800" } }), "Tu mor 1");
    assert.equal(labelOf({ ...first, properties: { classification: "\u200b \0", name: "called" } }), "called");
    assert.equal(
      labelOf({ ...first, properties: { name: "\u0645\u06cc\u200c\u062e 😀" } }),
      "\u0645\u06cc\u200c\u062e 😀",
    );
    assert.equal(labelOf({ ...first, properties: { name: "x".repeat(9999) } }).length, 200);
  });

  test("colours are lists, numbers or text; what is none of them is the colour of the label", () => {
    assert.deepEqual(colorOf(first), [200, 0, 0]);
    assert.deepEqual(colorOf(second), [150, 200, 150]);
    const colors: [unknown, unknown][] = [
      [
        [1, 2.4, 300, 9],
        [1, 2, 255],
      ],
      [-3670016, [200, 0, 0]],
      ["#ff8800", [255, 136, 0]],
      ["#F80", [255, 136, 0]],
      ["#ff880080", [255, 136, 0]],
      ["rgb(1, 2, 3)", [1, 2, 3]],
      ["# f f", [60, 140, 60]],
      ["", [60, 140, 60]],
      [
        [1, 2],
        [60, 140, 60],
      ],
      [
        [1, 2, "3"],
        [60, 140, 60],
      ],
      [
        [1, 2, NaN],
        [60, 140, 60],
      ],
      [0.5, [60, 140, 60]],
      [{ red: 1 }, [60, 140, 60]],
    ];
    for (const [color, rgb] of colors) {
      assert.deepEqual(colorOf({ ...first, properties: { name: "Stroma", color } }), rgb, String(color));
      const classification = { name: "Stroma", color };
      assert.deepEqual(colorOf({ ...first, properties: { classification } }), rgb, String(color));
    }
    assert.deepEqual(colorOf({ ...first, properties: { color: "red" } }), PLAIN);
  });

  test("a long answer is read bit by bit, and is the same", async () => {
    const features = Array.from({ length: 3000 }, (_, n) => ({
      ...first,
      id: `n${n}`,
      properties: { name: "a\n,]}" },
    }));
    const lines = features.map((feature) => JSON.stringify(feature)).join(",\n");
    const whole = { type: "FeatureCollection", left_out: [{ place: "feature 1", why: "\n]}" }], features };
    const text = `{"type": "FeatureCollection", "left_out": ${JSON.stringify(whole.left_out)}, "features": [\n${lines}\n]}`;
    assert.deepEqual(await parseLines(text), whole);
    assert.deepEqual(await parseLines(JSON.stringify(whole)), whole, "and one that is written otherwise");
    assert.deepEqual(await parseLines('{"features": [\n\n]}'), { features: [] });
  });

  test("an import reports what it left out", () => {
    const leftOut = [1, 2, 3, 4].map((n) => ({ place: `feature ${n}`, why: "found none" }));
    assert.deepEqual(importedWords(1, []), ["1 annotation imported.", ""]);
    assert.deepEqual(importedWords(5, leftOut.slice(0, 1)), [
      "5 imported, 1 left out, because",
      "feature 1: found none.",
    ]);
    assert.match(importedWords(0, leftOut)[1], /feature 3: found none. The panel Annotate lists all 4.$/);
  });

  test("an import into a slide that is no longer shown names it", () => {
    const leftOut = [1, 2, 3, 4].map((n) => ({ place: `feature ${n}`, why: "found none" }));
    assert.deepEqual(importedWords(2, [], "Colon 3"), ["2 annotations imported into Colon 3.", ""]);
    const [words, more] = importedWords(5, leftOut, "Colon 3");
    assert.equal(words, "5 imported into Colon 3, 4 left out, because");
    assert.match(more, /The panel Annotate lists all 4, with Colon 3.$/);
  });

  test("annotations beside the slide are told of, as those in degrees or with y upwards", () => {
    const slide = { width: 4096, height: 3072, unbounded: false };
    const at = (...coordinates: Position): Feature => featureOf({ type: "Point", coordinates }, "", PLAIN);
    const ring = boxRing([4000, 3000], [9000, 9000]);
    const over = featureOf({ type: "Polygon", coordinates: [ring] }, "", PLAIN);
    assert.equal(outsideWords([at(0, 0), at(4096, 3072), over], slide), "", "on it, or in part");
    assert.equal(outsideWords([], slide), "");
    assert.match(outsideWords([at(5, -5)], slide), /^It lies outside the slide: coordinates are 20x pixels from /);
    assert.match(outsideWords([at(5, -5), at(500_000, 5_000_000)], slide), /^All lie outside/);
    assert.match(outsideWords([at(-1, 5), at(4097, 5), at(5, 3073), over], slide), /^3 of them lie outside/);
    assert.equal(outsideWords([at(5, -5)], { ...slide, unbounded: true }), "");
  });

  test("all is saved only where it is", () => {
    const saving = { unsaved: 0, refused: new Map<string, string>(), importing: false, loaded: true };
    assert.equal(savingWords(saving, 3), "All saved with the slide.");
    assert.equal(savingWords(saving, 0), "");
    assert.equal(savingWords({ ...saving, loaded: false }, 3), "");
    assert.equal(savingWords({ ...saving, unsaved: 2 }, 3), "Saving 2...");
    assert.match(savingWords({ ...saving, unsaved: 1, importing: true }, 3), /^Importing/);
    const refused = new Map([["a", "too much"]]);
    assert.equal(savingWords({ ...saving, unsaved: 2, refused }, 3), "1 not saved: too much");
  });

  test("a label is a class of QuPath, and can be taken away", () => {
    const plain = featureOf({ type: "Point", coordinates: [1, 2] }, "", [1, 2, 3], "a");
    assert.deepEqual(plain.properties, { objectType: "annotation", color: [1, 2, 3] });
    const tumor = relabelled(plain, "Tumor", [200, 0, 0]);
    assert.deepEqual(tumor.properties, {
      objectType: "annotation",
      classification: { name: "Tumor", color: [200, 0, 0] },
    });
    assert.deepEqual(relabelled(tumor, "", [1, 2, 3]), plain);
    const named = { ...tumor, properties: { ...tumor.properties, name: "cell 1", measurements: { a: 1 } } };
    assert.deepEqual(relabelled(named, "Stroma", [4, 5, 6]).properties, {
      objectType: "annotation",
      name: "cell 1",
      measurements: { a: 1 },
      classification: { name: "Stroma", color: [4, 5, 6] },
    });
  });
});

describe("teaching", () => {
  const feature = (label: string, id: string): Feature =>
    featureOf({ type: "Point", coordinates: [1, 2] }, label, [0, 0, 0], id);

  test("questions ask for every labelled annotation once, the answer among the choices", () => {
    const features = [feature("Gland", "a"), feature("Stroma", "b"), feature("", "c"), feature("Gland", "d")];
    const questions = questionsOf(features, Math.random);
    assert.deepEqual(questions.map((question) => question.feature.id).sort(), ["a", "b", "d"]);
    for (const { answer, choices, feature: asked } of questions) {
      assert.equal(answer, labelOf(asked));
      assert.equal(choices.length, 4);
      assert.equal(new Set(choices).size, 4);
      assert.ok(choices.includes(answer) && choices.includes("Gland") && choices.includes("Stroma"));
    }
    assert.deepEqual(questionsOf([feature("", "c")], Math.random), []);
  });

  test("shuffling keeps everything", () => {
    assert.deepEqual(shuffled([1, 2, 3, 4, 5, 6], Math.random).sort(), [1, 2, 3, 4, 5, 6]);
    assert.deepEqual(
      shuffled([1, 2, 3], () => 0),
      [2, 3, 1],
    );
  });

  test("stops change places", () => {
    assert.deepEqual(shifted(["a", "b", "c"], 0, 1), ["b", "a", "c"]);
    assert.deepEqual(shifted(["a", "b", "c"], 2, -1), ["a", "c", "b"]);
    assert.deepEqual(shifted(["a", "b"], 0, -1), ["a", "b"]);
  });

  test("the tiles of a tour are those that its stops show", () => {
    const slide = {
      width: 131072,
      height: 98304,
      tile_size: 256,
      min_level: 0,
      max_level: 17,
      root_level: 10,
    } as Slide;
    const stop = { x: 1024, y: 1024, magnification: 20, rotation: 0 };
    const screen = { width: 512, height: 256, ratio: 1 };
    const keys = tilesOfStops(slide, [stop, stop], screen).map(({ level, col, row }) => `${level}/${col}_${row}`);
    assert.deepEqual(keys, ["17/3_3", "17/4_3", "17/3_4", "17/4_4"]);
    const turned = tilesOfStops(slide, [{ ...stop, rotation: 90 }], screen);
    assert.deepEqual([turned.length, turned[0]?.row, turned.at(-1)?.row], [4, 3, 4]);
    assert.equal(tilesOfStops(slide, [{ ...stop, magnification: 5 }], screen)[0]?.level, 15);
  });
});
