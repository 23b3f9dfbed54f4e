"""The made-up election: repeatable, of the recorded one's shape, true to itself, and never a real one."""

import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import orjson
import pytest

from gateway.election.registry_reading import read_registry
from gateway.election.validation import Scope, Validator, ValidReport
from gateway.rehearsal.dataset import DataSet
from gateway.rehearsal.generator import GeneratedElection, generate, write_election
from gateway.rehearsal.generator.geography import build
from gateway.rehearsal.generator.names import Names
from gateway.rehearsal.generator.split import split
from tests.counts import count as extent
from tests.fork_server import Command

RECORDED = Path(__file__).parents[2] / ".." / "shared" / "elections" / "no-storting-2025"
FIGURES = ("ballots", "blank", "rejected", "voters")
PROGRESS = ("not_counted", "counted_elsewhere", "counting", "preliminary", "final", "controlled", "settled")
NAMELESS_KINDS = ("unspecified", "other_advance", "late_advance")

Report = dict[str, Any]


class Night(NamedTuple):
    """An election with figures that many tests use."""

    election: GeneratedElection
    areas: dict[str, dict[str, Any]]
    units: dict[str, list[Report]]
    """Each unit's reports in the order of the stream."""
    publish_from: datetime

    def reports(self) -> list[Report]:
        return [line["report"] for line in self.election.reports]

    def steps(self) -> Iterable[tuple[Report, Report]]:
        """Every revision with the report before it."""
        for reports in self.units.values():
            yield from pairwise(reports)

    def at_level(self, level: str) -> list[dict[str, Any]]:
        return [area for area in self.areas.values() if area["level"] == level]

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [area for area in self.areas.values() if area.get("kind") == kind]

    def seconds(self) -> list[int]:
        """When each report was made, in seconds from the end of the embargo."""
        return [round((moment(report) - self.publish_from).total_seconds()) for report in self.reports()]


def a_night(seed: int, scale: float) -> Night:
    election = generate(seed, scale)
    units: dict[str, list[Report]] = defaultdict(list)
    for line in election.reports:
        units[line["report"]["unit"]].append(line["report"])
    areas = {area["id"]: area for area in election.registry["areas"]}
    publish_from = datetime.fromisoformat(election.registry["election"]["publish_from"])
    return Night(election, areas, dict(units), publish_from)


@pytest.fixture(scope="module")
def night() -> Night:
    """The election of the recorded one's size."""
    return a_night(seed=1, scale=1.0)


@pytest.fixture(scope="module", params=[0.001, 0.02])
def tiny(request: pytest.FixtureRequest) -> Night:
    """Elections of a few municipalities."""
    return a_night(seed=1, scale=request.param)


def test_the_house_has_as_many_seats_as_the_recorded_one(night: Night) -> None:
    """And each county at least 4, the more voters the more seats."""
    rule = read_registry(night.election.registry).apportionment
    assert rule is not None
    assert (rule.seats, len(rule.districts), rule.levelling) == (169, 19, 1)
    counties = sorted(night.at_level("county"), key=lambda county: county["eligible"])
    assert counties[0]["seats"] >= 4
    assert all(small["seats"] <= large["seats"] + 1 for small, large in pairwise(counties))


def test_elections_of_every_size_have_seats_and_blocs(tiny: Night) -> None:
    registry = read_registry(tiny.election.registry)
    assert registry.apportionment is not None
    assert all(each.seats >= 4 for each in registry.apportionment.districts)
    assert [len(bloc.parties) for bloc in registry.blocs] == [5, 4]
    assert all(bloc.names.keys() == {"nb", "nn", "en"} for bloc in registry.blocs)


def moment(report: Report) -> datetime:
    return datetime.fromisoformat(report["counted_at"])


def ballots(report: Report) -> int:
    return sum(counts["ballots"] for counts in report["counts"].values())


def votes(report: Report) -> Counter[tuple[str, str]]:
    return Counter(
        {
            (category, party): count
            for category, counts in report["counts"].items()
            for party, count in counts["votes"].items()
        }
    )


def figures(reports: Iterable[Report]) -> Counter[tuple[str, ...]]:
    """All figures of all categories, summed; zeros are omitted, so that missing and 0 are equal."""
    total: Counter[tuple[str, ...]] = Counter()
    for report in reports:
        for category, counts in report["counts"].items():
            for name in FIGURES:
                total[category, name] += counts[name]
            for party, count in counts["votes"].items():
                total[category, "votes", party] += count
    return +total


