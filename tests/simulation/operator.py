"""The operator of a simulated night, who releases and rejects held reports at the push door, one or several at once."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import aiohttp
import orjson

from gateway.client.http_session import open_session
from gateway.election.outcome import HoldState
from gateway.wire.decisions import REASONS
from tests.simulation.clients import PUSH, REQUEST_S, Client
from tests.simulation.plan import ELECTION
from tests.simulation.processes import Process, Simulation

LOOK_S = (0.1, 1.5)
"""Shortest and longest time between two looks at the list of held reports, in seconds."""
AGAIN_S = (0.1, 1.0)
"""Time after which a request is sent again that was not answered."""
TOGETHER_MAX = 3
"""Held reports in one decision."""
LEFT = 0.15
"""Share of held reports that it never decides on."""
TEMPORARY = (429, 503)


class Decided(NamedTuple):
    """What the door answered to have been decided about one report."""

    unit: str
    revision: int
    state: HoldState


class Operator(Client):
    """Decides on held reports until it is told to `finish` and nothing is left to decide."""

    def __init__(self, simulation: Simulation, secret: str) -> None:
        super().__init__(simulation, "operator")
        self.decided: list[Decided] = []
        self.done = False
        """Whether it has finished."""
        self._headers = {"Authorization": f"Bearer {secret}"}
        self._left: dict[tuple[str, int], bool] = {}
        """Whether it leaves a report undecided, by unit and revision."""
        self._finishing = False

    def finish(self) -> None:
        """Have it end once it has decided on everything; nothing more will be held."""
        self._finishing = True

    async def run(self, process: Process) -> None:
        """Look at the list of held reports, and decide."""
        async with open_session(None, total_s=REQUEST_S) as session:
            while not self.done:
                await asyncio.sleep(self._chance.uniform(*LOOK_S))
                last = self._finishing
                chosen = [each for each in await self._open_holds(session) if not self._leaves(each)]
                if chosen:
                    await self._decide(session, chosen[: self._chance.randint(1, TOGETHER_MAX)])
                elif last:
                    self.done = True

    def _leaves(self, hold: dict[str, Any]) -> bool:
        key = hold["unit"], hold["revision"]
        if key not in self._left:
            self._left[key] = self._chance.random() < LEFT
        return self._left[key]

    async def _open_holds(self, session: aiohttp.ClientSession) -> list[dict[str, Any]]:
        status, document = await self._insist(session, "GET", "/holds?state=open", None)
        assert status == 200, document
        return list(document["holds"])

    async def _decide(self, session: aiohttp.ClientSession, holds: Sequence[dict[str, Any]]) -> None:
        """Decide the same on some held reports; if one of them has changed meanwhile, on none."""
        decide = self._chance.choice(("release", "release", "reject"))
        named = [{name: hold[name] for name in ("unit", "revision", "digest")} for hold in holds]
        body = {"decide": decide, "holds": named, "reason": self._chance.choice(REASONS[decide]), "note": ""}
        status, document = await self._insist(session, "POST", "/decisions", orjson.dumps(body))
        code = document.get("code")
        self._simulation.trace("decision", decide=decide, holds=len(holds), status=status, code=code)
        if status == 200:
            self.decided += [
                Decided(each["unit"], each["revision"], each["state"]) for each in document["holds"]
            ]
        elif code != "not_decided":  # the election is closed, for example
            self._left.update({(hold["unit"], hold["revision"]): True for hold in holds})

    async def _insist(
        self, session: aiohttp.ClientSession, method: str, path: str, body: bytes | None
    ) -> tuple[int, dict[str, Any]]:
        """Send a request until it is answered for good; return status and document."""
        url = f"{PUSH}/v1/elections/{ELECTION}{path}"
        headers = self._headers | ({"Content-Type": "application/json"} if body is not None else {})
        while True:
            try:
                async with session.request(method, url, data=body, headers=headers) as response:
                    document = orjson.loads(await response.read())
                if response.status not in TEMPORARY:
                    return response.status, document
            except (aiohttp.ClientError, TimeoutError):
                pass  # repeating it has no other effect
            await asyncio.sleep(self._chance.uniform(*AGAIN_S))
