"""One file of a mirror, as a target stores it. PURE."""

from typing import NamedTuple

NDJSON = "application/x-ndjson"
JSON = "application/json"


class StoredFile(NamedTuple):
    """A file of a mirror: its path below the target, its content, and how long caches may keep it."""

    path: str
    body: bytes
    """Uncompressed."""
    media_type: str
    """Value of `Content-Type`."""
    max_age_s: int | None
    """For how many seconds caches may keep it; None if it is immutable, and they may keep it forever."""
