"""The tile service and its stores: painted once, kept, found again, damaged, full."""

from __future__ import annotations

import errno
import threading
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from everslide.cache.files import FileStore
from everslide.cache.memory import MemoryStore
from everslide.cache.redis_link import RedisLink
from everslide.cache.redis_store import RedisStore
from everslide.model.geometry import TileIndex
from everslide.server.assembly import make_stores
from everslide.server.deepzoom import TileAddress
from everslide.server.encode import JPEG, PNG, WEBP, Format, decode
from everslide.server.pixels import PixelTiles
from everslide.server.settings import Settings
from everslide.server.tiles import Stores, TileService
from tests.redis_server import RedisServer
from tests.server.stub import Studio, make_service, memory_stores, stub_pixels

ADDRESS = TileAddress(17, 300, 200)
EDGE = TileAddress(10, 3, 2)


def final(service: TileService, address: TileAddress = ADDRESS, fmt: Format = PNG, slide: str = "demo") -> bytes:
    return service.final(service.slide(slide), address, fmt, lambda: False).data


def test_sixteen_threads_paint_once(service: TileService, studio: Studio) -> None:
    together, answers = threading.Barrier(16), []

    def ask(fmt: Format) -> None:
        together.wait()
        answers.append((fmt, final(service, fmt=fmt)))

    threads = [threading.Thread(target=ask, args=(fmt,)) for fmt in (JPEG, PNG) * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert studio.painted == {TileIndex(0, 300, 200): 1}
    assert len(answers) == 16
    assert len(set(answers)) == 2


@pytest.mark.parametrize("fmt", [PNG, JPEG, WEBP])
@pytest.mark.parametrize(("slide", "address"), [("demo", ADDRESS), ("small", EDGE)])
def test_same_bytes_from_another_service(studio: Studio, fmt: Format, slide: str, address: TileAddress) -> None:
    one, other = make_service(studio), make_service(studio)
    assert final(one, address, fmt, slide) == final(other, address, fmt, slide)
    one.close()
    other.close()


def test_a_restart_keeps_tiles_with_the_same_bytes(studio: Studio, tmp_path: Path) -> None:
    settings = Settings(cache=tmp_path)
    before = make_service(studio, make_stores(settings))
    bytes_before = [final(before, fmt=fmt) for fmt in (PNG, JPEG, WEBP)]
    before.close()
    after = make_service(studio, make_stores(settings))
    assert [final(after, fmt=fmt) for fmt in (PNG, JPEG, WEBP)] == bytes_before
    assert after.preview(after.slide("demo"), ADDRESS, JPEG).state == "final"
    after.close()
    assert studio.painted == {TileIndex(0, 300, 200): 1}


def test_a_restart_with_other_weights_paints_anew(tmp_path: Path) -> None:
    settings = Settings(cache=tmp_path)
    for fingerprint in ("f00d", "beef", "f00d"):
        studio = Studio(fingerprint)
        service = make_service(studio, make_stores(settings))
        final(service)
        service.close()
        assert sum(studio.painted.values()) == (0 if tmp_path.joinpath("seen").exists() else 1)
        if fingerprint == "beef":
            tmp_path.joinpath("seen").touch()


def test_a_corrupt_file_is_painted_anew(studio: Studio, tmp_path: Path) -> None:
    files = FileStore(tmp_path, 10**8)
    stores = Stores(files, MemoryStore(0), MemoryStore(0))
    service = make_service(studio, stores)
    first = final(service)
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    path.write_bytes(path.read_bytes()[:1000])
    assert final(service) == first
    assert studio.painted[TileIndex(0, 300, 200)] == 2
    assert files.stats().corrupt == 1
    service.close()


def test_a_corrupt_entry_on_redis_is_painted_anew(studio: Studio, redis: RedisServer) -> None:
    store = RedisStore(RedisLink(redis.url))
    service = make_service(studio, Stores(store, MemoryStore(0), MemoryStore(0)))
    first = final(service)
    (name,) = redis.client().keys("everslide/*")
    redis.client().setrange(name, 100, b"damage")
    assert final(service) == first
    assert studio.painted[TileIndex(0, 300, 200)] == 2
    assert store.stats().corrupt == 1
    service.close()


def test_a_file_that_is_no_image_is_painted_anew(studio: Studio) -> None:
    stores = Stores(MemoryStore(10**8), MemoryStore(0), MemoryStore(0))
    service = make_service(studio, stores)
    first = final(service, fmt=JPEG)
    stores.lossless.put(service.slide("demo").tiles.key(TileIndex(0, 300, 200)), b"whole, but no image")
    assert final(service, fmt=JPEG) == first
    assert studio.painted[TileIndex(0, 300, 200)] == 2
    service.close()


def test_a_full_disk_is_served_past(studio: Studio, tmp_path: Path) -> None:
    def full(path: Path) -> IO[bytes]:
        raise OSError(errno.ENOSPC, "No space left on device")

    files = FileStore(tmp_path, 10**8, open_new=full)
    service = make_service(studio, Stores(files, MemoryStore(0), MemoryStore(0)))
    assert np.array_equal(decode(final(service)), stub_pixels(7, TileIndex(0, 300, 200)))
    assert final(service) == final(service)
    assert files.stats().errors == 3
    assert studio.painted[TileIndex(0, 300, 200)] == 3
    service.close()


def test_eviction_keeps_coarse_tiles(studio: Studio) -> None:
    stores = Stores(MemoryStore(10**5), MemoryStore(0), MemoryStore(0))
    service = make_service(studio, stores)
    coarse = [TileAddress(0, 0, 0), TileAddress(8, 0, 0), TileAddress(10, 1, 1)]
    for address in coarse:
        final(service, address)
    for col in range(200):
        final(service, TileAddress(17, col, 0))
    assert stores.lossless.stats().evictions > 100
    tiles = service.slide("demo").tiles
    assert all(tiles.file(service.slide("demo").zoom.tile_index(address)) is not None for address in coarse)
    assert tiles.file(TileIndex(0, 0, 0)) is None
    service.close()


def test_encoded_tiles_need_no_lossless_file(service: TileService) -> None:
    """The fast path: neither a decoded tile nor a file is touched."""
    first = final(service, fmt=JPEG)
    before = service.stores.lossless.stats(), service.stores.raw.stats()
    assert final(service, fmt=JPEG) == first
    assert (service.stores.lossless.stats(), service.stores.raw.stats()) == before


def test_slides_of_different_seeds_share_nothing(service: TileService) -> None:
    address = TileAddress(10, 0, 0)
    assert final(service, address, slide="demo") != final(service, address, slide="small")
    assert service.slide("demo").fingerprint != service.slide("small").fingerprint


def test_pixels_survive_the_lossless_file() -> None:
    stores = memory_stores()
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    tile = TileIndex(3, 2**33, 5)
    PixelTiles(stores.lossless, MemoryStore(0), "a", "mark").put(tile, pixels)
    found = PixelTiles(stores.lossless, stores.raw, "a", "mark").get(tile)
    assert found is not None
    assert np.array_equal(found, pixels)
    again = PixelTiles(stores.lossless, stores.raw, "a", "mark").get(tile)
    assert again is not None
    assert np.array_equal(again, pixels)
    assert PixelTiles(stores.lossless, stores.raw, "b", "mark").get(tile) is None
