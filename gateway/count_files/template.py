"""PURE: an empty table of an election, to fill in with a spreadsheet."""

import csv
from collections.abc import Sequence
from io import StringIO

from gateway.count_files.columns import COLUMNS
from gateway.election.registry import Registry

_BYTE_ORDER_MARK = "\ufeff"
"""At the start of a table, so that spreadsheets do not take UTF-8 for another encoding."""


def template(registry: Registry, areas: Sequence[str]) -> str:
    """Return an empty table of all units at or below some areas: a row per category, a column per party.

    It starts with a byte order mark.
    """
    wanted = frozenset().union(*(registry.below(registry.by_id[area]) for area in areas))
    units = [area for area in registry.areas if area.is_unit and area.index in wanted]
    ballot = {party for unit in units for party in unit.ballot}
    parties = [party.code for party in registry.parties if party.code in ballot]
    written = StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow([*COLUMNS, *parties])
    for unit in units:
        for category in registry.categories:
            table.writerow([unit.id, "", "", "", "", category])
    return _BYTE_ORDER_MARK + written.getvalue()
