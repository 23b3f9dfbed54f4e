"""PURE: the facts about an installation on which the checks are based. None means unknown."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from gateway.config import Config
from gateway.doctor.mirror_facts import MirrorSite, MirrorTarget
from gateway.election.registry import Registry
from gateway.election.rules.policy import Policy
from gateway.journal.election_reads import OpenHold, TokenSummary
from gateway.journal.feed_login import FeedLogin
from gateway.signer.steps import Checked


class Standby(msgspec.Struct, frozen=True):
    """A standby that is connected to the primary."""

    name: str
    sync_state: str | None
    """`sync`, `quorum`, `potential` or `async`; None: not shown to this login."""
    state: str | None = None
    """`streaming`, or the state before it; None: not shown to this login."""

    @property
    def streams(self) -> bool:
        """Whether it confirms commits, as far as that is known."""
        return self.state in (None, "streaming")


class DatabaseHost(msgspec.Struct, frozen=True, kw_only=True):
    """A host of the URL of the database, each of which may become the primary."""

    name: str
    role: Literal["primary", "standby"] | None = None
    """None: it cannot be used, and nothing else is known."""
    mistake: str = ""
    refused: bool = False
    """Whether it refuses the login, so that trying again does not help."""
    cluster: int | None = None
    """The system identifier of its data directory, which is copied to standbys; None: not shown to this login."""
    clock_ahead_s: float = 0.0
    clock_known_within_s: float = 0.0


class Database(msgspec.Struct, frozen=True, kw_only=True):
    """The state of Postgres."""

    version: int
    answered_s: float
    writable: bool
    settings: Mapping[str, str]
    """The settings of the server, without those that our sessions override."""
    applied: Mapping[int, str]
    """Number and digest of each applied migration; empty if the database has no schema."""
    connections: int
    standbys: Sequence[Standby]
    size: int
    wal_size: int | None
    idle_slots: Sequence[str]
    """Inactive replication slots, which retain WAL."""
    last_archived_at: datetime | None
    last_archive_failed_at: datetime | None
    clock_ahead_s: float
    """Seconds by which its clock is ahead of this machine's."""
    clock_known_within_s: float
    timeline: int | None = None
    """The number of promotions in its history, and one; None for a standby."""
    patroni: bool = False
    """Whether Patroni has started it."""
    hosts: Sequence[DatabaseHost] = ()
    addressed_directly: bool = False
    """Whether the only host of the URL is the server itself, and not a service, a proxy or a pooler."""


class Election(msgspec.Struct, frozen=True, kw_only=True):
    """An election, its tokens, and its held reports."""

    registry: Registry
    publish_from: datetime
    released_at: datetime | None
    closed_at: datetime | None
    loaded_at: datetime
    accepted: int
    tokens: Sequence[TokenSummary]
    policy: Policy
    """Its rules as they are now."""
    holds: Sequence[OpenHold] = ()
    """The open ones, the oldest first."""
    judged: int = 0
    """The last reports of the record, as far as they were looked at."""
    not_judged: int = 0
    """Those of them for which a rule failed."""


class CertificateFile(msgspec.Struct, frozen=True, kw_only=True):
    """The certificate files of a door."""

    door: str
    chain: Path
    mistake: str | None = None
    """Why the files cannot be used; then nothing else is known."""
    names: Sequence[str] = ()
    not_after: datetime | None = None
    known_authority: bool | None = None
    """Whether it is signed by an authority that this machine trusts."""
    client_authorities: Mapping[str, datetime] | None = None
    """The CA certificates for clients, with their expiry."""


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a door's health check."""

    name: str
    url: str | None
    """None if its address is not known."""
    host: str = ""
    ready: bool = False
    seen: str = ""
    restarts: Mapping[str, int] = {}
    differing: Sequence[str] = ()
    """Elections whose record differs from its signed log, by the metrics of the admin port."""


class Process(msgspec.Struct, frozen=True):
    """A running worker of this machine, and its limit of open files."""

    name: str
    open_files_max: int


class Drawn(msgspec.Struct, frozen=True):
    """The file with the map: why it cannot be drawn, or the possible identifiers of each shape."""

    path: Path
    mistake: str | None
    shapes: Sequence[tuple[str, ...]] = ()


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All facts."""

    now: datetime
    config: Config
    database: Database | None
    database_mistake: str = ""
    """Why `database` is None."""
    feed_login: FeedLogin | None = None
    feed_login_mistake: str = ""
    signer_login: FeedLogin | None = None
    signer_login_mistake: str = ""
    """Both are empty where no signer is configured."""
    signed: Sequence[Checked] = ()
    """What a signer with the configured directory would find."""
    signed_mistake: str = ""
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
    mirror_target: MirrorTarget | None = None
    mirror_site: MirrorSite | None = None
    """Both are None where no mirror is configured."""
