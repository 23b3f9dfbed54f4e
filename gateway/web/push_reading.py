"""What a sender may read back on the push door: its own reports and transfers, including embargoed ones."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.election.local_time import local_time
from gateway.election.outcome import Receipt
from gateway.election.registry import Area
from gateway.election.report import decode_stored, warnings_of
from gateway.journal.elections import ElectionVersion, Token
from gateway.journal.postgres import CurrentReport, PostgresJournal
from gateway.web.answers import Problem
from gateway.wire.outcomes import outcome_document
from gateway.wire.transfers import OwnTransfers, Transfer, to_document


async def report_document(
    journal: PostgresJournal, version: ElectionVersion, token: Token, unit: str
) -> dict[str, Any]:
    """Return a unit's current report and its receipt. Raises Problem, JournalUnavailable.

    A receipt means that the report is durable, and the journal has verified that once more.
    """
    if unit not in token.scope:
        raise Problem.of_code("unit_forbidden", "this token may not report for this unit")
    if unit not in version.registry.units:
        raise Problem(404, "unknown_unit", "this election has no such unit")
    stored = await journal.current_report(version.key, unit)
    if stored is None:
        raise Problem(404, "no_report", "no report of this unit has been accepted yet")
    previous = decode_stored(stored.previous) if stored.previous is not None else None
    report = decode_stored(stored.body)
    warnings = tuple(warnings_of(report, previous, version.registry.units[unit].eligible))
    receipt = Receipt.of(
        report, stored.digest, stored.sequence, stored.accepted_at, stored.released_at, warnings
    )
    document = outcome_document(receipt, rehearsal=version.registry.rehearsal)
    return {"report": orjson.Fragment(stored.body), "receipt": document}


async def own_reports_document(
    journal: PostgresJournal, version: ElectionVersion, token: Token
) -> dict[str, Any]:
    """Return the token's own units, each with what the journal has of it. Raises JournalUnavailable."""
    registry = version.registry
    units = [area for area in registry.areas if area.is_unit and area.id in token.scope]
    stored = await journal.current_reports(version.key, [area.id for area in units])
    found = {each.unit: each for each in stored}
    header = registry.document["election"]
    names = {each["id"]: each["names"] for each in registry.document["areas"] if "names" in each}
    municipalities = {area.id: area for area in map(registry.municipality, units)}
    return {
        "election": {
            "id": registry.id,
            "name": registry.name,
            **({"names": header["names"]} if "names" in header else {}),
            "timezone": header.get("timezone"),
        },
        "rehearsal": registry.rehearsal,
        "role": token.role,
        "categories": list(registry.categories),
        "publish_from": header["publish_from"],
        "released": version.released,
        "closed": version.closed,
        "municipalities": [_named(area, names) for area in municipalities.values()],
        "units": [
            _named(area, names) | _own_unit(registry.municipality(area), area, found.get(area.id))
            for area in units
        ],
    }


def _named(area: Area, names: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": area.id, "name": area.name, **({"names": names[area.id]} if area.id in names else {})}


def _own_unit(municipality: Area, area: Area, current: CurrentReport | None) -> dict[str, Any]:
    report = decode_stored(current.body) if current is not None else None
    return {
        "municipality": municipality.id,
        "eligible": area.eligible,
        "revision": report.revision if report is not None else None,
        "status": report.status if report is not None else None,
        "counted_at": report.counted_at if report is not None else None,
        "ballots": report.ballots if report is not None else None,
        "accepted_at": current.accepted_at if current is not None else None,
        "state": _state(current),
    }


def _state(current: CurrentReport | None) -> str | None:
    if current is None:
        return None
    return "embargoed" if current.released_at is None else "published"


async def transfers_document(journal: PostgresJournal, version: ElectionVersion, token: Token) -> Any:
    """Return where the counts of the token's own municipalities are. Raises JournalUnavailable.

    What a feed has applied is not known here, so `oldest_unpublished_s` and `lag_s` are null.
    """
    registry = version.registry
    units = {unit: area for unit, area in registry.units.items() if unit in token.scope}
    hidden_until, rows = await journal.transfers(version.key, units)
    contacts = await journal.contacts(version.key)
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
                published=0 if hidden_until is not None else accepted,
                embargoed=accepted if hidden_until is not None else 0,
                oldest_unpublished_s=None,
                last_accepted_at=max((row.last_accepted_at for row in reported), default=None),
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
        )
    )
