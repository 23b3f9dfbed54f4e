"""Files in EML 510: their reports, and their mistakes with line, column and element."""

import orjson
import pytest

from gateway.count_files.files import read_counts
from gateway.count_files.parts import REPORTS_MAX, BadCountFile
from gateway.count_files.reports import Mistakes, read_files
from gateway.election.report import canonical
from gateway.wire.eml_reading import DOCUMENT_MAX
from tests.election.makers import REGISTRY
from tests.wire.eml_documents import eml, selection, unit_votes
from tests.wire.reading import read_eml

P7 = selection("P", 7)


def mistakes(content: bytes) -> tuple[str, ...]:
    with pytest.raises((BadCountFile, Mistakes)) as error:
        read_files({"a.xml": content}, REGISTRY)
    return error.value.mistakes


def test_a_document_has_the_reports_that_the_push_door_reads() -> None:
    """With their revisions, so that the digest is the same whichever way it is sent."""
    document = eml(unit_votes("a-1-1", P7), unit_votes("a-2", P7))
    read = read_files({"night.XML": document}, REGISTRY)
    sent = [canonical(each.document) for each in read.versions]
    assert sent == [canonical(orjson.loads(each.body)) for each in read_eml(document, REGISTRY)]


def test_a_unit_without_counts_is_left_out() -> None:
    """As `units_counted` says; a file without any other unit contains no report."""
    nothing = unit_votes("a-1-1", '<CountMetric Type="units_counted">0</CountMetric>', selection("P", 0))
    assert mistakes(eml(nothing)) == ("a.xml: contains no report",)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"<a", "a.xml, line 1: column 1: the document: unclosed token"),
        (
            b"<!DOCTYPE a><a/>",
            "a.xml, line 1: column 12: the document: a document type declaration (DTD) is not allowed",
        ),
        (eml(), "a.xml: the document has no ReportingUnitVotes: only votes of units are reports"),
        (
            eml(unit_votes("a-1-1", P7, "<TotalCounted>8</TotalCounted>")),
            (
                "a.xml, line 3: unit a-1-1 En: $.counts: TotalCounted is 8, but the votes of the parties add up to 7"
                " (line 5, column 1: TotalCounted)"
            ),
        ),
        (
            eml(unit_votes("a-1-1", selection("Q", 1))),
            "a.xml, line 4: unit a-1-1 En: $.counts.advance.votes.Q: not on the ballot of a-1-1",
        ),
    ],
)
def test_mistakes_have_their_place(content: bytes, expected: str) -> None:
    """Line, column and element of what is wrong in the document; the line of a figure that the election excludes."""
    assert expected in mistakes(content)


def test_a_document_of_a_rehearsal_is_for_a_rehearsal() -> None:
    """Otherwise nothing is sent."""
    [mistake] = mistakes(eml(unit_votes("a-1-1", P7), qualifier="<Simulation>yes</Simulation>"))
    assert "the election is no rehearsal (line 2, column " in mistake


def test_without_a_registry_nothing_can_be_read() -> None:
    """Its publication time and its categories say what the document means."""
    with pytest.raises(BadCountFile, match="cannot be read with --unchecked"):
        read_counts("a.xml", eml(unit_votes("a-1-1", P7)))


def test_a_document_is_bounded() -> None:
    """In bytes, and in reports."""
    [mistake] = mistakes(eml(unit_votes("a-1-1", P7)) + b"\n" * DOCUMENT_MAX)
    assert mistake.endswith(f"the document has more than {DOCUMENT_MAX} bytes")
    unit = "<ReportingUnitVotes><ReportingUnitIdentifier Id='a-2'/></ReportingUnitVotes>"
    assert f"a.xml: more than {REPORTS_MAX} reports" in mistakes(eml(*[unit] * (REPORTS_MAX + 1)))[-1]