# Repeatable ----------------------------------------------------------------------------------------------


def test_same_seed_gives_the_same_files_whatever_the_hash_seed(tmp_path):
    """Two interpreters that order their sets differently write the same bytes."""
    program = "import sys; from gateway.rehearsal.generator import write_election; write_election(sys.argv[1], 7, 0.05)"
    for hash_seed in ("1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", program, str(tmp_path / hash_seed)]
        subprocess.run(command, check=True, env=environment, cwd=Path(__file__).parents[2])
    files = sorted(path.name for path in (tmp_path / "1").iterdir())
    assert files == ["official.ndjson.gz", "registry.json", "reports.ndjson.gz"]
    for name in files:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "4242" / name).read_bytes(), name


def test_another_seed_gives_another_election():
    """The seed decides the places, the votes and the election's own name."""
    one, other = generate(1, 0.01), generate(2, 0.01)
    assert one.registry["election"]["id"] == "generated-1"
    assert other.registry["election"]["id"] == "generated-2"
    assert one.registry["areas"] != other.registry["areas"]
    assert one.reports != other.reports


def test_written_election_is_the_generated_one(tmp_path):
    """The directory contains the generated election."""
    election = write_election(tmp_path, 3, 0.01)
    opened = DataSet.open(tmp_path)
    assert opened.registry == election.registry
    assert [recorded.report for recorded in opened.reports()] == [line["report"] for line in election.reports]
    assert list(opened.official()) == election.official


@pytest.mark.parametrize("scale", [0.0, -1.0, 0.0001, 101.0, float("nan")])
def test_scale_out_of_range_is_refused(scale):
    """An empty election, or one with more areas than identifiers, is refused."""
    with pytest.raises(ValueError, match="scale"):
        generate(1, scale)


# Areas ---------------------------------------------------------------------------------------------------


def test_the_header_has_the_members_of_the_recorded_one(night):
    """A generated election has no member that a real one lacks."""
    header = night.election.registry["election"]
    assert night.election.registry["format"] == "election-registry/1"
    assert header["categories"] == ["advance", "election_day"]
    assert header["polls_close"] == header["publish_from"] == f"{header['date']}T21:00:00+02:00"
    assert header["timezone"] == "Europe/Oslo"


@pytest.mark.parametrize(
    ("what", "recorded"),
    [
        ("country", 1),
        ("county", 19),
        ("municipality", 357),
        ("precinct", 3486),
        ("polling_station", 1518),
        ("advance_station", 884),
        ("unspecified", 356),
        ("other_advance", 356),
        ("late_advance", 356),
        ("borough", 16),
    ],
)
def test_there_are_as_many_areas_as_recorded(night, what, recorded):
    """Scale 1 has exactly the recorded number of every level and every kind of unit."""
    assert len(night.at_level(what) or night.of_kind(what)) == recorded


def test_areas_are_a_tree_in_which_only_precincts_report(night):
    """Identifiers are unique, each parent is one level up, and every precinct reports."""
    levels = ("country", "county", "municipality", "precinct")
    assert len(night.areas) == len(night.election.registry["areas"])
    for area in night.areas.values():
        if area["level"] == "country":
            assert area["parent"] is None
        else:
            above = night.areas[area["parent"]]["level"]
            assert levels.index(area["level"]) == levels.index(above) + 1
    assert set(night.units) == {area["id"] for area in night.at_level("precinct")}


def test_eligible_voters_add_up_from_the_units(night):
    """An area has as many eligible voters as the areas right below it."""
    below: Counter[str] = Counter()
    for area in night.areas.values():
        below[area["parent"]] += area["eligible"]
    for area in night.areas.values():
        if area["level"] != "precinct":
            assert area["eligible"] == below[area["id"]], area["id"]


def test_unit_codes_are_unique_only_within_their_municipality(night):
    """A unit is its municipality and its code; `0000`, `9998` and `9999` are everywhere."""
    units = night.at_level("precinct")
    assert all(unit["id"] == f"{unit['parent']}-{unit['code']}" for unit in units)
    for code in ("0000", "9998", "9999"):
        assert sum(unit["code"] == code for unit in units) == 356


def test_municipality_codes_do_not_contain_the_county(night):
    """Many municipalities begin with the number of another county; some county numbers have leading zeros."""
    counties = {county["id"] for county in night.at_level("county")}
    foreign = [place for place in night.at_level("municipality") if place["id"][:2] != place["parent"]]
    assert 50 <= len(foreign) <= 300
    assert any(place["id"][:2] in counties for place in foreign)
    assert any(id_.startswith("0") for id_ in counties)


