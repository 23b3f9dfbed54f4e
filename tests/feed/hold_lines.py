"""A list of holds that a test writes."""

import json
from datetime import datetime

from gateway.election.hold_list import HoldLine, next_hold_chain
from gateway.election.record import CHAIN_START
from tests.feed.served import AT


class WrittenHolds:
    """The lines, from an empty list on."""

    def __init__(self, chain: bytes = CHAIN_START) -> None:
        self.lines: list[HoldLine] = []
        self._chain = chain

    def write(self, unit: str, state: str, revision: int = 1, since: datetime = AT) -> None:
        """Add a line."""
        number = len(self.lines) + 1
        document = {
            "at": AT.isoformat(), "digest": None, "number": number, "reason": None, "revision": revision,
            "rules": ["duplicate_elsewhere"], "state": state, "unit": unit,
        }  # fmt: skip
        line = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
        self._chain = next_hold_chain(self._chain, line)
        self.lines.append(HoldLine(number, line, self._chain, unit, state, since))
