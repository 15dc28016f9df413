/** Stains apart: expected colours were computed with numpy from `everslide.model.stain`. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type Adjustment,
  adjustPixels,
  densityOf,
  inverse,
  isNeutral,
  levelOf,
  NEUTRAL,
  product,
  STAINS,
  stainMatrix,
  toneCurve,
} from "../../viewer/src/adjust/stains.js";

function shown(rgb: readonly number[], change: Partial<Adjustment>): number[] {
  const pixels = Uint8ClampedArray.from([...rgb, 255]);
  adjustPixels(pixels, { ...NEUTRAL, ...change });
  assert.equal(pixels[3], 255, "opacity is left alone");
  return [...pixels.slice(0, 3)];
}

describe("stains apart", () => {
  test("one stain alone, and more of one", () => {
    const only = { hematoxylin: { hematoxylin: 1, eosin: 0 }, eosin: { hematoxylin: 0, eosin: 1 } };
    assert.deepEqual(shown([150, 92, 140], only.hematoxylin), [175, 170, 211]);
    assert.deepEqual(shown([150, 92, 140], only.eosin), [239, 174, 236]);
    assert.deepEqual(shown([150, 92, 140], { hematoxylin: 1.5 }), [127, 77, 130]);
    assert.deepEqual(shown([120, 84, 138], only.hematoxylin), [135, 128, 188]);
    assert.deepEqual(shown([200, 120, 170], only.eosin), [238, 160, 234]);
    assert.deepEqual(shown([226, 178, 196], only.hematoxylin), [245, 245, 245], "less than no hematoxylin is none");
  });

  test("everything at its neutral value changes no pixel", () => {
    for (let level = 0; level < 256; level++)
      assert.deepEqual(shown([level, 255 - level, 7], {}), [level, 255 - level, 7]);
    assert.ok(isNeutral(NEUTRAL) && !isNeutral({ ...NEUTRAL, eosin: 0.99 }));
  });

  test("all of both stains is the identity", () => {
    const identity = [1, 0, 0, 0, 1, 0, 0, 0, 1];
    stainMatrix(NEUTRAL).forEach((value, index) => assert.ok(Math.abs(value - (identity[index] ?? 0)) < 1e-12));
    product(STAINS, inverse(STAINS)).forEach((value, index) =>
      assert.ok(Math.abs(value - (identity[index] ?? 0)) < 1e-12),
    );
  });

  test("density and level are each other's inverse between glass and near black", () => {
    for (let level = 20; level <= 245; level++) assert.ok(Math.abs(levelOf(densityOf(level)) - level) < 1e-9);
    assert.equal(densityOf(255), 0);
    assert.equal(densityOf(0), densityOf(10));
  });
});

test("brightness, contrast and gamma", () => {
  assert.deepEqual(shown([100, 0, 255], { brightness: 0.1 }), [126, 26, 255]);
  assert.deepEqual(shown([100, 0, 255], { contrast: 2 }), [72, 0, 255]);
  assert.deepEqual(shown([64, 0, 255], { gamma: 2 }), [128, 0, 255]);
  const curve = toneCurve({ ...NEUTRAL, contrast: 0.5, gamma: 0.7 });
  for (let level = 1; level < 256; level++)
    assert.ok((curve[level] ?? 0) >= (curve[level - 1] ?? 0), "never turns around");
});
