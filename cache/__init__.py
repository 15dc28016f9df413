"""Bytes by key: in memory, in files, and the two as tiers. Also `SingleFlight`, which lets work be done once.

This package owns where bytes are kept and for how long. It must not know tiles, pixels, models, HTTP or Flask: a key is
a text and a rank, a value is bytes.
"""
