"""Documents in the shape of valgresultat.no: those of the recorded election are those that the service published.

Every member is equal, or its difference is in DIFFERENCES with the reason.
"""

import copy
import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

import pytest

from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry
from gateway.election.report import STATUSES
from gateway.election.state import ElectionState
from gateway.wire.json import to_json
from gateway.wire.valgresultat.documents import Documents
from gateway.wire.valgresultat.figures import percent
from gateway.wire.valgresultat.places import Places
from gateway.wire.valgresultat.progress import PHASES, unit_status
from tests.election.makers import BEYOND_BMP, DOCUMENT, Record
from tests.election.makers import a_report as a_made_report
from tests.wire.recorded import (
    official_totals,
    recorded_registry,
    recorded_reports,
    require_recorded,
    sample,
    state_at,
)

FINAL = datetime.fromisoformat("2025-09-18T00:00:00+02:00")
NIGHT = datetime.fromisoformat("2025-09-09T00:01:53+02:00")
"""The last votes of the document of the country; none of county 39 were counted in the three minutes before."""
SAMPLES = {
    "country-final": (FINAL, ()),
    "country-night": (NIGHT, ()),
    "county-03-final": (FINAL, ("03",)),
    "county-39-final": (FINAL, ("39",)),
    "county-39-night": (NIGHT, ("39",)),
    "municipality-3203-final": (FINAL, ("32", "3203")),
    "unit-3203-9998-final": (FINAL, ("32", "3203", "9998")),
}
ANY = object()


class Difference(NamedTuple):
    """Members that differ: their paths as a pattern, the documents, the value here, and the reason."""

    path: str
    samples: str
    here: object
    reason: str


DIFFERENCES = (
    Difference(r".*endring(\.samme)?", "", None, "a change needs the previous election"),
    Difference(r"merknader", "(county-39|muni)", [], "the note says that there is nothing to compare with"),
    Difference(r"valgnatt", "", ANY, "the position in the record is in these documents only"),
    Difference(r"partier#order", "", ANY, "within a category, parties are in the order of the registry"),
    Difference(
        r"(id|_links\.(self|up))\.navn",
        "co",
        "Norge",
        "the service writes the country's name without capital",
    ),
    Difference(r".*rapportGenerert", "", ANY, "the time of the last change, not of the last making"),
    Difference(r"stemmegiving\.(total|fhs)Godkjente", "[cm]", ANY, "voters include those who were rejected"),
    Difference(r"stemmegiving\.(total|fhs)Forkastede", "", None, "rejected voters are not known separately"),
    Difference(r"antallsb", "night", ANY, "the registry has the final number of those entitled to vote"),
    Difference(r"frammote\.prosent", "night", ANY, "follows from the final number of those entitled to vote"),
    Difference(
        r"frammote\.prosentAndelFhs", "(country|muni).*final", ANY, "voters include those who were rejected"
    ),
    Difference(
        r"opptellingsStatus\..*", "03|country-final", ANY, "the boroughs of Oslo have no kind and no status"
    ),
    Difference(
        r"opptellingsStatus\..*",
        "night",
        ANY,
        "the record has a change of status some minutes earlier or later",
    ),
    Difference(
        r"stemmer\.total(Forkastede)?", "country-night", ANY, "the record lacks 161 ballots at this moment"
    ),
    Difference(r"partier.*(prosent|vtsProsent|total)", "country-night", ANY, "the record lacks 161 ballots"),
)
"""docs/valgresultat.md explains them to users."""


@cache
def recorded() -> tuple[Registry, list[dict[str, Any]]]:
    require_recorded()
    return recorded_registry(), recorded_reports()


@cache
def documents_at(moment: datetime) -> tuple[Documents, Places]:
    registry, reports = recorded()
    places = Places(registry, "st")
    return Documents(state_at(registry, reports, moment), places), places


def document_at(moment: datetime, steps: Sequence[str]) -> dict[str, Any]:
    documents, places = documents_at(moment)
    area = places.find(steps)
    assert area is not None
    document: dict[str, Any] = json.loads(to_json(documents.document(area)))
    return document


