"""Painting of synthetic tissue: slides, levels, windows, the painter and its network.

This package owns everything that is made of pixels and micrometres. It must not know HTTP, Deep Zoom, files of the
tile store, or the browser: a caller that wants painted tiles to be kept passes the painter a `TileStore`.
"""
