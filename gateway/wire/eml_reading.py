"""EML 510 as reports: each unit with votes in a document is one report.

The document is parsed as a stream, with bounds on everything that it can have many of. Anything in other namespaces
than EML's, the sums of a contest and the votes of candidates are left out. A document that is not EML 510 as expected
is refused as a whole; what is wrong in the counts of a unit is only found in its report. Either is reported with line,
column and element.

Source: OASIS, Election Markup Language (EML) version 5.0, schema 510; XML 1.0.
"""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import NamedTuple, NoReturn, Self
from xml.parsers import expat

from gateway.election.registry import Registry
from gateway.election.rfc3339 import NoOffset, read_time
from gateway.errors import MalformedDocument
from gateway.wire.eml import NAMESPACE
from gateway.wire.eml_units import EmlReport, Place, Unit
from gateway.wire.xml_text import from_nmtoken

CHUNK = 2 << 10
"""Bytes to feed at once: a few milliseconds at worst."""
DOCUMENT_MAX = 8 << 20
"""Bytes of a document."""
DEPTH_MAX = 32
"""Levels of elements."""
ELEMENTS_MAX = 350_000
"""Elements of a document: 8 MiB of counts have fewer, even of candidates and without white space."""
NAMES_MAX = 1_000
"""Different names of elements and attributes; the parser keeps each of them."""
ATTRIBUTES_MAX = 32
"""Attributes of an element."""
TAG_MAX = 16 << 10
"""Bytes of a tag, a comment or a processing instruction, which are parsed from their beginning with each chunk."""
TEXT_MAX = 1 << 10
"""Characters of a text that is used."""
NAMESPACE_MAX = 256
"""Characters of the name of a namespace, which the name of each element in it repeats."""
PROBLEMS_MAX = 1_000
"""Problems that are kept of a document, beside the first one of each unit."""
BEFORE_PUBLICATION = timedelta(days=60)
"""Revisions count the seconds from this long before `publish_from`."""

_XINCLUDE = "http://www.w3.org/2001/XInclude"
_ENCODINGS = ("utf-8", "utf-16", "iso-8859-1", "us-ascii", "windows-1252")
_PREFIX = NAMESPACE + " "
_COUNT = re.compile(r"\+?([0-9]{1,18})")
_METRIC = re.compile(r"\+?([0-9]{1,18})(?:\.0*)?")

_CHILDREN: Mapping[str, frozenset[str]] = {
    parent: frozenset(children.split())
    for parent, children in {
        "": "EML",
        "EML": "TransactionId SequenceNumber NumberInSequence SequencedElementName AdditionalValidation MessageLanguage"
        " RequestedResponseLanguage ManagingAuthority IssueDate Display Seal Count",
        "Count": "EventIdentifier Election AuditInformation",
        "Election": "ElectionIdentifier Contests",
        "Contests": "Contest",
        "Contest": "ContestIdentifier CountQualifier CountingAlgorithm NumberOfPositions TotalVotes ReportingUnitVotes",
        "CountQualifier": "Simulation Final Extrapolation Partial Previous",
        "ReportingUnitVotes": "ReportingUnitIdentifier CountMetric Selection Cast Read TotalCounted Provisionals"
        " Abstentions RejectedVotes UncountedVotes",
        "Selection": "Candidate AffiliationIdentifier ReferendumOptionIdentifier ValidVotes CountMetric",
    }.items()
}
"""The elements of EML that are read into, and their children. The contents of all others are left out."""
_TEXTS = {
    "EML": frozenset(["IssueDate"]),
    "CountQualifier": _CHILDREN["CountQualifier"],
    "ReportingUnitVotes": frozenset(["CountMetric", "TotalCounted", "RejectedVotes"]),
    "Selection": frozenset(["ValidVotes"]),
}
"""Elements whose texts are read, by parent."""


class Issue(NamedTuple):
    """What the document says about the time of its counts."""

    counted_at: str
    revision: int
    place: Place


