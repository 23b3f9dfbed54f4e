"""PURE: what happens in one simulated night: its processes, clients, reports and faults.

A plan is data, stored as JSON: `tests.simulation.drawing` draws one from a seed, `run` carries it out, and `shrink`
makes smaller ones. All times are virtual seconds since the start of the night.
"""

from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
import orjson

from gateway.election.rules.policy import RULES

Rules = Literal["off", "warn", "hold"]
Transport = Literal["websocket", "http", "ndjson"]

PARTIES = ("P", "Q", "R")
COUNTRY = "land"
ELECTION = "simulated"
INVALID = ("sum", "party", "unit", "revision")
"""What may be wrong with a report: votes that do not add up, an unknown party, a unit of others, revision 0."""
OF_STANDBY = frozenset({"failover", "cut_standby", "cancel_wait", "freeze_standby", "unsynchronous"})
"""Kinds of faults that need a standby."""
BALLOTS_FELL = 20
"""With the rules `hold`, a report whose ballots fall by more than this, and by more than 2 %, is held."""


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """A report, and when its sender submits it."""

    at_s: float
    unit: str
    revision: int
    votes: tuple[int, int, int]
    """Votes of PARTIES on election day."""
    advance: int | None = None
    """Advance votes, all of the first party; None if they have not been counted."""
    invalid: str = ""
    """One of INVALID, or empty."""

    @property
    def document(self) -> dict[str, Any]:
        """Return the report as it is sent."""
        counts = {"election_day": _counts(dict(zip(PARTIES, self.votes, strict=True)))}
        if self.advance is not None:
            counts["advance"] = _counts({PARTIES[0]: self.advance})
        if self.invalid == "sum":
            counts["election_day"]["ballots"] += 1
        if self.invalid == "party":
            counts["election_day"]["votes"]["X"] = 0
        return {
            "unit": self.unit,
            "revision": self.revision,
            "counted_at": "2025-09-08T22:36:55+02:00",
            "status": "preliminary",
            "counts": counts,
        }

    @property
    def body(self) -> bytes:
        """Return the canonical bytes of the report, which are also those that are stored."""
        return orjson.dumps(self.document, option=orjson.OPT_SORT_KEYS)


def _counts(votes: dict[str, int]) -> dict[str, Any]:
    return {"ballots": sum(votes.values()), "blank": 0, "rejected": 0, "votes": votes}


class Sender(msgspec.Struct, frozen=True, omit_defaults=True):
    """A municipality's system, with a token of its own."""

    name: str
    municipality: str
    transport: Transport
    reports: tuple[Report, ...]
    reads_back_s: float = 0.0
    """How often it reads back the unit of its last receipt; 0 if only at the end."""


class Reader(msgspec.Struct, frozen=True, omit_defaults=True):
    """A reader of the feed, or of the publication stream."""

    name: str
    stream: Literal["areas", "publications"] = "areas"
    levels: str | None = None
    areas: str | None = None
    every_s: int = 0
    gzip: bool = False
    begins_s: float = 0.0
    cursor: str | None = None
    """One of another history, with which it begins."""


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """A fault, or an event that is no fault but as inconvenient. `drawing.KINDS` says what the other members mean."""

    at_s: float
    kind: str
    of: str = ""
    to: str = ""
    seconds: float = 0.0
    amount: float = 0.0


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """One night. `lasts_s` is when everything is healed; the run then ends as soon as all that is owed has arrived."""

    seed: int
    """Of everything that a run draws: the order of callbacks, delays of the network, chance in the processes."""
    push_processes: int
    feeds: int
    senders: tuple[Sender, ...]
    readers: tuple[Reader, ...]
    faults: tuple[Fault, ...]
    lasts_s: float
    standby: bool = False
    """Whether there is a synchronous standby, which push processes then require."""
    replica: bool = False
    """Whether feeds read from the standby."""
    publish_from_s: float = -60.0
    """The end of the embargo."""
    rules: Rules = "off"
    operator: bool = False
    """Whether an operator decides on held reports."""
    credit_max: int = 16
    """The option of the push processes: the largest credit of a sender."""
    batch_max: int = 16
    """The option of the push processes: reports in a commit."""
    municipalities: int = 2
    units: int = 2
    """Units per municipality."""
    small: bool = False
    """Whether pages, ranges and slices are small, see `sizes`."""
    unstorable: str = ""
    """A unit whose reports Postgres refuses to store; empty if there is none."""

    @property
    def reports(self) -> int:
        """The number of reports of all senders."""
        return sum(len(sender.reports) for sender in self.senders)

    def push_names(self) -> list[str]:
        """Return the names of the push processes."""
        return [f"push-{number}" for number in range(1, self.push_processes + 1)]

    def feed_names(self) -> list[str]:
        """Return the names of the feed processes."""
        return [f"feed-{number}" for number in range(1, self.feeds + 1)]


