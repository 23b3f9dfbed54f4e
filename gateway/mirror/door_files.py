"""Files whose content the stream does not have: fetched from the feed door, and written once `live.json` has caught up.

A part asks for a document only when it may have changed, and writes only what differs from what it wrote before.
"""

import csv
from collections.abc import Mapping
from io import StringIO

import msgspec
import orjson

from gateway.election.hold_list import BEGINNING, next_hold_chain
from gateway.election.record import CHAIN_START
from gateway.mirror.area_files import CSV_TYPE
from gateway.mirror.door import FeedDoor
from gateway.mirror.files import JSON, NDJSON
from gateway.mirror.parts import ChangedFiles, DoorDiffers, Part, Shown, understood
from gateway.mirror.state import View
from gateway.mirror.target import Target
from gateway.wire.corrections import csv_of
from gateway.wire.mirror import election_path

ATTEMPTS = 5
"""How often two documents of one moment are asked for, while the night goes on in between."""
HOLDS_PAGE = 1000
HOLDS_MAX = 64 << 20
"""Bytes of the list of holds; a line has some 250."""
_CHAIN = b'{"chain":"'
_CHAIN_END = len(_CHAIN) + 64


class DoorPart(Part):
    """A part that fetches documents from the feed door."""

    def __init__(
        self, door: FeedDoor, election: str, target: Target, every_s: int, pace_s: float, shown: int
    ) -> None:
        super().__init__(shown)
        self.pace_s = pace_s
        self._door = door
        self._directory = election_path(election)
        self._files = ChangedFiles(target, every_s)


class SeatFiles(DoorPart):
    """`seats.json` and `seats.csv`, both as of one sequence."""

    name = "seats"

    async def write(self, shown: Shown) -> None:
        """Write both files. Raises what `Part.write` raises."""
        sequence, body, table = await self._fetch(shown.view().sequence)
        await shown.wait_reached(sequence)
        path = f"{self._directory}/seats"
        await self._files.write((f"{path}.json", body, JSON), (f"{path}.csv", table, CSV_TYPE))
        self.shown = sequence

    async def _fetch(self, at_least: int) -> tuple[int, bytes, bytes]:
        """Return both documents of one sequence. The row of the whole election changes with every publication."""
        for _ in range(ATTEMPTS):
            body, document = await self._door.json(f"/seats?at_least={at_least}")
            table = await self._door.document(f"/seats?format=csv&at_least={at_least}")
            record = document.get("record")
            sequence = _sequence_of(record if isinstance(record, dict) else {}, "seats", at_least)
            if _first_sequence(table) == sequence:
                return sequence, body, table
        raise DoorDiffers("the seats as JSON and as CSV remain of different sequences")


def _sequence_of(document: Mapping[str, object], what: str, at_least: int) -> int:
    """Return the sequence in a document. Raises DoorDiffers if it has none, or an earlier one."""
    sequence = document.get("sequence")
    if not isinstance(sequence, int) or sequence < at_least:
        raise DoorDiffers(f"the feed door shows {what} as of {sequence!r}, and the stream had {at_least}")
    return sequence


def _first_sequence(table: bytes) -> int:
    """Return the sequence in the first row of a table."""
    with understood("the table of seats"):
        row = next(csv.DictReader(StringIO(table.decode())), {})
        return int(row["sequence"])


class CorrectionFiles(DoorPart):
    """`corrections.json`, and `corrections.csv`, which is made from it."""

    name = "corrections"
    asks_s = 120.0
    _sequence = 0
    """That of the document that was written last."""

    async def write(self, shown: Shown) -> None:
        """Write both files. Raises what `Part.write` raises.

        The sequence of the document is that of the last correction, so how many there are shows whether it is new.
        """
        view = shown.view()
        body, document = await self._door.json("/corrections")
        sequence = _sequence_of(document, "corrections", self._sequence)
        found, known = _count(document, "total") + _count(document, "before_release"), _corrections_of(view)
        if found < known:
            raise DoorDiffers(f"the feed door shows {found} corrections, and the stream had {known}")
        with understood("the list of corrections"):
            table = csv_of(document)
        await shown.wait_reached(sequence)
        path = f"{self._directory}/corrections"
        await self._files.write((f"{path}.json", body, JSON), (f"{path}.csv", table, CSV_TYPE))
        self._sequence = sequence
        self.shown = view.sequence


