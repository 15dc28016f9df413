"""Text of people as one line that can be shown anywhere: nothing in it hides, turns or breaks what stands beside it."""

from __future__ import annotations

import unicodedata

_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that turn the direction of the text behind them, until another one ends that."""


def one_line(text: str) -> str:
    """Without control characters, halves of characters and turning marks, spaces made one; "" where nothing of it
    would be seen."""
    kept = "".join(
        " " if unicodedata.category(letter) == "Cc" else letter
        for letter in text
        if unicodedata.category(letter) != "Cs" and letter not in _TURNING
    )
    seen = any(unicodedata.category(letter)[0] not in "CZ" for letter in kept)
    return " ".join(kept.split()) if seen else ""
