"""Painting of synthetic tissue: slides, levels, windows, the painter and its network.

This package owns everything that is made of pixels and micrometres. It must not know HTTP, Deep Zoom, files of the
tile store, or the browser; whoever wants painted tiles kept hands the painter a `TileStore`.
"""
