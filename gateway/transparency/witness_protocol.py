"""What a witness and its clients have in common. Source: C2SP tlog-witness."""

import hashlib

SIZE_TYPE = "text/x.tlog.size"
"""The media type of a 409 answer that is the size of the newest checkpoint that the witness cosigned."""


def origin_hash(origin: str) -> str:
    """Return the name of a log in the URLs of a witness: the SHA-256 of its origin, in hex."""
    return hashlib.sha256(origin.encode()).hexdigest()
