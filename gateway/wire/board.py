"""PURE: the board for operators: contacts, tokens, refusals and numbers of reports of every municipality.

It is complete under embargo too, and contains no figures of reports. Times are UTC.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from gateway.election.registry import Area, Registry
from gateway.wire.transfers import Moment

LISTED_MAX = 8
"""Tokens, and codes of refusals, listed per municipality; further ones are only counted."""
NIGHT_S = 86_400.0
"""For how many seconds after the embargo's end municipalities are expected to report."""


class Refused(msgspec.Struct, frozen=True):
    """How often reports or requests were refused with one code."""

    code: str
    count: int
    last_at: Moment
    token: int | None
    """The number of the token; None if the request had no valid token of the election."""


class BoardToken(msgspec.Struct, frozen=True):
    """A sender's token that is not revoked."""

    token: int
    areas: Sequence[str]
    note: str
    expires_at: Moment | None
    last_contact_at: Moment | None

    def valid(self, now: datetime) -> bool:
        """Whether it has not expired."""
        return self.expires_at is None or self.expires_at > now


class Received(msgspec.Struct):
    """The accepted reports of a municipality; grows with the record."""

    units: set[str] = msgspec.field(default_factory=set)
    accepted: int = 0
    last_accepted_at: Moment | None = None

    def add(self, unit: str, accepted_at: datetime) -> None:
        """Add the next accepted report."""
        self.units.add(unit)
        self.accepted += 1
        self.last_accepted_at = accepted_at


class Waiting(msgspec.Struct, frozen=True):
    """Reports that push processes have received and not answered, and how long the oldest has waited."""

    reports: int
    oldest_s: float | None

    def __add__(self, other: "Waiting") -> "Waiting":
        """Return the reports of both."""
        ages_s = [age_s for age_s in (self.oldest_s, other.oldest_s) if age_s is not None]
        return Waiting(self.reports + other.reports, max(ages_s, default=None))


class BoardFacts(msgspec.Struct, frozen=True):
    """An election as the journal has it at one moment, `read_at` by the clock of the database."""

    read_at: datetime
    publish_from: datetime
    released_at: datetime | None
    closed_at: datetime | None
    accepted: int
    unpublished: int
    oldest_unpublished_at: datetime | None
    received: Mapping[str, Received]
    """By municipality."""
    tokens: Sequence[BoardToken]
    refusals: Sequence[Refused]
    waiting_elsewhere: Waiting
    """Reports waiting for a second or more in other push processes than the one that read this."""


class BoardMunicipality(msgspec.Struct, frozen=True):
    """A municipality on the board. `accepted` counts reports."""

    municipality: str
    name: str
    units: int
    reported: int
    """How many units have a report."""
    accepted: int
    last_accepted_at: Moment | None
    last_contact_at: Moment | None
    """When one of its tokens, or a token for an area above it, was last used."""
    last_heard_at: Moment | None
    """When it last used a token of its own, was refused, or had a report accepted."""
    expected: bool
    """Whether it can and should report: it has a valid token and units without a report, and the election is open."""
    tokens: list[BoardToken]
    tokens_total: int
    refusals: list[Refused]
    refused: int
    """Refusals of all codes."""
    names: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    """Names by language, if there are some beside `name`."""


class Unpublished(msgspec.Struct, frozen=True):
    """Reports that are accepted and not public; under the embargo, all."""

    reports: int
    oldest_accepted_at: Moment | None


