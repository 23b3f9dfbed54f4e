"""Random histories of one election: what happens to it, and all that the gateway then reads of it.

A history depends on its seed alone, and so does what it reads, apart from the times of the server's clock and the keys
that it gives. So two databases can be compared, statement by statement.
"""

import hashlib
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from gateway.election.record import CHAIN_START
from gateway.election.validation import ValidReport
from gateway.errors import GatewayError
from gateway.journal.decisions import Appended, Ends, Evaluated, Finding
from gateway.journal.holds import HoldDecision, HoldName
from gateway.journal.record import FETCHED_MAX
from tests.journal.makers import PASSED, a_report
from tests.simulation.databases import Client, Subject

UNITS = ("a-1", "a-2", "b-1")
FAR = datetime(2100, 1, 1, tzinfo=UTC)
RECEIVED = datetime(2025, 9, 8, 20, tzinfo=UTC)
REVISIONS_MAX = 12
READS = 4
"""Statements that read, after each step."""
START = Ends(0, CHAIN_START, 0, CHAIN_START)
OF_THE_SERVER = ("key", "id", "loaded_at", "token", "decided_by", "author", "at_of_act")
"""Members that are a key of the server, or of its clock."""

Step = tuple[str, Any]
"""What was done, and what was returned or read."""


class History:
    """A history in progress. What it does depends on its chance and on the reports that it has sent."""

    def __init__(self, db: Subject, client: Client, seed: int) -> None:
        self._db = db
        self._client = client
        self._chance = random.Random(f"history {seed}")
        self._sent: list[ValidReport] = []
        self._last: Appended | None = None
        self.steps: list[Step] = []

    async def run(self, steps: int) -> None:
        """Take so many steps, read something after each, and everything at the end."""
        chance = self._chance
        await self._db.pretend_last_append(FAR)
        if chance.random() < 0.5:
            await self._db.pretend_embargo(FAR + timedelta(days=1000))
        acts: Sequence[tuple[float, Callable[[], Awaitable[Any]]]] = (
            (10.0, self._append),
            (4.0, self._decide),
            (4.0, self._confirm),
            (1.0, self._pass_time),
            (0.5, self._end_embargo),
            (0.5, self._change),
            (0.5, self._contact),
            (0.5, self._set_policy),
            (0.2, self._close),
        )
        weights = [weight for weight, _ in acts]
        for _ in range(steps):
            ((_, act),) = chance.choices(acts, weights)
            await self._note(act.__name__, act)
            await self._read(READS)
        await self._read()

    async def _note(self, name: str, do: Callable[[], Awaitable[Any]]) -> None:
        try:
            found = await do()
        except GatewayError as error:
            found = type(error).__name__
        self.steps.append((name, _comparable(found)))

    async def _version(self) -> int:
        return (await self._client.journal.versions())[self._db.id][0]

    # What happens.

    async def _append(self) -> Appended:
        chance = self._chance
        reports = [self._report() for _ in range(chance.choice((0, 1, 1, 2, 4)))]
        evaluated = None
        if chance.random() < 0.7:
            ends = (await self._client.journal.continuation(self._db.key, START)).ends
            if chance.random() < 0.1:
                ends = START  # perhaps too old
            findings = [self._finding(each) for each in reports]
            evaluated = Evaluated(ends.chain, ends.hold_chain, [self._db.token] * len(reports), findings)
        self._last = await self._client.journal.append(
            self._db.key, await self._version(), reports, [RECEIVED] * len(reports), evaluated
        )
        return self._last

    def _report(self) -> ValidReport:
        if self._sent and self._chance.random() < 0.2:
            return self._chance.choice(self._sent)
        unit, revision = self._chance.choice(UNITS), self._chance.randint(1, REVISIONS_MAX)
        report = a_report(unit, revision, self._chance.choice((10, 20)))
        self._sent.append(report)
        return report

    def _finding(self, report: ValidReport) -> Finding | None:
        match self._chance.randint(0, 3):
            case 0:
                return None
            case 1:
                return Finding(None, (), ("not_judged",), None)
            case _:
                counts = hashlib.sha256(str(report.report.counts).encode()).digest()
                rules = b'[{"code":"odd_time","do":"hold","evidence":{}}]'
                return Finding(rules, ("odd_time",), ("odd_time",), counts)

    async def _decide(self) -> Any:
        if not self._sent:
            return None
        opened = [
            HoldName(each.unit, each.revision, each.digest)
            for each in await self._client.journal.holds(self._db.key, UNITS)
        ]
        others = [HoldName(each.report.unit, each.report.revision, each.digest) for each in self._sent]
        named = self._chance.choices(opened * 4 + others, k=self._chance.choice((1, 1, 2)))
        decision = HoldDecision(
            release=self._chance.random() < 0.6,
            holds=named,
            reason=self._chance.choice(("confirmed", "mistake")),
            note="by telephone",
            token=self._db.token,
        )
        return await self._client.journal.decide(self._db.key, await self._version(), decision)

    async def _confirm(self) -> None:
        if self._last is not None:
            await self._client.confirmations.confirm(self._db.key, self._last.number, self._last.accepted)

    async def _pass_time(self) -> None:
        await self._db.pretend_last_append(FAR + timedelta(minutes=len(self.steps)))

    async def _end_embargo(self) -> None:
        await self._db.pretend_embargo(PASSED)

    async def _change(self) -> None:
        await self._db.change()

    async def _contact(self) -> None:
        await self._client.journal.record_contacts({self._db.token: RECEIVED})

    async def _set_policy(self) -> bool:
        most_open = self._chance.choice((50, 60))
        document = msgspec.json.encode({"most_open": most_open})
        return await self._client.journal.set_policy(
            self._db.key, await self._version(), document, self._db.token
        )

    async def _close(self) -> None:
        await self._db.close()

    # What is read.

    async def _read(self, most_reads: int | None = None) -> None:
        key, journal, record, chance = self._db.key, self._client.journal, self._client.record, self._chance
        place, most = chance.randint(0, 8), chance.randint(1, 5)
        names = [(chance.choice(UNITS), chance.randint(1, REVISIONS_MAX)) for _ in range(3)]

        async def versions() -> Any:
            return (await journal.versions())[self._db.id]

        async def election() -> Any:
            found = await journal.election(self._db.id)
            return found.version, found.publish_from, found.released, found.closed, len(found.tokens)

        async def policy() -> Any:
            found = await journal.policy(key)
            return None if found is None else msgspec.json.decode(found.document)

        async def head() -> Any:
            (found,) = [each for each in await record.heads() if each.key == key]
            members = msgspec.structs.asdict(found)
            return {**members, "closed_at": members["closed_at"] is not None}

        async def sorted_transfers() -> Any:
            until, rows = await journal.transfers(key, UNITS)
            return until, sorted(rows, key=lambda each: each.unit)

        async def unapplied() -> Any:
            return sorted(await record.unapplied(key, place), key=lambda each: each.unit)

        reads: dict[str, Callable[[], Awaitable[Any]]] = {
            "versions": versions,
            "election": election,
            "policy": policy,
            "newest reports": lambda: journal.newest_reports(key, UNITS),
            "newest report": lambda: journal.newest_report(key, names[0][0]),
            "predecessors": lambda: journal.predecessors(key, names),
            "transfers": sorted_transfers,
            "contacts": lambda: journal.contacts(key),
            "open holds": lambda: journal.holds(key, UNITS[:2]),
            "holds": lambda: journal.holds(key, UNITS, ended=True),
            "continuation": lambda: journal.continuation(key, START),
            "head": head,
            "publications": lambda: record.publications(key, place, most),
            "all publications": lambda: record.publications(key, 0, FETCHED_MAX),
            "hold lines": lambda: record.hold_lines(key, place, most),
            "all hold lines": lambda: record.hold_lines(key, 0, 1000),
            "unapplied": unapplied,
            "public contacts": lambda: record.contacts(key),
        }
        for name in chance.sample(sorted(reads), most_reads or len(reads)):
            await self._note(name, reads[name])


async def history_of(db: Subject, seed: int, steps: int) -> list[Step]:
    """Return what a history does and reads."""
    history = History(db, await db.client(), seed)
    await history.run(steps)
    return history.steps


def _comparable(found: Any) -> Any:
    """Return a value without what differs between two servers."""
    if isinstance(found, msgspec.Struct):
        return {"is": type(found).__name__, **_comparable(msgspec.structs.asdict(found))}
    if isinstance(found, dict):
        return {name: _comparable(each) for name, each in found.items() if name not in OF_THE_SERVER}
    if isinstance(found, list | tuple):
        return [_comparable(each) for each in found]
    return found
