"""The page in the browser: static files only.

Owns the TypeScript of the page (`src/`, bundled by `npm run build` into `static/dist/`), its HTML and its style. It
knows the HTTP interface of `everslide.server` and nothing of painting, caches or Python beyond the one path below.
"""

from __future__ import annotations

from pathlib import Path

STATIC_DIR: Path = Path(__file__).resolve().parent / "static"
"""Folder of the page: `index.html` is the page itself, everything else is served below `/static/`."""
