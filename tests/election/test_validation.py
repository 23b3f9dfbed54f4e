"""What is refused, with which code and path, and what is not; and that the two implementations of the rules agree."""

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.election.registry_reading import read_registry
from gateway.election.report import PARTIES_MAX, same_counts
from gateway.election.rfc3339 import read_time
from gateway.election.validation import (
    REPORT_MAX,
    REPORT_SKIMMED_MAX,
    ExplanationBudget,
    Invalid,
    Scope,
    Validator,
    ValidReport,
    check_shape,
    read_json,
)
from gateway.election.violations import (
    VIOLATIONS_COUNTED_MAX,
    VIOLATIONS_MAX,
    VIOLATIONS_TEXT_MAX,
    Violation,
    find_violations,
    read_exactly,
)
from gateway.errors import MalformedDocument
from gateway.rehearsal.dataset import DataSet
from tests.counts import examples
from tests.election.json_text import Members, Token, compactly, tree_of, writers
from tests.election.makers import (
    BALLOTS,
    BEYOND_BMP,
    CATEGORIES,
    COUNT_MAX,
    DOCUMENT,
    REASONS,
    REGISTRY,
    STATUSES,
    UNITS,
    a_report,
    compact,
    digest,
    reports,
    some_counts,
)

VALIDATOR = Validator(REGISTRY)
MANY = read_registry(
    {
        **DOCUMENT,
        "parties": [*DOCUMENT["parties"], *({"code": f"+{n}", "name": "-"} for n in range(PARTIES_MAX))],
    }
)
"""The same registry with so many parties more that its reports are decoded in another way."""
EVERYWHERE = Scope(REGISTRY, frozenset({"no"}))
TEXT = (
    '{"unit":"a-1-1","revision":3,"counted_at":"2025-09-08T22:36:55+02:00","status":"final",'
    '"counts":{"advance":{"ballots":10,"blank":1,"rejected":2,"voters":9,"votes":{"P":6,"X":3}}},'
    '"reason":"recount"}'
).replace("X", BEYOND_BMP)
"""A report with every member there is."""
VOTES = f'{{"P":6,"{BEYOND_BMP}":3}}'
ADVANCE = "$.counts.advance"


def check(raw: bytes | str, scope: Scope = EVERYWHERE) -> ValidReport | Invalid:
    return VALIDATOR.check(raw if isinstance(raw, bytes) else raw.encode(), scope)


def violations_of(raw: bytes | str) -> list[tuple[str, str]]:
    """The codes and paths of the violations of a report."""
    invalid = check(raw)
    assert isinstance(invalid, Invalid)
    assert invalid.code == "invalid_report"
    assert all(violation.detail for violation in invalid.violations)
    return [(violation.code, violation.path) for violation in invalid.violations]


def test_the_report_that_is_modified_below_is_valid() -> None:
    """Each row of the table breaks this report in one place."""
    valid = check(TEXT)
    assert isinstance(valid, ValidReport)
    assert valid.body == compact(json.loads(TEXT))
    assert valid.digest == digest(json.loads(TEXT))


# Refused -------------------------------------------------------------------------------------------------