def _count(document: Mapping[str, object], name: str) -> int:
    number = document.get(name)
    return number if isinstance(number, int) else 0


def _corrections_of(view: View) -> int:
    """Return the number of corrections in the root's document."""
    root = next(iter(view.areas.values()))
    return _count(orjson.loads(root.raw), "corrections")


class TransferFile(DoorPart):
    """`transfers.json`. It may change at any time; without a change but of its time, it is not written again."""

    name = "transfers"
    _content: object = None

    def __init__(
        self, door: FeedDoor, election: str, target: Target, every_s: int, pace_s: float, shown: int
    ) -> None:
        super().__init__(door, election, target, every_s, pace_s, shown)
        self.asks_s = pace_s

    async def write(self, shown: Shown) -> None:
        """Write the file. Raises what `Part.write` raises."""
        body, document = await self._door.json("/transfers")
        sequence = _sequence_of(document, "transfers", shown.view().sequence)
        content = {name: value for name, value in document.items() if name != "server_time"}
        await shown.wait_reached(sequence)
        if content != self._content:
            await self._files.write((f"{self._directory}/transfers.json", body, JSON))
            self._content = content
        self.shown = sequence


class _Hold(msgspec.Struct):
    unit: str
    state: str


_hold = msgspec.json.Decoder(_Hold)


class HoldFile(DoorPart):
    """`holds.ndjson`: the list of holds, up to the line that `live.json` names. Its chain is verified."""

    name = "holds"

    def __init__(
        self, door: FeedDoor, election: str, target: Target, every_s: int, pace_s: float, shown: int
    ) -> None:
        super().__init__(door, election, target, every_s, pace_s, shown)
        self._lines = bytearray()
        self._number = 0
        self._chain = CHAIN_START
        self._held: set[str] = set()

    def is_settled(self, holds: int) -> bool:
        """Whether none of the units is held after so many lines, which are all that were read."""
        return self._number == holds and not self._held

    async def write(self, shown: Shown) -> None:
        """Write the file. Raises what `Part.write` raises."""
        view = shown.view()
        while self._number < view.holds:
            await self._fetch(min(HOLDS_PAGE, view.holds - self._number))
        await self._files.write((f"{self._directory}/holds.ndjson", bytes(self._lines), NDJSON))
        self.shown = view.sequence

    async def _fetch(self, limit: int) -> None:
        path = f"/holds?after={self._number}&limit={limit}"
        page = await self._door.document(path, HOLDS_MAX)
        lines = page.splitlines(keepends=True)[:limit]
        if not lines:
            raise DoorDiffers(f"the list of holds ends after {self._number} lines, and the stream had more")
        for line in lines:
            chain = _chain_of(line)
            if chain != next_hold_chain(self._chain, b"{" + line[_CHAIN_END + 2 : -1]):
                raise DoorDiffers(f"line {self._number + 1} of the list of holds does not continue its chain")
            if len(self._lines) + len(line) > HOLDS_MAX:
                raise DoorDiffers(f"the list of holds has more than {HOLDS_MAX >> 20} MiB")
            with understood("the list of holds"):
                found = _hold.decode(line)
            self._lines += line
            (self._held.add if found.state == BEGINNING else self._held.discard)(found.unit)
            self._number, self._chain = self._number + 1, chain


def _chain_of(line: bytes) -> bytes | None:
    """Return the chain at the beginning of a line of the list; None if it has none."""
    if not line.startswith(_CHAIN) or line[_CHAIN_END : _CHAIN_END + 2] != b'",' or not line.endswith(b"}\n"):
        return None
    try:
        return bytes.fromhex(line[len(_CHAIN) : _CHAIN_END].decode("ascii"))
    except ValueError:
        return None
