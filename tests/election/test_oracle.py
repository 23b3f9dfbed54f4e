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

from gateway.election.explanations import CODES, Explanation
from gateway.election.record import Publication
from gateway.election.registry import Area, Registry
from gateway.election.registry_reading import read_registry
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
        self.explained_at_once: dict[int, Explanation | None] = {}
        """What each correction looked like when it was published, by sequence."""

    def report(self, report: Line) -> None:
        self.state.apply(self._record.write(report, moment(report)))
        correction = self.state.areas[0].correction
        if correction is not None and correction.sequence == self.state.sequence:
            self.explained_at_once[correction.sequence] = correction.explained

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


MOVES = {
    (6617, "3437-0001", "3437-0002"),
    (6621, "3437-0002", "3437-0001"),
    (6947, "3433-4001", "3433-9998"),
    (7070, "3451-4009", "3451-9998"),
    (7803, "4633-4001", "4633-9998"),
    (7814, "4633-9998", "4633-4001"),
    (7874, "1812-0000", "1812-9998"),
    (8098, "1149-4001", "1149-4002"),
    (8280, "1839-9998", "1839-0001"),
    (9158, "3422-4001", "3422-9998"),
    (9164, "3422-9998", "3422-4001"),
    (9184, "3430-4001", "3430-0001"),
    (9260, "1506-4001", "1506-9998"),
    (9261, "1506-9998", "1506-4001"),
    (9322, "5630-9998", "5630-4001"),
    (9627, "5610-0001", "5610-0000"),
    (9633, "5610-0000", "5610-0001"),
    (10257, "1867-0007", "1867-0005"),
    (10259, "1867-0008", "1867-0005"),
    (10260, "1867-0000", "1867-0005"),
    (11891, "3430-0001", "3430-4001"),
    (12346, "1826-9999", "1826-4001"),
    (12349, "1826-0002", "1826-0001"),
    (12350, "1826-0000", "1826-0001"),
}
"""Every move of the recorded election: sequence of the fall, its unit and the other one."""


def test_the_record_explains_nearly_all_corrections_of_the_recorded_election(
    night: tuple[Count, DataSet, tuple[int, int]],
) -> None:
    """525 of 550, in every document alike; 13 moves show only with a later report."""
    count, _, _ = night
    listed = document_of(count.state, count.registry.root)["corrections"]
    found = {each["sequence"]: each["explained"] for each in listed}
    assert Counter(each and each["code"] for each in found.values()) == {
        "counted_again": 488,
        "moved": 24,
        "duplicate_withdrawn": 4,
        "exchanged": 4,
        "more_counted": 3,
        "counted_elsewhere": 1,
        "status_back": 1,
        None: 25,
    }
    units = {each["sequence"]: each["unit"] for each in listed}
    of = {code: {n for n, each in found.items() if each and each["code"] == code} for code in CODES}
    assert {(n, units[n], found[n]["unit"]) for n in of["moved"]} == MOVES
    assert {(units[n], found[n]["unit"]) for n in of["duplicate_withdrawn"]} == {
        (unit, "3203-9998") for unit in ("3226-9998", "3228-9998", "3234-9998", "3236-9998")
    }
    assert {units[n] for n in of["exchanged"]} == {"5001-0008", "5601-9999", "5614-0000", "5025-0001"}
    later = [n for n, each in count.explained_at_once.items() if (each and each.code) != _code(found[n])]
    assert len(later) == 13
    assert {found[n]["code"] for n in later} == {"moved"}
    root = count.of("no")["last_correction"]
    assert root["explained"] == found[root["sequence"]]


def _code(explained: Line | None) -> str | None:
    return explained["code"] if explained is not None else None


def test_every_move_nets_out_in_its_municipality(night: tuple[Count, DataSet, tuple[int, int]]) -> None:
    """Up to some moment, the reports within 30 minutes add up to at most 2 % of what the fall changed."""
    count, _, _ = night
    changes = changes_of(count)
    falls = {sequence: (unit, other) for sequence, unit, other in MOVES}
    for municipality, reports in changes.items():
        for sequence, unit, at, fall in reports:
            if sequence not in falls:
                continue
            assert unit == falls[sequence][0]
            near = [each for each in reports if abs((each[2] - at).total_seconds()) <= 1800]
            size = sum(map(abs, fall.values()))
            smallest = size
            for end in range(len(near) + 1):
                if end and near[end - 1][0] >= sequence:
                    net: Counter[str] = Counter()
                    for _, _, _, change in near[:end]:
                        net.update(change)
                    rest = sum(map(abs, net.values()))
                    smallest = min(rest, smallest)
            assert smallest * 50 <= size, (municipality, sequence)
            assert any(each[1] == falls[sequence][1] for each in near)
            del falls[sequence]
    assert not falls


def changes_of(count: Count) -> dict[str, list[tuple[int, str, datetime, Counter[str]]]]:
    """By municipality, each report that changed votes: its sequence, unit and time, and the changes by party."""
    last: dict[str, Counter[str]] = {}
    found: dict[str, list[tuple[int, str, datetime, Counter[str]]]] = {}
    for publication in count.published:
        report = orjson.loads(publication.body)
        votes: Counter[str] = Counter()
        for counts in report["counts"].values():
            votes.update(counts["votes"] | {" blank": counts["blank"]})
        change = Counter(votes)
        change.subtract(last.get(publication.unit, Counter()))
        last[publication.unit] = votes
        if any(change.values()):
            municipality = count.registry.municipality(count.registry.units[publication.unit]).id
            step = publication.sequence, publication.unit, moment(report), change
            found.setdefault(municipality, []).append(step)
    return found


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
