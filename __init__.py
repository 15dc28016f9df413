"""Everslide: an endless synthetic slide, painted while you look at it. Synthetic images - not for diagnosis.

everslide.server   HTTP, Deep Zoom addresses, the queue of the painter and the command line; knows all the others
everslide.viewer   the page in the browser
everslide.model    slides, geometry, the network and the painter; knows nothing of HTTP or files of tiles
everslide.cache    bytes by key, in memory and in files; knows nothing of tiles, pixels or models
"""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """The installed version of Everslide, such as "0.1.0"."""
    return metadata.version("everslide")
