"""A reader of event streams, written from the standard alone (WHATWG HTML, "Interpreting an event stream")."""

import json
import re
from dataclasses import dataclass
from typing import Any


@dataclass
class Event:
    """One event. `id` is its own id, "" if it has none; a browser would keep the last one."""

    type: str
    data: str
    id: str

    @property
    def document(self) -> Any:
        return json.loads(self.data)


def events_of(stream: bytes) -> tuple[list[Event], list[int], bytes]:
    """Read a stream from its start: its events, its `retry` fields, and the bytes of an incomplete event."""
    events: list[Event] = []
    retries: list[int] = []
    fields: dict[str, list[str]] = {}
    whole, end, rest = stream.rpartition(b"\n\n")
    for line in re.split(r"\r\n|\r|\n", (whole + end).decode())[:-1]:
        if not line:
            if "data" in fields:
                kind, given = fields.get("event", ["message"])[-1], fields.get("id", [""])[-1]
                events.append(Event(kind, "\n".join(fields["data"]), given))
            fields = {}
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        fields.setdefault(name, []).append(value)
        if name == "retry" and re.fullmatch("[0-9]+", value):
            retries.append(int(value))
    return events, retries, rest
