"""The list of elections, the registry of an election, and the document of the previous one."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from gateway.mirror.door import FeedDoor
from gateway.mirror.door_files import DoorPart
from gateway.mirror.files import JSON
from gateway.mirror.parts import ChangedFiles, Shown, understood
from gateway.mirror.state import View
from gateway.mirror.target import Target
from gateway.verification.copies import REGISTRY_MAX
from gateway.wire.json import to_json
from gateway.wire.mirror import ELECTIONS, election_path

LIST_EVERY_PASSES, REGISTRY_EVERY_PASSES = 3, 6
"""If only the position in the record has changed, the list and the file with the registry are written in every so many
passes; anything else, such as the end of the embargo, is written at once."""


KNOWN_S = 30.0
"""For how many seconds the list waits until all elections are known; one that fails does not keep back the others."""
LIST_MAX = 16 << 20
"""Bytes of an earlier list that are read."""


class Closing(NamedTuple):
    """That an election is closed, and the position of its record when the feed door said so."""

    closed_at: datetime
    sequence: int
    chain: str


class ElectionList:
    """`elections.json`, which the elections of one mirror share. It is written once all of them are known.

    If that takes longer than KNOWN_S, those that are not known keep the entry of the earlier list. So after a restart,
    no election is missing in it for a while.
    """

    def __init__(
        self,
        elections: Sequence[str],
        target: Target,
        every_s: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`elections` are in the order of the list."""
        self._entries: dict[str, Mapping[str, Any] | None] = dict.fromkeys(elections)
        self._target = target
        self._clock = clock
        self._since_s: float | None = None
        """When the first entry became known."""
        self._files = ChangedFiles(target, every_s)

    def add(self, election: str) -> None:
        """Add an election at the end, unless it is in the list already."""
        self._entries.setdefault(election, None)

    def drop(self, election: str) -> None:
        """Wait no longer for the entry of an election that cannot be mirrored; it is added again by `update`."""
        if self._entries.get(election, ()) is None:
            del self._entries[election]

    async def update(self, election: str, entry: Mapping[str, Any]) -> None:
        """Replace the entry of an election, and write the list. Raises TargetUnavailable."""
        self._entries[election] = entry
        if self._since_s is None:
            self._since_s = self._clock()
        if None not in self._entries.values() or self._clock() - self._since_s >= KNOWN_S:
            await self.write()

    async def write(self) -> None:
        """Write the list as it is. Raises TargetUnavailable."""
        entries = dict(self._entries)
        if None in entries.values():
            earlier = await self._earlier()
            entries = {election: entry or earlier.get(election) for election, entry in entries.items()}
        body = to_json({"elections": [entry for entry in entries.values() if entry is not None]})
        await self._files.write((ELECTIONS, body, JSON))

    async def _earlier(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the entries of the list that the target has, by election."""
        content = await self._target.read(ELECTIONS, LIST_MAX)
        try:
            return {each["id"]: each for each in orjson.loads(content or b"{}")["elections"]}
        except (ValueError, LookupError, TypeError):
            return {}


class ElectionFiles(DoorPart):
    """The entry in `elections.json`, `{election}.json` and `previous.json`.

    All are as the feed door shows them, at the sequence and with the chain of the newest `live.json`.
    """

    name = "elections"

    def __init__(
        self,
        elections: ElectionList,
        door: FeedDoor,
        election: str,
        target: Target,
        every_s: int,
        pace_s: float,
        shown: int,
    ) -> None:
        super().__init__(door, election, target, every_s, pace_s, shown)
        self.asks_s = pace_s
        self._target = target
        self._elections = elections
        self._election = election
        self._registry = b""
        self._header: Mapping[str, Any] = {}
        """The entry without the position in the record, as it was written last."""
        self._passes = 0
        self.closing: Closing | None = None
        """The closing of the election, once two passes have found it at the same position of the record."""
        self._closing: Closing | None = None
        """The same as the last pass found it."""

    async def write(self, shown: Shown) -> None:
        """Write what has changed. Raises what `Part.write` raises."""
        found = await self._door.entry()
        view = shown.view()
        entry = at_view(found, view)
        header = {name: value for name, value in entry.items() if name not in ("sequence", "chain")}
        is_other = header != self._header
        if is_other:
            await self._read(header)
        if is_other or self._passes % REGISTRY_EVERY_PASSES == 0:
            body = to_json(entry)[:-1] + b',"registry":' + self._registry + b"}"
            await self._files.write((f"{election_path(self._election)}.json", body, JSON))
            self.shown = view.sequence
        if is_other or self._passes % LIST_EVERY_PASSES == 0:
            await self._elections.update(self._election, entry)
        before, self._closing = self._closing, closing_of(found)
        self.closing = self._closing if self._closing == before else None
        self._header = header
        self._passes = 1 if is_other else self._passes + 1

    async def _read(self, header: Mapping[str, Any]) -> None:
        """Read what does not change while the record grows, and write the previous election, if there is one."""
        self._registry = await self._door.registry()
        if header.get("previous") is not None:
            body = await self._door.document("/previous", REGISTRY_MAX)
            await self._files.write((f"{self._directory}/previous.json", body, JSON))
        else:  # it was there before the election was loaded again
            await self._target.delete([f"{self._directory}/previous.json"])


def closing_of(entry: Mapping[str, Any]) -> Closing | None:
    """Return the closing of an election by its entry in the list; None if it is open. Raises DoorDiffers."""
    if entry.get("closed_at") is None:
        return None
    with understood("the list of elections"):
        return Closing(
            datetime.fromisoformat(entry["closed_at"]), int(entry["sequence"]), str(entry["chain"])
        )


def at_view(entry: Mapping[str, Any], view: View) -> dict[str, Any]:
    """Return the entry of an election in the list with the position of a view."""
    return {**entry, "sequence": view.sequence, "chain": view.chain}
