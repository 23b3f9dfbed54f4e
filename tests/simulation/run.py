"""Carry out a plan: start the gateway and its clients, let the faults happen, heal, wait for what is owed, and judge.

What is owed, within LIVENESS_S of virtual time after everything is healed and the embargo has ended: every report has
its answer, every reader the last publication, and a process that is told to stop has stopped. At the end no door keeps
anything of the clients that have left.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial

import msgspec

from gateway.election.registry_reading import read_registry
from gateway.journal.administration import NewToken
from gateway.journal.intake import Intake
from gateway.rehearsal.judge import BrokenGuarantee, History, ReaderHistory
from tests.simulation.clients import PublicationReader, Reader, Sender, readers_of
from tests.simulation.database import SimulatedDatabase
from tests.simulation.faults import Faults
from tests.simulation.gateway import Installation, Worker
from tests.simulation.leftovers import left_in, left_of_senders, parts_of
from tests.simulation.loop import CallbackFailed, Stuck
from tests.simulation.operator import Operator
from tests.simulation.plan import COUNTRY, ELECTION, Plan, registry, rising
from tests.simulation.processes import Process, Simulation
from tests.simulation.sizes import small_sizes
from tests.simulation.verdict import Answered, SenderOutcome, first_failing, judged_otherwise, verdict

LIVENESS_S = 240.0
"""Virtual seconds within which everything owed has to arrive. A client waits up to 60 s for an answer before it tries
again."""
KEPT_S = 120.0
"""Virtual seconds within which a process has noticed that a client has left, also one whose machine lost its power."""
READY_S = 30.0
"""Virtual seconds within which all processes have to be ready, at the start and once all is healed."""
STEPS_MAX = 120_000
"""Steps after which a run counts as stuck; most take a twentieth of it."""
LOOK_S = 0.25
"""How often it is checked whether all is done, in virtual seconds."""
SLACK_S = 1e-6
"""How exact times of day are as floats, in seconds."""
ARRIVES = "the last value arrives"
"""The judge's guarantee that readers are complete at the end."""
DECIDED_S = 30.0
"""How long a report may wait in a push process for its commit or a `retry`, in seconds by its clock."""
DRAIN_S = 5.0
"""The option `drain_s` of the processes."""
START_S = 0.02
"""Within how many seconds a push process that starts reads its elections, if nothing fails."""


class Result(msgspec.Struct, frozen=True):
    """What a run did, and what it broke."""

    seed: int
    broken: tuple[BrokenGuarantee, ...]
    failed_at: int | None
    """The step at which the first broken guarantee shows; None if only the end of the run shows it."""
    steps: int
    choices: int
    """Steps that were chosen among several."""
    virtual_s: float
    cpu_s: float
    digest: str
    reports: int
    receipts: int
    publications: int
    blocks: int


def run(
    plan: Plan,
    *,
    trace: Callable[[str], object] | None = None,
    steps: tuple[int, int] | None = None,
    prepare: Callable[["Night"], None] = lambda _: None,
) -> Result:
    """Carry out a plan. `trace` is called with each event and, from the first to the last of `steps`, each step.

    `prepare` is called with the night before it begins.
    """
    began = time.process_time()
    with Simulation(plan.seed) as simulation, ExitStack() as sizes:
        if plan.small:
            sizes.enter_context(small_sizes())
        night = Night(plan, simulation)
        prepare(night)
        if trace is not None:
            _trace(simulation, trace, steps)
        try:
            simulation.run(night.live(), steps_max=STEPS_MAX)
        except (Stuck, CallbackFailed) as error:
            notes = "; ".join(getattr(error, "__notes__", ()))
            cause = f" {error.__cause__!r}" if error.__cause__ is not None else ""
            night.found.append(BrokenGuarantee(type(error).__name__, f"{error}{cause} {notes}".strip()))
        broken, failed_at = night.judge()
        digest, steps_run, choices = simulation.digest, simulation.steps, simulation.loop.choices
        virtual_s = simulation.loop.time() - simulation.started_s
    return Result(
        seed=plan.seed,
        broken=tuple(broken),
        failed_at=failed_at,
        steps=steps_run,
        choices=choices,
        virtual_s=virtual_s,
        cpu_s=time.process_time() - began,
        digest=digest,
        reports=plan.reports,
        receipts=sum(push.answer.has_receipt for sender in night.senders for push in sender.pushes),
        publications=len(night.database.journal_reports(ELECTION)),
        blocks=sum(len(each.observed) for each in night.readings()),
    )


