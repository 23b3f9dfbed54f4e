"""Whole elections compared with their official totals, at every moment of the count and at its end."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.election.record import Publication
from gateway.election.registry import Area, Registry, read_registry
from gateway.election.state import CatchUp, ElectionState
from gateway.rehearsal.dataset import DataSet
from gateway.rehearsal.generator import GeneratedElection
from gateway.wire.areas import area_document
from gateway.wire.corrections import corrections_of, json_steps
from tests.election.makers import Record
from tests.steps import whole
from tests.wire.tables import results_csv

Line = dict[str, Any]


class Count:
    """A count to which reports are applied one by one."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.state = ElectionState(registry)
        self._record = Record()

    def report(self, report: Line) -> None:
        self.state.apply(self._record.write(report, moment(report)))

    @property
    def published(self) -> Sequence[Publication]:
        return self._record.publications

    def of(self, area: str) -> Line:
        return area_document(self.state, self.registry.by_id[area].index)


def moment(line: Line) -> datetime:
    return datetime.fromisoformat(line["counted_at"])


def ballots_and_votes(counts: Line) -> Line:
    """The ballots and votes of a line, without parties that have 0."""
    return {
        category: (figures["ballots"], {party: votes for party, votes in figures["votes"].items() if votes})
        for category, figures in counts.items()
    }


def every_figure(counts: Line) -> Line:
    return {
        category: {**figures, "votes": {party: votes for party, votes in figures["votes"].items() if votes}}
        for category, figures in counts.items()
    }


def with_new_figures(lines: Iterable[Line]) -> set[int]:
    """The numbers of the lines whose figures differ from the line before of the same area."""
    last: dict[str, Line] = {}
    found = set()
    for number, line in enumerate(lines):
        if line["counts"] != last.get(line["area"]):
            found.add(number)
        last[line["area"]] = line["counts"]
    return found


def compare_moments(count: Count, reports: Iterable[Line], official: list[Line]) -> tuple[int, int]:
    """Apply a whole count, and compare every complete line of a municipality with the state at its moment.

    Return the number of lines compared, and how many of these had new figures.
    """
    municipal = [line for line in official if line["level"] == "municipality"]
    new = with_new_figures(municipal)
    lines = [
        (moment(line), number, line)
        for number, line in enumerate(municipal)
        if line.get("precincts_complete") and line["counts"]
    ]
    coming = iter(sorted(lines, key=lambda each: each[0]))
    upcoming = next(coming, None)
    compared = 0
    for report in chain(reports, [None]):
        while upcoming is not None and (report is None or moment(report) > upcoming[0]):
            at, _, line = upcoming
            present = count.of(line["area"])["counts"]
            assert ballots_and_votes(present) == ballots_and_votes(line["counts"]), (line["area"], at)
            compared += 1
            upcoming = next(coming, None)
        if report is not None:
            count.report(report)
    return compared, sum(number in new for _, number, _ in lines)


def compare_finals(count: Count, finals: dict[str, Line]) -> None:
    """Compare the end of a count with the last official line of every area above the units, figure by figure."""
    assert finals.keys() == {area.id for area in count.registry.areas if not area.is_unit}
    for area, line in finals.items():
        document = count.of(area)
        assert every_figure(document["counts"]) == every_figure(line["counts"]), area
        assert document["eligible"] == line["eligible"], area


@pytest.fixture(scope="module")
def night(recorded: Path) -> tuple[Count, DataSet, tuple[int, int]]:
    """The recorded election, applied completely, with the results of the comparisons on the way."""
    data = DataSet.open(recorded)
    count = Count(read_registry(data.registry))
    reports = [line.report for line in data.reports()]
    assert len(reports) == 12_689
    return count, data, compare_moments(count, reports, list(data.official()))


def test_the_recorded_election_is_right_at_every_moment(
    night: tuple[Count, DataSet, tuple[int, int]],
) -> None:
    """Each municipality equals each of its complete official lines: 4 788, of which 2 559 have new figures."""
    _, _, compared = night
    assert compared == (4_788, 2_559)


def test_the_recorded_election_ends_with_the_official_result(
    night: tuple[Count, DataSet, tuple[int, int]],
) -> None:
    """357 municipalities, 19 counties and the country, in every figure of every category."""
    count, data, _ = night
    compare_finals(count, data.official_finals())
    country = count.of("no")
    assert country["sequence"] == 12_689
    assert sum(figures["ballots"] for figures in country["counts"].values()) == 3_246_318
    assert country["units"]["reported"] == country["units"]["total"] == 3_486
    assert country["corrections"] == 550


