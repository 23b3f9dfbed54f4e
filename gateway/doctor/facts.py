"""PURE: what is known of an installation when it is judged. None is what could not be learnt."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from gateway.config import Config
from gateway.election.registry import Registry
from gateway.journal.administration import TokenSummary
from gateway.journal.feed_login import FeedLogin


class Standby(msgspec.Struct, frozen=True):
    """A replica that is attached."""

    name: str
    sync_state: str | None


class Database(msgspec.Struct, frozen=True, kw_only=True):
    """What Postgres says of itself."""

    version: int
    answered_s: float
    writable: bool
    settings: Mapping[str, str]
    """As the server has them, not as a session of ours set them."""
    applied: Mapping[int, str]
    """Number and digest of each migration that was applied; empty where there is no such table."""
    connections: int
    standbys: Sequence[Standby]
    size: int
    wal_size: int | None
    idle_slots: Sequence[str]
    """Replication slots that hold back WAL and that nobody reads."""
    last_archived_at: datetime | None
    last_archive_failed_at: datetime | None
    clock_ahead_s: float
    """By how much its clock is ahead of ours."""
    clock_known_within_s: float


class Election(msgspec.Struct, frozen=True, kw_only=True):
    """An election and its tokens."""

    registry: Registry
    publish_from: datetime
    released_at: datetime | None
    closed_at: datetime | None
    loaded_at: datetime
    accepted: int
    tokens: Sequence[TokenSummary]


class CertificateFile(msgspec.Struct, frozen=True, kw_only=True):
    """A door's certificate, by its files."""

    door: str
    chain: Path
    mistake: str | None = None
    """Why it cannot serve; then nothing else is known."""
    names: Sequence[str] = ()
    not_after: datetime | None = None
    known_authority: bool | None = None
    """Whether this machine's own authorities lead to it."""
    client_authorities: Mapping[str, datetime] | None = None
    """The authorities of clients, and until when they hold."""


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """What a door answered when it was knocked at."""

    name: str
    url: str | None
    """None where it has no address that is known."""
    host: str = ""
    ready: bool = False
    seen: str = ""
    restarts: Mapping[str, int] = {}


class Process(msgspec.Struct, frozen=True):
    """A worker of this machine, and how many files it may open."""

    name: str
    open_files_max: int


class Drawn(msgspec.Struct, frozen=True):
    """A map's file: why it cannot be drawn, else the identifiers that each of its shapes may have."""

    path: Path
    mistake: str | None
    shapes: Sequence[tuple[str, ...]] = ()


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is judged."""

    now: datetime
    config: Config
    database: Database | None
    database_mistake: str = ""
    """Why it is None."""
    feed_login: FeedLogin | None = None
    feed_login_mistake: str = ""
    elections: Sequence[Election] = ()
    certificates: Sequence[CertificateFile] = ()
    doors: Sequence[Door] = ()
    processes: Sequence[Process] = ()
    open_files_max: int | None = None
    backlog_max: int | None = None
    processors: int = 1
    disk_free: int | None = None
    disk_total: int | None = None
    map: Drawn | None = None
