"""Areas with their children as documents, put together from parts that are encoded once per change of an area."""

from collections.abc import Generator

from gateway.election.registry import Area
from gateway.election.state import ElectionState
from gateway.feed.blocks import BlockMaker
from gateway.wire.areas import FORMATS, JSON, AreaFormat

ENCODED_MAX = 64 << 20
"""Bytes of encoded areas that are kept for each election, beside those of the feed."""


class AreaPages:
    """The areas of one state in each format. Invariants:

    * An area is encoded once per change and format, while what is encoded fits into ENCODED_MAX.
    """

    def __init__(self, state: ElectionState, maker: BlockMaker) -> None:
        self._state = state
        self._maker = maker
        self._heads = {name: each.encode_head(state.registry) for name, each in FORMATS.items()}
        self._encoders = {name: each.encoder(state.registry) for name, each in FORMATS.items()}
        self._encoded: dict[tuple[str, int], tuple[int, bytes]] = {}
        """By format and area: the sequence of its last change, and the bytes."""
        self._size = 0

    def forget(self) -> None:
        """Drop everything that was encoded; it is encoded again when it is needed."""
        self._encoded.clear()
        self._size = 0

    def refresh(self, area: Area, form: AreaFormat, most: int) -> Generator[None, None, bool]:
        """Encode what has changed of an area and its children, area by area, so that `page` has little to do.

        Returns whether they have at most `most` bytes together; it stops when they have more.
        """
        size = 0
        for index in (area.index, *area.children):
            size += len(self._area(form, index))
            if size > most:
                return False
            yield
        return True

    def page(self, area: Area, form: AreaFormat) -> bytes:
        """Return an area and its children in a format."""
        indexes = (area.index, *area.children)
        areas = [self._area(form, index) for index in indexes]
        return form.join(self._state, area, self._heads[form.name], areas)

    def _area(self, form: AreaFormat, index: int) -> bytes:
        if form is JSON:
            return self._maker.document(index)  # encoded for the feed as well
        sequence = self._state.areas[index].sequence
        key = (form.name, index)
        encoded = self._encoded.get(key)
        if encoded is None or encoded[0] != sequence:
            made = self._encoders[form.name](self._state, index)
            self._size += len(made) - (len(encoded[1]) if encoded is not None else 0)
            if self._size > ENCODED_MAX:
                self._encoded.clear()
                self._size = len(made)
            encoded = self._encoded[key] = (sequence, made)
        return encoded[1]
