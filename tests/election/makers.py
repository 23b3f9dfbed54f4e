"""Shared by the tests of the pure core: a small election of irregular shape, its records, and arbitrary reports.

Digests and chains are computed independently of the gateway's code.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from gateway.election.record import Publication
from gateway.election.registry_reading import read_registry

STATUSES = (
    "not_counted",
    "counting",
    "preliminary",
    "final",
    "controlled",
    "settled",
    "counted_elsewhere",
    "unstated",
)
REASONS = ("recount", "revoked", "late_ballots", "booking_error", "control", "other")
CATEGORIES = ("advance", "election_day")
COUNT_MAX = 2_147_483_647

BEYOND_BMP, PRIVATE_USE = "\U0001d51b", "\ue000"
"""By code point the second comes first, by UTF-16 unit the first."""
PARTIES = ("P", "Q", "RØDT", BEYOND_BMP, PRIVATE_USE)

DOCUMENT: dict[str, Any] = {
    "format": "election-registry/1",
    "election": {
        "id": "made-up-1",
        "name": "Made-up election",
        "date": "2025-09-08",
        "publish_from": "2025-09-08T21:00:00+02:00",
        "timezone": "Europe/Oslo",
        "categories": list(CATEGORIES),
    },
    "areas": [
        # Children may stand before their parents, and a tree may be deeper in one place than in another.
        {"id": "b-1-x-1", "name": "Øvre", "level": "precinct", "parent": "b-1-x", "eligible": 50},
        {"id": "no", "name": "Landet", "level": "country", "parent": None, "eligible": 1000},
        {"id": "a", "name": "A", "level": "county", "parent": "no", "parties": ["P", "Q", "RØDT"]},
        {"id": "b", "name": "=B", "level": "county", "parent": "no"},
        {"id": "a-1", "name": "A, 1", "level": "municipality", "parent": "a", "parties": ["P", BEYOND_BMP]},
        {"id": "a-2", "name": "A 2", "level": "municipality", "parent": "a", "eligible": 20},
        {"id": "a-1-1", "name": "En", "level": "precinct", "parent": "a-1", "eligible": 10},
        {"id": "a-1-2", "name": "To", "level": "precinct", "parent": "a-1", "eligible": None},
        {"id": "b-1", "name": 'B "1"', "level": "municipality", "parent": "b"},
        {"id": "b-1-x", "name": "Distrikt", "level": "district", "parent": "b-1", "parties": []},
        {"id": "b-1-x-2", "name": "Nedre", "level": "precinct", "parent": "b-1-x", "eligible": 0},
        {"id": "b-2", "name": "B 2", "level": "borough", "parent": "b"},
    ],
    "parties": [{"code": code, "name": f"Party {code}"} for code in PARTIES],
}
REGISTRY = read_registry(DOCUMENT)

BALLOTS: dict[str, tuple[str, ...]] = {
    "a-1-1": ("P", BEYOND_BMP),
    "a-1-2": ("P", BEYOND_BMP),
    "a-2": ("P", "Q", "RØDT"),
    "b-1-x-1": PARTIES,
    "b-1-x-2": PARTIES,
    "b-2": PARTIES,
}
"""The units, and the parties on their ballots."""
UNITS = tuple(BALLOTS)


def above(area: str, document: dict[str, Any] = DOCUMENT) -> Iterator[str]:
    """An area and all areas above it, according to the document."""
    parents = {entry["id"]: entry.get("parent") for entry in document["areas"]}
    at: str | None = area
    while at is not None:
        yield at
        at = parents[at]


def compact(document: object) -> bytes:
    """The canonical bytes, as a plain JSON library encodes them."""
    return json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def digest(document: object) -> bytes:
    return hashlib.sha256(compact(document)).digest()


def chained(chain: bytes, *digests: bytes) -> bytes:
    """The chain after further digests."""
    for each in digests:
        chain = hashlib.sha256(chain + each).digest()
    return chain


class Record:
    """A public record: each report written becomes the next publication, by default one second after the last."""

    def __init__(self) -> None:
        self.publications: list[Publication] = []
        self.chains = [bytes(32)]
        """The chain at each sequence."""

    def write(self, report: dict[str, Any], at: datetime | None = None) -> Publication:
        self.chains.append(chained(self.chains[-1], digest(report)))
        if at is None:
            at = datetime(2025, 9, 8, 19, tzinfo=UTC) + timedelta(seconds=len(self.publications))
        publication = Publication(
            sequence=len(self.publications) + 1,
            published_at=at,
            unit=report["unit"],
            revision=report["revision"],
            digest=digest(report),
            chain=self.chains[-1],
            body=compact(report),
            received_at=at,
            accepted_at=at,
        )
        self.publications.append(publication)
        return publication


def recorded_night(reports: Iterable[dict[str, Any]]) -> list[Publication]:
    """The record of reports in the order given."""
    record = Record()
    return [record.write(report) for report in reports]


def a_report(unit: str = "a-1-1", revision: int = 1, **members: Any) -> dict[str, Any]:
    """A valid report, with other members if given."""
    return {
        "unit": unit,
        "revision": revision,
        "counted_at": "2025-09-08T22:36:55+02:00",
        "status": "preliminary",
        "counts": {"advance": some_counts(P=7)},
        **members,
    }


def some_counts(blank: int = 1, rejected: int = 2, **votes: int) -> dict[str, Any]:
    """Counts of one category that add up."""
    return {
        "ballots": sum(votes.values()) + blank,
        "blank": blank,
        "rejected": rejected,
        "votes": dict(votes),
    }


figures = st.one_of(st.integers(0, 3), st.integers(0, 500), st.integers(0, COUNT_MAX // 8))


@st.composite
def counts_of(draw: st.DrawFn, ballot: tuple[str, ...]) -> dict[str, Any]:
    """Counts of one category that add up, for some of the parties on a ballot."""
    votes = draw(st.dictionaries(st.sampled_from(ballot), figures))
    blank = draw(figures)
    counts = {
        "ballots": sum(votes.values()) + blank,
        "blank": blank,
        "rejected": draw(figures),
        "votes": votes,
    }
    if draw(st.booleans()):
        counts["voters"] = draw(figures)
    return counts


@st.composite
def reports(draw: st.DrawFn, revision: int | None = None) -> dict[str, Any]:
    """Any valid report of the small election."""
    unit = draw(st.sampled_from(UNITS))
    report = {
        "unit": unit,
        "revision": revision or draw(st.integers(1, COUNT_MAX)),
        "counted_at": draw(st.sampled_from(("2025-09-08T22:36:55+02:00", "2025-09-08T20:36:55.25Z"))),
        "status": draw(st.sampled_from(STATUSES)),
        "counts": draw(st.dictionaries(st.sampled_from(CATEGORIES), counts_of(BALLOTS[unit]))),
    }
    if draw(st.booleans()):
        report["reason"] = draw(st.sampled_from(REASONS))
    return report