def differences(theirs: Any, ours: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the path of each member that differs, with both values; rows are compared by their code."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in {**theirs, **ours}:
            below = f"{path}.{name}" if path else name
            yield from differences(theirs.get(name, "missing"), ours.get(name, "missing"), below)
    elif path in ("partier", "_links.related"):
        mine, yours = ({_code(row): row for row in rows} for rows in (ours, theirs))
        yield from differences(yours, mine, path)
        if [*mine] != [*yours]:
            yield f"{path}#order", [*yours], [*mine]
    elif theirs != ours:
        yield path, theirs, ours


def _code(row: dict[str, Any]) -> str:
    code: str = row["nr"] if "nr" in row else row["id"]["partikode"]
    return code


@pytest.mark.parametrize("name", SAMPLES)
def test_every_member_is_the_one_that_the_service_published_but_for_the_documented_differences(
    name: str,
) -> None:
    """Votes, shares to five decimals, seats, quotients and ranks, links, progress."""
    document = document_at(*SAMPLES[name])
    unexplained = [
        (path, theirs, ours)
        for path, theirs, ours in differences(sample(name), document)
        if not any(
            re.fullmatch(each.path, path) and re.search(each.samples, name) and each.here in (ANY, ours)
            for each in DIFFERENCES
        )
    ]
    assert not unexplained


def test_every_documented_difference_occurs() -> None:
    """One that does not occur any more is to be removed from the list and from the document."""
    found = [
        (name, path)
        for name, where in SAMPLES.items()
        for path, _, _ in differences(sample(name), document_at(*where))
    ]
    for each in DIFFERENCES:
        assert any(re.fullmatch(each.path, path) and re.search(each.samples, name) for name, path in found), (
            each
        )


def test_what_differs_by_a_reason_differs_little() -> None:
    """Approved and rejected voters add up to the voters; turnout and shares of the night are off by 0.1 at most."""
    for name, where in SAMPLES.items():
        theirs, ours = sample(name), document_at(*where)
        if not name.startswith("country-night"):
            for kind in ("total", "fhs"):
                voters = theirs["stemmegiving"]
                assert (
                    voters[f"{kind}Godkjente"] + voters[f"{kind}Forkastede"]
                    == ours["stemmegiving"][f"{kind}Godkjente"]
                )
        for member in ("prosent", "prosentAndelFhs"):
            if theirs["frammote"][member] is not None:
                assert abs(theirs["frammote"][member] - ours["frammote"][member]) < 0.11
        shares = {_code(row): row["stemmer"]["resultat"].get("prosent", 0) for row in theirs["partier"]}
        for row in ours["partier"]:
            assert abs(shares[_code(row)] - row["stemmer"]["resultat"].get("prosent", 0)) < 0.002


def test_the_final_figures_of_every_area_are_the_official_ones() -> None:
    """Of the country, 19 counties and 357 municipalities: ballots, voters, votes, shares, turnout and seats."""
    registry, _ = recorded()
    documents, _ = documents_at(FINAL)
    compared = 0
    for official in official_totals():
        area = registry.by_id[official["area"]]
        document = documents.document(area)
        counts = official["counts"]
        total = {
            name: sum(each[name] for each in counts.values())
            for name in ("ballots", "blank", "rejected", "voters")
        }
        assert document["antallsb"] == official["eligible"]
        assert document["stemmer"]["total"] == total["ballots"]
        assert document["stemmer"]["fhs"] == counts["advance"]["ballots"]
        assert document["stemmer"]["totalForkastede"] == total["rejected"]
        assert document["stemmegiving"]["totalGodkjente"] == total["voters"]
        turnout = percent(total["voters"] - total["rejected"], official["eligible"], 1)
        assert document["frammote"]["prosent"] == turnout
        rows = {_code(row): row for row in document["partier"]}
        assert rows["BLANKE"]["stemmer"]["resultat"]["antall"]["total"] == total["blank"]
        for party in counts["advance"]["votes"]:
            votes = sum(each["votes"][party] for each in counts.values())
            result = rows[party]["stemmer"]["resultat"]
            assert result["antall"] == {"total": votes, "fhs": counts["advance"]["votes"][party]}
            assert abs(result["prosent"] - 100 * votes / (total["ballots"] - total["blank"])) <= 0.0000051
        for party, seats in official.get("seats", {}).items():
            mandates = rows[party]["mandater"]["resultat"]
            assert (mandates["antall"], mandates["utjevningAntall"]) == (seats["seats"], seats["levelling"])
        compared += 1
    assert compared == 1 + 19 + 357


# Elections of other shapes.


def a_state(registry: Registry, *reports: dict[str, Any]) -> ElectionState:
    record, state = Record(), ElectionState(registry)
    for report in reports:
        state.apply(record.write(report))
    return state


def changed(apportionment: dict[str, Any] | None = None, seats: int = 0, **header: Any) -> Registry:
    """The small election of other tests with codes, and with seats if it has an apportionment."""
    document = copy.deepcopy(DOCUMENT)
    document["election"] |= header
    if apportionment is not None:
        document["election"]["apportionment"] = apportionment
        for area in document["areas"]:
            if area["level"] == "county":
                area["seats"] = seats
    document["areas"][6]["code"] = "1"
    return read_registry(document)


def the_document(state: ElectionState, *steps: str) -> dict[str, Any]:
    places = Places(state.registry, "st")
    area = places.find(steps)
    assert area is not None
    document: dict[str, Any] = json.loads(to_json(Documents(state, places).document(area)))
    return document


def test_before_the_first_publication_counts_are_zero_and_everything_else_is_null() -> None:
    document = the_document(a_state(changed()))
    assert document["stemmer"] == {"total": 0, "fhs": 0, "totalForkastede": None, "fhsForkastede": None}
    assert document["tidspunkt"] == {"rapportGenerert": None, "sisteStemmer": None}
    assert document["frammote"] == {"prosent": None, "prosentAndelFhs": None}
    for row in document["partier"]:
        result = row["stemmer"]["resultat"]
        assert result["antall"] == {"total": 0, "fhs": 0}
        assert result.get("prosent") is None
    phases = document["opptellingsStatus"]["forste"].values()
    assert {(each["status"], each["ferdig"]) for each in phases} == {(None, 0)}


def test_an_area_is_found_by_codes_and_by_names_and_has_the_same_links() -> None:
    """An area without a code has its identifier as code; names are compared without regard to case."""
    registry = changed()
    places = Places(registry, "st")
    unit = registry.by_id["a-1-1"]
    for steps in (("a", "a-1", "1"), ("A", "a, 1", "EN"), ("a", "a,+1", "1")):
        assert places.find(steps) == unit
    assert places.links(unit) == ("/2025/st/a/a-1/1", "/2025/st/a/a%2C+1/en")
    for steps in (("a-1",), ("a", "1"), ("a", "a-1", "1", "1"), ("",)):
        assert places.find(steps) is None


def test_areas_with_the_same_code_beside_each_other_have_their_identifiers_in_paths() -> None:
    """So does one whose code cannot be a part of a path; codes of areas elsewhere do not matter."""
    document = copy.deepcopy(DOCUMENT)
    for area in document["areas"]:
        area["code"] = {"a": "1", "b": "..", "b-1": "2", "b-2": "2"}.get(area["id"], "1")
    registry = read_registry(document)
    places = Places(registry, "st")
    expected = {"a": "/1", "b": "/b", "b-1": "/b/b-1", "b-2": "/b/b-2", "a-1-1": "/1/a-1/a-1-1"}
    for identifier, path in expected.items():
        area = registry.by_id[identifier]
        assert places.links(area).href == f"/2025/st{path}"
        assert places.find(path.split("/")[1:]) == area


def test_turnout_is_that_of_ballots_unless_every_count_has_voters() -> None:
    """A sum over some of the units would be too small."""
    counts = {"ballots": 30, "blank": 0, "rejected": 2, "votes": {"P": 30}}
    whole = a_made_report("a-2", counts={"election_day": counts | {"voters": 36}})
    part = a_made_report("b-2", counts={"election_day": counts})
    found = the_document(a_state(changed(), whole))
    assert (found["stemmegiving"]["totalGodkjente"], found["frammote"]["prosent"]) == (36, 3.4)
    found = the_document(a_state(changed(), whole, part))
    assert (found["stemmegiving"]["totalGodkjente"], found["frammote"]["prosent"]) == (None, 6.0)


def test_there_are_no_links_to_areas_that_a_path_cannot_name() -> None:
    """A path has at most three parts below the country."""
    state = a_state(changed())
    (row,) = (each for each in the_document(state, "b", "b-1")["_links"]["related"])
    assert (row["nr"], row["harUnderordnet"]) == ("b-1-x", False)
    assert the_document(state, "b", "b-1", "b-1-x")["_links"]["related"] == []
    assert {each["harUnderordnet"] for each in the_document(state, "a")["_links"]["related"]} == {True, False}


def test_without_an_apportionment_members_about_seats_are_null() -> None:
    document = the_document(a_state(changed(), a_made_report()))
    assert document["mandater"] == {"antall": None, "endring": None}
    for row in document["partier"]:
        assert set(row["mandater"]["resultat"].values()) == {None}


def test_quotients_are_in_the_usual_unit_of_the_divisors() -> None:
    """1, 2, 3 are those of D'Hondt in whatever unit, and 1, 3, 5 those of Sainte-Laguë."""
    found = []
    for divisors in ([1, 2, 3], [10, 20, 30], [1, 3, 5], [14, 30, 50]):
        rule = {"method": "divisors", "divisors": divisors, "districts": "county"}
        counts = {
            "election_day": {"ballots": 100, "blank": 0, "rejected": 0, "votes": {"P": 60, BEYOND_BMP: 40}}
        }
        state = a_state(changed(rule, seats=3), a_made_report(counts=counts))
        rows = the_document(state, "a")["partier"]
        (row,) = (each for each in rows if each["id"]["partikode"] == "P")
        resultat = row["mandater"]["resultat"]
        assert resultat["antall"] == 2
        assert resultat["utjevningAntall"] == 0
        found.append((resultat["sisteMandat"]["kvotient"], resultat["nesteMandat"]["kvotient"]))
    assert found == [(30, 20), (30, 20), (20, 12), (20, 12)]


def test_until_levelling_seats_can_be_given_their_number_is_null() -> None:
    """A district without votes has no seats at all."""
    rule = {
        "method": "divisors",
        "divisors": [14, 30, 50],
        "districts": "county",
        "levelling": {"per_district": 1},
    }
    state = a_state(changed(rule | {"threshold": {"percent": 4, "of": "country"}}, seats=3), a_made_report())
    for steps in ((), ("a",)):
        document = the_document(state, *steps)
        assert document["mandater"]["antall"] == (3 if steps else 6)
        assert sum(row["mandater"]["resultat"]["antall"] for row in document["partier"]) == 2
        levelling = {
            row["mandater"]["resultat"]["utjevningAntall"]
            for row in document["partier"]
            if row["id"]["partikategori"] == 1
        }
        assert levelling == {None}
    assert {row["mandater"]["resultat"]["antall"] for row in the_document(state, "b")["partier"]} == {None}


def test_a_rehearsal_is_marked() -> None:
    assert the_document(a_state(changed(rehearsal=True)))["valgnatt"]["rehearsal"] is True


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_of_a_unit_has_a_name_or_is_null(status: str) -> None:
    """Phases that are complete, `paagaar`, and `tellesIkke` for a unit that is counted elsewhere."""
    expected = {"counting": "paagaar", "counted_elsewhere": "tellesIkke"} | {
        each: f"{phase}Ferdig" for phase, each in PHASES.items()
    }
    assert unit_status(status) == expected.get(status)
