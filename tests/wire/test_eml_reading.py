"""EML 510 as reports: its counts, what is wrong with them, and bounds on what it may contain."""

import copy
import gc
import gzip
import json
import tracemalloc
import weakref
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.election.outcome import Refusal, refusal_of
from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry
from gateway.election.state import ElectionState
from gateway.election.validation import ExplanationBudget, Scope, Validator, ValidReport
from gateway.errors import MalformedDocument
from gateway.rehearsal.generator import generate
from gateway.web.push_body import MalformedBody, reading_eml
from gateway.wire import eml_reading
from gateway.wire.areas import EML, area_document
from gateway.wire.eml_reading import (
    ATTRIBUTES_MAX,
    DEPTH_MAX,
    NAMES_MAX,
    NAMESPACE_MAX,
    TAG_MAX,
    TEXT_MAX,
)
from gateway.wire.eml_units import FIGURES_MAX, EmlReport
from tests.conftest import RECORDED
from tests.counts import count, examples
from tests.election.makers import DOCUMENT, REGISTRY, Record, a_report, reports, some_counts
from tests.wire.eml_documents import ISSUED, NAMESPACE, eml, selection, unit_votes
from tests.wire.pages import area_page
from tests.wire.reading import read_eml

P7 = selection("P", 7)
REVISION = int(
    (datetime.fromisoformat(ISSUED) - datetime.fromisoformat("2025-07-10T21:00:00+02:00")).total_seconds()
)
"""Seconds since 60 days before publication."""


def variant(**members: Any) -> Registry:
    document = copy.deepcopy(DOCUMENT)
    document["election"] |= members
    return read_registry(document)


def judged(report: EmlReport, registry: Registry = REGISTRY) -> ValidReport | Refusal:
    checked = Validator(registry).check(report.body, Scope(registry, frozenset([registry.root.id])))
    return report.judged(
        checked if isinstance(checked, ValidReport) else refusal_of(checked), ExplanationBudget()
    )


def only(document: bytes, registry: Registry = REGISTRY) -> dict[str, Any]:
    [report] = read_eml(document, registry)
    assert isinstance(judged(report, registry), ValidReport)
    decoded: dict[str, Any] = json.loads(report.body)
    return decoded


def refused(document: bytes, registry: Registry = REGISTRY) -> Refusal:
    [report] = read_eml(document, registry)
    found = judged(report, registry)
    assert isinstance(found, Refusal)
    return found


# Reports.


def test_a_unit_is_a_report() -> None:
    """Its time is the document's, its revision counts seconds, and ballots are votes and blank ones."""
    rejected = '<RejectedVotes ReasonCode="{}" VoteType="advance">{}</RejectedVotes>'
    unit = unit_votes(
        "a-1-1",
        '<CountMetric Type="voters" Id="advance">12.0</CountMetric><CountMetric Type="turnout">0.5</CountMetric>',
        P7,
        "<Cast>100</Cast><TotalCounted> 7 </TotalCounted>",
        *(rejected.format(*each) for each in (("Blanco", 3), ("ongeldig", 2), ("unclear", "+1"))),
        '<UncountedVotes ReasonCode="other">9</UncountedVotes>',
    )
    assert only(eml(unit)) == {
        "unit": "a-1-1",
        "revision": REVISION,
        "counted_at": ISSUED,
        "status": "preliminary",
        "counts": {"advance": {"ballots": 10, "blank": 3, "rejected": 3, "votes": {"P": 7}, "voters": 12}},
    }


def test_a_document_has_a_report_for_each_unit() -> None:
    """In its order, also of several contests."""
    document = eml(unit_votes("a-1-1", P7), "</Contest><Contest>", unit_votes("a-2", P7))
    assert [each.unit for each in read_eml(document, REGISTRY)] == ["a-1-1", "a-2"]


