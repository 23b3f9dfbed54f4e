"""A reader of event streams, made from the standard alone (WHATWG HTML, "Interpreting an event stream")."""

import json
import re
from dataclasses import dataclass
from typing import Any


@dataclass
class Event:
    """One event as a browser would give it."""

    type: str
    data: str
    id: str

    @property
    def document(self) -> Any:
        return json.loads(self.data)


def events_of(stream: bytes) -> tuple[list[Event], list[int], bytes]:
    """Read a stream from its start: its events, its `retry` fields, and the bytes of what is not whole yet."""
    events: list[Event] = []
    retries: list[int] = []
    last_id = ""
    fields: dict[str, list[str]] = {}
    whole, end, rest = stream.rpartition(b"\n\n")
    for line in re.split(r"\r\n|\r|\n", (whole + end).decode())[:-1]:
        if not line:
            if "data" in fields:
                events.append(Event(fields.get("event", ["message"])[-1], "\n".join(fields["data"]), last_id))
            fields = {}
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        fields.setdefault(name, []).append(value)
        if name == "id" and "\0" not in value:
            last_id = value
        if name == "retry" and re.fullmatch("[0-9]+", value):
            retries.append(int(value))
    return events, retries, rest
