"""What a sender may read back on the push door: its own reports and transfers, embargoed ones too."""

from typing import Any

import orjson

from gateway.election.outcome import Receipt, outcome_document
from gateway.election.report import decode_stored, warnings_of
from gateway.journal.elections import Standing, Token
from gateway.journal.postgres import PostgresJournal
from gateway.web.answers import Problem
from gateway.wire.transfers import OwnTransfers, Transfer, to_document


async def report_document(
    journal: PostgresJournal, standing: Standing, token: Token, unit: str
) -> dict[str, Any]:
    """Return a unit's current report and its receipt. Raises Problem, JournalUnavailable.

    The receipt says durable, and the journal has made sure of that once more.
    """
    if unit not in token.scope:
        raise Problem(403, "unit_forbidden", "this token may not report for this unit")
    if unit not in standing.registry.units:
        raise Problem(404, "unknown_unit", "not a unit of this election")
    stored = await journal.current_report(standing.key, unit)
    if stored is None:
        raise Problem(404, "no_report", "no report of this unit is accepted yet")
    previous = decode_stored(stored.previous) if stored.previous is not None else None
    released_at = stored.released_at
    receipt = Receipt(
        unit=unit,
        revision=stored.revision,
        duplicate=False,
        sequence=stored.sequence if released_at is not None else None,
        digest=stored.digest,
        accepted_at=stored.accepted_at,
        published_at=max(stored.accepted_at, released_at) if released_at is not None else None,
        warnings=tuple(
            warnings_of(decode_stored(stored.body), previous, standing.registry.units[unit].eligible)
        ),
    )
    document = outcome_document(receipt, rehearsal=standing.registry.rehearsal)
    return {"report": orjson.Fragment(stored.body), "receipt": document}


async def transfers_document(journal: PostgresJournal, standing: Standing, token: Token) -> Any:
    """Return where the counts of the token's own municipalities are. Raises JournalUnavailable.

    What a feed has applied is not known here: `oldest_unpublished_s` and `lag_s` are null.
    """
    registry = standing.registry
    units = {unit: area for unit, area in registry.units.items() if unit in token.scope}
    released, rows = await journal.transfers(standing.key, units)
    contacts = await journal.contacts(standing.key)
    by_unit = {row.unit: row for row in rows}
    found: dict[str, list[str]] = {}
    for unit, area in units.items():
        found.setdefault(registry.municipality(area).id, []).append(unit)
    transfers = []
    for municipality, its_units in found.items():
        reported = [by_unit[unit] for unit in its_units if unit in by_unit]
        accepted = sum(row.accepted for row in reported)
        transfers.append(
            Transfer(
                municipality=municipality,
                name=registry.by_id[municipality].name,
                units=len(its_units),
                reported=len(reported),
                accepted=accepted,
                published=accepted if released else 0,
                embargoed=0 if released else accepted,
                oldest_unpublished_s=None,
                last_accepted_at=max((row.last_accepted_at for row in reported), default=None),
                last_contact_at=contacts.get(municipality),
                lag_s=None,
            )
        )
    return to_document(OwnTransfers(election=registry.id, rehearsal=registry.rehearsal, transfers=transfers))
