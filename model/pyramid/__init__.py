"""The planes of a slide: the topmost plane, keyed noise, windows and their blending, exact agreement of a tile with its
parent, and the slide's identity.

This package knows no network: it asks a `WindowModel` for the detail that a window adds to its parent.
"""