def test_the_recorded_election_applied_at_once_is_the_same(
    night: tuple[Count, DataSet, tuple[int, int]],
) -> None:
    """The documents of all areas and the order of their changes are equal."""
    count, _, _ = night
    at_once = ElectionState(count.registry)
    many = CatchUp(at_once)
    for start in range(0, len(count.published), 500):
        many.add(count.published[start : start + 500])
    for _ in many.finish():
        pass
    assert at_once.cursor() == count.state.cursor()
    for area in count.registry.areas:
        assert area_document(at_once, area.index) == area_document(count.state, area.index)
    for area in count.registry.areas[:20]:
        assert document_of(at_once, area) == document_of(count.state, area)
    for sequence in range(0, at_once.sequence, 97):
        areas = range(len(count.registry.areas))
        assert at_once.changed_since(sequence, areas) == count.state.changed_since(sequence, areas)


def test_the_corrections_of_the_recorded_election_begin_with_the_largest(
    night: tuple[Count, DataSet, tuple[int, int]],
) -> None:
    """One municipality's count had been entered in four others, and was in their figures for up to a day."""
    count, _, _ = night
    document = document_of(count.state, count.registry.root)
    assert (document["total"], document["before_release"]) == (550, 0)
    group = document["groups"][0]
    assert (group["corrections"], group["municipalities"], group["ballots"]) == (4, 4, -19_043)
    largest = document["corrections"][:5]
    assert {each["municipality_name"]: (each["before"], each["after"]) for each in largest} == {
        "Jevnaker": (5075, 314),
        "Lunner": (5069, 308),
        "Nes": (5322, 561),
        "Aurskog-Høland": (5243, 483),
        "Nord-Aurdal": (1911, 0),
    }
    assert [each["group"] for each in largest] == [1, 1, 1, 1, None]
    (jevnaker,) = (each for each in largest if each["municipality_name"] == "Jevnaker")
    assert (jevnaker["ballots"], jevnaker["size"]) == (-4761, 4761)
    assert jevnaker["public_s"] == 24 * 3600 + 27 * 60 + 16
    sizes = [each["size"] for each in document["corrections"]]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(map(max, falls_of(count))) == sum(sizes)


def document_of(state: ElectionState, area: Area) -> Line:
    document: Line = orjson.loads(whole(json_steps(corrections_of(state, area))))
    return document


def test_the_table_of_the_recorded_election_has_the_official_result(
    night: tuple[Count, DataSet, tuple[int, int]],
) -> None:
    """Each municipality's ballots, turnout, and the votes and share of every party, summed over categories."""
    count, data, _ = night
    documents = [count.of(area.id) for area in count.registry.areas if area.level == "municipality"]
    rows = list(csv.DictReader(io.StringIO(results_csv(count.registry, documents).decode(), newline="")))
    assert len({row["area"] for row in rows}) == 357
    finals = data.official_finals()
    for area, found in groupby(rows, lambda row: row["area"]):
        line = finals[area]
        votes: Counter[str] = Counter()
        for counts in line["counts"].values():
            votes.update(counts["votes"])
        ballots = sum(counts["ballots"] for counts in line["counts"].values())
        for row in found:
            assert int(row["ballots"]) == ballots
            assert float(row["turnout_percent"]) == pytest.approx(
                100 * ballots / line["eligible"], abs=0.00501
            )
            assert int(row["party_votes"]) == votes.pop(row["party"], 0)
            share = 100 * int(row["party_votes"]) / int(row["votes"])
            assert float(row["share_percent"]) == pytest.approx(share, abs=0.00501)
        assert not +votes


def falls_of(count: Count) -> list[tuple[int, int]]:
    """The ballots and the votes that fell with each report, from the reports alone."""
    last: dict[str, Line] = {}
    falls = []
    for publication in count.published:
        counts = orjson.loads(publication.body)["counts"]
        ballots = votes = 0
        for category, before in last.get(publication.unit, {}).items():
            after = counts.get(category, {"ballots": 0, "votes": {}})
            ballots += max(0, before["ballots"] - after["ballots"])
            votes += sum(
                max(0, each - after["votes"].get(party, 0)) for party, each in before["votes"].items()
            )
        falls.append((ballots, votes))
        last[publication.unit] = counts
    return falls


def test_a_generated_election_is_right_at_every_moment(small: GeneratedElection) -> None:
    """The generated election is compared in the same way."""
    count = Count(read_registry(small.registry))
    compared, new = compare_moments(count, [line["report"] for line in small.reports], small.official)
    complete = [line for line in small.official if line["level"] == "municipality" and line["counts"]]
    assert compared == sum(bool(line.get("precincts_complete")) for line in complete) > 50
    assert new > 50
    compare_finals(count, {line["area"]: line for line in small.official if line["final"]})
