"""Areas with their children as documents and tables, put together from what was written once a change of each area."""

from gateway.election.registry import Area
from gateway.election.state import ElectionState
from gateway.feed.blocks import BlockMaker
from gateway.wire.events import csv_head, csv_line, to_json


class AreaPages:
    """The areas of one state. Invariant: an area is written as a line of a table once a change, whoever asks."""

    def __init__(self, state: ElectionState, maker: BlockMaker) -> None:
        self._state = state
        self._maker = maker
        self._head = csv_head(state.registry)
        self._lines: dict[int, tuple[int, bytes]] = {}

    def document(self, area: Area) -> bytes:
        """Return an area as in the feed, the place of the record, and the area's children, as JSON."""
        state = self._state
        more = {
            "rehearsal": state.registry.rehearsal,
            "record": {
                "sequence": state.sequence,
                "chain": state.chain.hex(),
                "published_at": state.published_at,
            },
        }
        children = b",".join(map(self._maker.document, area.children))
        own = self._maker.document(area.index)
        return own[:-1] + b"," + to_json(more)[1:-1] + b',"children":[' + children + b"]}"

    def table(self, area: Area) -> bytes:
        """Return an area and its children as CSV."""
        return self._head + b"".join(map(self._line, (area.index, *area.children)))

    def _line(self, index: int) -> bytes:
        sequence = self._state.areas[index].sequence
        held = self._lines.get(index)
        if held is None or held[0] != sequence:
            held = self._lines[index] = (sequence, csv_line(self._state, index))
        return held[1]
