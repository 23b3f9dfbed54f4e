"""`GET …/reports`: the token's own units, each with its newest report, also under embargo."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.election.registry import Area
from gateway.election.report import decode_stored
from gateway.journal.elections import ElectionVersion, Token
from gateway.journal.postgres import PostgresJournal, StoredReport
from gateway.web.push_body import Steps
from gateway.web.turns import SLICE_S, Turns
from gateway.wire.json import to_json

_STEP = 20
"""Units in one step, in some tenths of a millisecond."""


async def own_reports(
    journal: PostgresJournal, version: ElectionVersion, token: Token, turns: Turns
) -> bytes:
    """Return the document as JSON, made in the sender's turns. Raises JournalUnavailable.

    Every report in it is durable: the journal has verified that once more.
    """
    units = [area for area in version.registry.units.values() if area.id in token.scope]
    stored = await journal.newest_reports(version.key, [area.id for area in units])
    async with turns.work(token.key, SLICE_S) as work:
        return await work.run(encode(version, token.role, units, {each.unit: each for each in stored}))


def encode(
    version: ElectionVersion, role: str, units: list[Area], stored: Mapping[str, StoredReport]
) -> Steps[bytes]:
    """Return the document of some units, with their newest reports."""
    registry = version.registry
    municipalities: dict[str, Area] = {}
    encoded: list[orjson.Fragment] = []
    for place, area in enumerate(units):
        municipality = registry.municipality(area)
        municipalities[municipality.id] = municipality
        encoded.append(orjson.Fragment(to_json(_unit(area, municipality, stored.get(area.id)))))
        if not place % _STEP:
            yield
    header = registry.document["election"]
    return to_json(
        {
            "election": {
                **_named(registry.id, registry.name, registry.names),
                "timezone": header.get("timezone"),
            },
            "rehearsal": registry.rehearsal,
            "role": role,
            "categories": list(registry.categories),
            "publish_from": header["publish_from"],
            "released": version.released,
            "closed": version.closed,
            "municipalities": [_named(each.id, each.name, each.names) for each in municipalities.values()],
            "units": encoded,
        }
    )


def _unit(area: Area, municipality: Area, newest: StoredReport | None) -> dict[str, Any]:
    report = decode_stored(newest.body) if newest is not None else None
    return {
        **_named(area.id, area.name, area.names),
        "municipality": municipality.id,
        "eligible": area.eligible,
        "revision": report.revision if report is not None else None,
        "status": report.status if report is not None else None,
        "counted_at": report.counted_at if report is not None else None,
        "ballots": report.ballots if report is not None else None,
        "accepted_at": newest.accepted_at if newest is not None else None,
        "state": newest.state if newest is not None else None,
        "current_revision": newest.current_revision if newest is not None else None,
    }


def _named(identifier: str, name: str, names: Mapping[str, str]) -> dict[str, Any]:
    return {"id": identifier, "name": name, **({"names": dict(names)} if names else {})}
