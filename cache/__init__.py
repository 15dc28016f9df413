"""Stores of bytes by key: in memory, in files, on Redis, and two of them as tiers. Also mutual exclusion, so that work
is done once: `SingleFlight` among threads, `Leases` and `SharedFlight` among processes.

This package owns where bytes are kept and for how long. It must not know tiles, pixels, models, HTTP or Flask: a key is
a text and a rank, a value is bytes.
"""
