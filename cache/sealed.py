"""The format of values kept outside this process: a version, a checksum, and the value."""

from __future__ import annotations

import hashlib

from everslide.cache.store import Key

_MAGIC = b"EVERSLD1"
"""Version of the format: entries of another version are misses."""
_DIGEST_BYTES = 32
SEAL_BYTES = len(_MAGIC) + _DIGEST_BYTES
"""Bytes that sealing adds to a value."""


def seal(key: Key, value: bytes) -> bytes:
    """Value -> magic, SHA-256 of key and value, value."""
    return _MAGIC + _digest(key, value) + value


def unseal(key: Key, data: bytes) -> bytes | None:
    """The value, or None where the data is damaged, of another version, or was put under another key."""
    value = data[SEAL_BYTES:]
    return value if data[:SEAL_BYTES] == _MAGIC + _digest(key, value) else None


def _digest(key: Key, value: bytes) -> bytes:
    """Checksum of a value together with its key, so that a value under a wrong name is found out too."""
    name = key.name.encode()
    return hashlib.sha256(len(name).to_bytes(8, "little") + name + value).digest()
