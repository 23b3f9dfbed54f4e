"""Reports are read straight into figures with the same result as by way of a decoded report."""

from copy import deepcopy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.election.layout import Layout
from gateway.election.registry import COUNT_MAX, Registry
from gateway.election.registry_reading import read_registry
from gateway.election.report import REASONS, STATUSES, canonical, decode_stored
from gateway.election.stored_report import ReportReader, open_report
from tests.election.makers import DOCUMENT

PARTIES = ("Ø", "B", "ä~ÿ", "A", "c{0}", "𝔛", "ZZ", "b%s")
"""In no order, with characters whose order differs between encodings."""
CATEGORIES = ("late", "early-day", "class")


def _registry(parties: tuple[str, ...] = PARTIES) -> Registry:
    document: dict[str, Any] = deepcopy(DOCUMENT)
    document["election"]["categories"] = list(CATEGORIES)
    document["parties"] = [{"code": code, "name": code} for code in parties]
    for area in document["areas"]:
        area.pop("parties", None)
    return read_registry(document)


REGISTRY = _registry()
UNIT = next(iter(REGISTRY.units))
COUNTS = st.integers(0, COUNT_MAX) | st.integers(0, 3)


def _counts(parties: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "ballots": COUNTS,
            "blank": COUNTS,
            "rejected": COUNTS,
            "votes": st.dictionaries(st.sampled_from(parties), COUNTS),
        },
        optional={"voters": COUNTS},
    )


def _reports(parties: tuple[str, ...] = PARTIES) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "unit": st.just(UNIT),
            "revision": st.integers(1, COUNT_MAX),
            "counted_at": st.just("2025-09-08T21:00:00+02:00"),
            "status": st.sampled_from(STATUSES),
            "counts": st.dictionaries(st.sampled_from(CATEGORIES), _counts(parties)),
        },
        optional={"reason": st.sampled_from(REASONS)},
    )


@given(_reports())
def test_figures_are_those_of_the_decoded_report(document: dict[str, Any]) -> None:
    body, layout = canonical(document), Layout(REGISTRY)
    expected = decode_stored(body)
    report = open_report(body)
    figures = ReportReader(CATEGORIES, PARTIES).figures(report)
    assert figures == layout.figures(expected) == layout.read_figures(layout.read(body), body)
    for name in ("unit", "revision", "counted_at", "status", "reason"):
        assert getattr(report, name) == getattr(expected, name)


@given(_reports(("only",)))
def test_one_party_is_read_as_well(document: dict[str, Any]) -> None:
    body = canonical(document)
    figures = ReportReader(CATEGORIES, ("only",)).figures(open_report(body))
    assert figures == Layout(_registry(("only",))).figures(decode_stored(body))


@pytest.mark.parametrize(
    "change",
    [
        {"status": "recounted"},
        {"reason": "audit"},
        {"source": "scan"},
        {"counts": {"unheard": {"ballots": 1, "blank": 0, "rejected": 0, "votes": {}}}},
        {"counts": {"late": {"ballots": 1, "blank": 0, "rejected": 0, "votes": {"X": 1}}}},
        {"counts": {"late": {"ballots": 1, "blank": 0, "rejected": 0, "votes": {}, "invalid": 1}}},
    ],
)
def test_what_is_unknown_is_read_by_way_of_the_decoded_report(change: dict[str, Any]) -> None:
    document = {
        "unit": UNIT,
        "revision": 1,
        "counted_at": "2025-09-08T21:00:00+02:00",
        "status": "final",
        "counts": {"late": {"ballots": 7, "blank": 0, "rejected": 0, "votes": {"A": 7}}},
    }
    body, layout = canonical(document | change), Layout(REGISTRY)
    with pytest.raises(msgspec.ValidationError):
        ReportReader(CATEGORIES, PARTIES).figures(open_report(body))
    assert layout.read_figures(layout.read(body), body) == layout.figures(decode_stored(body))
    assert layout.unknown


def test_a_count_that_no_report_may_have_is_an_error() -> None:
    counts = {"late": {"ballots": COUNT_MAX + 1, "blank": 0, "rejected": 0, "votes": {}}}
    document = {"unit": UNIT, "revision": 1, "counted_at": "", "status": "final", "counts": counts}
    body, layout = canonical(document), Layout(REGISTRY)
    with pytest.raises(msgspec.ValidationError):
        layout.read_figures(layout.read(body), body)
