"""PURE: held reports as operators see them on the push door, and their decisions (contract, section 4).

Members are written in the order given here. Times are UTC, but for `hidden_until`; a member that ends in `_s` is in
seconds. `wire.decisions` has the bodies that operators send.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal, get_args

import msgspec

from gateway.election.outcome import HoldConflictCode, HoldState
from gateway.election.violations import Violation
from gateway.wire.transfers import Moment

HOLDS_MAX = 200
"""Holds in one list; the others are counted. An election has at most `most_open` open ones, and these come first."""
HOLDS_BYTES_MAX = 4 << 20
"""Bytes of the holds in one list, likewise. The first is always in it."""

STATES: tuple[str, ...] = get_args(HoldState)
CONFLICTS: tuple[str, ...] = get_args(HoldConflictCode)


class FiredRule(msgspec.Struct, frozen=True):
    """A rule that fired when the report arrived."""

    code: str
    do: str
    """`hold` or `warn`."""
    evidence: dict[str, Any]
    """What it found, as integers and identifiers; without members about areas that the token does not cover."""


class HoldSender(msgspec.Struct, frozen=True):
    """The token under which a held report was sent."""

    token: int
    note: str


class Hold(msgspec.Struct, frozen=True, omit_defaults=True):
    """A held report, with what an operator needs for a decision. The last members are those of a hold that ended."""

    unit: str
    municipality: str
    revision: int
    state: HoldState
    digest: str
    accepted_at: Moment
    since: Moment
    """Since when the unit has been held without interruption."""
    ballots: int
    """All approved ballots of the held report."""
    rules: list[FiredRule]
    now: list[str] | None
    """The rules that would hold the report if it arrived now; empty for a hold that ended. None where that is not
    known: no rule is evaluated (any more), or the answering process cannot say it soon."""
    report: Any
    """The report as it was sent."""
    stands: Any
    """The unit's current report; None if it has none."""
    sender: HoldSender
    ended_at: Moment | None = None
    decided_by: HoldSender | None = None
    """The operator's token; None unless released or rejected."""
    reason: str | None = None
    note: str | None = None
    sequence: int | None = None
    """Of its publication, once that is public; None unless released."""


class AreaNames(msgspec.Struct, frozen=True, omit_defaults=True):
    """The names of an area."""

    name: str
    names: dict[str, str] = msgspec.field(default_factory=dict)
    """By language; left out if there are none."""
    municipality: str | None = None
    """Of a unit: the area whose figures are judged together with its own."""


class HoldEmbargo(msgspec.Struct, frozen=True):
    """The embargo of the election."""

    hidden_until: Moment | None
    """Its end, by the clock of the election's time zone; None from then on."""


class HoldList(msgspec.Struct, frozen=True):
    """The holds of the units that a token covers: open ones, or all. The oldest comes first."""

    election: str
    name: str
    rehearsal: bool
    server_time: Moment
    open_: int = msgspec.field(name="open")
    """Open holds of the token's units, also those that are omitted."""
    most_open: int
    """From this many open holds in the election on, rules only warn."""
    embargo: HoldEmbargo
    closed: bool
    """Whether the election takes no more reports; holds are still decided then."""
    omitted: int
    """Holds that the list leaves out, as it would be too long: the oldest of those that ended."""
    areas: dict[str, AreaNames]
    """The areas that the holds and their evidence name."""
    holds: Sequence[Any]
    """Each a Hold."""


class Decided(msgspec.Struct, frozen=True):
    """A decision about one held report, as it was first made."""

    unit: str
    revision: int
    """The one that was decided: a later one than named if that had the same counts."""
    state: HoldState
    sequence: int | None
    """Of its publication, once that is public; None if it was rejected."""
    decided_at: Moment


class DecisionAnswer(msgspec.Struct, frozen=True):
    """What a request decided, in the order of the request."""

    election: str
    holds: list[Decided]


class DecisionConflict(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a named report was not decided. Nothing else of the request was either."""

    unit: str
    revision: int
    code: HoldConflictCode
    state: str | None = None
    """Of the named revision, if it is or was held."""
    newest_revision: int | None = None
    """Of the unit, if it is a later one."""
    decided_at: Moment | None = None
    reason: str | None = None


class PolicyDocument(msgspec.Struct, frozen=True):
    """The rules of an election as they are applied now."""

    election: str
    rules: dict[str, Any]
    """By code, each with `do` and its thresholds, and `most_open`; complete."""
    origin: Literal["registry", "operator"]
    changed_at: Moment | None
    """When an operator last changed them; None if they are those of the registry."""
    changed_by: HoldSender | None


def encoded(document: msgspec.Struct) -> bytes:
    """Return one of these as JSON. Members of type Any may be `msgspec.Raw`."""
    return msgspec.json.encode(document)


def selected(sizes: Sequence[int], are_open: Sequence[bool]) -> list[int]:
    """Return which holds a list contains, by their places from the oldest on: open ones before others, then newer ones.

    `sizes` are in bytes.
    """
    wanted = sorted(range(len(sizes)), key=lambda place: (not are_open[place], -place))
    opened = sum(are_open)
    wanted[:opened] = sorted(wanted[:opened])  # of open ones, the oldest are the most urgent
    taken: list[int] = []
    left = HOLDS_BYTES_MAX
    for place in wanted[:HOLDS_MAX]:
        left -= sizes[place]
        if left < 0 and taken:
            break
        taken.append(place)
    return sorted(taken)


def conflict_members(conflicts: Iterable[DecisionConflict]) -> dict[str, Any]:
    """Return the members of the problem document of a decision that was not made."""
    found = [msgspec.to_builtins(each, builtin_types=(datetime,)) for each in conflicts]
    return {"conflicts": found}


def violation_members(violations: Iterable[Violation]) -> dict[str, Any]:
    """Return the members of the problem document of a body that breaks rules."""
    return {"violations": [msgspec.to_builtins(each) for each in violations]}
