"""Holds made directly in the journal, with the functions that push processes call."""

import hashlib
import json
from datetime import UTC, datetime

from gateway.election.validation import ValidReport
from gateway.journal.session import Connection

RULE = "duplicate_elsewhere"


async def hold(owner: Connection, election: int, *reports: ValidReport, rule: str | None = RULE) -> None:
    """Append reports that a rule holds, or if `rule` is None, that are placed."""
    rules = None if rule is None else json.dumps([{"code": rule, "do": "hold", "evidence": None}])
    codes = None if rule is None else json.dumps([rule])
    count = len(reports)
    await owner.fetchrow(
        "SELECT * FROM valgnatt.append_v4($1, (SELECT h.version FROM valgnatt.head h WHERE h.election = $1), NULL,"
        " NULL, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, false, false)",
        election,
        [each.report.unit for each in reports],
        [each.report.revision for each in reports],
        [each.digest for each in reports],
        [each.body for each in reports],
        [datetime.now(UTC)] * count,
        [1] * count,
        [rules] * count,
        [codes] * count,
        [None] * count,
        [hashlib.sha256(each.body).digest() for each in reports],
    )


async def decide(owner: Connection, election: int, *reports: ValidReport, release: bool) -> None:
    """Release or reject held reports."""
    row = await owner.fetchrow(
        "SELECT * FROM valgnatt.decide_v1($1, (SELECT h.version FROM valgnatt.head h WHERE h.election = $1), $2, $3,"
        " $4, $5, $6, 'A note.', 1, false)",
        election,
        release,
        [each.report.unit for each in reports],
        [each.report.revision for each in reports],
        [each.digest for each in reports],
        "confirmed" if release else "duplicate",
    )
    assert row is not None
    assert set(row["codes"]) == {None}
