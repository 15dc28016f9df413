"""Errors of the painting side.

EverslideError
 +- SlideError      a slide is described by impossible values
 +- WeightsError    weights are missing, damaged, or of another architecture
 +- ImageError      an image cannot be used: not RGB, too small, too large, unreadable
 +- DataError       a folder of training or measuring images cannot be used
"""

from __future__ import annotations


class EverslideError(Exception):
    """Base of all errors whose message is for the user: what was expected, what was found, what to do."""


class SlideError(EverslideError):
    """A slide is described by impossible values."""


class WeightsError(EverslideError):
    """Weights are missing, damaged, or of another architecture."""


class ImageError(EverslideError):
    """An image cannot be used: not RGB, too small, too large, unreadable."""


class DataError(EverslideError):
    """A folder of training or measuring images cannot be used."""


def shown(value: object, most: int = 60) -> str:
    """A value as it stands in Python, for a message; of a long one the beginning."""
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."
