"""The public list of holds, as far as `verify outbox` needs it: the last state of each revision.

The list is chained, so no line can have been removed from its middle. It is not signed.
"""

from urllib.parse import urlencode

import msgspec

from gateway.election.hold_list import next_hold_chain
from gateway.verification.copies import Copy, SignedRecord
from gateway.verification.failures import NotThere, VerificationFailed
from gateway.verification.outbox_checks import HoldState
from gateway.wire.transfers import Moment

HOLDS = "holds.ndjson"
"""The list in a copy, if somebody has put it there: the lines of the feed door."""
PAGE = 1000
"""Lines of a page."""
PAGE_MAX = 4 << 20
"""Bytes of a page."""
LIST_MAX = 256 << 20
"""Bytes of the whole list in a copy."""
LINES_MAX = 1_000_000
"""Lines of the list that are read; an election has a few per unit."""
_CHAIN_START = bytes(32)
_PREFIX = b'{"chain":"'


class _Line(msgspec.Struct):
    chain: str
    number: int
    unit: str
    revision: int
    state: str
    at: Moment
    reason: str | None = None


_decoder = msgspec.json.Decoder(_Line)


class HoldList:
    """The lines that were read. Invariant: they are numbered from 1 without gaps, and each continues the chain."""

    def __init__(self) -> None:
        self.last: dict[tuple[str, int], HoldState] = {}
        """The last state of each unit and revision."""
        self.number = 0
        self._chain = _CHAIN_START

    def add(self, line: bytes) -> None:
        """Add the next line. Raises VerificationFailed (chain_mismatch)."""
        try:
            found = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise VerificationFailed(
                "chain_mismatch", f"the list of holds has no such line: {error}"
            ) from None
        end = len(_PREFIX) + 64
        content = b"{" + line[end + 2 :]
        chain = next_hold_chain(self._chain, content)
        in_form = line.startswith(_PREFIX) and line[end : end + 2] == b'",'
        if not in_form or found.number != self.number + 1 or found.chain != chain.hex():
            number = self.number + 1
            text = (
                f"line {number} of the list of holds does not continue its chain: one was changed or left out"
            )
            raise VerificationFailed("chain_mismatch", text, {"hold-line.json": line})
        self.number, self._chain = found.number, chain
        self.last[found.unit, found.revision] = HoldState(found.state, found.at, found.reason)


async def read_holds(record: SignedRecord) -> HoldList | None:
    """Read the list of holds; None if a copy has none. Raises VerificationFailed."""
    holds = HoldList()
    if isinstance(record, Copy) or not record.is_door:
        try:
            if isinstance(record, Copy):
                content = record.read(HOLDS, LIST_MAX)
            else:
                content = await record.document(f"/{HOLDS}", LIST_MAX)
        except NotThere:
            return None
        for line in content.splitlines():
            holds.add(line)
        return holds
    while True:
        path = f"/holds?{urlencode({'after': holds.number, 'limit': PAGE})}"
        lines = (await record.document(path, PAGE_MAX)).splitlines()
        for line in lines:
            holds.add(line)
        if len(lines) < PAGE:
            return holds
        if holds.number > LINES_MAX:
            text = f"{record.where}/holds: more than {LINES_MAX} lines"
            raise VerificationFailed("unreachable", text)
