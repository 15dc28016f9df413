"""A service put together from its settings."""

from __future__ import annotations

import re

from everslide.model.geometry import TILE_PX
from everslide.model.slide import Slide
from everslide.server.assembly import assemble
from everslide.server.deepzoom import TileAddress
from everslide.server.encode import JPEG
from everslide.server.settings import Settings
from everslide.server.slides import Catalogue, Entry

SMALL = Entry(Slide("small", 5, 600, 500, model="speckle"), "small")


def test_the_metrics_tell_what_each_store_holds() -> None:
    assembly = assemble(Settings(cache=None), Catalogue((SMALL,)))
    try:
        service = assembly.service
        jpeg = service.final(service.slide("small"), TileAddress(10, 1, 0), JPEG, lambda: False).data
        text = service.metrics.text().decode()
    finally:
        assembly.close()
    held = {name: float(value) for name, value in re.findall(r'everslide_cache_bytes\{store="(\w+)"\} (\S+)', text)}
    lossless = float(service.stores.lossless.stats().bytes)
    raw = float(service.stores.raw.stats().entries * TILE_PX * TILE_PX * 3)
    assert held == {"lossless": lossless, "encoded": float(len(jpeg)), "raw": raw}
    assert 0 < lossless < raw


def test_the_metrics_count_the_pages_that_listen() -> None:
    assembly = assemble(Settings(cache=None), Catalogue((SMALL,)))
    broker, metrics = assembly.service.queue.broker, assembly.service.metrics
    try:
        listener = broker.listen("small")
        assert b"everslide_event_streams 1.0" in metrics.text()
        broker.leave(listener)
        assert b"everslide_event_streams 0.0" in metrics.text()
    finally:
        assembly.close()
