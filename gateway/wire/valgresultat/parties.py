"""The rows of parties: every party on the ballot, blank ballots, and the sums `Andre` and `Andre2`."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from gateway.election.registry import Party, Registry
from gateway.wire.valgresultat.figures import NONE, Figures, Votes, added, shares
from gateway.wire.valgresultat.mandates import RowSeats

LARGE, SMALL, LOCAL, SUMS = 1, 2, 3, 0
"""Categories of parties in the service: in parliament, in several districts, in one; and of rows that are sums."""
BLANK = "BLANKE"


class _Row(NamedTuple):
    category: int
    code: str
    name: str

    def document(
        self, figures: dict[str, Any], votes: Votes, mandates: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Return the row with its figures; without the member `mandater` if `mandates` is None."""
        row: dict[str, Any] = {
            "id": {"partikategori": self.category, "partikode": self.code, "navn": self.name},
            "stemmer": {"resultat": {**figures, "antall": votes.document()}},
        }
        if mandates is not None:
            row["mandater"] = {"resultat": mandates}
        return row


_BLANK = _Row(LOCAL, BLANK, "Blanke")
_OTHERS = _Row(SUMS, "Andre", "Andre")
_OTHERS_2 = _Row(SUMS, "Andre2", "Andre2")
_NO_CHANGE = {"endring": {"samme": None}}
"""A change needs another election."""


class PartyRows:
    """The rows of one election, in order: by category, then as in the registry."""

    def __init__(self, registry: Registry) -> None:
        entries = {entry["code"]: entry for entry in registry.document["parties"]}
        rows = [_row(party, entries[party.code]) for party in registry.parties]
        self._parties = sorted(rows, key=lambda row: row.category)

    def documents(
        self, figures: Figures, ballot: frozenset[str], seats: RowSeats | None, *, unit: bool
    ) -> list[dict[str, Any]]:
        """Return the rows of an area with this ballot; without the member `mandater` if `seats` is None."""
        valid = figures.valid

        def row(shown: _Row, votes: Votes, *parties: str) -> dict[str, Any]:
            shared = {**shares(votes, valid, unit=unit), **_NO_CHANGE}
            return shown.document(shared, votes, seats and seats(parties))

        def of_party(party: _Row) -> dict[str, Any]:
            return row(party, figures.votes.get(party.code, NONE), party.code)

        present = [each for each in self._parties if each.code in ballot]
        others = [each.code for each in present if each.category != LARGE]
        return [
            *(of_party(each) for each in present if each.category != LOCAL),
            _BLANK.document({}, figures.blank, seats and seats(())),
            *(of_party(each) for each in present if each.category == LOCAL),
            row(_OTHERS, added(figures.votes.get(code, NONE) for code in others), *others),
            row(_OTHERS_2, NONE),
        ]


def _row(party: Party, entry: Mapping[str, Any]) -> _Row:
    category = entry.get("category")
    known = category if isinstance(category, int) and category in (LARGE, SMALL, LOCAL) else LARGE
    return _Row(int(known), party.code, party.name)