class Board(msgspec.Struct, frozen=True):
    """The board of an election."""

    election: str
    name: str
    rehearsal: bool
    read_at: Moment
    publish_from: Moment
    """With the offset of the election's time zone."""
    timezone: str | None
    """The name of that zone in the IANA database, if the registry has one."""
    released_at: Moment | None
    closed_at: Moment | None
    accepted: int
    unpublished: Unpublished
    waiting: Waiting
    silent_after_s: float
    """An expected municipality that is not heard from for longer than this, in seconds, counts as silent in metrics."""
    shared_tokens: list[BoardToken]
    """Tokens for areas above the municipalities."""
    refusals: list[Refused]
    """Of requests without a valid token, and of the shared tokens."""
    municipalities: list[BoardMunicipality]
    names: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class MunicipalityIndex:
    """The municipality to which each area belongs, computed once per registry."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.units: dict[str, list[str]] = {}
        """The units of each municipality."""
        self._of: dict[str, str] = {}
        for unit, area in registry.units.items():
            municipality = registry.municipality(area)
            self.units.setdefault(municipality.id, []).append(unit)
            for index in (area.index, *area.path):
                self._of[registry.areas[index].id] = municipality.id
                if index == municipality.index:
                    break

    def of(self, area: str) -> str | None:
        """Return the municipality at or above an area; None for areas above the municipalities."""
        return self._of.get(area)

    def above(self, municipality: str) -> Iterator[str]:
        """Return the areas above a municipality."""
        registry = self.registry
        return (registry.areas[index].id for index in registry.by_id[municipality].path)


class BoardMaker:
    """Makes the rows of one board, one at a time, so that other work can run in between."""

    def __init__(self, index: MunicipalityIndex, facts: BoardFacts) -> None:
        self._index = index
        self._facts = facts
        self._own: dict[str, list[BoardToken]] = {}
        self._covered: dict[str, datetime | None] = {}
        """Areas above municipalities that have a valid token, and when one was last used."""
        self.shared: list[BoardToken] = []
        for token in facts.tokens:
            self._add_token(token)
        owners = {token.token: municipality for municipality, own in self._own.items() for token in own}
        self._refusals: dict[str, list[Refused]] = {}
        self.unattributed: list[Refused] = []
        for refused in facts.refusals:
            municipality = owners.get(refused.token) if refused.token is not None else None
            if municipality is None:
                self.unattributed.append(refused)
            else:
                self._refusals.setdefault(municipality, []).append(refused)

    def _add_token(self, token: BoardToken) -> None:
        own = {self._index.of(area) for area in token.areas}
        for municipality in own - {None}:
            assert municipality is not None
            self._own.setdefault(municipality, []).append(token)
        if None in own:
            self.shared.append(token)
            for area in token.areas:
                if self._index.of(area) is None and token.valid(self._facts.read_at):
                    self._covered[area] = _latest(self._covered.get(area), token.last_contact_at)

    def row(self, municipality: Area) -> BoardMunicipality:
        """Return the row of a municipality."""
        facts = self._facts
        units = self._index.units[municipality.id]
        own = self._own.get(municipality.id, [])
        above = [area for area in self._index.above(municipality.id) if area in self._covered]
        refusals = self._refusals.get(municipality.id, [])
        received = facts.received.get(municipality.id) or Received()
        used = _latest(*(token.last_contact_at for token in own))
        return BoardMunicipality(
            municipality=municipality.id,
            name=municipality.name,
            units=len(units),
            reported=len(received.units),
            accepted=received.accepted,
            last_accepted_at=received.last_accepted_at,
            last_contact_at=_latest(used, *(self._covered[area] for area in above)),
            last_heard_at=_latest(used, received.last_accepted_at, *(each.last_at for each in refusals)),
            expected=facts.closed_at is None
            and len(received.units) < len(units)
            and (bool(above) or any(token.valid(facts.read_at) for token in own)),
            tokens=own[:LISTED_MAX],
            tokens_total=len(own),
            refusals=refusals[:LISTED_MAX],
            refused=sum(each.count for each in refusals),
            names=names_of(municipality.names),
        )


def names_of(names: Mapping[str, str]) -> dict[str, str] | msgspec.UnsetType:
    """Return names by language as a member of a document; unset if there are none."""
    return dict(names) if names else msgspec.UNSET


def _latest(*moments: datetime | None) -> datetime | None:
    return max((moment for moment in moments if moment is not None), default=None)


def is_night(publish_from: datetime, now: datetime) -> bool:
    """Whether municipalities are expected to report: from the embargo's end on, for NIGHT_S. Nobody is late before."""
    return publish_from <= now <= publish_from + timedelta(seconds=NIGHT_S)


def is_silent(row: BoardMunicipality, facts: BoardFacts, silent_after_s: float) -> bool:
    """Whether an expected municipality has not been heard from for longer than this since the embargo's end."""
    since = max(facts.publish_from, row.last_heard_at or facts.publish_from)
    late = (facts.read_at - since).total_seconds() > silent_after_s
    return row.expected and late and is_night(facts.publish_from, facts.read_at)