def encode(plan: Plan) -> bytes:
    """Return a plan as JSON, for `decode`."""
    return msgspec.json.format(msgspec.json.encode(plan), indent=1) + b"\n"


def decode(text: bytes) -> Plan:
    """Read a plan. Raises msgspec.DecodeError, and msgspec.ValidationError."""
    return msgspec.json.decode(text, type=Plan)


def registry(plan: Plan, start: datetime) -> dict[str, Any]:
    """Return the registry of a plan's election, for a night that begins at `start`."""
    areas: list[dict[str, Any]] = [{"id": COUNTRY, "name": "Landet", "level": "country", "parent": None}]
    areas += [{"id": f"c{n}", "name": f"County {n}", "level": "county", "parent": COUNTRY} for n in (1, 2)]
    for place in range(plan.municipalities):
        name = municipality(place)
        areas.append({"id": name, "name": name, "level": "municipality", "parent": f"c{place % 2 + 1}"})
        areas += [
            {"id": unit, "name": unit, "level": "precinct", "parent": name}
            for unit in units_of(name, plan.units)
        ]
    used = {area["parent"] for area in areas}
    return {
        "format": "election-registry/1",
        "election": {
            "id": ELECTION,
            "name": "A simulated election",
            "date": "2025-09-08",
            "publish_from": (start + timedelta(seconds=plan.publish_from_s)).isoformat(),
            "timezone": "Europe/Oslo",
            "categories": ["advance", "election_day"],
            "rules": _rules(plan.rules),
        },
        "areas": [
            {"eligible": 1000, **area} for area in areas if area["level"] != "county" or area["id"] in used
        ],
        "parties": [{"code": code, "name": f"Party {code}"} for code in PARTIES],
    }


def _rules(rules: Rules) -> dict[str, Any]:
    settings: dict[str, Any] = {name: {"do": "off"} for name in RULES}
    if rules != "off":
        settings["fell"] = {"do": rules, "ballots": BALLOTS_FELL, "permille": 20}
    return settings


def municipality(place: int) -> str:
    """Return the identifier of the municipality with an index."""
    return f"m{place}"


def units_of(name: str, units: int) -> list[str]:
    """Return the identifiers of a municipality's units."""
    return [f"{name}-{unit}" for unit in range(1, units + 1)]


def tidied(plan: Plan) -> Plan:
    """Return a plan without the faults of processes and clients that it does not have (any more)."""
    processes = {*plan.push_names(), *plan.feed_names(), "database", ""}
    known = processes | {each.name for each in plan.senders} | {each.name for each in plan.readers}
    faults = (fault for fault in plan.faults if {fault.of, fault.to} <= known)
    return msgspec.structs.replace(
        plan,
        faults=tuple(fault for fault in faults if plan.standby or fault.kind not in OF_STANDBY),
        replica=plan.replica and plan.standby,
    )


def rising(plan: Plan) -> frozenset[str]:
    """Return the units that one sender alone reports, under revisions that rise in the order submitted.

    No report of such a unit can be stale, whatever fails.
    """
    seen: dict[str, tuple[str, int]] = {}
    other: set[str] = set()
    for sender in plan.senders:
        for report in sender.reports:
            if report.invalid:
                continue
            name, revision = seen.get(report.unit, (sender.name, 0))
            if name != sender.name or report.revision <= revision:
                other.add(report.unit)
            seen[report.unit] = (sender.name, report.revision)
    return frozenset(seen.keys() - other)
