"""Corrections of public figures, compared with a model that keeps every report."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.election.corrections import Correction, CorrectionLog
from gateway.election.record import Publication
from gateway.election.registry import Area
from gateway.election.state import CatchUp, ElectionState
from gateway.wire.corrections import (
    COLUMNS,
    GROUP_PART,
    GROUP_S,
    corrections_of,
    csv_steps,
    grouped,
    json_steps,
)
from tests.counts import examples
from tests.election.makers import DOCUMENT, REGISTRY, Record, a_report, above, reports, some_counts
from tests.steps import whole


def document_of(state: ElectionState, area: Area) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(whole(json_steps(corrections_of(state, area))))
    return document


NAMES = {each["id"]: each["name"] for each in DOCUMENT["areas"]}
RELEASE = datetime(2025, 9, 8, 19, tzinfo=UTC)


def published(history: list[dict[str, Any]], embargoed: int) -> list[Publication]:
    """Return a record whose first reports were accepted under embargo, and so published at the release."""
    record = Record()
    for report in history:
        record.write(report)
    return [
        msgspec.structs.replace(each, accepted_at=RELEASE - timedelta(hours=1), published_at=RELEASE)
        if each.sequence <= embargoed
        else each
        for each in record.publications
    ]


def figures(report: dict[str, Any], kind: str) -> dict[tuple[str, str], int]:
    found = {}
    for category, counts in report["counts"].items():
        values = counts["votes"] if kind == "votes" else {"": counts["ballots"]}
        found |= {(category, name): value for name, value in values.items()}
    return found


def fall(before: dict[str, Any], after: dict[str, Any], kind: str) -> int:
    new = figures(after, kind)
    return sum(max(0, value - new.get(key, 0)) for key, value in figures(before, kind).items())


def model(history: list[dict[str, Any]], record: list[Publication], embargoed: int, area: str) -> Any:
    """Return the corrections of public figures at and below an area, and the number of the others."""
    last: dict[str, tuple[int, dict[str, Any]]] = {}
    found, unseen = [], 0
    for sequence, report in enumerate(history, 1):
        replaced, before = last.get(report["unit"], (0, None))
        last[report["unit"]] = sequence, report
        if before is None or area not in above(report["unit"]):
            continue
        size = max(fall(before, report, "ballots"), fall(before, report, "votes"))
        if size and sequence <= embargoed:
            unseen += 1
        elif size:
            ballots = [sum(figures(each, "ballots").values()) for each in (before, report)]
            at, since = record[sequence - 1].published_at, record[replaced - 1].published_at
            found.append((size, sequence, *ballots, replaced, (at - since).total_seconds()))
    return sorted(found, reverse=True), unseen


@settings(deadline=None, max_examples=examples(40))
@given(st.lists(reports(), max_size=12), st.integers(0, 6))
def test_corrections_are_those_of_the_record(history: list[dict[str, Any]], embargoed: int) -> None:
    """At every area: all that were public, the largest first. Applied one by one or at once, they are the same."""
    record = published(history, embargoed)
    state, at_once = ElectionState(REGISTRY), ElectionState(REGISTRY)
    for publication in record:
        state.apply(publication)
    many = CatchUp(at_once)
    many.add(record)
    for _ in many.finish():
        pass
    for area in REGISTRY.areas:
        document = document_of(state, area)
        assert document == document_of(at_once, area)
        found, unseen = model(history, record, embargoed, area.id)
        names = ("size", "sequence", "before", "after", "replaced", "public_s")
        assert [tuple(each[name] for name in names) for each in document["corrections"]] == found
        assert (document["total"], document["before_release"]) == (len(found), unseen)
        for each in document["corrections"]:
            assert each["name"] == NAMES[each["unit"]]
            assert each["ballots"] == each["after"] - each["before"]
            assert each["reason"] == history[each["sequence"] - 1].get("reason")
        raw = whole(csv_steps(corrections_of(state, area))).decode()
        rows = list(csv.DictReader(io.StringIO(raw, newline=""), strict=True))
        assert [row["sequence"] for row in rows] == [str(each[1]) for each in found]
        assert all(tuple(row) == COLUMNS for row in rows)


def test_a_correction_made_under_the_embargo_is_counted_but_not_shown() -> None:
    """Nobody saw the earlier figures. One made after the release shows for how long they were public."""
    counts = [{"advance": some_counts(P=votes)} for votes in (500, 400, 100)]
    history = [a_report(revision=number, counts=each) for number, each in enumerate(counts, 1)]
    state = ElectionState(REGISTRY)
    for publication in published(history, 2):
        state.apply(publication)
    document = document_of(state, REGISTRY.root)
    assert (document["total"], document["before_release"]) == (1, 1)
    (only,) = document["corrections"]
    assert (only["before"], only["after"], only["ballots"], only["size"]) == (401, 101, -300, 300)
    assert (only["replaced"], only["since"], only["public_s"]) == (2, "2025-09-08T19:00:00Z", 2.0)


def a_correction(sequence: int, seconds: float, size: int, unit: str = "a-1-1") -> Correction:
    at = RELEASE + timedelta(seconds=seconds)
    return Correction(
        sequence, at, unit, None, size, size, 0, 1, RELEASE, True, ElectionState(REGISTRY).layout.zeros()
    )


def groups_of(corrections: list[Correction]) -> list[list[Correction]]:
    largest_first = sorted(corrections, key=lambda each: (each.size, each.sequence), reverse=True)
    return whole(grouped(largest_first))


def test_an_error_that_is_corrected_in_four_places_is_one_group() -> None:
    """Also across a full minute. A small one at the same time is another matter, and so is one a minute later."""
    sizes = ((58.0, 4760), (61.0, 4761), (67.0, 4761), (69.0, 1), (72.0, 4761), (132.0, 4761))
    corrections = [a_correction(number, at, size) for number, (at, size) in enumerate(sizes, 1)]
    (group,) = groups_of(corrections)
    assert [each.sequence for each in group] == [5, 3, 2, 1]


@settings(deadline=None, max_examples=examples(60))
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 400)), max_size=30))
def test_groups_are_of_about_the_same_time_and_size(given_: list[tuple[int, int]]) -> None:
    """Each with its largest; no correction is in two groups, and none that is alone could be in one."""
    at, corrections = 0, []
    for sequence, (later, size) in enumerate(given_, 1):
        at += later
        corrections.append(a_correction(sequence, at, size))
    groups = groups_of(corrections)
    totals = [sum(each.size for each in group) for group in groups]
    assert totals == sorted(totals, reverse=True)
    members = [each.sequence for group in groups for each in group]
    assert len(set(members)) == len(members)
    for group in groups:
        largest = group[0]
        assert len(group) > 1
        assert largest.size == max(each.size for each in group)
        assert all(abs((each.at - largest.at).total_seconds()) <= GROUP_S for each in group)
        assert all(each.size * GROUP_PART >= largest.size for each in group)
        assert (max(each.at for each in group) - min(each.at for each in group)).total_seconds() <= 60
    alone = [each for each in corrections if each.sequence not in members]
    for one in alone:
        for other in alone:
            near = abs((one.at - other.at).total_seconds()) <= GROUP_S
            assert (
                one is other or not near or min(one.size, other.size) * GROUP_PART < max(one.size, other.size)
            )


@settings(deadline=None, max_examples=examples(40))
@given(st.permutations(range(1, 9)), st.lists(st.integers(1, 5), min_size=8, max_size=8))
def test_the_largest_are_kept_whatever_the_order_of_their_sizes(order: list[int], sizes: list[int]) -> None:
    """Above the maximum the smallest is dropped; which ones are kept depends on sizes and sequences alone."""
    log = CorrectionLog(REGISTRY.units, most=3)
    for sequence in order:
        log.add(a_correction(sequence, sequence, sizes[sequence - 1]))
    wanted = sorted(((size, place) for place, size in enumerate(sizes, 1)), reverse=True)[:3]
    assert [(each.size, each.sequence) for each in log.largest(0)] == wanted
    assert all(not each.previous for each in log.largest(0))