def _trace(simulation: Simulation, trace: Callable[[str], object], steps: tuple[int, int] | None) -> None:
    """Pass on events as they are traced, and steps within a range."""
    first, last = steps if steps is not None else (0, -1)
    told = 0

    def events() -> None:
        nonlocal told
        for line in simulation.events[told:]:
            trace(line)
        told = len(simulation.events)

    def step(line: str) -> None:
        events()
        if first <= simulation.steps <= last:
            trace(line)

    simulation.trace_steps(step)


class Night:
    """One run of a plan."""

    def __init__(self, plan: Plan, simulation: Simulation) -> None:
        self.plan = plan
        self.simulation = simulation
        self.found: list[BrokenGuarantee] = []
        """What was broken besides what the history shows."""
        self.registry = registry(plan, simulation.now())
        self.database = SimulatedDatabase(simulation, standby=plan.standby, acts_require_standby=plan.standby)
        chance = simulation.chance_for("tokens")
        tokens = [
            NewToken([each.municipality], each.name, chance.randbytes(16).hex()) for each in plan.senders
        ]
        operators = [NewToken([COUNTRY], "operator", chance.randbytes(16).hex())] if plan.operator else []
        self.database.load(self.registry, tokens, operators=operators)
        if plan.unstorable:
            self.database.unstorable[plan.unstorable] = None
        self.installation = Installation(
            simulation,
            self.database,
            push=plan.push_processes,
            feeds=plan.feeds,
            replica=plan.replica,
            require_standby=plan.standby,
            drain_s=DRAIN_S,
            heartbeat_s=2.0,
            credit_max=plan.credit_max,
            pending_max=4 * plan.credit_max,
            batch_max=plan.batch_max,
        )
        self.senders = [
            Sender(simulation, each, token.secret) for each, token in zip(plan.senders, tokens, strict=True)
        ]
        self.readers = list(readers_of(simulation, plan, self.registry))
        self.operator = Operator(simulation, operators[0].secret) if operators else None
        clients = {each.name: each for each in (*self.senders, *self.readers)}
        numbers = {sender.name: place for place, sender in enumerate(self.senders, 1)}
        self._faults = Faults(simulation, self.database, self.installation, clients, numbers)
        self._healthy_since = 0
        """The number of lines in the log when everything was healed."""
        self._intakes: dict[Process, Intake] = {}
        self.outcomes: list[SenderOutcome] = []
        """What became of the reports, before the senders were ended."""
        self._started_s = simulation.loop.time()

    # Its course.

    async def live(self) -> None:
        """Live through the night."""
        self.installation.start()
        self._look()
        await self._until(lambda: not self.installation.ready, READY_S, "processes are ready")
        for sender in self.senders:
            sender.start()
        if self.operator is not None:
            self.operator.start()
        for reader in self.readers:
            self._at(reader.plan.begins_s, reader.start)
        for fault in self.plan.faults:
            self._at(fault.at_s, partial(self._faults.happen, fault))
        await asyncio.sleep(self._healed_s() - self._now_s())
        await self._faults.heal(LIVENESS_S)
        await self._until(lambda: not self.installation.ready, READY_S, "processes are ready again")
        await self._wait_done()
        await self._check_left(left_of_senders)
        await self._settle()
        await self._end()

    def _now_s(self) -> float:
        return self.simulation.loop.time() - self._started_s

    def _at(self, at_s: float, function: Callable[[], object]) -> None:
        self.simulation.loop.call_world(max(0.0, at_s - self._now_s()), function)

    def _healed_s(self) -> float:
        """Return when nothing is broken any more and the embargo has ended by every clock."""
        faults = self.plan.faults
        back_s = sum(
            -fault.amount
            for fault in faults
            if fault.kind == "clock" and fault.of == "database" and fault.amount < 0
        )
        ends_s = self.plan.publish_from_s + back_s if self.plan.publish_from_s > 0 else 0.0
        return max([self.plan.lasts_s, ends_s, *(fault.at_s + fault.seconds for fault in faults)])

    async def _wait_done(self) -> None:
        """Wait until every report has an answer and every reader everything."""

        def missing() -> bool:
            if not all(sender.done for sender in self.senders):
                return True
            if self.operator is not None and not self.operator.done:
                self.operator.finish()
                return True
            rows = self.database.journal_reports(ELECTION)
            public = sum(each.published_at is not None for each in rows)
            accepted_before_end = any(each.published_at is None for each in rows)
            return accepted_before_end or any(
                reader.sequence < public for reader in self.readers if public or isinstance(reader, Reader)
            )

        await self._until(missing, LIVENESS_S, "everything owed has arrived", required=False)

    async def _settle(self) -> None:
        """Send some reports again and read back every unit, while push processes are told to stop in good health."""
        self._healthy_since = len(self.installation.log)
        chance = self.simulation.chance_for("restarts")
        first, *others = [each for each in self.installation.workers.values() if each.door == "push"]
        self._at(self._now_s() + chance.uniform(0.0, 0.1), partial(first.drain, 0.1))
        for worker in others:  # while it starts
            worker.kill(0.01)
            self._at(self._now_s() + 0.01 + chance.uniform(0.0, START_S), partial(worker.drain, 0.1))
        alive = [each for each in self.senders if each.ended is None and each.done]
        tasks = [each.spawn(each.settle(), f"{each.name} settling") for each in alive]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=LIVENESS_S)
            if late:
                self._break("reads are answered", ", ".join(task.get_name() for task in late))

    async def _end(self) -> None:
        """End the clients, check that the doors keep nothing of them, and stop every process."""
        self.outcomes = self._outcomes()
        for client in (*self.senders, *self.readers, *([self.operator] if self.operator is not None else [])):
            client.kill()
        workers = list(self.installation.workers.values())
        await self._until(lambda: not self.installation.ready, READY_S, "processes are ready at the end")
        await self._check_left(left_in)
        for worker in workers:
            worker.drain(1e9)
        await self._until(
            lambda: any(worker.alive for worker in workers), DRAIN_S + 10.0, "every process has stopped"
        )
        for line in self.installation.log[self._healthy_since :]:
            if "drain timed out" in line:
                self._break("a process in good health stops in time", line)

    async def _check_left(self, left_in: Callable[[Process | None], Iterable[str]]) -> None:
        """Check that no process keeps anything of clients that have left, once it had time to notice that."""
        left: list[str] = []

        def leaking() -> bool:
            left[:] = [
                each for worker in self.installation.workers.values() for each in left_in(worker.process)
            ]
            return bool(left)

        await self._until(leaking, KEPT_S, "", required=False)
        for each in left:
            self._break("nothing is kept of clients that have left", each)

    def _look(self) -> None:
        """Look, again and again, whether a report waits for too long in a push process."""
        skewed = {fault.of for fault in self.plan.faults if fault.kind == "clock"}
        for worker in self.installation.workers.values():
            if worker.door != "push" or not worker.alive or worker.name in skewed:
                continue
            intake = self._intake(worker)
            for waiting in intake.waiting().values() if intake is not None else ():
                if waiting.oldest_s is not None and waiting.oldest_s > DECIDED_S:
                    self._break(
                        "no report waits for long",
                        f"{worker.name}: {waiting.reports} reports, {waiting.oldest_s:.1f} s",
                    )
                    return
        self.simulation.loop.call_world(1.0, self._look)

    def _intake(self, worker: Worker) -> Intake | None:
        """Return the intake of a process, None while it has none."""
        process = worker.process
        assert process is not None
        if process not in self._intakes:
            found = parts_of(process, self.simulation.loop).get("intake")
            if found is None:
                return None
            self._intakes = {each: intake for each, intake in self._intakes.items() if each.alive}
            self._intakes[process] = found
        return self._intakes[process]

    async def _until(
        self, missing: Callable[[], bool], seconds: float, what: str, *, required: bool = True
    ) -> None:
        until = self._now_s() + seconds
        while missing():
            if self._now_s() >= until:
                if required:
                    self._break(what, f"not within {seconds:g} s")
                return
            await asyncio.sleep(LOOK_S)

    def _break(self, guarantee: str, example: str) -> None:
        self.found.append(BrokenGuarantee(guarantee, example))

    # Judging.

    def readings(self) -> list[ReaderHistory]:
        """Return what the readers of the feed received."""
        return [each for reader in self.readers if isinstance(reader, Reader) for each in reader.readings]

    def judge(self) -> tuple[list[BrokenGuarantee], int | None]:
        """Return what was broken, and the step at which the first of it shows in what clients observed."""
        self._check_streams()
        self._check_revoked()
        self._check_decided()
        self.found += self._judged_otherwise()
        for line in self.installation.unexpected:
            self._break("no process fails", line)
        by_history = self._verdict(self._history(), self.outcomes or self._outcomes())
        return [*self.found, *by_history], self._failed_at()

    def _outcomes(self) -> list[SenderOutcome]:
        return [
            SenderOutcome(
                each.name,
                [Answered(report, answer) for report, answer in each.answered],
                each.unanswered,
                each.ended,
            )
            for each in self.senders
        ]

    def _answered(self, until: float) -> list[SenderOutcome]:
        """Return the answers that senders had at a time; nothing is owed to them yet."""
        return [
            SenderOutcome(
                each.name,
                [
                    Answered(report, answer)
                    for push, (report, answer) in zip(each.pushes, each.answered, strict=True)
                    if push.answered_at <= until
                ],
                (),
            )
            for each in self.senders
        ]

    def _history(self, until: float = math.inf) -> History:
        """Return what clients observed, up to a time, and what the journal has at the end."""
        readings = (
            ReaderHistory(each.name, each.areas, [seen for seen in each.observed if seen.at <= until])
            for each in self.readings()
        )
        streams = {
            name: [each for each in received if each[0] <= until]
            for reader in self.readers
            if isinstance(reader, PublicationReader)
            for name, received in reader.streams.items()
        }
        return History(
            registry=self.registry,
            publish_from=self._embargo_ends(),
            pushes=[push for each in self.senders for push in each.pushes if push.answered_at <= until],
            readings=list(readings),
            stored=self.database.journal_reports(ELECTION),
            holds=self.database.journal_holds(ELECTION),
            reads=[read for each in self.senders for read in each.reads if read.began_at <= until],
            streams=streams,
        )

    def _embargo_ends(self) -> float:
        """Return when the embargo ends at the earliest, in true time: the database decides, by its clock."""
        ends = datetime.fromisoformat(self.registry["election"]["publish_from"]).timestamp()
        return min(ends, *(max(at, ends - ahead_s) for at, ahead_s in self.database.clocks))

    def _verdict(self, history: History, outcomes: Sequence[SenderOutcome]) -> list[BrokenGuarantee]:
        """Return the broken guarantees; a reading that was interrupted need not be complete."""
        whole = {
            each.readings[-1].name for each in self.readers if isinstance(each, Reader) and each.readings
        }
        interrupted = tuple(f"{each.name} lacks" for each in history.readings if each.name not in whole)
        return [
            broken
            for broken in verdict(self.plan, history, outcomes)
            if broken.guarantee != ARRIVES or not broken.example.startswith(interrupted)
        ]

    def _failed_at(self) -> int | None:
        times = [push.answered_at for each in self.senders for push in each.pushes]
        times += [seen.at for each in self.readings() for seen in each.observed]
        times += [received[0] for each in self._history().streams.values() for received in each]

        def fails(until: float) -> bool:
            found = verdict(self.plan, self._history(until), self._answered(until))
            return any(each.guarantee != ARRIVES for each in found)

        failed_at = first_failing(times, fails)
        if failed_at is None:
            return None
        at_s = failed_at - self.simulation.now_s + self._now_s() + SLACK_S
        steps = [
            int(line.split()[3].rstrip(":"))
            for line in self.simulation.events
            if float(line.split()[0]) <= at_s
        ]
        return max(steps, default=None)

    def _check_streams(self) -> None:
        public = sum(each.published_at is not None for each in self.database.journal_reports(ELECTION))
        for reader in self.readers:
            if isinstance(reader, PublicationReader) and reader.sequence < public and public:
                self._break(ARRIVES, f"{reader.name} received {reader.sequence} of {public} publications")

    def _judged_otherwise(self) -> list[BrokenGuarantee]:
        rows = self.database.primary.tables.of_id(ELECTION)
        assert rows is not None
        held = {(hold.unit, hold.revision) for hold in rows.all_holds()}
        return list(judged_otherwise(read_registry(self.registry), rows.reports, held))

    def _check_revoked(self) -> None:
        """Check that each revocation that was acknowledged is in the journal, and was effective from then on.

        Nothing was accepted from its sender since, in units that only it reports.
        """
        rows = self.database.primary.tables.of_id(ELECTION)
        revoked = {token.note for token in rows.tokens.values() if token.revoked_at is not None}
        alone = rising(self.plan)
        held = {(hold.unit, hold.revision) for hold in self.database.journal_holds(ELECTION)}
        for name, last in self._faults.revoked_after.items():
            if name not in revoked:
                self._break("a revocation that was acknowledged is kept", name)
            sender = next(each for each in self.plan.senders if each.name == name)
            units = alone & {report.unit for report in sender.reports if not report.invalid}
            for stored in self.database.journal_reports(ELECTION)[last:]:
                released_later = (stored.unit, stored.revision) in held
                if stored.unit in units and not released_later:
                    which = f"{stored.unit} revision {stored.revision} at {stored.sequence}, after {last}"
                    self._break("a revoked token is not accepted", which)

    def _check_decided(self) -> None:
        """Check that every decision that was answered is in the journal, as it was answered."""
        if self.operator is None:
            return
        states = {(hold.unit, hold.revision): hold.state for hold in self.database.journal_holds(ELECTION)}
        for each in self.operator.decided:
            state = states.get((each.unit, each.revision))
            if state != each.state:
                which = f"{each.unit} revision {each.revision}: {each.state}, now {state}"
                self._break("a decision that was answered is kept", which)
        if not self.operator.done:
            self._break("every decision is answered", "the operator has not finished")
