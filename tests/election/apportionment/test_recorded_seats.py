"""The seats of the recorded election beside the official ones: of every county line, and of the country."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.election.apportionment import (
    Apportionment,
    Counted,
    LastSeat,
    NextSeat,
    district,
    house,
    ranking,
)
from gateway.election.registry import Registry
from tests.election.apportionment.storting import document, storting_registry, votes_of

Line = dict[str, Any]


@pytest.fixture(scope="module")
def registry(recorded: Path) -> Registry:
    return storting_registry(recorded)


@pytest.fixture(scope="module")
def rule(registry: Registry) -> Apportionment:
    assert registry.apportionment is not None
    return registry.apportionment


@pytest.fixture(scope="module")
def lines(recorded: Path) -> list[Line]:
    """The official lines of counties and of the country."""
    with gzip.open(recorded / "official.ndjson.gz", "rb") as file:
        return [document(line) for line in file if b'"level":"municipality"' not in line]


def official(line: Line, member: str) -> dict[str, int]:
    """Return the seats of a line by party, without parties that have none."""
    return {party: seats[member] for party, seats in line["seats"].items() if seats[member]}


def by_party(registry: Registry, seats: tuple[int, ...]) -> dict[str, int]:
    return {code: number for code, number in zip(registry.party_codes, seats, strict=True) if number}


def test_ordinary_seats_equal_those_of_every_official_county_line(
    registry: Registry, rule: Apportionment, lines: list[Line]
) -> None:
    """They follow from the votes of the line itself. An official county line counts levelling seats among its seats."""
    seats = {registry.areas[each.area].id: each.seats for each in rule.districts}
    compared = 0
    for line in lines:
        if line["level"] == "county" and line["seats"]:
            found = district(rule, votes_of(registry, line), seats[line["area"]])
            levelling = official(line, "levelling")
            expected = {
                party: number - levelling.get(party, 0) for party, number in official(line, "seats").items()
            }
            assert by_party(registry, found.seats) == {p: n for p, n in expected.items() if n}, line
            assert sum(found.seats) == found.ordinary
            compared += 1
    assert compared == 8028


def test_country_seats_equal_the_official_ones_wherever_the_votes_do(
    recorded: Path, registry: Registry, rule: Apportionment, lines: list[Line]
) -> None:
    """Levelling seats included; the votes are those of the reports in the order in which they were counted."""
    votes, compared = _Votes(registry, rule, recorded), 0
    of_country = [line for line in lines if line["level"] == "country" and line["seats"]]
    for line in sorted(of_country, key=lambda line: str(line["counted_at"])):
        votes.count_until(line["counted_at"])
        if votes.country == votes_of(registry, line):
            found = house(rule, votes.districts())
            assert by_party(registry, found.seats) == official(line, "seats"), line["counted_at"]
            assert by_party(registry, found.levelling) == official(line, "levelling"), line["counted_at"]
            compared += 1
    assert compared == 567


def test_final_seats_equal_the_official_ones_of_the_country_and_all_counties(
    registry: Registry, rule: Apportionment, lines: list[Line]
) -> None:
    final = {line["area"]: line for line in lines if line["final"]}
    areas = [registry.areas[each.area].id for each in rule.districts]
    found = house(rule, [_counted(rule, registry, final[area], n) for n, area in enumerate(areas)])
    assert found.given is not None
    assert by_party(registry, found.seats) == official(final["no"], "seats")
    assert by_party(registry, found.levelling) == official(final["no"], "levelling")
    assert {areas[seat.district]: registry.party_codes[seat.party] for seat in found.given} == {
        area: next(iter(official(final[area], "levelling"))) for area in areas
    }
    assert (sum(found.seats), sum(found.levelling), found.tied) == (169, 19, ())
    assert rule.majority == 85


def test_the_last_seat_of_oslo_has_a_margin_of_467_votes(
    registry: Registry, rule: Apportionment, lines: list[Line]
) -> None:
    line = next(line for line in lines if line["final"] and line["area"] == "03")
    found = district(rule, votes_of(registry, line), 20)
    code = registry.party_codes.index
    assert found.last == LastSeat(code("V"), 467)
    assert found.next == NextSeat(code("RØDT"), 468)


def test_venstre_lacked_votes_for_the_threshold(
    registry: Registry, rule: Apportionment, lines: list[Line]
) -> None:
    """With so many more votes, but not with one fewer, its share of all votes is 4 %."""
    line = next(line for line in lines if line["final"] and line["area"] == "no")
    votes = votes_of(registry, line)
    assert rule.threshold is not None
    margins = {registry.party_codes[each.party]: each for each in rule.threshold.margins(votes)}
    assert margins.keys() == {"KRF", "MDG", "RØDT", "SP", "SV", "V"}
    assert [code for code, each in margins.items() if not each.above] == ["V"]
    own, lacks = votes[registry.party_codes.index("V")], margins["V"].votes
    assert 100 * (own + lacks) >= 4 * (sum(votes) + lacks)
    assert 100 * (own + lacks - 1) < 4 * (sum(votes) + lacks - 1)


@pytest.mark.parametrize("name", ["county-03-final", "county-39-final", "county-39-night"])
def test_quotients_and_ranks_equal_the_published_ones(
    name: str, recorded: Path, registry: Registry, rule: Apportionment
) -> None:
    """The results service published them for every party of a county, with divisors of 1.4, 3 and 5."""
    path = recorded.parent / "valgresultat-no-2025-samples" / f"{name}.json"
    if not path.is_file():
        pytest.skip("the documents of the results service are not available (../shared/elections)")
    published = document(path.read_bytes())
    parties = {each["id"]["partikode"]: each for each in published["partier"] if each["id"]["partikode"]}
    votes = [
        parties[code]["stemmer"]["resultat"]["antall"]["total"] if code in parties else 0
        for code in registry.party_codes
    ]
    area = registry.by_id[published["id"]["nr"]].index
    seats = next(each.seats for each in rule.districts if each.area == area)
    found = district(rule, votes, seats)
    ranks = ranking(rule.method, votes, found.ordinary, found.seats)
    compared = 0
    for code, each in zip(registry.party_codes, ranks, strict=True):
        for member, ranked in (("sisteMandat", each.last), ("nesteMandat", each.next)):
            if code in parties and votes[registry.party_codes.index(code)]:
                expected = parties[code]["mandater"]["resultat"][member]
                assert (ranked.rank if ranked else None) == expected["mandatrang"], (code, member)
                quotient = round(10 * ranked.numerator / ranked.denominator, 5) if ranked else None
                assert quotient == expected["kvotient"], (code, member)
                compared += 1
    assert compared >= 36


def test_levelling_seats_have_the_published_quotients_and_ranks(
    recorded: Path, registry: Registry, rule: Apportionment, lines: list[Line]
) -> None:
    """The results service publishes those of the last levelling seat of each party."""
    path = recorded.parent / "valgresultat-no-2025-samples" / "country-final.json"
    if not path.is_file():
        pytest.skip("the documents of the results service are not available (../shared/elections)")
    final = {line["area"]: line for line in lines if line["final"]}
    found = house(
        rule,
        [_counted(rule, registry, final[registry.areas[d.area].id], n) for n, d in enumerate(rule.districts)],
    )
    ranks = {
        registry.party_codes[seat.party]: (rank, round(seat.numerator / seat.denominator, 12))
        for rank, seat in enumerate(found.given or (), 1)
    }
    published = {
        each["id"]["partikode"]: each["mandater"]["resultat"]["utjevning"]
        for each in document(path.read_bytes())["partier"]
        if each["id"]["partikode"] in registry.party_codes
    }
    assert ranks == {
        code: (each["mandatrang"], round(each["kvotient"], 12))
        for code, each in published.items()
        if each["mandatrang"] is not None
    }


def _counted(rule: Apportionment, registry: Registry, line: Line, number: int) -> Counted:
    votes = votes_of(registry, line)
    return Counted(votes, district(rule, votes, rule.districts[number].seats))


class _Votes:
    """The votes of every district by the reports counted so far, and its seats where votes changed."""

    def __init__(self, registry: Registry, rule: Apportionment, recorded: Path) -> None:
        self.country = [0] * len(registry.party_codes)
        self._rule = rule
        self._reports = _reports(recorded)
        self._following = next(self._reports, None)
        self._places = {code: place for place, code in enumerate(registry.party_codes)}
        number = {each.area: number for number, each in enumerate(rule.districts)}
        self._district = {
            unit.id: next(number[index] for index in unit.path if index in number)
            for unit in registry.units.values()
        }
        self._current: dict[str, list[dict[str, int]]] = {}
        self._votes = [[0] * len(registry.party_codes) for _ in rule.districts]
        self._seats: list[Counted | None] = [None] * len(rule.districts)

    def count_until(self, time: str) -> None:
        while self._following is not None and self._following["counted_at"] <= time:
            self._count(self._following)
            self._following = next(self._reports, None)

    def _count(self, report: Line) -> None:
        unit, after = report["unit"], [counts["votes"] for counts in report["counts"].values()]
        before = self._current.get(unit, [])
        if before != after:
            number = self._district[unit]
            for sign, each in (*((-1, votes) for votes in before), *((1, votes) for votes in after)):
                for party, count in each.items():
                    self._votes[number][self._places[party]] += sign * count
                    self.country[self._places[party]] += sign * count
            self._current[unit], self._seats[number] = after, None

    def districts(self) -> list[Counted]:
        found = []
        for number, votes in enumerate(self._votes):
            counted = self._seats[number]
            if counted is None:
                seats = district(self._rule, votes, self._rule.districts[number].seats)
                counted = self._seats[number] = Counted(tuple(votes), seats)
            found.append(counted)
        return found


def _reports(recorded: Path) -> Iterator[Line]:
    with gzip.open(recorded / "reports.ndjson.gz", "rb") as file:
        for line in file:
            yield document(line)["report"]
