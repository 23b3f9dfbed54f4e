"""Areas as EML 510: valid for the schema of OASIS, with the figures of the state."""

import copy
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.election.registry_reading import read_registry
from gateway.election.state import ElectionState
from gateway.wire.areas import EML, area_document
from gateway.wire.xml_text import from_nmtoken, nmtoken, xml_text
from tests.counts import count
from tests.election.makers import CATEGORIES, DOCUMENT, REGISTRY, Record, a_report, reports, some_counts
from tests.schemas import eml_errors
from tests.wire.pages import area_page

NS = {"e": "urn:oasis:names:tc:evs:schema:eml"}


def a_state(*history: dict[str, Any], registry: Any = REGISTRY) -> ElectionState:
    record, state = Record(), ElectionState(registry)
    for report in history:
        state.apply(record.write(report))
    return state


def contest(state: ElectionState, area: str) -> ET.Element:
    found = ET.fromstring(area_page(EML, state, area)).find(".//e:Contest", NS)
    assert found is not None
    return found


def figures(votes: ET.Element) -> dict[str, dict[str, Any]]:
    """The counts that an element has, by category, as an independent reader understands them."""
    counts: dict[str, dict[str, Any]] = {}
    for each in votes.findall("e:Selection", NS):
        if "Category" in each.attrib:
            party = from_nmtoken(each.find("e:AffiliationIdentifier", NS).attrib["Id"])
            figure = int(each.find("e:ValidVotes", NS).text)
            counts.setdefault(each.attrib["Category"], {"votes": {}})["votes"][party] = figure
    for each in votes.findall("e:RejectedVotes", NS):
        counts[each.attrib["VoteType"]][each.attrib["ReasonCode"]] = int(each.text)
    for each in votes.findall("e:CountMetric", NS):
        if each.attrib["Type"] == "voters":
            counts[each.attrib["Id"]]["voters"] = int(each.text)
    for each in counts.values():
        each["ballots"] = sum(each["votes"].values()) + each["blank"]
    total = sum(sum(each["votes"].values()) for each in counts.values())
    assert votes.find("e:TotalCounted", NS).text == str(total)
    return counts


@settings(deadline=None, max_examples=count(5, full=20))
@given(st.lists(reports(), max_size=5))
def test_every_area_is_valid_and_has_the_figures_of_its_json(history: list[dict[str, Any]]) -> None:
    """The area in `TotalVotes`, its children as reporting units; a unit as both."""
    state = a_state(*history)
    for area in REGISTRY.areas:
        page = area_page(EML, state, area.id)
        assert eml_errors()(page) == []
        found = contest(state, area.id)
        assert figures(found.find("e:TotalVotes", NS)) == area_document(state, area.index)["counts"]
        indexes = area.children or (area.index,)
        units = found.findall("e:ReportingUnitVotes", NS)
        assert [figures(each) for each in units] == [
            area_document(state, index)["counts"] for index in indexes
        ]


def test_a_document_without_any_report_is_valid_and_has_no_issue_date() -> None:
    """The figures are 0 for every party on the ballot, in no category."""
    state = a_state()
    page = area_page(EML, state, "a-1")
    assert eml_errors()(page) == []
    assert b"IssueDate" not in page
    total = contest(state, "a-1").find("e:TotalVotes", NS)
    assert [each.attrib for each in total.findall("e:Selection", NS)] == [{}, {}]
    metrics = {
        (each.attrib["Type"], each.get("Id")): each.text for each in total.findall("e:CountMetric", NS)
    }
    assert metrics == {
        ("units", None): "2",
        ("units_reported", None): "0",
        **{("units_counted", category): "0" for category in CATEGORIES},
    }


def test_the_position_in_the_record_and_the_time_are_in_the_document() -> None:
    """TransactionId is the cursor; IssueDate is when a unit counted, and for other areas when they changed last."""
    state = a_state(a_report("a-1-1", counted_at="2025-09-08t22:36:55.5z"))
    for area, time in (("a-1-1", "2025-09-08T22:36:55.500000+00:00"), ("a-1", "2025-09-08T19:00:00+00:00")):
        root = ET.fromstring(area_page(EML, state, area))
        assert root.findtext("e:TransactionId", None, NS) == f"1-{state.chain.hex()[:8]}"
        assert root.findtext("e:IssueDate", None, NS) == time


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (["preliminary"], {"Final": "no", "Partial": "yes"}),
        (["preliminary", "final"], {"Final": "no", "Partial": "no"}),
        (["final", "settled"], {"Final": "yes", "Partial": "no"}),
        (["final", "counting"], {"Final": "no", "Partial": "yes"}),
    ],
)
def test_the_qualifier_follows_from_the_statuses_of_the_units(
    statuses: list[str], expected: dict[str, str]
) -> None:
    """Partial until every unit is counted, final when every unit is."""
    units = zip(("a-1-1", "a-1-2"), statuses, strict=False)
    state = a_state(*(a_report(unit, status=status) for unit, status in units))
    qualifier = contest(state, "a-1").find("e:CountQualifier", NS)
    found = {each.tag.rpartition("}")[2]: each.text for each in qualifier}
    assert found == {"Simulation": "no", **expected}


def test_a_rehearsal_is_a_simulation() -> None:
    document = copy.deepcopy(DOCUMENT)
    document["election"]["rehearsal"] = True
    assert (
        contest(a_state(registry=read_registry(document)), "no").findtext(".//e:Simulation", None, NS)
        == "yes"
    )


def test_special_characters_are_escaped_and_identifiers_are_name_tokens() -> None:
    """Identifiers of the registry may have characters that no NMTOKEN has; they can be read back."""
    document = copy.deepcopy(DOCUMENT)
    document["areas"].append({"id": "x(1)+_x<", "name": 'En <b> & "to"\u2009', "level": "*", "parent": "b"})
    document["parties"].append({"code": "A&B/<C>", "name": "'A' & <B>"})
    state = a_state(
        a_report("x(1)+_x<", counts={"advance": some_counts(**{"A&B/<C>": 4})}),
        registry=read_registry(document),
    )
    page = area_page(EML, state, "x(1)+_x<")
    assert eml_errors()(page) == []
    found = contest(state, "x(1)+_x<")
    assert from_nmtoken(found.find("e:ContestIdentifier", NS).attrib["Id"]) == "x(1)+_x<"
    assert found.findtext(".//e:ContestName", None, NS) == 'En <b> & "to"\u2009'
    assert figures(found.find("e:TotalVotes", NS))["advance"]["votes"]["A&B/<C>"] == 4


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_every_identifier_can_be_read_back(text: str) -> None:
    """Whatever is in it, also what looks like an escape."""
    for identifier in (text, f"_x0041{text}", f"{text}_x0041_"):
        assert from_nmtoken(nmtoken(identifier)) == identifier
    assert ET.fromstring(f"<a>{xml_text(text)}</a>") is not None


def test_a_character_that_xml_cannot_contain_is_replaced() -> None:
    """Registries of old versions may have control characters in names."""
    assert xml_text("a\x00b\x1fc\ufffe\td") == "a\ufffdb\ufffdc\ufffd d"
    assert from_nmtoken("_xD800_") == "_xD800_"
