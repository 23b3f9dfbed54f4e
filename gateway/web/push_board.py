"""The board for operators as JSON, encoded once for all tokens that may see the same municipalities."""

from collections import OrderedDict

from gateway.election.local_time import local_time
from gateway.journal.board import BoardReader, BoardView
from gateway.journal.elections import Token
from gateway.journal.intake import OpenElection
from gateway.wire.board import Board, Unpublished, names_of
from gateway.wire.json import to_json
from gateway.wire.transfers import to_document

DOCUMENTS_MAX = 32
"""Cached documents, one per election and set of areas; that of a country has some 200 kB."""


class BoardDocuments:
    """Encodes boards. Invariant: at most DOCUMENTS_MAX are kept, each of the newest view of its election."""

    def __init__(self, reader: BoardReader, silent_after_s: float) -> None:
        self._reader = reader
        self._silent_after_s = silent_after_s
        self._kept: OrderedDict[tuple[int, frozenset[str]], tuple[BoardView, bytes]] = OrderedDict()

    async def read(self, election: OpenElection, token: Token) -> bytes:
        """Return the board of the token's own municipalities. Raises JournalUnavailable."""
        view = await self._reader.read(election.current)
        key = election.current.key, token.areas
        kept = self._kept.pop(key, None)
        if kept is None or kept[0] is not view:
            kept = view, to_json(to_document(self._board(view, election, token)))
        self._kept[key] = kept
        while len(self._kept) > DOCUMENTS_MAX:
            self._kept.popitem(last=False)
        return kept[1]

    def _board(self, view: BoardView, election: OpenElection, token: Token) -> Board:
        facts, registry, whole = view.facts, view.registry, token.scope.whole
        inside = None if whole else token.scope.municipalities()
        zone = registry.document["election"].get("timezone")
        return Board(
            election=registry.id,
            name=registry.name,
            names=names_of(registry.names),
            rehearsal=registry.rehearsal,
            read_at=facts.read_at,
            publish_from=local_time(registry, facts.publish_from),
            timezone=zone if isinstance(zone, str) else None,
            released_at=facts.released_at,
            closed_at=facts.closed_at,
            accepted=facts.accepted,
            unpublished=Unpublished(facts.unpublished, facts.oldest_unpublished_at),
            waiting=election.waiting() + facts.waiting_elsewhere,
            silent_after_s=self._silent_after_s,
            shared_tokens=list(view.shared_tokens) if whole else [],
            refusals=list(view.refusals) if whole else [],
            municipalities=[row for row in view.rows if inside is None or row.municipality in inside],
        )
