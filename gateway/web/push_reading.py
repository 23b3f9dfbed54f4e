"""What a sender may read back on the push door: its own reports and transfers, including embargoed ones."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson

from gateway.election.local_time import local_time
from gateway.election.outcome import Receipt
from gateway.election.report import all_warnings, decode_stored, warnings_of
from gateway.journal.elections import ElectionVersion, Token
from gateway.journal.postgres import PostgresJournal
from gateway.web.answers import Problem
from gateway.wire.outcomes import outcome_document
from gateway.wire.transfers import OwnTransfers, Transfer, age_of_oldest, to_document


async def report_document(
    journal: PostgresJournal, version: ElectionVersion, token: Token, unit: str
) -> dict[str, Any]:
    """Return a unit's newest revision, its receipt, and which is current. Raises Problem, JournalUnavailable.

    A receipt means that the report is durable, and the journal has verified that once more.
    """
    if unit not in token.scope:
        raise Problem.of_code("unit_forbidden", "this token may not report for this unit")
    if unit not in version.registry.units:
        raise Problem(404, "unknown_unit", "this election has no such unit")
    stored = await journal.newest_report(version.key, unit)
    if stored is None:
        raise Problem(404, "no_report", "no report of this unit has been accepted yet")
    previous = decode_stored(stored.previous) if stored.previous is not None else None
    report = decode_stored(stored.body)
    warnings = warnings_of(report, previous, version.registry.units[unit].eligible)
    receipt = Receipt.of(
        report,
        stored.digest,
        stored.sequence,
        stored.accepted_at,
        stored.released_at,
        all_warnings(warnings, stored.warnings),
        hold=stored.hold,
    )
    document = outcome_document(receipt, rehearsal=version.registry.rehearsal)
    current = stored.current if stored.current_revision != stored.revision else None
    return {
        "report": orjson.Fragment(stored.body),
        "receipt": document,
        "current_revision": stored.current_revision,
        "current_report": orjson.Fragment(current) if current is not None else None,
    }


async def transfers_document(
    journal: PostgresJournal, version: ElectionVersion, token: Token, now: Callable[[], datetime]
) -> Any:
    """Return where the counts of the token's own municipalities are. Raises JournalUnavailable.

    What a feed has applied is not known here, so `oldest_unpublished_s` and `lag_s` are null.
    """
    registry = version.registry
    units = {unit: area for unit, area in registry.units.items() if unit in token.scope}
    hidden_until, rows = await journal.transfers(version.key, units)
    contacts = await journal.contacts(version.key)
    by_unit = {row.unit: row for row in rows}
    read_at = now()
    found: dict[str, list[str]] = {}
    for unit, area in units.items():
        found.setdefault(registry.municipality(area).id, []).append(unit)
    transfers = []
    for municipality, its_units in found.items():
        rows_here = [by_unit[unit] for unit in its_units if unit in by_unit]
        accepted = sum(row.accepted for row in rows_here)
        held = [row.held_since for row in rows_here if row.held_since is not None]
        transfers.append(
            Transfer(
                municipality=municipality,
                name=registry.by_id[municipality].name,
                units=len(its_units),
                reported=sum(row.accepted > 0 for row in rows_here),
                accepted=accepted,
                published=0 if hidden_until is not None else accepted,
                embargoed=accepted if hidden_until is not None else 0,
                held=len(held),
                oldest_held_s=age_of_oldest(held, read_at),
                oldest_unpublished_s=None,
                last_accepted_at=max(
                    (row.last_accepted_at for row in rows_here if row.last_accepted_at is not None),
                    default=None,
                ),
                last_contact_at=contacts.get(municipality),
                lag_s=None,
            )
        )
    return to_document(
        OwnTransfers(
            election=registry.id,
            rehearsal=registry.rehearsal,
            transfers=transfers,
            hidden_until=local_time(registry, hidden_until) if hidden_until is not None else None,
            areas=sorted(token.areas),
        )
    )