class EmlReader:
    """Reads one document. Invariants:

    * `reports` are those of the units that have ended, in the order of the document.
    * After an error, it must not be used again.

    It and its parser refer to each other: `with` ends that, so that all of it is freed at once, and not only when the
    garbage collector looks for cycles.
    """

    def __init__(self, registry: Registry) -> None:
        self.reports: list[EmlReport] = []
        self._registry = registry
        self._names: dict[str, str] = {}
        parser = expat.ParserCreate(namespace_separator=" ", intern=self._names)
        parser.buffer_text = True
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartNamespaceDeclHandler = self._namespace
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        self._parser = parser
        self._fed = 0
        self._depth = 0
        self._skipped = 0
        """The depth at which an element began whose contents are left out; 0 outside of one."""
        self._elements = 0
        self._path = [""]
        """The elements that are open and read into."""
        self._text: list[str] | None = None
        self._text_size = 0
        self._attributes: Mapping[str, str] = {}
        self._place = Place(1, 1, "")
        self._issue: Issue | None = None
        self._has_count = self._has_unit = False
        self._qualifier: dict[str, tuple[bool, Place]] = {}
        self._has_votes = False
        self._unit: Unit | None = None
        self._problems_left = PROBLEMS_MAX

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        parser = self._parser
        parser.XmlDeclHandler = parser.StartDoctypeDeclHandler = parser.StartNamespaceDeclHandler = None
        parser.StartElementHandler = parser.EndElementHandler = parser.CharacterDataHandler = None

    def feed(self, chunk: bytes) -> None:
        """Read the next bytes, CHUNK at most. Raises MalformedDocument."""
        self._fed += len(chunk)
        if self._fed > DOCUMENT_MAX:
            self._fail(f"the document has more than {DOCUMENT_MAX} bytes")
        self._parse(chunk, False)
        if self._fed - max(self._parser.CurrentByteIndex, 0) > TAG_MAX + CHUNK:
            self._fail(f"a tag, a comment or a processing instruction has more than {TAG_MAX} bytes")

    def close(self) -> None:
        """End the document. Raises MalformedDocument."""
        self._parse(b"", True)
        if not self._has_unit:
            raise MalformedDocument("the document has no ReportingUnitVotes: only votes of units are reports")

    def _parse(self, chunk: bytes, last: bool) -> None:
        try:
            self._parser.Parse(chunk, last)
        except expat.ExpatError as error:
            place = Place(error.lineno, error.offset + 1, self._path[-1] or "the document")
            raise MalformedDocument(f"{place}: {expat.ErrorString(error.code)}") from None

    def _here(self, element: str = "") -> Place:
        parser = self._parser
        return Place(
            parser.CurrentLineNumber,
            parser.CurrentColumnNumber + 1,
            element or self._path[-1] or "the document",
        )

    def _fail(self, detail: str, place: Place | None = None) -> NoReturn:
        raise MalformedDocument(f"{place or self._here()}: {detail}")

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() not in _ENCODINGS:
            self._fail(f"the encoding must be one of {', '.join(_ENCODINGS)}")

    def _doctype(self, *_: object) -> None:
        self._fail("a document type declaration (DTD) is not allowed")

    def _namespace(self, _prefix: str | None, uri: str | None) -> None:
        if uri is not None and len(uri) > NAMESPACE_MAX:
            self._fail(f"the name of a namespace has more than {NAMESPACE_MAX} characters")

    def _check_bounds(self, name: str, attributes: Mapping[str, str]) -> None:
        if self._depth > DEPTH_MAX:
            self._fail(f"more than {DEPTH_MAX} levels of elements")
        if self._elements > ELEMENTS_MAX:
            self._fail(f"more than {ELEMENTS_MAX} elements")
        if len(self._names) > NAMES_MAX:
            self._fail(f"more than {NAMES_MAX} different names of elements and attributes")
        if len(attributes) > ATTRIBUTES_MAX:
            self._fail(f"more than {ATTRIBUTES_MAX} attributes of an element")
        if name.startswith(_XINCLUDE):
            self._fail("XInclude is not allowed")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._elements += 1
        self._check_bounds(name, attributes)
        if self._skipped:
            return
        parent = self._path[-1]
        if self._text is not None:
            self._fail("an element within a text")
        if not name.startswith(_PREFIX):
            if not parent:
                self._fail(f"the root element must be EML of the namespace {NAMESPACE}")
            self._skipped = self._depth
            return
        local = name[len(_PREFIX) :]
        if local not in _CHILDREN[parent]:
            element = local[:64]
            self._fail(
                f"not expected {f'in {parent}' if parent else 'as the root element'}", self._here(element)
            )
        if local in _CHILDREN:
            self._path.append(local)
            if (begin := _BEGIN.get(local)) is not None:
                begin(self, attributes)
        elif local in _TEXTS.get(parent, ()):
            self._place = self._here(local)
            self._attributes = attributes
            self._text, self._text_size = [], 0
            self._path.append(local)
        else:
            if self._unit is not None:
                self._in_unit(self._unit, parent, local, attributes)
            self._skipped = self._depth

    def _characters(self, text: str) -> None:
        if self._text is not None and not self._skipped:
            self._text_size += len(text)
            if self._text_size > TEXT_MAX:
                self._fail(f"a text of more than {TEXT_MAX} characters", self._place)
            self._text.append(text)

    def _end(self, _name: str) -> None:
        self._depth -= 1
        if self._skipped:
            if self._depth < self._skipped:
                self._skipped = 0
            return
        local = self._path.pop()
        if self._text is not None:
            text = "".join(self._text).strip()
            self._text = None
            self._read_text(local, text)
        elif (end := _END.get(local)) is not None:
            end(self)

    def _begin_document(self, attributes: dict[str, str]) -> None:
        identifier = attributes.get("Id", "")
        if not identifier.startswith("510"):
            self._fail(f"the document is EML {identifier[:16] or 'without an Id'}, not EML 510 (Count)")

    def _begin_count(self, _: dict[str, str]) -> None:
        if self._issue is None:
            self._fail("IssueDate is missing before it; it says when the units have counted")
        if self._has_count:
            self._fail("the element is repeated")
        self._has_count = True

    def _begin_contest(self, _: dict[str, str]) -> None:
        self._qualifier = {}
        self._has_votes = False

    def _begin_qualifier(self, _: dict[str, str]) -> None:
        if self._qualifier or self._has_votes:
            self._fail("one CountQualifier is expected, before the votes of its contest")

    def _begin_unit(self, _: dict[str, str]) -> None:
        assert self._issue is not None
        self._has_votes = self._has_unit = True
        self._unit = Unit(self._registry, self._here(), self._problems_left)

    def _begin_selection(self, attributes: dict[str, str]) -> None:
        assert self._unit is not None
        self._unit.begin_selection(self._here(), attributes.get("Category"))

    def _in_unit(self, unit: Unit, parent: str, local: str, attributes: Mapping[str, str]) -> None:
        """Read an element of a unit that has no text to be read."""
        if local == "ReportingUnitIdentifier":
            unit.identify(from_nmtoken(attributes.get("Id", "").strip()), self._here(local))
        elif local == "AffiliationIdentifier":
            unit.affiliation(from_nmtoken(attributes.get("Id", "").strip()), self._here(local))
        elif local == "Candidate":
            unit.is_of_candidate()
        elif parent == "Selection" and local == "ReferendumOptionIdentifier":
            self._fail("votes of a referendum are not votes of parties", self._here(local))

    def _read_text(self, local: str, text: str) -> None:
        parent = self._path[-1]
        if parent == "EML":
            self._read_issue_date(text)
        elif parent == "CountQualifier":
            self._read_qualifier(local, text)
        else:
            assert self._unit is not None
            pattern = _METRIC if local == "CountMetric" else _COUNT
            found = pattern.fullmatch(text)
            self._unit.count(local, text if found is None else int(found[1]), self._attributes, self._place)

    def _read_issue_date(self, text: str) -> None:
        if self._issue is not None:
            self._fail("IssueDate is repeated", self._place)
        try:
            time = read_time(text)
        except NoOffset:
            self._fail("the time needs an offset from UTC, such as +02:00", self._place)
        except ValueError:
            expected = "a date and time with an offset from UTC, such as 2025-09-08T22:36:55+02:00"
            self._fail(f"expected {expected}", self._place)
        since = time - (self._registry.publish_from - BEFORE_PUBLICATION)
        self._issue = Issue(text, since // timedelta(seconds=1), self._place)

    def _read_qualifier(self, local: str, text: str) -> None:
        if text not in ("yes", "no"):
            self._fail("expected yes or no", self._place)
        if local in self._qualifier:
            self._fail("the element is repeated", self._place)
        if text == "yes" and local in ("Extrapolation", "Previous"):
            self._fail("the figures are no counts of this election", self._place)
        self._qualifier[local] = (text == "yes", self._place)

    def _status(self) -> str:
        for element, status in (("Partial", "counting"), ("Final", "final")):
            if self._qualifier.get(element, (False,))[0]:
                return status
        return "preliminary"

    def _end_selection(self) -> None:
        assert self._unit is not None
        self._unit.end_selection()

    def _end_unit(self) -> None:
        unit, issue = self._unit, self._issue
        assert unit is not None
        assert issue is not None
        self._unit = None
        simulation = self._qualifier.get("Simulation")
        mismatch = None
        if simulation is not None and simulation[0] != self._registry.rehearsal:
            mismatch = simulation[1]
        if not unit.identified:
            self._fail("ReportingUnitIdentifier is missing, or has no Id", unit.place)
        report = unit.report(issue.counted_at, issue.revision, issue.place, self._status(), mismatch)
        if report is not None:
            self.reports.append(report)
            self._problems_left -= len(report.problems)


_BEGIN: Mapping[str, Callable[[EmlReader, dict[str, str]], None]] = {
    "EML": EmlReader._begin_document,
    "Count": EmlReader._begin_count,
    "Contest": EmlReader._begin_contest,
    "CountQualifier": EmlReader._begin_qualifier,
    "ReportingUnitVotes": EmlReader._begin_unit,
    "Selection": EmlReader._begin_selection,
}
_END: Mapping[str, Callable[[EmlReader], None]] = {
    "Selection": EmlReader._end_selection,
    "ReportingUnitVotes": EmlReader._end_unit,
}
