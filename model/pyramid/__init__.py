"""Planes of a slide, exact and seamless: geometry of windows, keyed noise, blending, closure. It knows no network: a
`WindowModel` paints what a window adds to its parent."""
