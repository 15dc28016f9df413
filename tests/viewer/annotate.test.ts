/** Shapes, their measures, and GeoJSON as QuPath writes and reads it. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  collectionText,
  colorOf,
  type Feature,
  featureOf,
  labelOf,
  parseCollection,
  relabelled,
} from "../../viewer/src/annotate/feature.js";
import {
  areaUm2,
  areaWords,
  boundsOf,
  boxRing,
  isHit,
  lengthUm,
  lengthWords,
  measureWords,
  moved,
  type Position,
  positionsOf,
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

  test("is read from QuPath and written as it was", () => {
    const [first, second] = parseCollection(JSON.stringify(qupath)) as [Feature, Feature];
    assert.deepEqual([labelOf(first), colorOf(first)], ["Tumor", [200, 0, 0]]);
    assert.deepEqual([labelOf(second), colorOf(second)], ["Stroma", [150, 200, 150]]);
    assert.match(second.id, /^[0-9a-f-]{36}$/);
    assert.deepEqual(JSON.parse(collectionText([first])).features[0], qupath.features[0]);
  });

  test("lists and single features are read too", () => {
    assert.equal(parseCollection(JSON.stringify(qupath.features)).length, 2);
    assert.equal(parseCollection(JSON.stringify(qupath.features[0])).length, 1);
    assert.equal(parseCollection('{"type": "FeatureCollection", "features": []}').length, 0);
  });

  test("what is none is refused with a reason", () => {
    assert.throws(() => parseCollection("<xml>"), /not JSON/);
    assert.throws(() => parseCollection('{"features": 7}'), /no list/);
    assert.throws(() => parseCollection('{"type": "Feature"}'), /Feature 1/);
    assert.throws(() => parseCollection("null"), /Feature 1/);
    const bad = { type: "Feature", geometry: { type: "Point", coordinates: [1, null] }, properties: {} };
    assert.throws(() => parseCollection(JSON.stringify([qupath.features[0], bad])), /Feature 2/);
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
