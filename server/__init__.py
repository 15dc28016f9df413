"""The service: HTTP, Deep Zoom addresses, slides on offer, the painter's queue, and the command line.

This package turns a request into the bytes of a tile. It is the only one that knows Flask and waitress. It must not
know how tiles are painted (that is `everslide.model`) nor how bytes are kept (`everslide.cache`).
"""
