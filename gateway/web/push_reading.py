"""What a sender may read back on the push door: its own reports and transfers, embargoed ones too."""

from datetime import datetime
from typing import Any

import orjson

from gateway.election.outcome import Receipt, outcome_document
from gateway.election.report import decode_stored, warnings_of
from gateway.journal.elections import Standing, Token
from gateway.journal.postgres import PostgresJournal
from gateway.web.answers import Problem


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


async def transfers_document(journal: PostgresJournal, standing: Standing, token: Token) -> dict[str, Any]:
    """Return where the counts of the token's own municipalities are. Raises JournalUnavailable.

    What a feed has applied is not known here: `oldest_unpublished_s` and `lag_s` are null.
    """
    registry = standing.registry
    units = {unit: area for unit, area in registry.units.items() if unit in token.scope}
    released, rows = await journal.transfers(standing.key, units)
    contacts = await journal.contacts(standing.key)
    by_unit = {row.unit: row for row in rows}
    found: dict[str, dict[str, Any]] = {}
    for unit, area in units.items():
        municipality = registry.municipality(area)
        entry = found.get(municipality.id)
        if entry is None:
            entry = found[municipality.id] = _nothing(
                municipality.id, municipality.name, contacts.get(municipality.id)
            )
        entry["units"] += 1
        if row := by_unit.get(unit):
            entry["reported"] += 1
            entry["accepted"] += row.accepted
            entry["published" if released else "embargoed"] += row.accepted
            last = entry["last_accepted_at"]
            entry["last_accepted_at"] = (
                max(last, row.last_accepted_at) if last is not None else row.last_accepted_at
            )
    return {"election": registry.id, "rehearsal": registry.rehearsal, "transfers": list(found.values())}


def _nothing(municipality: str, name: str, last_contact_at: datetime | None) -> dict[str, Any]:
    return {
        "municipality": municipality,
        "name": name,
        "units": 0,
        "reported": 0,
        "accepted": 0,
        "published": 0,
        "embargoed": 0,
        "oldest_unpublished_s": None,
        "last_accepted_at": None,
        "last_contact_at": last_contact_at,
        "lag_s": None,
    }
