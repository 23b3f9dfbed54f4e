"""PURE: parse the bytes of an event stream into events.

Source: WHATWG HTML, "Interpreting an event stream"; a lone `\\r` as a line end is not
supported, as the gateway never sends it.
"""

from typing import NamedTuple

EVENT_MAX = 4 << 20
"""Largest event and largest line, in bytes; that of a country with all its parties has some 10 kB."""


class Event(NamedTuple):
    """One event; `id` is the last id on the stream so far, or "" before the first."""

    type: str
    data: bytes
    id: str


class EventParser:
    """Parses a stream in pieces of any size; an incomplete event at its end is discarded.

    `retry_ms` is the last reconnection time on the stream, in milliseconds.
    """

    def __init__(self) -> None:
        self.retry_ms: int | None = None
        self._rest = b""
        self._type = ""
        self._data: list[bytes] = []
        self._size = 0  # of the data
        self._id = ""

    def feed(self, piece: bytes) -> list[Event]:
        """Parse the next bytes and return the events that they complete.

        Raises ValueError if an event is larger than EVENT_MAX.
        """
        lines = (self._rest + piece).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > EVENT_MAX:
            raise ValueError(f"a line of more than {EVENT_MAX} bytes")
        events: list[Event] = []
        for line in lines:
            self._line(line.removesuffix(b"\r"), events)
        return events

    def _line(self, line: bytes, events: list[Event]) -> None:
        if not line:
            if self._data:
                events.append(Event(self._type or "message", b"\n".join(self._data), self._id))
            self._type, self._data, self._size = "", [], 0
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"data":
                self._size += len(value) + 1
                if self._size > EVENT_MAX:
                    raise ValueError(f"an event of more than {EVENT_MAX} bytes")
                self._data.append(value)
            case b"event":
                self._type = value.decode("utf-8", "replace")
            case b"id" if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
            case b"retry" if value.isdigit():
                self.retry_ms = int(value)