def test_one_unit_holds_all_the_capitals_advance_ballots(night):
    """The capital's unit `0` is by far the largest, and reports long before the embargo ends."""
    sizes = sorted((ballots(reports[-1]), unit) for unit, reports in night.units.items())
    assert sizes[-1][1] == "0101-0"
    assert sizes[-1][0] > 2 * sizes[-2][0]
    assert (night.publish_from - moment(night.units["0101-0"][0])).total_seconds() > 4 * 3600


def test_small_parties_are_on_the_ballot_in_some_counties_only(night):
    """Large parties are on every ballot, small ones on most, local ones on one."""
    stands = Counter(code for county in night.at_level("county") for code in county["parties"])
    for party in night.election.registry["parties"]:
        expected = {1: range(19, 20), 2: range(10, 20), 3: range(1, 2)}[party["category"]]
        assert stands[party["code"]] in expected, party
    assert any(not code.isascii() for code in stands)


def test_parties_are_stronger_in_some_places_than_in_others(night):
    """A party's share differs between municipalities, as it does in any country."""
    share = []
    for final in night.election.official:
        if final["final"] and final["level"] == "municipality" and final["eligible"] > 1000:
            cast = sum(counts["ballots"] for counts in final["counts"].values())
            share.append(sum(counts["votes"]["FL"] for counts in final["counts"].values()) / cast)
    share.sort()
    assert share[len(share) * 9 // 10] > 1.4 * share[len(share) // 10]


# Names ---------------------------------------------------------------------------------------------------


def test_no_two_places_have_the_same_name(night):
    """Only the capital's county is named after its one municipality, and units without a place are alike."""
    named = [area for area in night.areas.values() if area.get("kind") not in NAMELESS_KINDS]
    twice = [name for name, times in Counter(area["name"] for area in named).items() if times > 1]
    assert twice == [night.areas["01"]["name"]] == [night.areas["0101"]["name"]]
    assert {letter for area in named for letter in area["name"]} >= set("æøåá")


def test_names_never_run_out():
    """More names can be drawn than there are combinations of few syllables."""
    names = Names(Random(1))
    assert len({names.place() for _ in range(40_000)}) == 40_000


def test_no_name_is_taken_from_the_recorded_election(night):
    """No generated place or party has the name of a real one."""
    if not RECORDED.is_dir():
        pytest.skip("the recorded election is not available (../shared/elections)")
    real = DataSet.open(RECORDED).registry
    for kind, key in (("areas", "name"), ("parties", "name"), ("parties", "code")):
        made_up = {entry[key].casefold() for entry in night.election.registry[kind]}
        assert not made_up & {entry[key].casefold() for entry in real[kind]}


# True of every report ------------------------------------------------------------------------------------


def test_votes_and_blank_ballots_add_up_to_the_ballots(night):
    """In each category of each report."""
    for report in night.reports():
        for counts in report["counts"].values():
            assert counts["ballots"] == counts["blank"] + sum(counts["votes"].values()), report


def test_figures_are_counts(night):
    """No figure is negative, fractional or missing."""
    for report in night.reports():
        for counts in report["counts"].values():
            numbers = [counts[name] for name in FIGURES] + list(counts["votes"].values())
            assert all(type(number) is int and number >= 0 for number in numbers), report


def test_parties_are_those_of_the_countys_ballot(night):
    """Every party of the ballot has its number, and no other party has one."""
    for line in night.election.reports:
        county = night.areas[night.areas[line["municipality"]]["parent"]]
        for counts in line["report"]["counts"].values():
            assert list(counts["votes"]) == county["parties"]


def test_revisions_are_one_two_three(night):
    """Each unit numbers its own reports without a gap."""
    for reports in night.units.values():
        assert [report["revision"] for report in reports] == list(range(1, len(reports) + 1))


def test_time_never_goes_back(night):
    """Neither within a unit nor in the stream; times have seconds and an offset."""
    times = [moment(report) for report in night.reports()]
    assert times == sorted(times)
    assert all(time.microsecond == 0 and time.utcoffset() is not None for time in times)
    for before, after in night.steps():
        assert moment(before) < moment(after)


def test_categories_are_those_the_kind_of_unit_counts(night):
    """Advance units count advance ballots only; polling stations' advance voters are in the register only."""
    for unit, reports in night.units.items():
        kind = night.areas[unit]["kind"]
        for report in reports:
            if kind.endswith("_advance") or kind == "advance_station":
                assert set(report["counts"]) <= {"advance"}
            elif kind == "polling_station" and report["counts"]:
                assert list(report["counts"]) == ["advance", "election_day"]
                assert report["counts"]["advance"]["ballots"] == 0


def test_a_line_names_the_units_municipality(night):
    """It is the parent of the unit, and the official service has the count a few seconds later."""
    for line in night.election.reports:
        assert night.areas[line["report"]["unit"]]["parent"] == line["municipality"]
        delay = datetime.fromisoformat(line["generated_at"]) - moment(line["report"])
        assert 5 <= delay.total_seconds() <= 14


def test_the_gateway_accepts_every_report(night):
    """Registry and reports break no rule of the contract."""
    registry = read_registry(night.election.registry)
    validator, everywhere = Validator(registry), Scope(registry, frozenset({registry.root.id}))
    for report in night.reports():
        outcome = validator.check(orjson.dumps(report), everywhere)
        assert isinstance(outcome, ValidReport), outcome


# What real counts do -------------------------------------------------------------------------------------


def test_every_status_occurs(night):
    """From `not_counted` to `settled`, and those beside that road."""
    statuses = Counter(report["status"] for report in night.reports())
    assert set(statuses) == {*PROGRESS, "unstated"}
    for status, recorded in (("final", 4339), ("settled", 3323), ("controlled", 3221), ("preliminary", 1510)):
        assert statuses[status] == pytest.approx(recorded, rel=0.10)
    assert statuses["counted_elsewhere"] == pytest.approx(272, rel=0.25)


def test_statuses_go_back_now_and_then(night):
    """Settled counts are controlled again, final ones become preliminary or are revoked."""
    back = Counter(
        (before["status"], after["status"])
        for before, after in night.steps()
        if {before["status"], after["status"]} <= set(PROGRESS)
        and PROGRESS.index(after["status"]) < PROGRESS.index(before["status"])
    )
    assert back.total() == pytest.approx(84, rel=0.5)
    for step in (("settled", "controlled"), ("final", "preliminary"), ("final", "not_counted")):
        assert back[step], step


def test_ballots_exceed_eligible_voters_where_ballots_are_counted(night):
    """Ballots are counted where they are cast, voters where they live."""
    above = sum(ballots(reports[-1]) > night.areas[unit]["eligible"] for unit, reports in night.units.items())
    assert above == pytest.approx(1422, rel=0.10)


def test_revisions_change_figures_as_often_as_recorded(night):
    """Most only change the status, some repeat the report, some change figures; figures rise and fall."""
    only_status = again = changed = ballots_fell = votes_fell = to_zero = 0
    for before, after in night.steps():
        same = before["counts"] == after["counts"]
        only_status += same and before["status"] != after["status"]
        again += same and before["status"] == after["status"]
        was, is_ = votes(before), votes(after)
        changed += was != is_
        votes_fell += any(is_[party] < count for party, count in was.items())
        ballots_fell += ballots(after) < ballots(before)
        to_zero += ballots(after) == 0 < ballots(before)
    revisions = len(night.reports()) - len(night.units)
    assert only_status / revisions == pytest.approx(6507 / 9203, abs=0.05)
    assert again / revisions > 0.02
    assert changed == pytest.approx(813, rel=0.20)
    assert votes_fell == pytest.approx(530, rel=0.25)
    assert ballots_fell == pytest.approx(257, rel=0.25)
    assert 5 <= to_zero <= 60


def test_reasons_explain_changed_figures_only(night):
    """A correction may have a reason, the first report never has, and every usual reason occurs.

    Booking errors are among the errors that are added only if they are asked for.
    """
    reasons: Counter[str] = Counter()
    for before, after in night.steps():
        if "reason" in after:
            assert before["counts"] != after["counts"]
            reasons[after["reason"]] += 1
    assert all("reason" not in reports[0] for reports in night.units.values())
    assert set(reasons) == {"recount", "revoked", "late_ballots", "control", "other"}


# Its shape in time ---------------------------------------------------------------------------------------


def test_as_many_reports_as_recorded(night):
    """About 3.6 a unit, in the recorded proportions of units with one, three, four or five."""
    assert len(night.reports()) == pytest.approx(12_689, rel=0.03)
    per_unit = Counter(len(reports) for reports in night.units.values())
    for number, recorded in ((1, 192), (3, 1395), (4, 1008), (5, 765)):
        assert per_unit[number] == pytest.approx(recorded, rel=0.20), number


def test_before_the_embargo_ends_half_of_the_units_report_once(night):
    """They hold most of the ballots, and all of them become public in one instant."""
    early = [reports for reports in night.units.values() if moment(reports[0]) < night.publish_from]
    assert len(early) / len(night.units) == pytest.approx(0.54, abs=0.04)
    assert all(moment(reports[1]) >= night.publish_from for reports in early if len(reports) > 1)
    share = sum(ballots(first) for first, *_ in early) / sum(
        ballots(reports[-1]) for reports in night.units.values()
    )
    assert share == pytest.approx(0.64, abs=0.05)
    assert len({night.areas[reports[0]["unit"]]["parent"] for reports in early}) > 340


def test_the_night_has_its_peaks(night):
    """As many reports as recorded, with a second in which dozens of units report."""
    seconds = [second for second in night.seconds() if 0 <= second < 9 * 3600]
    assert len(seconds) == pytest.approx(2046, rel=0.10)
    assert max(Counter(seconds).values()) == pytest.approx(50, rel=0.5)
    assert max(Counter(second // 600 for second in seconds).values()) == pytest.approx(180, rel=0.25)


def test_the_days_after_come_in_batches(night):
    """Batch jobs put hundreds of reports into a minute, and the settlement a hundred into a second."""
    seconds = [second for second in night.seconds() if second >= 9 * 3600]
    assert 60 <= max(Counter(seconds).values()) <= 250
    assert 200 <= max(Counter(second // 60 for second in seconds).values()) <= 700
    assert 4 * 86_400 < max(seconds) < 10 * 86_400


def test_capital_is_counted_in_parts(night):
    """Its boroughs report while they count, so their figures grow through the night."""
    for unit in night.of_kind("borough"):
        first, *later = night.units[unit["id"]]
        assert ballots(first) < ballots(later[-1])
        if unit["code"] != "0":
            assert first["status"] == "counting"
            assert ballots(first) < 0.7 * ballots(later[-1])


# The oracle ----------------------------------------------------------------------------------------------


def assert_finals_are_sums(night: Night) -> None:
    below: dict[str, list[Report]] = defaultdict(list)
    for unit, reports in night.units.items():
        area: str | None = unit
        while area := night.areas[area]["parent"]:
            below[area].append(reports[-1])
    finals = {line["area"]: line for line in night.election.official if line["final"]}
    assert set(finals) == set(below)
    for area, line in finals.items():
        assert line["level"] == night.areas[area]["level"]
        assert line["eligible"] == night.areas[area]["eligible"]
        assert figures([line]) == figures(below[area]), area
        assert datetime.fromisoformat(line["counted_at"]) == max(map(moment, below[area]))


def assert_snapshots_are_sums(night: Night) -> int:
    """Check each total during the count against the reports until then; return the number of lines."""
    snapshots = [line for line in night.election.official if not line["final"]]
    reports = iter(night.election.reports)
    waiting = next(reports, None)
    current: dict[str, dict[str, Report]] = defaultdict(dict)
    for line in sorted(snapshots, key=lambda line: datetime.fromisoformat(line["counted_at"])):
        while waiting and moment(waiting["report"]) <= datetime.fromisoformat(line["counted_at"]):
            current[waiting["municipality"]][waiting["report"]["unit"]] = waiting["report"]
            waiting = next(reports, None)
        assert line["level"] == "municipality"
        assert line["precincts_complete"] is True
        assert figures([line]) == figures(current[line["area"]].values()), line["area"]
    return len(snapshots)


def test_official_finals_are_the_sums_of_the_last_reports(night):
    """Every municipality, county and the country: eligible, every figure and every party, exactly."""
    assert_finals_are_sums(night)


def test_official_lines_during_the_count_are_the_sums_at_their_moment(night):
    """Thousands of states of municipalities, each equal to the reports until then."""
    assert assert_snapshots_are_sums(night) > 2500


def test_official_lines_come_in_the_order_they_were_generated(night):
    """The last lines are the final ones, one for every area above the units."""
    times = [datetime.fromisoformat(line["generated_at"]) for line in night.election.official]
    assert times == sorted(times)
    finals = [line["final"] for line in night.election.official]
    assert finals == sorted(finals)
    assert sum(finals) == 357 + 19 + 1


def test_a_settled_country_has_a_final_total(night):
    """In the end every area's status is that of its units."""
    assert {line["status"] for line in night.election.official if line["final"]} <= {"settled", "final"}
    assert any(line["status"] == "counting" for line in night.election.official)


# Other sizes ---------------------------------------------------------------------------------------------


def test_a_tiny_country_is_whole(tiny):
    """A few municipalities in two or three counties, with all kinds of units and the same oracle."""
    assert len(tiny.at_level("municipality")) <= 10
    assert {unit["kind"] for unit in tiny.at_level("precinct")} == {
        "polling_station", "advance_station", "unspecified", "other_advance", "late_advance", "borough"
    }  # fmt: skip
    assert set(tiny.units) == {unit["id"] for unit in tiny.at_level("precinct")}
    assert_finals_are_sums(tiny)
    assert assert_snapshots_are_sums(tiny) > 10


def test_many_small_countries_can_be_made():
    """No seed meets a place too small to be counted."""
    for seed in range(0, 60, 60 // extent(20, full=60)):
        election = generate(seed, 0.001 + seed * 0.0005)
        assert election.reports, seed


def test_ten_times_the_units_are_a_larger_country():
    """Units grow tenfold, municipalities and counties moderately, and identifiers stay apart."""
    country = build(Random(1), 10)
    municipalities = list(country.municipalities())
    units = [unit.id for place in municipalities for unit in place.units]
    assert len(units) == len(set(units)) == pytest.approx(34_860, rel=0.01)
    assert 800 <= len(municipalities) <= 1500
    assert len({place.id for place in municipalities}) == len(municipalities)
    assert 25 <= len(country.counties) <= 50
    assert country.eligible == pytest.approx(40_000_000, rel=0.15)


@pytest.mark.parametrize("offset", [0.0, 0.3, 0.5, 0.999999])
def test_the_parts_of_a_split_add_up(offset):
    """Each part is within one of its exact share, and a weight of 0 gets nothing."""
    rng = Random(1)
    for _ in range(200):
        weights = [rng.choice((0, rng.random(), 100 * rng.random())) for _ in range(rng.randrange(1, 30))]
        weights.append(1.0)
        total = rng.randrange(100_000)
        parts = split(total, weights, offset)
        assert sum(parts) == total
        for part, weight in zip(parts, weights, strict=True):
            assert part == pytest.approx(total * weight / sum(weights), abs=1.001)
            assert part == 0 or weight > 0


def test_a_split_needs_a_weight():
    """Without a weight only 0 can be split."""
    assert split(0, [0, 0]) == [0, 0]
    assert split(0, []) == []
    with pytest.raises(ValueError, match="nobody"):
        split(3, [0, 0])


def test_some_areas_parties_and_the_election_have_names_by_language(small: GeneratedElection) -> None:
    """The last county and its municipalities have Sámi names; `name` is one of those in Norwegian, or all of them."""
    registry = read_registry(small.registry)
    assert registry.names["nn"] == "Generert val 7"
    assert any(party.names.get("nn") for party in registry.parties)
    county = [area for area in registry.areas if area.level == "county"][-1]
    assert county.name == f"{county.names['nb']} {county.names['se']}"
    sámi = {area.id for area in registry.areas if "se" in area.names}
    assert county.id in sámi
    assert sámi <= {county.id, *(registry.areas[child].id for child in county.children)}
    late = next(area for area in registry.areas if area.name == "Sene forhåndsstemmer")
    assert late.names == {"nb": late.name, "nn": "Seine førehandsrøyster", "en": "Late advance votes"}
    assert all(area.names.get("nb", area.name) in area.name for area in registry.areas)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A directory with anything in it is refused and named, with status 2; an empty one is used."""
    (tmp_path / "notes").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for path, status, words in (
        (tmp_path, 2, f"{tmp_path}: exists and is not empty"),
        (tmp_path / "notes", 2, f"{tmp_path}/notes: exists and is not a directory"),
        (tmp_path / "link", 2, f"{tmp_path}/link: exists and is not a directory"),
        (tmp_path / "empty", 0, ""),
        (tmp_path / "empty", 2, f"{tmp_path}/empty: exists and is not empty"),
    ):
        with Command("generate", path, "--scale", "0.002", environ=dict(os.environ)) as process:
            _, complaint = process.communicate(timeout=60)
        assert (process.returncode, words in complaint) == (status, True), complaint
    assert (tmp_path / "notes").read_text() == "mine"
    assert len(list((tmp_path / "empty").iterdir())) == 3
