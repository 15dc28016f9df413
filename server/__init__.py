"""The service: HTTP, Deep Zoom and IIIF addresses, slides on offer, the painter's queue, engines, exports, the command
line, and the tile source for large_image.

This package turns a request into the bytes of a tile. It is the only one that knows Flask, waitress and Dask. It must
not know how tiles are painted (that is `everslide.model`) nor how bytes are kept (`everslide.cache`).
"""
