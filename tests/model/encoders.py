"""Encoders for tests: no weights, features that one can reckon."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class ColourEncoder:
    """Means and deviations of colour, and the mean of each quarter: 18 features, an eighth of a grey level each."""

    def embed(self, patches: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Embeds.embed`."""
        assert patches.shape[1:] == (128, 128, 3) and patches.dtype == np.uint8
        values = patches.astype(np.float32) / 8
        quarters = [values[:, y : y + 64, x : x + 64].mean((1, 2)) for y in (0, 64) for x in (0, 64)]
        return np.concatenate([values.mean((1, 2)), values.std((1, 2)), *quarters], 1).astype(np.float32)