@pytest.mark.parametrize(
    ("qualifier", "status"),
    [
        ("", "preliminary"),
        ("<Final>no</Final><Partial>no</Partial>", "preliminary"),
        ("<Final>yes</Final>", "final"),
        ("<Partial>yes</Partial>", "counting"),
        ("<Final>yes</Final><Extrapolation>no</Extrapolation><Partial>yes</Partial>", "counting"),
    ],
)
def test_the_status_follows_from_the_qualifier(qualifier: str, status: str) -> None:
    """Of its contest; what is partial is being counted."""
    assert only(eml(unit_votes("a-1-1", P7), qualifier=qualifier))["status"] == status


def test_a_category_may_be_missing_where_there_is_only_one() -> None:
    """Otherwise each figure without one is named."""
    unit = unit_votes("a-1-1", selection("P", 7, None), '<RejectedVotes ReasonCode="blank">1</RejectedVotes>')
    registry = variant(categories=["advance"])
    assert only(eml(unit), registry)["counts"] == {
        "advance": {"ballots": 8, "blank": 1, "rejected": 0, "votes": {"P": 7}}
    }
    found = refused(eml(unit))
    assert found.code == "invalid_report"
    assert [(each.code, each.path, each.detail) for each in found.violations] == [
        ("missing_member", "$.counts", f"{name} must name the category: the election has several ({place})")
        for name, place in (
            ("Category", "line 4, column 1: Selection"),
            ("VoteType", "line 5, column 1: RejectedVotes"),
        )
    ]


def test_votes_of_candidates_and_other_namespaces_are_left_out() -> None:
    """As in EML_NL, whose `kr:` elements repeat names of EML; this document follows its description."""
    candidate = '<Selection><Candidate><CandidateIdentifier Id="1"/></Candidate><ValidVotes>5</ValidVotes></Selection>'
    unit = unit_votes(
        "a-1-1",
        "<kr:ReportingUnitType>regulier<kr:x><Selection/></kr:x></kr:ReportingUnitType>",
        selection("P", 7, None).replace(
            "<ValidVotes>", "<kr:InitialValidVotes>8</kr:InitialValidVotes><ValidVotes>"
        ),
        candidate,
        "<Cast>9</Cast><TotalCounted>7</TotalCounted><RejectedVotes ReasonCode='ongeldig'>2</RejectedVotes>"
        "<RejectedVotes ReasonCode='blanco'>1</RejectedVotes>"
        "<UncountedVotes ReasonCode='geldige stempassen'>10</UncountedVotes>",
    )
    document = eml(unit, identifier="510b").replace(
        b" Id=", b' xmlns:kr="http://www.kiesraad.nl/extensions" Id=', 1
    )
    document = document.replace(
        b"<Count>", b"<kr:CreationDateTime>2025-09-08T22:36:55</kr:CreationDateTime><Count>"
    )
    assert only(document, variant(categories=["advance"]))["counts"] == {
        "advance": {"ballots": 8, "blank": 1, "rejected": 2, "votes": {"P": 7}}
    }


@pytest.mark.parametrize("chunk", [1, 7, 2048])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_encodings_and_the_size_of_chunks_make_no_difference(encoding: str, chunk: int) -> None:
    """The XML declaration says what the encoding is."""
    text = eml(unit_votes("a-2", selection("RØDT", 7)), before=f'<?xml version="1.0" encoding="{encoding}"?>')
    [report] = read_eml(text.decode().encode(encoding), REGISTRY, chunk)
    assert json.loads(report.body)["counts"]["advance"]["votes"] == {"RØDT": 7}


# Out and in.


def a_state(*history: dict[str, Any], registry: Registry = REGISTRY) -> ElectionState:
    record, state = Record(), ElectionState(registry)
    for report in history:
        state.apply(record.write(report))
    return state


