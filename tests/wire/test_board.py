"""The rows of the board: tokens, contacts, refusals and silence of each municipality."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from gateway.election.registry_reading import read_registry
from gateway.wire.board import (
    LISTED_MAX,
    NIGHT_S,
    BoardFacts,
    BoardMaker,
    BoardMunicipality,
    BoardToken,
    MunicipalityIndex,
    Received,
    Refused,
    Waiting,
    is_silent,
)
from tests.journal.makers import UNITS, a_registry

REGISTRY = read_registry(a_registry())
INDEX = MunicipalityIndex(REGISTRY)
END = datetime(2025, 9, 8, 19, 0, tzinfo=UTC)
NOW = END + timedelta(hours=2)
MINUTE = timedelta(minutes=1)


def a_token(number: int, *areas: str, **members: Any) -> BoardToken:
    values = {"note": "", "expires_at": None, "last_contact_at": None, **members}
    return BoardToken(token=number, areas=areas, **values)


def received(*units: str, at: datetime = NOW) -> Received:
    found = Received()
    for unit in units:
        found.add(unit, at)
    return found


def made(
    *tokens: BoardToken, refusals: Sequence[Refused] = (), **members: Any
) -> tuple[dict[str, BoardMunicipality], BoardFacts, BoardMaker]:
    values = {
        "read_at": NOW, "publish_from": END, "released_at": END, "closed_at": None, "accepted": 0, "unpublished": 0,
        "oldest_unpublished_at": None, "received": {}, **members,
    }  # fmt: skip
    facts = BoardFacts(tokens=tokens, refusals=refusals, waiting_elsewhere=Waiting(0, None), **values)
    maker = BoardMaker(INDEX, facts)
    return {each: maker.row(REGISTRY.by_id[each]) for each in INDEX.units}, facts, maker


def test_a_municipality_has_the_tokens_for_it_and_for_areas_below() -> None:
    """Those for areas above are shared: their use is a contact of all below, but none of these counts as heard from."""
    own, unit, country = (
        a_token(1, "a", last_contact_at=NOW - 9 * MINUTE),
        a_token(2, "a-1", "b-2", last_contact_at=NOW - 8 * MINUTE),
        a_token(3, "no", last_contact_at=NOW - MINUTE),
    )
    rows, _, maker = made(own, unit, country)
    assert (rows["a"].tokens, rows["b"].tokens, maker.shared) == ([own, unit], [unit], [country])
    assert [rows[each].last_contact_at for each in "ab"] == [NOW - MINUTE] * 2
    assert [rows[each].last_heard_at for each in "ab"] == [NOW - 8 * MINUTE] * 2
    rows, _, _ = made(country)
    assert rows["a"].expected
    assert rows["a"].last_heard_at is None


def test_refusals_belong_to_the_municipality_of_their_token() -> None:
    """Which counts as heard from; refusals without a token, or of shared tokens, belong to none."""
    refusals = [
        Refused("malformed", 3, NOW - MINUTE, 1),
        Refused("token_invalid", 9, NOW, None),
        Refused("unit_forbidden", 2, NOW, 3),
    ]
    rows, _, maker = made(a_token(1, "a"), a_token(3, "no"), refusals=refusals)
    assert (rows["a"].refusals, rows["a"].refused, rows["a"].last_heard_at) == (refusals[:1], 3, NOW - MINUTE)
    assert rows["b"].refusals == []
    assert maker.unattributed == refusals[1:]


def test_what_is_listed_is_bounded() -> None:
    """The others are counted."""
    tokens = [a_token(number, "a") for number in range(100)]
    refusals = [Refused(f"code_{number}", 2, NOW, number) for number in range(100)]
    rows, _, _ = made(*tokens, refusals=refusals)
    assert len(rows["a"].tokens) == len(rows["a"].refusals) == LISTED_MAX
    assert (rows["a"].tokens_total, rows["a"].refused) == (100, 200)
    assert len(msgspec.json.encode(rows["a"])) < 4096


@pytest.mark.parametrize(
    ("members", "heard_min", "silent"),
    [
        ({}, None, True),
        ({}, 31, True),
        ({}, 29, False),
        ({"read_at": END + 29 * MINUTE}, None, False),
        ({"read_at": END + 31 * MINUTE}, None, True),
        ({"read_at": END - MINUTE}, None, False),
        ({"read_at": END + timedelta(seconds=NIGHT_S + 1)}, None, False),
        ({"closed_at": NOW}, None, False),
        ({"received": {"a": received(*UNITS[:6], at=END)}}, None, False),
        ({"received": {"a": received(*UNITS[:5], at=NOW - 29 * MINUTE)}}, 60, False),
        ({"received": {"a": received(*UNITS[:5], at=NOW - 31 * MINUTE)}}, 60, True),
    ],
)
def test_a_municipality_is_silent_if_it_should_report_and_gives_no_sign(
    members: dict[str, Any], heard_min: int | None, silent: bool
) -> None:
    """For half an hour of the night: never before the embargo's end, when closed, or when every unit has reported."""
    at = None if heard_min is None else NOW - heard_min * MINUTE
    rows, facts, _ = made(a_token(1, "a", last_contact_at=at), **members)
    assert is_silent(rows["a"], facts, 1800.0) == silent
    assert not is_silent(rows["b"], facts, 1800.0)


def test_without_a_valid_token_nobody_is_expected() -> None:
    """One that has expired is listed all the same."""
    rows, _, _ = made(a_token(1, "a", expires_at=NOW - MINUTE))
    assert [rows[each].expected for each in "ab"] == [False, False]
    assert [token.token for token in rows["a"].tokens] == [1]
