"""An election under load at a gateway that was started for it: lean generators, and one subscriber that keeps a copy.

Reports are pushed by `bench.load.pusher`, in a separate process. The subscriber is the client of the gateway, in this
process, which does little else. The judge checks what the subscriber received, the answers to the senders, and the
public record.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import cache
from pathlib import Path

import msgspec
import orjson

from bench.figures import counted
from bench.load.history import broken_guarantees, stored_reports
from bench.load.local import Local
from bench.load.plan import Planned, Planner
from bench.load.processes import cpu_s
from bench.load.pusher import Answered, Order, Pushed
from bench.load.pushing import pushing
from bench.load.target import PASSED_S, Data, Target, own_target
from gateway.client.publisher import Answer
from gateway.client.subscriber import Block, Subscriber
from gateway.election.record import JournalReport
from gateway.rehearsal.dataset import DataSet, RecordedReport
from gateway.rehearsal.generator import generate
from gateway.rehearsal.judge import ObservedBlock, Push, expected_digest, observe
from gateway.rehearsal.results import same_figures
from gateway.trimmed_json import dumps_trimmed

SHOWN_S = 60.0
"""How long the last report may take to reach the subscriber, in s."""


class Cpu(msgspec.Struct, frozen=True):
    """CPU seconds of the processes of the gateway, since their start or between two readings."""

    push: float
    feed: float
    postgres: float

    def since(self, before: "Cpu") -> "Cpu":
        """Return the CPU seconds since an earlier reading."""
        return Cpu(
            self.push - before.push,
            self.feed - before.feed,
            self.postgres - before.postgres,
        )

    @property
    def text(self) -> str:
        """The figures for display."""
        return f"push process {self.push:.2f}, feed process {self.feed:.2f}, Postgres {self.postgres:.2f}"


class _Results(msgspec.Struct):
    type: str
    results: list[Answer] = []


class ElectionLoad:
    """One election under load. Unless it is `judged`, answers are only counted."""

    def __init__(
        self,
        local: Local,
        target: Target,
        planner: Planner,
        subscriber: Subscriber,
        scratch: Path,
        *,
        judged: bool,
    ) -> None:
        self.local = local
        self.target = target
        self.planner = planner
        self.subscriber = subscriber
        self.faults: list[str] = []
        """Why the figures are meaningless."""
        self._scratch = scratch
        self._judged = judged
        self._secrets = list(dict.fromkeys(target.tokens.values()))
        self._answered: list[tuple[Sequence[Planned], Sequence[int], bytes]] = []
        """Of each push its plan, the sender of each report, and the answers."""
        self._blocks: list[tuple[float, int]] = []
        """When the subscriber received a block, and its sequence."""
        self._seen: list[tuple[float, Block]] = []
        """The blocks themselves, for the judge."""
        self._moved = asyncio.Event()
        self._pids: dict[str, int] = {}
        self.before_push = Cpu(0.0, 0.0, 0.0)
        """CPU seconds of the gateway when the senders of the last push had connected, which takes 0.1 s."""

    async def follow(self) -> None:
        """Note every block when it arrives; its content is inspected at the end, when there is time."""
        async for block in self.subscriber.blocks():
            now = time.time()
            self._blocks.append((now, block.sequence))
            if self._judged:
                self._seen.append((now, block))
            self._moved.set()

    async def push(self, plan: Sequence[Planned], rate: float = 0.0) -> Pushed:
        """Push reports over one open WebSocket per sender, `rate` per second, or as fast as they are accepted."""
        place = {secret: number for number, secret in enumerate(self._secrets)}
        senders = [place[self.target.tokens[each.sender]] for each in plan]
        file, answers = self._scratch / "reports", self._scratch / "answers"
        with file.open("wb") as lines:
            lines.writelines(each.body + b"\n" for each in plan)
        order = Order(
            self.local.push_url,
            self.target.election,
            self._secrets,
            str(file),
            rate=rate,
            limit_s=SHOWN_S + len(plan) / (rate or 1000),
            senders=senders,
            answers=str(answers) if self._judged else "",
            certificate=str(self.local.certificate or ""),
        )
        async with pushing(order) as go:
            self.before_push = await self.cpu()
            pushed = await go()
        if pushed.outcomes != {"accepted": len(plan)}:
            self.faults.append(
                f"{counted(len(plan), 'report')}: {pushed.outcomes}, {pushed.unanswered} unanswered"
            )
        if self._judged:
            self._answered.append((plan, senders, answers.read_bytes()))
        return pushed

    def _pushes(self) -> list[Push]:
        """Return every report that was pushed, with its answer. Decoding them takes CPU that the subscriber needs."""
        pushes = []
        for plan, senders, answers in self._answered:
            own: list[list[Planned]] = [[] for _ in self._secrets]
            for each, sender in zip(plan, senders, strict=True):
                own[sender].append(each)
            for line in answers.splitlines():
                answered = msgspec.json.decode(line, type=Answered)
                for answer in msgspec.json.decode(answered.frame, type=_Results).results:
                    if answer.outcome == "retry":
                        continue
                    assert isinstance(answer.id, int)
                    each = own[answered.sender][answer.id]
                    pushes.append(
                        Push(each.unit, each.revision, expected_digest(each.body), answered.at, answer)
                    )
        return pushes

    async def wait_reached(self, sequence: int, most_s: float = SHOWN_S) -> float:
        """Wait until the subscriber has a publication; return when it arrived, in seconds since 1970."""
        ends = time.monotonic() + most_s
        place = 0
        while True:
            for at, shown in self._blocks[place:]:
                if shown >= sequence:
                    return at
            place = len(self._blocks)
            self._moved.clear()
            async with asyncio.timeout(max(0.0, ends - time.monotonic())):
                await self._moved.wait()

    @property
    def blocks(self) -> int:
        """Number of blocks that the subscriber received."""
        return len(self._blocks)

    async def cpu(self) -> Cpu:
        """Return the CPU seconds of the gateway since its start."""
        self._pids = self._pids or await self.local.pids()
        push, feed = self._pids["push-0"], self._pids["feed-0"]
        return Cpu(cpu_s(push), cpu_s(feed), cpu_s(self.local.postmaster))

    async def stored(self, after: int) -> list[JournalReport]:
        """Return the public record after a sequence."""
        return (await stored_reports(self.target))[after:]

    async def judge(self) -> list[JournalReport]:
        """Judge the whole history, add broken guarantees to the faults, and return the public record."""
        stored = await stored_reports(self.target)
        observed: list[ObservedBlock] = [observe(block, at) for at, block in self._seen]
        pushes, planned = self._pushes(), sum(len(plan) for plan, _, _ in self._answered)
        if len(pushes) != planned:
            self.faults.append(f"{len(pushes)} answers to {counted(planned, 'report')}")
        for broken in broken_guarantees(self.target, pushes, observed, stored):
            self.faults.append(f"{broken.guarantee}: {broken.example}")
        return stored

    def compare_totals(self, dataset: DataSet) -> None:
        """Add a fault if areas of the subscriber's copy differ from the official totals."""
        finals = dataset.official_finals()
        wrong = [
            area for area, line in finals.items() if not same_figures(self.subscriber.copy.get(area), line)
        ]
        if wrong or not finals:
            self.faults.append(f"{len(wrong)} of {len(finals)} areas differ from the official totals")