def assert_same_counts(state: ElectionState, step: int = 1) -> int:
    """Read the document of every area above units, and of every unit; return how many reports that gives."""
    registry, found = state.registry, 0
    for area in registry.areas[::step]:
        children = [registry.areas[index] for index in area.children or (area.index,)]
        if not all(each.is_unit for each in children) or not state.areas[area.index].sequence:
            continue
        read = {each.unit: each for each in read_eml(area_page(EML, state, area.id), registry)}
        found += len(read)
        for unit in children:
            counts = area_document(state, unit.index)["counts"]
            report = read.pop(unit.id, None)
            if report is None:
                assert not counts
                continue
            assert isinstance(judged(report, registry), ValidReport)
            assert json.loads(report.body)["counts"] == counts
        assert not read
    return found


@settings(deadline=None, max_examples=examples(25))
@given(st.lists(reports(), max_size=5))
def test_what_was_written_gives_the_same_counts(history: list[dict[str, Any]]) -> None:
    """Units without counts have no report."""
    assert_same_counts(a_state(*history))


def test_a_unit_with_counts_of_0_is_a_report_but_one_without_counts_is_none() -> None:
    """`units_counted` says which it is."""
    nothing = {"ballots": 0, "blank": 0, "rejected": 0, "votes": {"P": 0}}
    state = a_state(a_report("a-1-1", counts={"advance": nothing}), a_report("a-1-2", counts={}))
    [report] = read_eml(area_page(EML, state, "a-1"), REGISTRY)
    assert json.loads(report.body)["unit"] == "a-1-1"


