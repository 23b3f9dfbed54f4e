"""PURE: what is known about a mirror that this machine writes, and about one that it names to readers."""

from collections.abc import Sequence
from datetime import datetime

import msgspec


class MirroredElection(msgspec.Struct, frozen=True):
    """An election in the target of this machine's mirror, as `valgnatt mirror --check` describes it."""

    election: str
    good: bool
    text: str


class MirrorTarget(msgspec.Struct, frozen=True, kw_only=True):
    """The target of this machine's mirror."""

    where: str
    mistake: str = ""
    """Why it cannot be read; then nothing else is known."""
    writable: bool = True
    """Whether this user may write there; other users and object stores count as allowed."""
    elections: Sequence[MirroredElection] = ()


class SiteFile(msgspec.Struct, frozen=True, kw_only=True):
    """How the web server of a mirror answers a request for a file."""

    path: str
    status: int
    gzip: bool = False
    max_age_s: int | None = None
    immutable: bool = False
    any_origin: bool = False
    """Whether pages of other origins may read it."""
    etag: str = ""
    revalidates: bool = False
    """Whether the same ETag is answered with 304."""


class SiteElection(msgspec.Struct, frozen=True, kw_only=True):
    """An election at the URL of a mirror."""

    election: str
    mistake: str = ""
    """Why its `live.json` cannot be read; then nothing else is known."""
    live: SiteFile | None = None
    snapshot: SiteFile | None = None
    age_s: float = 0.0
    every_s: int = 1
    closed_at: datetime | None = None
    """When the election was closed, if nothing follows."""
    same_record: bool | None = None
    """Whether the record is that of this gateway; None if it is not known."""
    etag_stays: bool = False
    """Whether `live.json` has kept its ETag although its content has changed."""


class MirrorSite(msgspec.Struct, frozen=True, kw_only=True):
    """The mirror at `mirror_url`."""

    url: str
    mistake: str = ""
    """Why it cannot be reached; then nothing else is known."""
    elections: Sequence[SiteElection] = ()
