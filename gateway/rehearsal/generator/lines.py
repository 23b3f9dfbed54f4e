"""Lines of a stream kept as encoded JSON, and decoded one at a time: there may be a million."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import orjson


class Lines(Sequence[dict[str, Any]]):
    """Lines in order; as JSON they take a fifteenth of the memory of decoded objects."""

    def __init__(self, encoded: Iterable[bytes]) -> None:
        self._encoded = list(encoded)

    def __len__(self) -> int:
        return len(self._encoded)

    @overload
    def __getitem__(self, place: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, place: slice) -> "Lines": ...
    def __getitem__(self, place: int | slice) -> "dict[str, Any] | Lines":
        if isinstance(place, slice):
            return Lines(self._encoded[place])
        line: dict[str, Any] = orjson.loads(self._encoded[place])
        return line

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(orjson.loads, self._encoded)

    def encoded(self) -> Iterator[bytes]:
        """Return the lines as they are kept."""
        return iter(self._encoded)

    def chosen(self, places: Iterable[int]) -> "Lines":
        """Return the lines at some places, in the order of the places."""
        return Lines(self._encoded[place] for place in places)
