"""What the commands for held reports show."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from gateway.client.holds_report import (
    conflict_line,
    decided_line,
    figures_table,
    hold_lines,
    holds_table,
    next_steps,
    plan,
    state_of,
)
from gateway.terminal import Terminal
from gateway.wire.holds import AreaNames, Decided, DecisionConflict, Hold, HoldEmbargo, HoldList

NOW = datetime(2025, 9, 8, 20, 41, tzinfo=UTC)
AREAS = {"10-1": AreaNames("Sentrum", municipality="10"), "10": AreaNames("Vik")}
UNIT = "10 Vik, 10-1 Sentrum"


def counts(ballots: int, **votes: int) -> dict[str, Any]:
    return {"ballots": ballots, "blank": 0, "rejected": 0, "votes": votes}


def a_hold(**members: Any) -> Hold:
    document = {
        "unit": "10-1",
        "municipality": "10",
        "revision": 2,
        "state": "open",
        "digest": "ab" * 32,
        "accepted_at": "2025-09-08T20:36:00Z",
        "since": "2025-09-08T20:36:00Z",
        "ballots": 40,
        "rules": [
            {"code": "fell", "do": "hold", "evidence": {"before": 500, "after": 40}},
            {"code": "party_fell", "do": "warn", "evidence": {"party": "A", "before": 400, "after": 0}},
        ],
        "now": ["fell"],
        "report": {
            "unit": "10-1",
            "revision": 2,
            "status": "final",
            "counts": {"advance": counts(40, A=0, H=40)},
        },
        "stands": {
            "unit": "10-1",
            "revision": 1,
            "status": "preliminary",
            "counts": {"advance": counts(500, A=400, H=100, P=0)},
        },
        "sender": {"token": 7, "note": "Vik kommune"},
    }
    return msgspec.convert(document | members, Hold)


def a_list(*holds: Hold, hidden_until: datetime | None = None, omitted: int = 0) -> HoldList:
    opened = sum(each.state == "open" for each in holds)
    embargo = HoldEmbargo(hidden_until)
    return HoldList("e", "E", False, NOW, opened, 50, embargo, False, omitted, AREAS, list(holds))


def printed(table: Any) -> list[str]:
    output = io.StringIO()
    Terminal(file=output, width=120).print(table)
    return [line.rstrip() for line in output.getvalue().splitlines()]


def test_the_state_is_a_sentence() -> None:
    assert state_of(a_list(), []) == "No report is held."
    assert state_of(a_list(a_hold()), [a_hold()]) == "1 report is held, the oldest for 5 min."
    hidden = a_list(a_hold(), hidden_until=NOW + timedelta(hours=1))
    assert state_of(hidden, [a_hold()]).endswith("Under embargo until 21:41; what is held then stays held.")
    over = a_list(hidden_until=NOW - timedelta(seconds=1))
    assert state_of(over, []) == "No report is held."


def test_the_list_names_unit_ballots_rules_and_sender() -> None:
    ended = a_hold(revision=1, state="rejected", ended_at="2025-09-08T20:40:00Z")
    holds = [a_hold(), ended]
    lines = printed(holds_table(a_list(*holds, omitted=3), holds))
    assert [" ".join(line.split()) for line in lines] == [
        "age, state unit ballots rules sender",
        f"5 min {UNIT} 500 → 40 fell token 7, Vik kommune",
        "revision 2",
        f"rejected {UNIT} 500 → 40 fell token 7, Vik kommune",
        "revision 1",
        "… and 3 older holds",
    ]


def test_a_hold_is_shown_with_what_differs() -> None:
    """Figures that are 0 in both reports are left out."""
    lines = hold_lines(a_hold(), AREAS, NOW)
    assert lines[0] == f"{UNIT}, revision 2: held for 5 min"
    assert lines[3:] == [
        "hold: the ballots fall from 500 to 40 (−460) without a reason",
        "warn: the votes of A fall from 400 to 0 (−400)",
        "now it would be held by: fell",
    ]
    assert [line.split() for line in printed(figures_table(a_hold()))][1:] == [
        ["revision", "1", "2"],
        ["status", "preliminary", "final"],
        ["advance", "ballots", "500", "40", "−460"],
        ["advance", "A", "400", "0", "−400"],
        ["advance", "H", "100", "40", "−60"],
    ]
    assert next_steps(a_hold())[1].startswith("valgnatt hold reject 10-1:2 --reason duplicate|")
    assert hold_lines(a_hold(now=[]), AREAS, NOW)[-1] == "now no rule would hold it"
    assert hold_lines(a_hold(now=None), AREAS, NOW)[-1].startswith("warn: ")
    decided = a_hold(
        state="rejected",
        ended_at="2025-09-08T20:40:00Z",
        decided_by={"token": 3, "note": ""},
        reason="other",
        note="By phone",
    )
    assert hold_lines(decided, AREAS, NOW)[-1] == (
        "rejected at 2025-09-08 20:40:00 UTC by token 3, other: By phone"
    )


def test_a_first_report_is_compared_with_none() -> None:
    first = a_hold(stands=None)
    assert printed(figures_table(first))[1].split() == ["revision", "–", "2"]
    assert (
        plan("reject", [first], AREAS, "other", "")[1]
        == f"  {UNIT}, revision 2: stays without a report, not 40 ballots"
    )


def test_a_plan_says_what_each_decision_does() -> None:
    assert plan("release", [a_hold()], AREAS, "moved", "") == [
        "Release 1 report for the reason moved:",
        f"  {UNIT}, revision 2: 500 ballots → 40 ballots",
        "    the ballots fall from 500 to 40 (−460) without a reason",
    ]
    two = plan("reject", [a_hold(), a_hold(revision=3)], AREAS, "other", "By phone")
    assert (
        two[0] == "Reject 2 reports for the reason other, with the note 'By phone', together, in this order:"
    )
    assert two[1] == f"  {UNIT}, revision 2: stays at 500 ballots, not 40"


def test_a_decision_says_where_the_report_is_now() -> None:
    released = Decided("10-1", 2, "released", 412, NOW)
    assert decided_line(released, AREAS) == f"{UNIT}, revision 2: released; sequence 412 of the record"
    hidden = msgspec.structs.replace(released, sequence=None)
    assert decided_line(hidden, AREAS).endswith("released; public at the end of the embargo")
    rejected = Decided("10-1", 2, "rejected", None, NOW)
    assert decided_line(rejected, AREAS).endswith("revision 2: rejected")


@pytest.mark.parametrize(
    ("conflict", "words"),
    [
        (
            DecisionConflict("10-1", 2, "superseded", state="superseded", newest_revision=4),
            "the sender replaced revision 2 by revision 4, with other counts",
        ),
        (
            DecisionConflict(
                "10-1", 2, "decided_otherwise", state="rejected", decided_at=NOW, reason="duplicate"
            ),
            "revision 2 was rejected already at 20:41:00 UTC (duplicate)",
        ),
        (DecisionConflict("10-1", 2, "not_held"), "revision 2 is not held"),
        (
            DecisionConflict("10-1", 2, "revision_conflict", state="open"),
            "revision 2 has other figures than those shown here",
        ),
    ],
)
def test_a_conflict_says_what_has_happened_meanwhile(conflict: DecisionConflict, words: str) -> None:
    assert conflict_line(conflict, AREAS) == f"{UNIT}: {words}"