def last_reports(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({line["report"]["unit"]: line["report"] for line in lines}.values())


def test_a_generated_election_gives_the_same_counts() -> None:
    """With every unit and category; each unit once by itself and once in its municipality."""
    election = generate(seed=3, scale=0.02)
    reports = last_reports(election.reports)
    state = a_state(*reports, registry=read_registry(election.registry))
    assert assert_same_counts(state) == 2 * sum(bool(report["counts"]) for report in reports)


def test_the_recorded_election_gives_the_same_counts() -> None:
    """After its last reports."""
    if not RECORDED.is_dir():
        pytest.skip(f"the recorded election is not at {RECORDED}")
    with gzip.open(RECORDED / "reports.ndjson.gz") as lines:
        reports = last_reports(map(orjson.loads, lines))
    state = a_state(*reports, registry=read_registry(orjson.loads((RECORDED / "registry.json").read_bytes())))
    assert assert_same_counts(state, count(23, full=1)) > 100


# What is wrong with a report.


@pytest.mark.parametrize(
    ("unit", "code", "path", "detail"),
    [
        (
            unit_votes("a-1-1", P7, "<TotalCounted>8</TotalCounted>"),
            "sum_mismatch",
            "$.counts",
            "TotalCounted is 8, but the votes of the parties add up to 7 (line 5, column 1: TotalCounted)",
        ),
        (
            unit_votes("a-1-1", selection("P", "7.5")),
            "not_a_count",
            "$.counts.advance.votes.P",
            'expected an integer, not "7.5" (line 4, column 119: ValidVotes)',
        ),
        (
            unit_votes("a-1-1", selection("P", 2**31)),
            "count_out_of_range",
            "$.counts.advance.votes.P",
            "expected 0 to 2147483647, not 2147483648 (line 4, column 119: ValidVotes)",
        ),
        (
            unit_votes("a-1-1", selection("Q", 1)),
            "party_not_on_ballot",
            "$.counts.advance.votes.Q",
            "not on the ballot of a-1-1 (line 4, column 119: ValidVotes)",
        ),
        (
            unit_votes("a-1-1", selection("P", 1, "early")),
            "unknown_category",
            "$.counts.early",
            "",
        ),
        (
            unit_votes("a-1-1", P7, P7),
            "repeated_member",
            "$.counts.advance.votes.P",
            "the party has several Selections of this category (line 5, column 1: Selection)",
        ),
        (
            unit_votes("a-1-1", "<Selection Category='advance'><ValidVotes>1</ValidVotes></Selection>"),
            "missing_member",
            "$.counts",
            "AffiliationIdentifier is missing, or has no Id (line 4, column 1: Selection)",
        ),
        (
            unit_votes("a-1-1", P7.replace("<ValidVotes>7</ValidVotes>", "")),
            "missing_member",
            "$.counts.advance.votes.P",
            "ValidVotes is missing (line 4, column 1: Selection)",
        ),
        (unit_votes("nowhere", P7), "unknown_unit", "$.unit", ""),
        (unit_votes("a", P7), "unknown_unit", "$.unit", ""),
    ],
)
def test_what_is_wrong_with_a_report_has_its_place(unit: str, code: str, path: str, detail: str) -> None:
    """Line, column and element; the refusal has the line of the unit."""
    found = refused(eml(unit))
    assert (found.code, found.line) == ("invalid_report", 3)
    assert (code, path) in [(each.code, each.path) for each in found.violations]
    if detail:
        assert detail in [each.detail for each in found.violations]
    assert all(": " in each.detail and "(line " in each.detail for each in found.violations)


def test_a_time_before_the_first_revision_is_refused() -> None:
    """60 days before publication is the earliest."""
    found = refused(eml(unit_votes("a-1-1", P7), issued="2025-07-10T20:59:59+02:00"))
    [violation] = found.violations
    assert (violation.code, violation.path) == ("revision_out_of_range", "$.revision")
    assert violation.detail.endswith("(line 2, column 33: IssueDate)")


@pytest.mark.parametrize(
    ("simulation", "rehearsal", "accepted"),
    [
        ("yes", True, True),
        ("no", False, True),
        ("yes", False, False),
        ("no", True, False),
        (None, True, True),
    ],
)
def test_a_simulation_is_for_rehearsals(simulation: str | None, rehearsal: bool, accepted: bool) -> None:
    """A document that says nothing is for either."""
    registry = variant(rehearsal=rehearsal)
    qualifier = f"<Simulation>{simulation}</Simulation>" if simulation else ""
    document = eml(unit_votes("a-1-1", P7), qualifier=qualifier)
    if accepted:
        only(document, registry)
    else:
        found = refused(document, registry)
        assert (found.code, found.violations[0].code) == ("rehearsal_mismatch", "rehearsal_mismatch")
        assert "line 2, column " in found.violations[0].detail


@pytest.mark.parametrize("figures", ["votes", "rejected"])
def test_figures_of_a_unit_are_bounded(figures: str) -> None:
    """A unit with more than a report can have is refused, in no more memory; the others are not affected."""
    parts = (
        (selection(f"P{n}", 1) for n in range(FIGURES_MAX + 5))
        if figures == "votes"
        else (f'<RejectedVotes VoteType="c{n}">1</RejectedVotes>' for n in range(FIGURES_MAX + 5))
    )
    large, other = read_eml(eml(unit_votes("a-1", *parts), unit_votes("a-2", P7)), REGISTRY)
    assert [(each.code, each.path) for each in large.problems] == [("report_too_large", "$")]
    assert f"a unit has more than {FIGURES_MAX} figures (line " in large.problems[0].detail
    assert len(large.places) == FIGURES_MAX
    refused = judged(large)
    assert isinstance(refused, Refusal)
    assert refused.code == "invalid_report"
    assert isinstance(judged(other), ValidReport)


def test_reports_occupy_little_more_than_their_bytes() -> None:
    """Also very short ones, of which a document may have thousands."""
    document = eml(*(unit_votes(f"a-{n}") for n in range(500)))
    tracemalloc.start()
    try:
        reports = read_eml(document, REGISTRY)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size / len(reports) < 1500


@pytest.mark.parametrize("end", ["whole", "malformed", "abandoned"])
def test_what_was_read_is_freed_at_once(end: str) -> None:
    """Without the garbage collector, which in a server seldom looks for cycles: a document may take 80 MiB."""
    body = eml(*(unit_votes(f"a-{n}", P7) for n in range(100)))
    steps = reading_eml(body if end != "malformed" else body[:-9], REGISTRY)
    gc.disable()
    try:
        next(steps)
        reader = weakref.ref(steps.gi_frame.f_locals["reader"])
        if end != "abandoned":
            with suppress(StopIteration, MalformedBody):
                while True:
                    next(steps)
        steps.close()
        del steps
        assert reader() is None
    finally:
        gc.enable()


def test_problems_of_many_units_are_bounded() -> None:
    """Each unit keeps its first one, so that it is refused."""
    wrong = "<Selection/>" * 100
    found = read_eml(eml(*(unit_votes(f"u{number}", wrong) for number in range(50))), REGISTRY)
    assert sum(len(each.problems) for each in found) < 1000 + 150
    assert all(each.problems for each in found)


# What is wrong with a document.


def in_unit(*parts: str) -> bytes:
    return eml(unit_votes("a-1-1", *parts))


BILLION_LAUGHS = (
    "<!DOCTYPE lolz ["
    + "".join(f'<!ENTITY lol{number} "{f"&lol{number - 1};" * 10}">' for number in range(1, 10))
    + "]><lolz>&lol9;</lolz>"
)
MALFORMED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "line 1, column 1: the document: no element found"),
    "JSON": (b'{"unit":"a-1"}', "line 1, column 1: the document: not well-formed (invalid token)"),
    "entity bomb": (BILLION_LAUGHS.encode(), "a document type declaration (DTD) is not allowed"),
    "external entity": (
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        "the document: a document type declaration (DTD) is not allowed",
    ),
    "undefined entity": (in_unit("&x;"), "line 4, column 1: ReportingUnitVotes: undefined entity"),
    "XInclude": (
        in_unit('<x:include xmlns:x="http://www.w3.org/2001/XInclude" href="file:///etc/passwd"/>'),
        "line 4, column 1: ReportingUnitVotes: XInclude is not allowed",
    ),
    "another root": (b"<EML/>", f"the root element must be EML of the namespace {NAMESPACE}"),
    "another document": (
        eml(identifier="520"),
        "line 1, column 1: EML: the document is EML 520, not EML 510 (Count)",
    ),
    "no time": (
        eml(issued=None),
        "Count: IssueDate is missing before it; it says when the units have counted",
    ),
    "no offset": (
        eml(issued="2025-09-08T22:36:55"),
        "IssueDate: the time needs an offset from UTC, such as +02:00",
    ),
    "a date": (eml(issued="2025-09-08"), "IssueDate: expected a date and time with an offset from UTC"),
    "two times": (
        eml().replace(b"<Count>", b"<IssueDate>2025-09-08T22:36:55+02:00</IssueDate><Count>"),
        "IssueDate: IssueDate is repeated",
    ),
    "no units": (eml(), "the document has no ReportingUnitVotes: only votes of units are reports"),
    "no identifier": (
        eml("<ReportingUnitVotes/>"),
        "line 3, column 1: ReportingUnitVotes: ReportingUnitIdentifier is missing, or has no Id",
    ),
    "an unknown element": (
        in_unit("<RejectedVote>1</RejectedVote>"),
        "RejectedVote: not expected in ReportingUnitVotes",
    ),
    "an element elsewhere": (eml("<Selection/>"), "Selection: not expected in Contest"),
    "a late qualifier": (
        eml(unit_votes("a-1-1", P7), "<CountQualifier/>"),
        "CountQualifier: one CountQualifier is expected, before the votes of its contest",
    ),
    "neither yes nor no": (
        eml(unit_votes("a-1-1", P7), qualifier="<Final>true</Final>"),
        ": Final: expected yes or no",
    ),
    "an extrapolation": (
        eml(unit_votes("a-1-1", P7), qualifier="<Extrapolation>yes</Extrapolation>"),
        "Extrapolation: the figures are no counts of this election",
    ),
    "the previous election": (
        eml(unit_votes("a-1-1", P7), qualifier="<Previous>yes</Previous>"),
        "Previous: the figures are no counts of this election",
    ),
    "a referendum": (
        in_unit("<Selection><ReferendumOptionIdentifier/></Selection>"),
        "ReferendumOptionIdentifier: votes of a referendum are not votes of parties",
    ),
    "an end missing": (in_unit(P7)[:-7], "EML: no element found"),
    "a second root": (in_unit(P7) + b"<a/>", "junk after document element"),
    "another encoding": (
        b'<?xml version="1.0" encoding="utf-7"?><a/>',
        "the encoding must be one of utf-8, ",
    ),
    "bytes that are no text": (in_unit(P7).replace(b"Name", b"\xff"), "not well-formed (invalid token)"),
    "deep nesting": (in_unit("<Cast>" * 100), f"more than {DEPTH_MAX} levels of elements"),
    "deep nesting elsewhere": (
        in_unit('<x xmlns="x">' + "<a>" * 100),
        f"more than {DEPTH_MAX} levels of elements",
    ),
    "many names": (
        in_unit('<x xmlns="x">' + "".join(f"<a{number}/>" for number in range(NAMES_MAX))),
        f"more than {NAMES_MAX} different names of elements and attributes",
    ),
    "many attributes": (
        in_unit("<Cast " + " ".join(f'a{number}=""' for number in range(ATTRIBUTES_MAX + 1)) + "/>"),
        f"more than {ATTRIBUTES_MAX} attributes of an element",
    ),
    "a long attribute": (in_unit(f'<Cast x="{"y" * 3 * TAG_MAX}"/>'), f"has more than {TAG_MAX} bytes"),
    "a long comment": (in_unit(f"<!--{'y' * 3 * TAG_MAX}-->"), f"has more than {TAG_MAX} bytes"),
    "a long namespace": (
        in_unit(f'<x xmlns="{"y" * (NAMESPACE_MAX + 1)}"/>'),
        f"the name of a namespace has more than {NAMESPACE_MAX} characters",
    ),
    "a long text": (
        in_unit(f"<TotalCounted>{'1' * (TEXT_MAX + 1)}</TotalCounted>"),
        f"line 4, column 1: TotalCounted: a text of more than {TEXT_MAX} characters",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_document_is_refused_with_the_place(case: str) -> None:
    """Line, column and element, as far as there is one."""
    document, expected = MALFORMED[case]
    with pytest.raises(MalformedDocument) as error:
        read_eml(document, REGISTRY)
    assert expected in str(error.value)
    assert str(error.value).startswith("line ") or case == "no units"


def test_the_number_of_elements_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of those that are left out."""
    monkeypatch.setattr(eml_reading, "ELEMENTS_MAX", 1_000)
    with pytest.raises(MalformedDocument, match=r"^line 4, column \d+: \w+: more than 1000 elements$"):
        read_eml(in_unit('<x xmlns="x">' + "<a/>" * 1_000), REGISTRY)


LONG = 3 * TAG_MAX


@pytest.mark.parametrize("part", ["x" * LONG, "&lt;" * LONG, f"<![CDATA[{'<' * LONG}]]>", "\n" * LONG])
def test_long_texts_that_are_not_used_are_left_out(part: str) -> None:
    """Between elements, and in those that are not read."""
    assert only(in_unit(part, P7, f"<Cast>{part}</Cast>"))["counts"]["advance"]["ballots"] == 7


@settings(deadline=None, max_examples=examples(200))
@given(st.data())
def test_a_damaged_document_is_read_or_refused(data: st.DataObject) -> None:
    """Whatever is changed in it."""
    document = bytearray(
        area_page(EML, a_state(a_report("a-1-1", counts={"advance": some_counts(P=7)})), "a-1")
    )
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(document) - 1))
        end = data.draw(st.integers(start, min(len(document), start + 40)))
        document[start:end] = data.draw(
            st.binary(max_size=20) | st.sampled_from([b"<Selection>", b"<a>", b"</Contest>"])
        )
    with suppress(MalformedDocument):
        for each in read_eml(bytes(document), REGISTRY):
            judged(each)
