"""Servers to be compared: `python -m tests.benchmarks.tile_servers openslide FILE` prints its port and serves FILE.

`openslide` does what the Deep Zoom example of openslide-python does: DeepZoomGenerator, and a JPEG of quality 75 made
for each request. `large_image` answers with `getTile` of an opened source, which keeps its tiles in memory, or, as
`large_image_file`, was configured not to. All under waitress with as many threads as Everslide has.
"""

from __future__ import annotations

import io
import sys
from typing import Any

import waitress
from flask import Flask, Response

THREADS = 24


def openslide_app(path: str) -> Flask:
    """Deep Zoom tiles of 254 px with one pixel of overlap, as in the example."""
    import openslide
    from openslide.deepzoom import DeepZoomGenerator

    app = Flask("openslide")
    generator = DeepZoomGenerator(openslide.OpenSlide(path), tile_size=254, overlap=1, limit_bounds=True)

    @app.get("/<int:level>/<int:col>_<int:row>.jpeg")
    def tile(level: int, col: int, row: int) -> Response:
        out = io.BytesIO()
        generator.get_tile(level, (col, row)).save(out, "jpeg", quality=75)
        return Response(out.getvalue(), mimetype="image/jpeg")

    return app


def large_image_app(path: str, no_cache: bool = False) -> Flask:
    """Tiles of 256 px. no_cache: tiles are read anew for every request."""
    import large_image

    app = Flask("large_image")
    source: Any = large_image.open(path, noCache=no_cache)

    @app.get("/<int:level>/<int:col>_<int:row>.jpeg")
    def tile(level: int, col: int, row: int) -> Response:
        return Response(source.getTile(col, row, level), mimetype="image/jpeg")

    return app


def main() -> None:
    """Serve until killed."""
    kind, path = sys.argv[1:]
    app = openslide_app(path) if kind == "openslide" else large_image_app(path, kind == "large_image_file")
    server: Any = waitress.create_server(app, host="127.0.0.1", port=0, threads=THREADS)
    print(server.effective_port, flush=True)
    server.run()


if __name__ == "__main__":
    main()
