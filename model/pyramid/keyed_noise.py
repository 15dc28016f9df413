"""Random numbers that are a function of a place: the same whatever was painted before, on whichever machine.

Every pixel of every plane has its own normal numbers, keyed by (slide seed, stream, scale, block x, block y). A stream
is a name, such as "detail": other streams give independent numbers. Windows that overlap read the same numbers.
Raw bits come from Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), whose raw stream
numpy keeps stable, and become normals by a table of 65536 quantiles, because numpy does not promise its own normals.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from everslide.model.geometry import Rect

Floats = NDArray[np.float32]
SEED_FORMAT = 1
"""Part of every fingerprint: raise it when the same seed would give other numbers."""
BLOCK_PX = 32
"""Noise is made in blocks of this side; windows start and end on block borders."""
_MASK64 = 2**64 - 1


@lru_cache(maxsize=1)
def _quantiles() -> Floats:
    return ndtri((np.arange(65536) + 0.5) / 65536).astype(np.float32)


@lru_cache(maxsize=256)
def _stream_key(stream: str, s: int) -> int:
    digest = hashlib.blake2b(f"everslide {SEED_FORMAT} {stream} {s}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def raw_bits(seed: int, stream: str, s: int, x: int, y: int, count: int) -> NDArray[np.uint64]:
    """(count,) uint64 of uniform random bits, keyed by seed, stream, scale and a place (x, y), which may be
    negative."""
    key = np.array([seed & _MASK64, _stream_key(stream, s)], dtype=np.uint64)
    counter = np.array([0, x & _MASK64, y & _MASK64, 0], dtype=np.uint64)
    bits: NDArray[np.uint64] = np.random.Philox(key=key, counter=counter).random_raw(count)
    return bits


def uniforms(seed: int, stream: str, x: int, y: int, count: int) -> NDArray[np.float64]:
    """(count,) float64 uniform in [0, 1), keyed by seed, stream and a place (x, y), which may be negative."""
    bits = raw_bits(seed, stream, 0, x, y, count)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normals(seed: int, stream: str, s: int, rect: Rect, channels: int) -> Floats:
    """Standard normals (channels, rect.height, rect.width) float32 of the pixels `rect` of plane s.

    Position and size of `rect` are multiples of BLOCK_PX; see `normals_anywhere` for others.
    """
    assert rect.x % BLOCK_PX == rect.y % BLOCK_PX == rect.width % BLOCK_PX == rect.height % BLOCK_PX == 0
    out = np.empty((channels, rect.height, rect.width), np.float32)
    count = channels * BLOCK_PX * BLOCK_PX
    for y in range(0, rect.height, BLOCK_PX):
        for x in range(0, rect.width, BLOCK_PX):
            bits = raw_bits(seed, stream, s, (rect.x + x) // BLOCK_PX, (rect.y + y) // BLOCK_PX, count // 4)
            block = np.take(_quantiles(), bits.view(np.uint16)).reshape(channels, BLOCK_PX, BLOCK_PX)
            out[:, y : y + BLOCK_PX, x : x + BLOCK_PX] = block
    return out


def normals_anywhere(seed: int, stream: str, s: int, rect: Rect, channels: int) -> Floats:
    """As `normals`, for any `rect`: made in whole blocks, then cropped."""
    left, top = rect.x // BLOCK_PX * BLOCK_PX, rect.y // BLOCK_PX * BLOCK_PX
    width, height = (
        -(-(end - start) // BLOCK_PX) * BLOCK_PX for start, end in ((left, rect.right), (top, rect.bottom))
    )
    blocks = normals(seed, stream, s, Rect(left, top, width, height), channels)
    return blocks[:, rect.y - top : rect.bottom - top, rect.x - left : rect.right - left]
