/** Organs: words, questions about them, and the tour of the magnifications. Expected values are written out. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Slide } from "../../viewer/src/api.js";
import { capital, likeness, organWords } from "../../viewer/src/organ.js";
import { inMiddle, RegionError, wishOf } from "../../viewer/src/regionWish.js";
import { octavesTour } from "../../viewer/src/teach/octaves.js";
import { askable, askedOf, choicesOf } from "../../viewer/src/teach/organQuestions.js";

const slide = (id: string, organ: string | null, more: Partial<Slide> = {}): Slide =>
  ({
    id,
    organ,
    organ_cases: organ === null ? null : 3,
    organ_sections: organ === null ? null : 1,
    regions: [],
    min_level: 0,
    max_level: 17,
    ...more,
  }) as unknown as Slide;

describe("organs", () => {
  test("words say how many cases are behind an organ", () => {
    const colon = { organ: "colon", organ_cases: 3, organ_sections: 2 };
    const none = { organ: null, organ_cases: null, organ_sections: null };
    const regions = [{ organ: "fat", organ_cases: 1, organ_sections: 1 }, none, colon];
    assert.equal(organWords({ ...colon, regions: [] }), ", colon: a likeness of 3 cases");
    assert.equal(organWords({ ...none, regions: [] }), "");
    assert.equal(
      organWords({ ...colon, regions: [...regions, ...regions] }),
      ", colon: a likeness of 3 cases, regions of fat: a likeness of 1 case; colon: a likeness of 3 cases",
    );
    assert.equal(organWords({ ...none, regions: regions.slice(0, 1) }), ", regions of fat: a likeness of 1 case");
    assert.equal(
      organWords({ organ: "prostate", organ_cases: 3, organ_sections: 0, regions: [] }),
      ", prostate: a likeness of 3 cases, of no whole section",
    );
    assert.equal(likeness(1, 1), "likeness of 1 case");
    assert.equal(capital("lymph node"), "Lymph node");
  });

  test("a region is typed in mm and sent in µm", () => {
    const extent = { width: 65.536, height: 49.152 };
    const typed = { x: "60,5", y: " 0 ", width: "5.036", height: "0.3" };
    assert.deepEqual(wishOf(1, "fat", typed, extent), {
      x_um: 60500,
      y_um: 0,
      width_um: 5036,
      height_um: 300,
      organ: "fat",
    });
    assert.deepEqual(inMiddle(extent), { x: 27.8, y: 19.6, width: 10, height: 10 });
    assert.deepEqual(inMiddle({ width: 16.384, height: 12.288 }), { x: 6.1, y: 4.6, width: 4.1, height: 3.1 });
  });

  test("a region that leaves the slide, or is no number, is refused with the field and what to do", () => {
    const extent = { width: 65.536, height: 49.152 };
    const good = { x: "1", y: "2", width: "3", height: "4" };
    for (const [change, side, words] of [
      [
        { x: "63" },
        "x",
        /Region 2 \(fat\) lies outside: it reaches from 63 to 66 mm from the left, .* is 65.536 mm wide/,
      ],
      [{ y: "46" }, "y", /from 46 to 50 mm from the top, and the slide is 49.152 mm high. Move it or make it smaller/],
      [{ x: "-1" }, "x", /lies outside/],
      [{ width: "0" }, "width", /its width is not more than 0 mm/],
      [{ height: "" }, "height", /the height is no number of mm: “”/],
      [{ height: "1e999" }, "height", /the height is no number/],
    ] as const) {
      assert.throws(
        () => wishOf(2, "fat", { ...good, ...change }, extent),
        (error) => error instanceof RegionError && error.side === side && words.test(error.message),
        JSON.stringify(change),
      );
    }
    assert.ok(wishOf(1, "fat", { ...good, x: "63" }, null), "the server knows how large a picture is");
  });

  test("only slides that know their organ are asked about, and two organs at least", () => {
    const [a, b, c] = [slide("a", "colon"), slide("b", "skin"), slide("c", null)];
    assert.deepEqual(askable([a, b, c]), [a, b]);
    assert.deepEqual(askable([a, slide("d", "colon"), c]), [], "one organ is no question");
  });

  test("ten questions, every slide in turn, none twice in a row", () => {
    const slides = ["colon", "skin", "liver"].map((organ) => slide(organ, organ));
    for (let run = 0; run < 50; run++) {
      const asked = askedOf(slides, Math.random);
      assert.equal(asked.length, 10);
      const counts = slides.map((one) => asked.filter(({ slide }) => slide === one).length);
      assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, String(counts));
      asked.forEach(({ slide }, index) => assert.notEqual(slide, asked[index + 1]?.slide));
      assert.ok(asked.every(({ magnification }) => [1.25, 2.5, 5, 10].includes(magnification)));
    }
    assert.deepEqual(askedOf([], Math.random), []);
  });

  test("four choices with the answer among them, organs of the slides before others", () => {
    const choices = choicesOf("skin", ["colon", "skin", "liver"], ["bone", "colon", "fat", "skin"], Math.random);
    assert.equal(new Set(choices).size, 4);
    for (const organ of ["skin", "colon", "liver"]) assert.ok(choices.includes(organ), organ);
    assert.deepEqual(choicesOf("skin", ["skin"], [], Math.random), ["skin"]);
  });

  test("a tour of one place at eight magnifications, coarse to fine", () => {
    const { title, stops } = octavesTour(slide("a", "colon"), { x: 5000, y: 6000, organ: "colon" });
    assert.equal(title, "Colon at eight magnifications");
    assert.deepEqual(
      stops.map(({ magnification }) => magnification),
      [0.15625, 0.3125, 0.625, 1.25, 2.5, 5, 10, 20],
    );
    assert.ok(stops.every(({ x, y, rotation }) => x === 5000 && y === 6000 && rotation === 0));
    assert.equal(stops[0]?.title, "Colon at 0.16x");
    assert.match(stops[7]?.text ?? "", /Synthetic, a likeness of 3 cases\.$/);
    assert.ok(stops.every(({ text }) => text !== "" && text.length < 5000));
  });

  test("in a region of another organ the tour is of that one; of no organ it says none", () => {
    const regions = [{ organ: "fat", organ_cases: 1, organ_sections: 1 }] as unknown as Slide["regions"];
    const fat = octavesTour(slide("a", "colon", { regions }), { x: 1, y: 2, organ: "fat" });
    assert.equal(fat.title, "Fat at eight magnifications");
    assert.match(fat.stops[0]?.text ?? "", /Synthetic, a likeness of 1 case\.$/, "of the region, not of the slide");
    assert.equal(octavesTour(slide("a", null), { x: 1, y: 2, organ: null }).title, "One place at eight magnifications");
  });

  test("a slide that is not shown farther out has fewer stops", () => {
    const tour = octavesTour(slide("a", "colon", { min_level: 12 }), { x: 1, y: 2, organ: "colon" });
    assert.equal(tour.title, "Colon at 6 magnifications");
    assert.equal(tour.stops[0]?.magnification, 0.625);
  });
});
