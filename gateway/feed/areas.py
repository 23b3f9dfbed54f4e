"""Areas with their children as documents, put together from parts that are encoded once per change of an area."""

from gateway.election.registry import Area
from gateway.election.state import ElectionState
from gateway.feed.blocks import BlockMaker
from gateway.wire.areas import FORMATS, JSON, AreaFormat


class AreaPages:
    """The areas of one state in each format. Invariant: an area is encoded once per change and format."""

    def __init__(self, state: ElectionState, maker: BlockMaker) -> None:
        self._state = state
        self._maker = maker
        self._heads = {name: each.encode_head(state.registry) for name, each in FORMATS.items()}
        self._encoded: dict[tuple[str, int], tuple[int, bytes]] = {}
        """By format and area: the sequence of its last change, and the bytes."""

    def page(self, area: Area, form: AreaFormat) -> bytes:
        """Return an area and its children in a format."""
        indexes = (area.index, *area.children)
        areas = [self._area(form, index) for index in indexes]
        return form.join(self._state, self._heads[form.name], areas)

    def _area(self, form: AreaFormat, index: int) -> bytes:
        if form is JSON:
            return self._maker.document(index)  # encoded for the feed as well
        sequence = self._state.areas[index].sequence
        key = (form.name, index)
        encoded = self._encoded.get(key)
        if encoded is None or encoded[0] != sequence:
            encoded = self._encoded[key] = (sequence, form.encode_area(self._state, index))
        return encoded[1]
