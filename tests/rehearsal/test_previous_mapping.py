"""An earlier election as the previous one of a new registry: pairs of generated elections, and each kind of change."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from gateway.election.previous import read_previous
from gateway.election.registry_reading import read_registry
from gateway.election.report import Report
from gateway.rehearsal.checked_reports import newest_reports
from gateway.rehearsal.dataset import DataSet, write
from gateway.rehearsal.generator import MAP, PAST, generate, write_election
from gateway.rehearsal.previous_mapping import Mapped, map_election, missing_rows, summary_lines
from gateway.rehearsal.previous_table import Identifiers, read_table
from tests.counts import count
from tests.fork_server import run_command


def a_registry(*areas: tuple[str, str | None, int | None], parties: str = "A B") -> dict[str, Any]:
    """Return a registry of areas: identifier, parent and eligible voters."""
    return {
        "format": "election-registry/1",
        "election": {
            "id": "before",
            "name": "Before",
            "publish_from": "2021-09-13T21:00:00+02:00",
            "categories": ["advance", "election_day"],
        },
        "areas": [
            {
                "id": area,
                "name": area.upper(),
                "level": f"l{area.count('-')}",
                "parent": parent,
                "eligible": eligible,
            }
            for area, parent, eligible in areas
        ],
        "parties": [{"code": code, "name": code.lower()} for code in parties.split()],
    }


BEFORE = a_registry(
    ("no", None, 100),
    ("1", "no", 60),
    ("1-1", "1", None),
    ("1-2", "1", None),
    ("1-3", "1", None),
    ("2", "no", 40),
    ("2-1", "2", 30),
    ("2-2", "2", 10),
)
UNITS = ("1-1", "1-2", "1-3", "2-1", "2-2")
REPORTS = {
    unit: msgspec.convert(
        {
            "unit": unit,
            "revision": 1,
            "counted_at": "2021-09-13T22:00:00+02:00",
            "status": "final",
            "counts": {
                "advance": {"ballots": 10 + place, "blank": 1, "rejected": 0, "votes": {"A": 9 + place}},
                "election_day": {"ballots": 5, "blank": 0, "rejected": 0, "votes": {"B": 5}},
            },
        },
        Report,
    )
    for place, unit in enumerate(UNITS)
}
"""The units have 9, 10, 11, 12 and 13 votes for A, 5 for B and a blank ballot."""


def mapped(
    after: dict[str, Any],
    table: str = "",
    before: dict[str, Any] | None = None,
    reports: Mapping[str, Report] = REPORTS,
) -> Mapped:
    """Map the earlier election, with lines of a table; the document has no mistakes."""
    old, new = read_registry(before or BEFORE), read_registry(after)
    known = [Identifiers(each.by_id, each.party_codes) for each in (old, new)]
    text = "kind,from,to\n" + table.replace(" ", "\n")
    found = map_election(old, reports, new, read_table("map.csv", text.encode(), *known), "made up")
    read_previous(found.document, new)
    return found


def areas_of(found: Mapped) -> dict[str, tuple[int | None, int | None, Any]]:
    """Return of each area of the document the votes for A and B, and the eligible voters."""
    return {
        area: (entry["votes"].get("A"), entry["votes"].get("B"), entry.get("eligible"))
        for area, entry in found.document["areas"].items()
    }


def test_what_has_kept_its_identifier_needs_no_table() -> None:
    """Areas above units are given only if something of them does not follow, such as the eligible voters."""
    found = mapped(BEFORE)
    assert areas_of(found) == {
        "1": (30, 15, 60),
        "1-1": (9, 5, None),
        "1-2": (10, 5, None),
        "1-3": (11, 5, None),
        "2-1": (12, 5, 30),
        "2-2": (13, 5, 10),
    }
    assert found.document["areas"]["1-1"] == {"votes": {"A": 9, "B": 5}, "blank": 1}
    assert found.document["election"] == {"id": "before", "name": "Before", "date": "2021-09-13"}
    assert found.complete
    assert summary_lines(found) == [
        "5 of 5 units and 3 of 3 areas above them have previous votes, 80 votes in all"
    ]


def test_areas_are_merged_and_renumbered_with_all_their_units() -> None:
    """A line for an area above units is enough, where the rest of their identifiers is the same."""
    after = a_registry(
        ("no", None, 90), ("5", "no", 90), ("5-1", "5", 50), ("5-2", "5", 30), ("5-3", "5", 10)
    )
    found = mapped(after, "area,1,5 area,2,5")
    assert areas_of(found) == {
        "5": (55, 25, 100),
        "5-1": (21, 10, None),
        "5-2": (23, 10, None),
        "5-3": (11, 5, None),
    }
    assert found.complete


def test_units_are_split_merged_closed_and_new() -> None:
    """Parts of what was split have no votes of their own, and neither has what joined them."""
    after = a_registry(
        ("no", None, None),
        ("1", "no", None),
        ("1-1", "1", None),
        ("1-9", "1", None),
        ("1-3", "1", None),
        ("2", "no", None),
        ("2-1", "2", None),
        ("2-7", "2", None),
    )
    table = "area,1-1,1-1 area,1-1,1-9 area,1-2,1-9 area,2-2,2-1 area,,2-7"
    found = mapped(after, table)
    assert areas_of(found) == {
        "1": (30, 15, 60),
        "1-3": (11, 5, None),
        "2": (25, 10, 40),
        "2-1": (25, 10, 40),
    }
    assert (found.complete, found.split, found.units) == (True, 2, 2)
    assert "2 units of split areas: compared in the area above only" in summary_lines(found)


def test_votes_that_are_known_only_of_a_whole_area_are_said_to_be() -> None:
    """The area is given with them, and says why it differs from the areas below it."""
    after = a_registry(("no", None, None), ("1", "no", None), ("1-1", "1", None), ("1-2", "1", None))
    found = mapped(after, "area,1-3,1 area,2,")
    assert found.document["areas"]["1"] == {
        "votes": {"A": 30, "B": 15},
        "blank": 3,
        "eligible": 60,
        "differs": "17 ballots known only of the whole area",
    }
    assert found.complete
    assert [(each.id, each.votes) for each in found.left_out] == [("2-1", 17), ("2-2", 18)]


def test_what_cannot_be_mapped_is_named() -> None:
    """Votes without a place, closed units, parties that are gone, and units without votes."""
    after = a_registry(
        ("no2", None, None),
        ("1", "no2", None),
        ("1-1", "1", None),
        ("1-2", "1", None),
        ("1-8", "1", None),
        parties="A C",
    )
    found = mapped(after)
    assert not found.complete
    assert [(each.id, each.votes, each.place) for each in found.lost] == [
        ("2-1", 17, None),
        ("2-2", 18, None),
    ]
    assert [(each.id, each.votes, each.place) for each in found.above] == [("1-3", 16, "1")]
    assert [(each.id, each.votes) for each in found.parties] == [("B", 25)]
    assert ([each.id for each in found.without], found.new_parties) == (["1-8"], ["C"])
    assert found.document["areas"]["1-1"] == {"votes": {"A": 9}, "other": 5, "blank": 1}
    assert len([line for line in summary_lines(found) if line.startswith("MISSING")]) == 4
    assert missing_rows(found) == [
        ("area", "2", "?", "2: 35 votes"),
        ("area", "1-3", "?", "1-3: 16 votes"),
        ("area", "?", "1-8", "1-8"),
        ("party", "B", "?", "b: 25 votes"),
    ]
    stated = mapped(after, "area,2, area,1-3,1 area,,1-8 party,B,")
    assert stated.complete
    assert missing_rows(stated) == []
    assert stated.document["areas"] == found.document["areas"]


def test_parties_are_renamed_and_merged() -> None:
    """Several lines with the same `to`; a party that had no votes still stood for election."""
    after = {**BEFORE, "parties": [{"code": "C", "name": "c"}]}
    found = mapped(after, "party,A,C party,B,C")
    assert found.document["areas"]["1-1"] == {"votes": {"C": 14}, "blank": 1}
    silent = mapped(BEFORE, reports={})
    assert silent.document["areas"]["1-1"] == {"votes": {"A": 0, "B": 0}, "blank": 0}


def test_eligible_voters_that_contradict_those_of_the_units_are_explained() -> None:
    """The earlier registry may have others for an area than for its units together."""
    before = {
        **BEFORE,
        "areas": [
            each | {"eligible": 41 if each["id"] == "2" else each["eligible"]} for each in BEFORE["areas"]
        ],
    }
    entry = mapped(BEFORE, before=before).document["areas"]["2"]
    assert (entry["eligible"], "earlier registry" in entry["differs"]) == (41, True)


@pytest.mark.parametrize("seed", range(1, 1 + count(3, full=12)))
def test_a_generated_pair_is_mapped_without_loss(seed: int) -> None:
    """Every vote of the earlier election has a place, and areas that did not change have exactly their own."""
    election = generate(seed, 0.05, past=True)
    assert election.past is not None
    document = election.previous()
    after = read_registry(election.registry)
    previous = read_previous(document, after)
    finals = {line["area"]: line for line in election.past.official}
    parties = len(after.parties)

    def votes_then(area: str) -> int:
        counts = finals[area]["counts"].values()
        return sum(sum(each["votes"].values()) for each in counts)

    assert sum(previous.areas[0].figures[: parties + 1]) == votes_then(after.root.id)
    assert previous.areas[0].eligible == finals[after.root.id]["eligible"]
    named = {area for row in election.past.table for area in row[1:]}
    same = [
        area
        for area in after.areas
        if area.level == "municipality" and area.id in finals and area.id not in named
    ]
    assert len(same) >= 5
    for area in same:
        assert sum(previous.areas[area.index].figures[: parties + 1]) == votes_then(area.id)
    new = after.party_codes.index("ÅT")
    assert not any(each.figures[parties + 1 + new] for each in previous.areas.values())
    kinds = {(row[0], row[2] == "") for row in election.past.table}
    assert kinds == {("area", False), ("party", False), ("party", True)}


def test_the_same_seed_gives_the_same_pair_and_the_same_election_as_without() -> None:
    """Byte for byte; the previous election draws from numbers of its own."""
    one, other, plain = generate(3, 0.02, past=True), generate(3, 0.02, past=True), generate(3, 0.02)
    assert one.past is not None
    assert other.past is not None
    assert one.previous() == other.previous()
    assert (one.past.registry, [*one.past.reports]) == (other.past.registry, [*other.past.reports])
    assert (one.registry, [*one.reports], one.official) == (plain.registry, [*plain.reports], plain.official)


def test_generate_writes_a_pair_from_which_the_command_makes_the_same_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As its user would; the status is 0, and 1 without the table, which is named."""
    monkeypatch.chdir(tmp_path)
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    made = run_command("generate", "new", "--scale", "0.02", "--previous", environ=environ)
    assert (made.status, made.err) == (0, "")
    data = DataSet.open("new")
    old = DataSet.open(Path("new") / PAST)
    before = read_registry(old.registry)
    assert len(newest_reports(before, old.placed_reports())) == len(before.units)
    command = (
        "election",
        "previous",
        f"new/{PAST}",
        "--registry",
        "new",
        "--source",
        "generated",
        "-o",
        "p.json",
    )
    ended = run_command(*command, "--map", f"new/{PAST}/{MAP}", environ=environ)
    assert (ended.status, ended.err) == (0, "")
    assert json.loads(Path("p.json").read_bytes()) == data.previous()
    without = run_command(*command, "--missing", "missing.csv", environ=environ)
    assert without.status == 1
    assert "MISSING in the table, known only of the area above" in without.out
    assert "name them in a table (--map)" in without.err
    table = Path("missing.csv").read_text().splitlines()
    assert table[0] == "kind,from,to,note"
    assert {"area,?,0601", "area,9998,?", "party,LT,?"} <= {line.rpartition(",")[0] for line in table}
    again = run_command(*command, "--missing", "missing.csv", environ=environ)
    assert (again.status, "missing.csv: exists" in again.err) == (2, True)
    over = run_command(*command[:-1], f"new/{PAST}/registry.json", environ=environ)
    assert (over.status, "registry.json: is read by this command" in over.err) == (2, True)
    assert DataSet.open(Path("new") / PAST).registry == old.registry
    unnamed = run_command(*command, "--map", "missing.csv", environ=environ)
    assert (unnamed.status, "'?' is not" in unnamed.err) == (2, True)
    Path("bad.csv").write_text("kind,from,to\narea,nowhere,\n")
    Path("p.json").unlink()
    refused = run_command(*command, "--map", "bad.csv", environ=environ)
    assert (refused.status, Path("p.json").exists()) == (2, False)
    assert "bad.csv: line 2: 'nowhere' is not an area of the earlier election" in refused.err


def test_nothing_is_left_of_a_pair_that_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a data set without a previous election."""
    calls = 0

    def failing(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError("no space left on device")
        write(*arguments)

    monkeypatch.setattr("gateway.rehearsal.dataset.write", failing)
    with pytest.raises(OSError, match="no space"):
        write_election(tmp_path / "new", 1, 0.001, past=True)
    assert not (tmp_path / "new").exists()
    assert orjson.dumps(calls) == b"2"