@asynccontextmanager
async def under_load(
    local: Local,
    dataset: Data,
    publish_in_s: float = PASSED_S,
    tokens_max: int | None = None,
    *,
    judged: bool = True,
) -> AsyncIterator[ElectionLoad]:
    """Create an election with all rules off, and follow it."""
    target = await own_target(local, dataset, publish_in_s, tokens_max, rules=False)
    with tempfile.TemporaryDirectory(prefix="valgnatt-measure-") as scratch:
        async with (
            local.session(streams=True) as session,
            Subscriber(local.feed_url, target.election, session=session, use_mirror=False) as subscriber,
        ):
            planner = Planner(dataset.reports())
            load = ElectionLoad(local, target, planner, subscriber, Path(scratch), judged=judged)
            following = asyncio.create_task(load.follow(), name="subscriber")
            try:
                await load.wait_reached(0)
                yield load
            finally:
                following.cancel()
                await asyncio.wait({following})


class Generated:
    """A generated election, in memory only."""

    def __init__(self, scale: float) -> None:
        election = generate(1, scale)
        self.registry = election.registry
        self._lines = [(each["municipality"], dumps_trimmed(each["report"])) for each in election.reports]

    def __len__(self) -> int:
        return len(self._lines)

    def bodies(self) -> list[bytes]:
        """Return every report as it is pushed."""
        return [body for _, body in self._lines]

    def reports(self) -> Iterator[RecordedReport]:
        """Yield every report in order."""
        for municipality, body in self._lines:
            report = orjson.loads(body)
            yield RecordedReport(municipality, report, datetime.fromisoformat(report["counted_at"]))


@cache
def generated(scale: float) -> Generated:
    """Return the generated election of a scale; it is generated once."""
    return Generated(scale)