REFUSED: list[tuple[str, str, list[tuple[str, str]]]] = [
    # Members that are not there, or should not be.
    ('"unit":"a-1-1",', "", [("missing_member", "$.unit")]),
    ('"revision":3,', "", [("missing_member", "$.revision")]),
    ('"counted_at":"2025-09-08T22:36:55+02:00",', "", [("missing_member", "$.counted_at")]),
    ('"status":"final",', "", [("missing_member", "$.status")]),
    ('"ballots":10,', "", [("missing_member", f"{ADVANCE}.ballots")]),
    ('"blank":1,', "", [("missing_member", f"{ADVANCE}.blank")]),
    ('"rejected":2,', "", [("missing_member", f"{ADVANCE}.rejected")]),
    (f',"votes":{VOTES}', "", [("missing_member", f"{ADVANCE}.votes")]),
    ('"reason":', '"note":"x","reason":', [("unknown_member", "$.note")]),
    ('"reason":', '"Reason":', [("unknown_member", "$.Reason")]),
    ('"reason":', '"a b":1,"reason":', [("unknown_member", '$["a b"]')]),
    ('"reason":', '"\\u0000":1,"reason":', [("unknown_member", '$["\\u0000"]')]),
    ('"reason":', '"":1,"reason":', [("unknown_member", '$[""]')]),
    ('"blank":1,', '"blank":1,"spoilt":1,', [("unknown_member", f"{ADVANCE}.spoilt")]),
    # Names that the registry does not have.
    ('"a-1-1"', '"a-1-9"', [("unknown_unit", "$.unit")]),
    ('"a-1-1"', '"A-1-1"', [("unknown_unit", "$.unit")]),
    ('"a-1-1"', '"a-1-1 "', [("unknown_unit", "$.unit")]),
    ('"a-1-1"', '"a-1"', [("unknown_unit", "$.unit")]),
    ('"a-1-1"', '""', [("unknown_unit", "$.unit")]),
    ('"a-1-1"', '"a-1-1\\u0000"', [("forbidden_character", "$.unit")]),
    ('"a-1-1"', "1", [("wrong_type", "$.unit")]),
    ('"a-1-1"', "1.5", [("wrong_type", "$.unit")]),
    ('"a-1-1"', "99999999999999999999", [("wrong_type", "$.unit")]),
    ('"a-1-1"', '["a-1-1"]', [("wrong_type", "$.unit")]),
    ('"a-1-1"', "null", [("null_value", "$.unit")]),
    ('"advance":', '"postal":', [("unknown_category", "$.counts.postal")]),
    ('"advance":', '"Advance":', [("unknown_category", "$.counts.Advance")]),
    ('"advance":', '"":', [("unknown_category", '$.counts[""]')]),
    ('"P":6', '"N":6', [("unknown_party", f"{ADVANCE}.votes.N")]),
    ('"P":6', '"p":6', [("unknown_party", f"{ADVANCE}.votes.p")]),
    ('"P":6', '"P ":6', [("unknown_party", f'{ADVANCE}.votes["P "]')]),
    ('"P":6', '"Q":6', [("party_not_on_ballot", f"{ADVANCE}.votes.Q")]),
    ('"P":6', '"RØDT":6', [("party_not_on_ballot", f"{ADVANCE}.votes.RØDT")]),
    ('"final"', '"Final"', [("unknown_status", "$.status")]),
    ('"final"', '"no_report"', [("unknown_status", "$.status")]),
    ('"final"', "1", [("unknown_status", "$.status")]),
    ('"final"', "1.0", [("unknown_status", "$.status")]),
    ('"final"', "{}", [("unknown_status", "$.status")]),
    ('"final"', "null", [("null_value", "$.status")]),
    ('"recount"', '"because"', [("unknown_reason", "$.reason")]),
    ('"recount"', '""', [("unknown_reason", "$.reason")]),
    ('"recount"', "null", [("null_value", "$.reason")]),
    ('"recount"', '"recount\\u0000"', [("forbidden_character", "$.reason")]),
    # Revisions.
    ('"revision":3', '"revision":0', [("revision_out_of_range", "$.revision")]),
    ('"revision":3', '"revision":-1', [("revision_out_of_range", "$.revision")]),
    ('"revision":3', '"revision":2147483648', [("revision_out_of_range", "$.revision")]),
    ('"revision":3', '"revision":99999999999999999999', [("revision_out_of_range", "$.revision")]),
    ('"revision":3', '"revision":3.0', [("wrong_type", "$.revision")]),
    ('"revision":3', '"revision":1e2', [("wrong_type", "$.revision")]),
    ('"revision":3', '"revision":"3"', [("wrong_type", "$.revision")]),
    ('"revision":3', '"revision":true', [("wrong_type", "$.revision")]),
    ('"revision":3', '"revision":-0', [("wrong_type", "$.revision")]),
    ('"revision":3', '"revision":null', [("null_value", "$.revision")]),
    # Times.
    ("+02:00", "", [("time_without_offset", "$.counted_at")]),
    (":55+02:00", ":55.25", [("time_without_offset", "$.counted_at")]),
    ("+02:00", "+0200", [("not_a_time", "$.counted_at")]),
    ("T22:36", " 22:36", [("not_a_time", "$.counted_at")]),
    ("09-08", "09-31", [("not_a_time", "$.counted_at")]),
    ("2025-09-08T22:36:55+02:00", "yesterday", [("not_a_time", "$.counted_at")]),
    ("2025-09-08T22:36:55+02:00", "", [("not_a_time", "$.counted_at")]),
    ("2025-09-08T22:36:55+02:00", "without any offset T", [("not_a_time", "$.counted_at")]),
    (":55+02:00", f":55.{'1' * 999}Z", [("not_a_time", "$.counted_at")]),
    (":55+02:00", ":55Z\\u0000", [("forbidden_character", "$.counted_at")]),
    ('"2025-09-08T22:36:55+02:00"', "1757363815", [("wrong_type", "$.counted_at")]),
    ('"2025-09-08T22:36:55+02:00"', "1757363815.5", [("wrong_type", "$.counted_at")]),
    ('"2025-09-08T22:36:55+02:00"', "null", [("null_value", "$.counted_at")]),
    # Counts; where one of them is none, the sum is not judged.
    *(
        (f'"{name}":{figure}', f'"{name}":{written}', [(code, f"{ADVANCE}.{path}")])
        for name, figure, path in (
            ("ballots", 10, "ballots"),
            ("blank", 1, "blank"),
            ("rejected", 2, "rejected"),
            ("voters", 9, "voters"),
            ("P", 6, "votes.P"),
        )
        for written, code in (
            ("-1", "count_out_of_range"),
            ("2147483648", "count_out_of_range"),
            ("-9223372036854775809", "count_out_of_range"),
            ("18446744073709551616", "count_out_of_range"),
            ("9" * 300, "count_out_of_range"),
            ("1.0", "not_a_count"),
            ("1.5", "not_a_count"),
            ("1e2", "not_a_count"),
            ("1E0", "not_a_count"),
            ("-0", "not_a_count"),
            ("-0.0", "not_a_count"),
            ("0e0", "not_a_count"),
            ('"1"', "not_a_count"),
            ('""', "not_a_count"),
            ("true", "not_a_count"),
            ("false", "not_a_count"),
            ("[]", "not_a_count"),
            ("{}", "not_a_count"),
            ("null", "null_value"),
        )
    ),
    # Sums.
    ('"ballots":10', '"ballots":11', [("sum_mismatch", f"{ADVANCE}.ballots")]),
    ('"ballots":10', '"ballots":0', [("sum_mismatch", f"{ADVANCE}.ballots")]),
    ('"blank":1', '"blank":0', [("sum_mismatch", f"{ADVANCE}.ballots")]),
    ('"P":6', '"P":7', [("sum_mismatch", f"{ADVANCE}.ballots")]),
    ('"P":6,', "", [("sum_mismatch", f"{ADVANCE}.ballots")]),
    ('"P":6', '"P":2147483647', [("sum_mismatch", f"{ADVANCE}.ballots")]),
    # Parts that are something else.
    (VOTES, "[]", [("wrong_type", f"{ADVANCE}.votes")]),
    (VOTES, "9", [("wrong_type", f"{ADVANCE}.votes")]),
    (VOTES, "null", [("null_value", f"{ADVANCE}.votes")]),
    # Members given twice, at each depth; the last one is the one that is judged further.
    ('"unit":', '"unit":"a-1-2","unit":', [("repeated_member", "$.unit")]),
    ('"unit":', '"un\\u0069t":"a-1-1","unit":', [("repeated_member", "$.unit")]),
    ('"revision":3', '"revision":3,"revision":3', [("repeated_member", "$.revision")]),
    ('"counts":', '"counts":{},"counts":', [("repeated_member", "$.counts")]),
    ('"reason":', '"reason":1,"reason":1,"reason":', [("repeated_member", "$.reason")]),
    ('"advance":', '"advance":{},"advance":', [("repeated_member", "$.counts.advance")]),
    ('"ballots":10', '"ballots":1e2,"ballots":10', [("repeated_member", f"{ADVANCE}.ballots")]),
    ('"voters":9', '"voters":9,"voters":9', [("repeated_member", f"{ADVANCE}.voters")]),
    ('"votes":', '"votes":{},"votes":', [("repeated_member", f"{ADVANCE}.votes")]),
    ('"P":6', '"P":6,"P":6', [("repeated_member", f"{ADVANCE}.votes.P")]),
    ('"P":6', '"P":6,"\\u0050":6', [("repeated_member", f"{ADVANCE}.votes.P")]),
    (
        '"reason":',
        '"x":1,"x":2,"reason":',
        [("unknown_member", "$.x"), ("repeated_member", "$.x")],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("sent", "instead", "violations"), [pytest.param(*row, id=f"{row[1]:.50}") for row in REFUSED]
)
def test_a_broken_rule_is_reported_with_its_path(
    sent: str, instead: str, violations: list[tuple[str, str]]
) -> None:
    """One broken rule gives one violation, with any white space around it."""
    assert TEXT.count(sent) == 1
    spoilt = TEXT.replace(sent, instead)
    assert violations_of(spoilt) == violations
    spaced = spoilt.replace('"counts":', '\n\t"counts" : ').replace("}}}", "} } }\r\n")
    assert violations_of(spaced) == violations


@pytest.mark.parametrize(
    ("raw", "violations"),
    [
        ("1", [("wrong_type", "$")]),
        ("1.0", [("wrong_type", "$")]),
        ("null", [("wrong_type", "$")]),
        ('"report"', [("wrong_type", "$")]),
        ("[]", [("wrong_type", "$")]),
        (f"[{TEXT}]", [("wrong_type", "$")]),
        ("{}", [("missing_member", f"$.{m}") for m in ("unit", "revision", "counted_at", "status", "counts")]),
        (TEXT.replace('"counts":{', '"counts":[]}').split("}")[0] + "}", [("wrong_type", "$.counts")]),
        (json.dumps(a_report(counts=None)), [("null_value", "$.counts")]),
        (json.dumps(a_report(counts=7)), [("wrong_type", "$.counts")]),
        (json.dumps(a_report(counts={"advance": None})), [("null_value", "$.counts.advance")]),
        (json.dumps(a_report(counts={"advance": [1]})), [("wrong_type", "$.counts.advance")]),
        (
            json.dumps(a_report(counts={"advance": {}})),
            [("missing_member", f"$.counts.advance.{name}") for name in ("ballots", "blank", "rejected", "votes")],
        ),
    ],
)  # fmt: skip
def test_wrong_types_are_reported(raw: str, violations: list[tuple[str, str]]) -> None:
    """A report is an object of objects; anything else is reported."""
    assert violations_of(raw) == violations


def test_all_violations_are_reported_at_once() -> None:
    """A sender can fix its report in one step."""
    spoilt = json.loads(TEXT)
    spoilt |= {"unit": "a-2", "revision": 0, "counted_at": "2025-09-08T22:36:55", "status": None, "x": 1}
    spoilt["counts"] = {
        "advance": {**some_counts(P=6, N=1), "ballots": 1},
        "postal": {**some_counts(Q=1, **{BEYOND_BMP: 2}), "blank": -1, "more": 0},
        "election_day": {"ballots": 2.5, "votes": None},
    }
    text = json.dumps(spoilt)[:-1] + ', "reason": "none", "reason": "nor this"}'
    assert sorted(violations_of(text)) == sorted(
        [
            ("unknown_member", "$.x"),
            ("repeated_member", "$.reason"),
            ("revision_out_of_range", "$.revision"),
            ("time_without_offset", "$.counted_at"),
            ("null_value", "$.status"),
            ("unknown_reason", "$.reason"),
            ("unknown_party", "$.counts.advance.votes.N"),
            ("sum_mismatch", "$.counts.advance.ballots"),
            ("unknown_category", "$.counts.postal"),
            ("party_not_on_ballot", f"$.counts.postal.votes.{BEYOND_BMP}"),
            ("count_out_of_range", "$.counts.postal.blank"),
            ("unknown_member", "$.counts.postal.more"),
            ("missing_member", "$.counts.election_day.blank"),
            ("missing_member", "$.counts.election_day.rejected"),
            ("not_a_count", "$.counts.election_day.ballots"),
            ("null_value", "$.counts.election_day.votes"),
        ]
    )


def test_a_refusal_has_unit_and_revision_only_if_they_are_valid() -> None:
    """A sender finds its report by them; a very long text or an invalid number is not returned."""
    spoilt = json.loads(TEXT) | {"status": "none"}
    named = check(json.dumps(spoilt))
    nameless = check(json.dumps(spoilt | {"unit": "x" * 65, "revision": 0}))
    untyped = check(json.dumps(spoilt | {"unit": ["a-1-1"], "revision": "3"}))
    assert isinstance(named, Invalid)
    assert (named.unit, named.revision) == ("a-1-1", 3)
    assert {(each.unit, each.revision) for each in (nameless, untyped) if isinstance(each, Invalid)} == {
        (None, None)
    }


MALFORMED: list[bytes] = [
    b"",
    b" ",
    b"{",
    b"}",
    b"nothing",
    TEXT.encode()[:-1],
    TEXT.encode() + b"}",
    TEXT.encode() + TEXT.encode(),
    TEXT.replace('"recount"}', '"recount",}').encode(),
    TEXT.replace('"', "'").encode(),
    b"// a comment\n" + TEXT.encode(),
    b"\xef\xbb\xbf" + TEXT.encode(),
    TEXT.encode("utf-16"),
    TEXT.encode("utf-16-le"),
    TEXT.encode("utf-32"),
    TEXT.encode() + b"\x00",
    TEXT.replace('"a-1-1"', '"a\x00"').encode(),
    TEXT.replace('"a-1-1"', '"a\n"').encode(),
    *(TEXT.encode().replace(b'"P"', b'"' + bad + b'"') for bad in (b"\xff", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80")),
    *(TEXT.encode().replace(b'"P"', b'"' + bad + b'"') for bad in (b"\\ud800", b"\\udc00\\ud800", b"\\x41", b"\\u12")),
    *(
        TEXT.replace('"ballots":10', f'"ballots":{number}').encode()
        for number in ("NaN", "Infinity", "-Infinity", "1e999", "+1", "01", "1.", ".5", "0x1", "1_0", "١", "-", "TRUE")
    ),
]  # fmt: skip


@pytest.mark.parametrize("raw", MALFORMED)
def test_invalid_json_is_malformed(raw: bytes) -> None:
    """JSON is UTF-8 without a byte order mark, and without the extensions of some decoders."""
    with pytest.raises(MalformedDocument):
        check(raw)


@pytest.mark.parametrize(
    "depth", [1, 100, 250, 254, 255, 256, 257, 500, 900, 1020, 1024, 1025, 5_000, 1_000_000]
)
@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"x":', "}")])
@pytest.mark.parametrize("where", ['"unit":"a-1-1"', '"P":6', '"reason":"recount"'])
def test_nesting_of_any_depth_is_answered(depth: int, opened: str, closed: str, where: str) -> None:
    """Too deep a nesting is malformed, less is a violation; neither raises another error."""
    name = where.split(":", maxsplit=1)[0]
    raw = TEXT.replace(where, f"{name}:{opened * depth}1{closed * depth}").encode()
    try:
        invalid = check(raw)
    except MalformedDocument:
        assert depth > 200
    else:
        assert isinstance(invalid, Invalid)
        assert invalid.violations
        assert depth < 300 or len(raw) > REPORT_SKIMMED_MAX


@pytest.mark.parametrize(
    "parties",
    [
        pytest.param(lambda: ",".join(f'"p{number}":0' for number in range(1_000_000)), id="unknown"),
        pytest.param(lambda: ",".join(['"P":0'] * 300_000), id="repeated"),
        pytest.param(lambda: ",".join(f'"p{number}":null' for number in range(100_000)), id="null"),
        pytest.param(lambda: f'"{"x" * 8_000_000}":0', id="one with a long name"),
        pytest.param(lambda: f'"P":"{"x" * 8_000_000}"', id="one with a long count"),
        pytest.param(lambda: f'"P":{"1" * 300},"Q":{"[" * 200}{"]" * 200}', id="ugly"),
    ],
)
def test_many_violations_get_a_short_answer_soon(parties: Callable[[], str]) -> None:
    """For a million parties or a very long name, at most a hundred violations are reported and the others counted."""
    raw = TEXT.replace(VOTES, f"{{{parties()}}}").encode()
    started = time.process_time()
    invalid = check(raw)
    assert time.process_time() - started < 10
    assert isinstance(invalid, Invalid)
    assert 0 < len(invalid.violations) <= VIOLATIONS_MAX + 1
    assert sum(len(each.path) + len(each.detail) for each in invalid.violations) < 40_000


def test_further_violations_are_counted() -> None:
    """The last violation states how many are not reported."""
    votes = ",".join(f'"p{number}":0' for number in range(1_000))
    invalid = check(TEXT.replace(VOTES, f"{{{votes}}}"))
    assert isinstance(invalid, Invalid)
    *first, last = invalid.violations
    assert len(first) == VIOLATIONS_MAX
    assert {violation.code for violation in first} == {"unknown_party"}
    assert (last.code, last.path, last.detail) == ("more_violations", "$", "and 901 more")


def test_counting_of_violations_has_a_limit() -> None:
    """Finding a violation takes as long as reporting it, so counting stops as well."""
    votes = ",".join(f'"p{number}":0' for number in range(3_000))
    invalid = check(TEXT.replace(VOTES, f"{{{votes}}}"))
    assert isinstance(invalid, Invalid)
    assert len(invalid.violations) == VIOLATIONS_MAX + 1
    assert invalid.violations[-1].detail == f"and more than {VIOLATIONS_COUNTED_MAX} more"


@pytest.mark.parametrize("character", ["x", "\x01", '"', "\U0001f5f3"])
def test_the_violations_of_one_report_are_bounded_in_bytes(character: str) -> None:
    """Paths repeat the names that were sent; with long names fewer violations are reported, and the others counted."""
    names = {f"{number:02}{character * 62}": {} for number in range(90)}
    invalid = check(json.dumps(a_report(counts=names), ensure_ascii=False))
    assert isinstance(invalid, Invalid)
    size = sum(len(each.path.encode()) + len(each.detail.encode()) for each in invalid.violations)
    assert size < VIOLATIONS_TEXT_MAX + 1_000
    assert invalid.violations[-1].code == "more_violations"


def test_an_oversized_report_is_refused_and_not_read_further() -> None:
    """With its unit and revision, unless it is far too large; white space around it does not count."""
    padding = json.dumps("x" * REPORT_MAX)
    for raw in (f'{{"padding":{padding},{TEXT[1:]}', f'{TEXT[:-1]},"padding":{padding}}}'):
        invalid = check(raw)
        assert isinstance(invalid, Invalid)
        assert (invalid.code, invalid.unit, invalid.revision) == ("invalid_report", "a-1-1", 3)
        assert [violation.code for violation in invalid.violations] == ["report_too_large"]
        with pytest.raises(MalformedDocument):
            check(raw[:-1])
        forbidden = check(raw, Scope(REGISTRY, frozenset({"b"})))
        assert isinstance(forbidden, Invalid)
        assert (forbidden.code, forbidden.unit) == ("unit_forbidden", "a-1-1")
    far = check(TEXT[:-1] + f',"padding":{json.dumps("x" * REPORT_SKIMMED_MAX)}}}')
    assert isinstance(far, Invalid)
    assert (far.code, far.unit, far.revision) == ("invalid_report", None, None)
    assert isinstance(check(TEXT.ljust(8 << 20)), ValidReport)


def test_a_report_fits_into_an_entry_of_the_signed_record() -> None:
    """It has at most 65 535 bytes, as its length is a uint16 there; its canonical bytes are never more."""
    largest = TEXT.replace("{", "{" + " " * (65_535 - len(TEXT.encode())), 1)
    assert len(largest.encode()) == 65_535
    valid = check(largest)
    assert isinstance(valid, ValidReport)
    assert len(valid.body) <= len(largest.encode())
    for surrounded in (f" {largest}\n", largest):
        assert isinstance(check(surrounded), ValidReport)
    invalid = check(largest.replace("{", "{ ", 1))
    assert isinstance(invalid, Invalid)
    assert [(each.code, each.detail) for each in invalid.violations] == [
        ("report_too_large", "65536 bytes; a report has at most 65535")
    ]


def test_a_report_of_too_many_objects_is_not_read_again() -> None:
    """Including repeated members, of which a decoder keeps one."""
    for members in (f'"x":[{",".join(["{}"] * 2_000)}]', ",".join(['"counts":{"advance":{}}'] * 2_000)):
        for raw in (f"{{{members}}}", f"{{{members},{TEXT[1:]}"):
            invalid = check(raw)
            assert isinstance(invalid, Invalid)
            assert [violation.code for violation in invalid.violations] == ["report_too_large"]


@pytest.mark.parametrize(
    ("raw", "most"),
    [
        pytest.param(b"{}", ExplanationBudget.VIOLATIONS // 5, id="many violations"),
        pytest.param(
            json.dumps({"counts": {f"{n:02}" + "\U0001f5f3" * 62: {} for n in range(60)}}).encode(),
            9,
            id="long names",
        ),
        pytest.param(b'{"a":[' + b"1," * 30_000 + b"1]}", ExplanationBudget.READ // 60_000 + 1, id="large"),
    ],
)
def test_the_explanations_of_one_request_are_bounded(raw: bytes, most: int) -> None:
    """Above the budget a report is still refused, with a note that details are omitted and how to get them."""
    budget = ExplanationBudget()
    reported = []
    for _ in range(1_000):
        judged = VALIDATOR.check(raw, EVERYWHERE, budget)
        assert isinstance(judged, Invalid)
        assert judged.code == "invalid_report"
        reported.append(judged.violations)
    explained = [violations for violations in reported if violations[0].code != "more_violations"]
    assert 0 < len(explained) <= most
    assert reported[: len(explained)] == explained
    omitted = "details omitted: too many violations in this request; send this report alone"
    assert set(reported[len(explained) :]) == {(Violation("more_violations", "$", omitted),)}
    assert budget.spent


def test_a_report_whose_details_are_omitted_keeps_its_unit_and_revision() -> None:
    """A unit that is not the sender's is still forbidden, not merely invalid."""
    budget = spent_budget()
    invalid = VALIDATOR.check(json.dumps(a_report(status="none")).encode(), EVERYWHERE, budget)
    assert isinstance(invalid, Invalid)
    assert (invalid.code, invalid.unit, invalid.revision) == ("invalid_report", "a-1-1", 1)
    forbidden = VALIDATOR.check(b'{"unit":"a-1-1"}', Scope(REGISTRY, frozenset({"b"})), budget)
    assert isinstance(forbidden, Invalid)
    assert forbidden.code == "unit_forbidden"


def spent_budget() -> ExplanationBudget:
    budget = ExplanationBudget()
    budget.spend(ExplanationBudget.READ, ())
    return budget


@settings(deadline=None, max_examples=examples(300))
@given(st.data())
def test_a_spent_budget_does_not_change_which_reports_are_valid(data: st.DataObject) -> None:
    """A valid report is accepted, and an invalid one is not, whatever else the request contains."""
    raw = data.draw(writers)(data.draw(spoilt())).encode()
    try:
        judged = check(raw)
    except MalformedDocument:
        return
    hurried = VALIDATOR.check(raw, EVERYWHERE, spent_budget())
    if isinstance(judged, ValidReport):
        assert hurried == judged
    else:
        assert isinstance(hurried, Invalid)
        assert (hurried.code, hurried.unit, hurried.revision) == (judged.code, judged.unit, judged.revision)


@settings(deadline=None, max_examples=examples(300))
@given(st.data())
def test_reports_of_an_election_with_many_parties_are_checked_alike(data: st.DataObject) -> None:
    raw = data.draw(writers)(data.draw(spoilt())).encode()
    try:
        judged = check(raw)
    except MalformedDocument:
        return
    among_many = Validator(MANY).check(raw, Scope(MANY, frozenset({"no"})))
    if isinstance(judged, ValidReport):
        assert isinstance(among_many, ValidReport)
        assert (among_many.body, among_many.digest) == (judged.body, judged.digest)
        assert same_counts(among_many.report, judged.report)
    else:
        assert isinstance(among_many, Invalid)
        assert (among_many.code, among_many.unit, among_many.revision) == (
            judged.code,
            judged.unit,
            judged.revision,
        )
        assert [(each.code, each.path) for each in among_many.violations] == [
            (each.code, each.path) for each in judged.violations
        ]


# Not refused ---------------------------------------------------------------------------------------------

NOT_REFUSED: list[dict[str, Any]] = [
    a_report(),
    a_report(counts={}),
    a_report(counts={"advance": some_counts(blank=0, rejected=0)}),
    a_report(counts={"advance": some_counts(blank=COUNT_MAX)}),
    a_report(counts={"advance": some_counts(blank=0, rejected=COUNT_MAX, P=COUNT_MAX)}),
    a_report(counts={"advance": some_counts(blank=0, P=0)}),
    a_report(counts={"advance": {**some_counts(), "voters": 0}}),
    a_report(counts={"advance": {**some_counts(), "voters": COUNT_MAX}}),
    a_report(counts={name: some_counts(P=1) for name in CATEGORIES}),
    a_report(counts={"election_day": some_counts(**{BEYOND_BMP: 4})}),
    a_report("b-1-x-2", counts={"advance": some_counts(P=1_000_000)}),  # of 0 eligible
    a_report(revision=1),
    a_report(revision=COUNT_MAX),
    a_report(counted_at="1997-01-01T00:00:00Z"),
    a_report(counted_at="2997-01-01t00:00:00.123456-11:00"),
    *(a_report(status=status) for status in STATUSES),
    *(a_report(reason=reason) for reason in REASONS),
    *(a_report(unit, counts={"advance": some_counts(**dict.fromkeys(BALLOTS[unit], 1))}) for unit in UNITS),
]


@pytest.mark.parametrize("report", NOT_REFUSED)
def test_unusual_but_real_counts_are_accepted(report: dict[str, Any]) -> None:
    """Nothing counted, more ballots than eligible voters, a party with 0, every status."""
    valid = check(json.dumps(report, indent=1))
    assert isinstance(valid, ValidReport)
    assert (valid.body, valid.digest) == (compact(report), digest(report))


def test_every_recorded_report_is_valid(recorded: Path, small: Any) -> None:
    """No report of the real election or of a generated one violates a rule."""
    data = DataSet.open(recorded)
    for document, lines in (
        (data.registry, [line.report for line in data.reports()]),
        (small.registry, [line["report"] for line in small.reports]),
    ):
        registry = read_registry(document)
        validator, scope = Validator(registry), Scope(registry, frozenset({registry.root.id}))
        for report in lines:
            valid = validator.check(orjson.dumps(report), scope)
            assert isinstance(valid, ValidReport)
            assert valid.body == compact(report)


def test_a_report_may_be_part_of_a_larger_buffer() -> None:
    """It is checked in place, without a copy."""
    buffer = b"[" + TEXT.encode() + b"]"
    valid = VALIDATOR.check(memoryview(buffer)[1:-1], EVERYWHERE)
    assert isinstance(valid, ValidReport)
    assert valid.digest == digest(json.loads(TEXT))


# The two readings agree ----------------------------------------------------------------------------------

ugly = st.sampled_from(
    [
        *map(Token, ("0", "1", "-0", "-1", "1.0", "1e2", "1E400", "2147483647", "2147483648", "9" * 20)),
        *map(Token, ("true", "false", "null")),
        *("", "a-1-1", "a-1", "b-2", "P", "final", "\x00", BEYOND_BMP, "2025-09-08T22:36:55", "2025-09-08T22:36:55Z"),
        Members(),
        Members([("P", Token("1")), ("P", Token("1"))]),
        [],
    ]
).map(copy.deepcopy)  # fmt: skip
names = st.sampled_from(
    [
        *("unit", "revision", "counted_at", "status", "counts", "reason"),
        *("ballots", "blank", "rejected", "votes", "voters"),
        *("advance", "election_day", "postal", "P", "Q", "RØDT", BEYOND_BMP, "N", "", "\x00", "a b"),
    ]
)  # fmt: skip


@st.composite
def spoilt(draw: st.DrawFn) -> Any:
    """The tree of a valid report after some edits, most of which break a rule."""
    tree = tree_of(draw(reports()))
    for _ in range(draw(st.integers(0, 3))):
        found = _objects(tree)
        place: Members = draw(st.sampled_from(found))
        kind = draw(st.sampled_from(("replace", "delete", "repeat", "rename", "add", "nudge", "swap")))
        if kind == "add" or not place:
            place.append((draw(names), draw(ugly)))
            continue
        number = draw(st.integers(0, len(place) - 1))
        name, value = place[number]
        match kind:
            case "replace":
                place[number] = (name, draw(ugly))
            case "delete":
                del place[number]
            case "repeat":
                place.insert(
                    draw(st.integers(0, len(place))), (name, draw(st.just(copy.deepcopy(value)) | ugly))
                )
            case "rename":
                place[number] = (draw(names), value)
            case "nudge" if isinstance(value, Token) and value.isdigit():
                place[number] = (name, Token(str(int(value) + draw(st.integers(-1, 1)))))
            case "swap":
                other = draw(st.integers(0, len(place) - 1))
                place[number], place[other] = place[other], place[number]
    return tree


def _objects(tree: Any) -> list[Members]:
    found: list[Members] = []
    if isinstance(tree, Members):
        found.append(tree)
        for _, value in tree:
            found += _objects(value)
    return found


def is_allowed(tree: Any) -> bool:
    """The rules of the contract, implemented once more from its text, as simply as possible."""
    report = _only(tree, {"unit", "revision", "counted_at", "status", "counts"}, {"reason"})
    if report is None or isinstance(report["unit"], Token) or report["unit"] not in UNITS:
        return False
    if not _is_number(report["revision"], 1):
        return False
    if report["status"] not in STATUSES or report.get("reason", "other") not in REASONS:
        return False
    if not isinstance(report["counted_at"], str) or not _is_moment(report["counted_at"]):
        return False
    counts = _only(report["counts"], set(), set(CATEGORIES))
    return counts is not None and all(_add_up(each, BALLOTS[report["unit"]]) for each in counts.values())


def _add_up(tree: Any, ballot: tuple[str, ...]) -> bool:
    counts = _only(tree, {"ballots", "blank", "rejected", "votes"}, {"voters"})
    votes = _only(counts["votes"], set(), set(ballot)) if counts is not None else None
    if counts is None or votes is None:
        return False
    numbers = [*votes.values(), *(value for name, value in counts.items() if name != "votes")]
    if not all(_is_number(each, 0) for each in numbers):
        return False
    return sum(map(int, votes.values())) + int(counts["blank"]) == int(counts["ballots"])


def _only(tree: Any, required: set[str], optional: set[str]) -> dict[str, Any] | None:
    if not isinstance(tree, Members):
        return None
    members = dict(tree)
    good = len(members) == len(tree) and required <= members.keys() <= required | optional
    return members if good else None


def _is_number(value: Any, least: int) -> bool:
    return isinstance(value, Token) and value.isdigit() and least <= int(value) <= COUNT_MAX


def _is_moment(text: str) -> bool:
    try:
        return not isinstance(text, Token) and bool(read_time(text))
    except ValueError:
        return False


@settings(deadline=None, max_examples=examples(400))
@given(st.data())
def test_a_report_is_valid_exactly_if_no_rule_is_broken(data: st.DataObject) -> None:
    """In any formatting, the fast check, the slow one and a third implementation agree."""
    tree = data.draw(spoilt())
    raw = data.draw(writers)(tree).encode()
    try:
        judged = check(raw)
    except MalformedDocument:
        assert "1E400" in raw.decode()
        return
    slow = list(find_violations(read_exactly(raw), REGISTRY))
    allowed = is_allowed(tree)
    assert isinstance(judged, ValidReport) == allowed
    assert bool(slow) == (not allowed)
    if isinstance(judged, ValidReport):
        assert judged.body == compact(json.loads(raw))
        assert judged.digest == digest(json.loads(raw))
    else:
        assert list(judged.violations) == slow[:VIOLATIONS_MAX]


@settings(deadline=None, max_examples=examples(300))
@given(st.data())
def test_both_implementations_agree_on_damaged_bytes(data: st.DataObject) -> None:
    """With bytes changed anywhere, a report is malformed, or both implementations agree."""
    raw = bytearray(compact(data.draw(reports())))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        to = data.draw(st.integers(at, min(len(raw), at + 12)))
        raw[at:to] = data.draw(
            st.sampled_from([b"", b"0", b"-", b".", b"e1", b'"', b",", b":", b" ", b"\\", b"\\u0050", b"{", b"}"])
            | st.just(bytes(raw[at:to]) * 2)
            | st.binary(max_size=3)
        )  # fmt: skip
    agree(bytes(raw))


OF_A_REGISTRY = {"unknown_unit", "unknown_category", "unknown_party", "party_not_on_ballot"}


@settings(deadline=None, max_examples=examples(400))
@given(st.data())
def test_the_shape_of_a_report_is_what_does_not_depend_on_a_registry(data: st.DataObject) -> None:
    """Without a registry, a client finds every violation that the door finds, except unknown names."""
    raw = data.draw(writers)(data.draw(spoilt())).encode()
    try:
        expected = [
            each for each in find_violations(read_exactly(raw), REGISTRY) if each.code not in OF_A_REGISTRY
        ]
        judged = check(raw)
    except MalformedDocument:
        with pytest.raises(MalformedDocument):
            check_shape(raw)
        return
    assert list(check_shape(raw)) == expected
    assert not expected or isinstance(judged, Invalid)


def test_the_shape_of_an_oversized_report_is_refused() -> None:
    for raw in (
        compact(a_report(reason="x" * 65_600)),
        compact(a_report(counts={f"{number}": {} for number in range(1001)})),
    ):
        assert {each.code for each in check_shape(raw)} == {"report_too_large"}
    with pytest.raises(MalformedDocument, match="nested too deeply"):
        check_shape(b'{"unit":' + b"[" * 500 + b"]" * 500 + b"}")


@settings(deadline=None, max_examples=examples(200))
@given(st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b'{"unit":"a-1-1","unit":"a-1-1"}')
def test_arbitrary_bytes_are_checked(raw: bytes) -> None:
    """Any bytes may be received."""
    agree(raw)


def agree(raw: bytes) -> None:
    try:
        judged = check(raw)
    except MalformedDocument:
        with pytest.raises(MalformedDocument):
            read_json(raw)
        return
    slow = list(find_violations(read_exactly(raw), REGISTRY))
    assert isinstance(judged, ValidReport) == (not slow)


@settings(deadline=None, max_examples=examples(200))
@given(reports(), writers)
def test_white_space_order_and_escapes_change_nothing(report: dict[str, Any], write: Any) -> None:
    """In any formatting that JSON allows, a report has the same digest."""
    assert json.loads(compactly(tree_of(report))) == report
    valid = check(write(tree_of(report)))
    assert isinstance(valid, ValidReport)
    assert (valid.body, valid.digest) == (compact(report), digest(report))


# Scope ---------------------------------------------------------------------------------------------------

ABOVE_UNITS = ["no", "a", "b", "a-1", "b-1", "b-1-x"]


@pytest.mark.parametrize(
    ("areas", "units"),
    [
        ({"no"}, set(UNITS)),
        ({"a"}, {"a-1-1", "a-1-2", "a-2"}),
        ({"a-1", "b-2"}, {"a-1-1", "a-1-2", "b-2"}),
        ({"b-1"}, {"b-1-x-1", "b-1-x-2"}),
        ({"b", "b-1"}, {"b-1-x-1", "b-1-x-2", "b-2"}),
        ({"a-2"}, {"a-2"}),
        ({"elsewhere"}, set()),
        (set(), set()),
    ],
)
def test_a_scope_is_the_units_below_its_areas(areas: set[str], units: set[str]) -> None:
    """A token's areas may be units or any area above; an area that the registry no longer has adds nothing."""
    scope = Scope(REGISTRY, frozenset(areas))
    assert {unit for unit in UNITS if unit in scope} == units
    assert scope.municipalities() == {REGISTRY.municipality(REGISTRY.units[unit]).id for unit in units}
    assert ("nowhere" in scope) == ("no" in areas)


@settings(deadline=None, max_examples=examples(300))
@given(st.data())
def test_a_sender_learns_nothing_about_units_outside_its_areas(data: st.DataObject) -> None:
    """Every unit outside its areas gets the same answer, known or not, whatever else is wrong."""
    areas = data.draw(st.sets(st.sampled_from([*UNITS, *ABOVE_UNITS[1:]]), max_size=3))
    scope = Scope(REGISTRY, frozenset(areas))
    tree = data.draw(spoilt())
    unit = data.draw(st.sampled_from([*UNITS, *ABOVE_UNITS, "nowhere", "", "\x00", "x" * 100]))
    if isinstance(tree, Members):
        tree[:] = [(name, unit if name == "unit" else value) for name, value in tree]
    raw = data.draw(writers)(tree)
    try:
        judged = check(raw, scope)
    except MalformedDocument:
        return
    if not any(name == "unit" for name, _ in tree) or unit in scope:
        assert isinstance(judged, ValidReport) or judged.code == "invalid_report"
        return
    assert isinstance(judged, Invalid)
    assert judged.code == "unit_forbidden"
    assert judged.unit == (unit if len(unit) <= 64 else None)
    (violation,) = judged.violations
    assert (violation.code, violation.path) == ("unit_forbidden", "$.unit")
    assert violation.detail == "this token may not report for this unit"


def test_a_token_for_the_whole_election_learns_which_unit_is_unknown() -> None:
    """If everything is in scope, there is nothing to hide."""
    assert violations_of(json.dumps(a_report("nowhere"))) == [("unknown_unit", "$.unit")]
    assert violations_of(json.dumps(a_report("a-1", status="none"))) == [
        ("unknown_unit", "$.unit"),
        ("unknown_status", "$.status"),
    ]


def test_a_unit_in_another_normalization_form_is_refused_with_the_form_of_the_registry() -> None:
    """Senders on some systems decompose letters; a token learns it of its own units only."""
    registry = read_registry(
        {
            **DOCUMENT,
            "areas": [
                {"id": "no", "name": "No", "level": "country"},
                {"id": "å", "name": "Å", "level": "precinct", "parent": "no", "eligible": 10},
                {"id": "ø", "name": "Ø", "level": "precinct", "parent": "no", "eligible": 10},
            ],
        }
    )
    report = json.dumps(a_report("a\u030a")).encode()
    form = "the registry has it in Unicode normalization form NFC, 'å' (U+00E5)"
    for areas, code, named in (
        ("no", "unknown_unit", True),
        ("å", "unit_forbidden", True),
        ("ø", "unit_forbidden", False),
    ):
        judged = Validator(registry).check(report, Scope(registry, frozenset({areas})))
        assert isinstance(judged, Invalid)
        (violation,) = [each for each in judged.violations if each.path == "$.unit"]
        assert (violation.code, form in violation.detail) == (code, named)


@pytest.mark.parametrize(
    ("unit", "revision", "ceiling"),
    [
        ("a-1-1", 2_000_000_000, None),
        ("a-1-1", 2_000_000_001, 2_000_000_000),
        ("a-1-1", COUNT_MAX, 2_000_000_000),
        ("a-2", 2_001_000_000, None),
        ("a-2", 2_001_000_001, 2_001_000_000),
        ("b-2", COUNT_MAX, None),
    ],
)
def test_a_revision_above_the_ceiling_of_its_unit_is_refused(
    unit: str, revision: int, ceiling: int | None
) -> None:
    """The default ceiling is 2 000 000 000; the detail names the ceiling and who can raise it."""
    validator = Validator(REGISTRY, {"a-2": 2_001_000_000, "b-2": COUNT_MAX})
    judged = validator.check(
        compact(a_report(unit, revision=revision, counts={})), Scope(REGISTRY, frozenset({"no"}))
    )
    if ceiling is None:
        assert isinstance(judged, ValidReport)
        return
    assert isinstance(judged, Invalid)
    (violation,) = judged.violations
    assert (violation.code, violation.path) == ("revision_above_ceiling", "$.revision")
    assert f"at most {ceiling}, not {revision}; an operator" in violation.detail
    assert (judged.unit, judged.revision) == (unit, revision)


def test_a_revision_above_the_ceiling_is_reported_with_all_other_violations() -> None:
    """Also if the unit is unknown or not a string."""
    validator, scope = Validator(REGISTRY, {}), Scope(REGISTRY, frozenset({"no"}))
    for unit, code in (("a-2", "unknown_status"), ("nowhere", "unknown_unit"), (["a-1"], "wrong_type")):
        judged = validator.check(
            json.dumps(a_report(revision=COUNT_MAX, status="none") | {"unit": unit}).encode(), scope
        )
        assert isinstance(judged, Invalid)
        assert {code, "revision_above_ceiling"} <= {violation.code for violation in judged.violations}


def test_a_report_is_checked_against_its_own_election() -> None:
    """The same report is valid in one election and not in another."""
    other = read_registry({**DOCUMENT, "election": {**DOCUMENT["election"], "categories": ["postal"]}})
    judged = Validator(other).check(compact(a_report()), Scope(other, frozenset({"no"})))
    assert isinstance(judged, Invalid)
    assert [violation.code for violation in judged.violations] == ["unknown_category"]
