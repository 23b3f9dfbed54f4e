"""Rows that Postgres copies are decoded to what it was given."""

from datetime import UTC, datetime
from io import BytesIO

import pytest

from gateway.election.record import Publication
from gateway.journal.record_copy import publications
from gateway.journal.session import Connection

TIMES = (
    datetime(2025, 9, 8, 19, 0, 0, 1, tzinfo=UTC),
    datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2000, 1, 1, tzinfo=UTC),
    datetime(9998, 1, 1, tzinfo=UTC),
)


def _literal(value: object) -> str:
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'::bytea"
    if isinstance(value, list):
        return f"ARRAY[{','.join(map(_literal, value))}]::text[]"
    if isinstance(value, datetime):
        return f"'{value.isoformat()}'::timestamptz"
    return "NULL" if value is None else f"'{value}'::text" if isinstance(value, str) else str(value)


async def _copied(connection: Connection, rows: list[Publication]) -> bytes:
    selects = [
        f"SELECT {each.sequence}::bigint, {_literal(each.published_at)}, {_literal(each.received_at)},"
        f" {_literal(each.accepted_at)}, {each.revision}, {_literal(each.digest)}, {_literal(each.chain)},"
        f" {_literal(each.unit)}, {_literal(each.body)}, {_literal(each.held_since)}::timestamptz,"
        f" {_literal(each.held_rules)}::text[]"
        for each in rows
    ]
    found = BytesIO()
    await connection.copy_from_query(" UNION ALL ".join(selects), output=found, format="binary")
    return found.getvalue()


def _publication(sequence: int, time: datetime, **members: object) -> Publication:
    values: dict[str, object] = {
        "sequence": sequence,
        "published_at": time,
        "unit": "a-1",
        "revision": 2_147_483_647,
        "digest": bytes(range(32)),
        "chain": bytes(range(32, 64)),
        "body": b"{}",
        "received_at": time,
        "accepted_at": time,
    }
    return Publication(**values | members)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_publications_are_those_that_were_copied(owner: Connection, count: int) -> None:
    rows = [_publication(number, TIMES[number % 4], body=b"x" * number) for number in range(1, count + 1)]
    copied = await _copied(owner, rows or [_publication(1, TIMES[0])])
    if not rows:
        copied = copied[:19] + copied[-2:]
    assert publications(copied) == rows


async def test_times_that_follow_one_another_may_be_equal_or_not(owner: Connection) -> None:
    rows = [
        _publication(number, published, received_at=received, accepted_at=accepted)
        for number, (published, received, accepted) in enumerate(
            ((a, b, c) for a in TIMES for b in TIMES for c in TIMES), 1
        )
    ]
    assert publications(await _copied(owner, rows)) == rows


@pytest.mark.parametrize("rules", [None, [], ["fell"], ["fell", "odd_time", "æøå"]])
@pytest.mark.parametrize("since", [None, TIMES[1]])
async def test_a_row_says_since_when_and_why_a_report_was_held(
    owner: Connection, rules: list[str] | None, since: datetime | None
) -> None:
    rows = [
        _publication(1, TIMES[0], held_since=since, held_rules=rules),
        _publication(2, TIMES[0], unit="Ørland-1"),
        _publication(3, TIMES[1], held_since=since, held_rules=rules),
    ]
    assert publications(await _copied(owner, rows)) == rows
