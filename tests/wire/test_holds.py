"""Held reports and decisions on the wire: the documents that the contract shows, and every mistake in a body."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.election.violations import Violation
from gateway.errors import MalformedDocument
from gateway.wire import holds
from gateway.wire.decisions import (
    BODY_MAX,
    CODES,
    DECIDED_MAX,
    NOTE_MAX,
    Decision,
    NamedHold,
    NewRules,
    read_decision,
    read_new_rules,
    rules_violations,
)
from gateway.wire.holds import HOLDS_BYTES_MAX, HOLDS_MAX, Hold, HoldList, encoded, selected

CONTRACT = (Path(__file__).parents[2] / "docs/contract.md").read_text()
DIGEST = "ab" * 32


def example(member: str) -> dict[str, Any]:
    """Return the example of the contract that has this member."""
    section = CONTRACT.partition("### Holds, decisions and rules")[2].partition("\n## ")[0]
    found = [json.loads(each) for each in re.findall(r"```json\n(.*?)```", section, re.DOTALL)]
    (document,) = [each for each in found if member in each]
    return dict(document)


def a_decision(**members: Any) -> dict[str, Any]:
    return {
        "decide": "release",
        "reason": "confirmed",
        "holds": [{"unit": "a-1-1", "revision": 2, "digest": DIGEST}],
    } | members


def read(document: object) -> Decision | tuple[Violation, ...]:
    return read_decision(json.dumps(document).encode())


def mistakes(document: object) -> list[tuple[str, str]]:
    found = read(document)
    assert isinstance(found, tuple)
    return [(each.code, each.path) for each in found]


def test_the_list_of_the_contract_has_the_members_of_the_document() -> None:
    """In the same order, so that it is an example of what is sent."""
    document = example("most_open")
    read_again = msgspec.convert(
        document | {"holds": msgspec.convert(document["holds"], list[Hold])}, HoldList
    )
    assert json.dumps(json.loads(encoded(read_again))) == json.dumps(
        json.loads(json.dumps(document).replace('.25Z"', '.250000Z"').replace('.113Z"', '.113000Z"'))
    )


def test_a_hold_that_ended_says_how() -> None:
    document = example("most_open")["holds"][0] | {
        "state": "rejected",
        "ended_at": "2025-09-08T20:50:00Z",
        "decided_by": {"token": 3, "note": "Valgdirektoratet"},
        "reason": "duplicate",
        "note": "",
    }
    hold = msgspec.convert(document, Hold)
    assert json.loads(encoded(hold)).keys() == document.keys()


def test_the_decision_of_the_contract_is_read() -> None:
    document = example("decide")
    document["holds"][0]["digest"] = DIGEST
    assert read(document) == Decision(
        "reject", (NamedHold("3236-0001", 3, DIGEST),), "duplicate", "Called Jevnaker at 22:45, Kari Hansen"
    )


def test_a_decision_has_no_note_unless_one_is_given() -> None:
    decision = read(a_decision())
    assert isinstance(decision, Decision)
    assert decision.note == ""


HOLD = {"unit": "a-1-1", "revision": 2, "digest": DIGEST}
MISTAKES: list[tuple[Any, list[tuple[str, str]]]] = [
    ([], [("wrong_type", "$")]),
    ({}, [("missing_member", "$.decide"), ("missing_member", "$.holds"), ("missing_member", "$.reason")]),
    (a_decision(decide="keep"), [("unknown_decision", "$.decide")]),
    (a_decision(decide=1.5), [("unknown_decision", "$.decide")]),
    (a_decision(reason="duplicate"), [("unknown_reason", "$.reason")]),
    (a_decision(decide="reject", reason="moved"), [("unknown_reason", "$.reason")]),
    (a_decision(by="me"), [("unknown_member", "$.by")]),
    (a_decision(**{"a b": 1}), [("unknown_member", '$["a b"]')]),
    (a_decision(note="x" * (NOTE_MAX + 1)), [("text_too_long", "$.note")]),
    (a_decision(note="a\nb"), [("forbidden_character", "$.note")]),
    (a_decision(note="a\u202eb"), [("forbidden_character", "$.note")]),
    (a_decision(note=None), [("wrong_type", "$.note")]),
    (a_decision(holds={}), [("wrong_type", "$.holds")]),
    (a_decision(holds=[]), [("too_many_holds", "$.holds")]),
    (a_decision(holds=[HOLD] * (DECIDED_MAX + 1)), [("too_many_holds", "$.holds")]),
    (a_decision(holds=[HOLD, HOLD]), [("repeated_unit", "$.holds[1].unit")]),
    (a_decision(holds=["a-1-1"]), [("wrong_type", "$.holds[0]")]),
    (a_decision(holds=[HOLD | {"unit": 7}]), [("wrong_type", "$.holds[0].unit")]),
    (a_decision(holds=[HOLD | {"unit": ""}]), [("forbidden_character", "$.holds[0].unit")]),
    (a_decision(holds=[HOLD | {"revision": "2"}]), [("wrong_type", "$.holds[0].revision")]),
    (a_decision(holds=[HOLD | {"revision": 2.0}]), [("wrong_type", "$.holds[0].revision")]),
    (a_decision(holds=[HOLD | {"revision": 0}]), [("revision_out_of_range", "$.holds[0].revision")]),
    (a_decision(holds=[HOLD | {"digest": "AB" * 32}]), [("not_a_digest", "$.holds[0].digest")]),
    (
        a_decision(holds=[{"unit": "a-1-1", "digest": DIGEST, "sequence": 4}]),
        [("missing_member", "$.holds[0].revision"), ("unknown_member", "$.holds[0].sequence")],
    ),
]


@pytest.mark.parametrize(("document", "expected"), MISTAKES, ids=lambda value: str(value)[:40])
def test_every_mistake_in_a_decision_is_named_with_its_path(
    document: Any, expected: list[tuple[str, str]]
) -> None:
    assert mistakes(document) == expected


def test_a_repeated_member_is_a_mistake() -> None:
    body = json.dumps(a_decision()).encode()[:-1] + b',"decide":"reject"}'
    found = read_decision(body)
    assert isinstance(found, tuple)
    assert ("repeated_member", "$.decide") in [(each.code, each.path) for each in found]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * BODY_MAX, b'{"a":NaN', b"\xef\xbb\xbf{}"])
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedDocument):
        read_decision(body)


def test_a_body_of_many_objects_is_a_decision_about_too_many_reports() -> None:
    found = read_decision(b'{"holds":[' + b"{}," * 20_000 + b"{}]}")
    assert isinstance(found, tuple)
    assert [(each.code, each.path) for each in found] == [("too_many_holds", "$.holds")]


def test_a_list_that_is_too_long_leaves_out_the_oldest_of_those_that_ended() -> None:
    ended = [100] * HOLDS_MAX
    assert selected([*ended, 100, 100], [False] * HOLDS_MAX + [True, False]) == [*range(2, HOLDS_MAX + 2)]
    assert selected([100, *ended, 100], [True] + [False] * (HOLDS_MAX + 1)) == [0, *range(3, HOLDS_MAX + 2)]


def test_a_list_of_large_reports_is_bounded_in_bytes() -> None:
    assert selected([HOLDS_BYTES_MAX // 2] * 3, [True] * 3) == [0, 1]
    assert selected([HOLDS_BYTES_MAX + 1] * 3, [True] * 3) == [0]
    assert selected([], []) == []


def test_reports_are_written_as_they_are_stored() -> None:
    hold = msgspec.convert(example("most_open")["holds"][0], Hold)
    stored = msgspec.structs.replace(hold, report=msgspec.Raw(b'{"revision":3,"unit":"\xc3\xb8"}'))
    assert b'"report":{"revision":3,"unit":"\xc3\xb8"}' in encoded(stored)


def test_conflicts_name_what_is_known() -> None:
    conflict = holds.DecisionConflict("a-1-1", 2, "superseded", state="superseded", newest_revision=3)
    assert holds.conflict_members([conflict]) == {
        "conflicts": [
            {
                "unit": "a-1-1",
                "revision": 2,
                "code": "superseded",
                "state": "superseded",
                "newest_revision": 3,
            }
        ]
    }


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"[]", [("wrong_type", "$")]),
        (b"{}", [("missing_member", "$.rules")]),
        (b'{"rules":{},"by":1}', [("unknown_member", "$.by")]),
        (b'{"rules":{},"rules":{}}', [("repeated_member", "$.rules")]),
        (
            b'{"rules":{"fell":{"do":"off","do":"hold"},"fell":{"do":"off","do":"hold"}}}',
            [("repeated_member", "$.rules.fell"), ("repeated_member", "$.rules.fell.do")],
        ),
        (b'{"rules":[' + b"{}," * 200 + b"{}]}", [("wrong_type", "$.rules")]),
    ],
)
def test_every_mistake_around_new_rules_is_named_with_its_path(
    body: bytes, expected: list[tuple[str, str]]
) -> None:
    found = read_new_rules(body)
    assert isinstance(found, tuple)
    assert [(each.code, each.path) for each in found] == expected


def test_new_rules_are_read_as_they_were_sent() -> None:
    assert read_new_rules(b'{"rules":"recommended"}') == NewRules("recommended")
    assert read_new_rules(b'{"rules":{"odd_time":{"do":"hold","days":2}}}') == NewRules(
        {"odd_time": {"do": "hold", "days": 2}}
    )
    with pytest.raises(MalformedDocument):
        read_new_rules(b"{")


def test_problems_of_a_policy_are_violations() -> None:
    (found,) = rules_violations(["$.rules.fell.do: expected 'off', 'warn' or 'hold': not 'stop'"])
    assert (found.path, found.detail) == ("$.rules.fell.do", "expected 'off', 'warn' or 'hold': not 'stop'")


def test_the_contract_lists_the_codes_of_violations() -> None:
    (line,) = re.findall(r"Codes of violations in these bodies: (.*?)\.", CONTRACT, re.DOTALL)
    assert re.findall(r"`(\w+)`", line) == [*CODES]
    assert {code for _, expected in MISTAKES for code, _ in expected} <= {*CODES}
