"""Random histories of held reports: two push processes on one journal, against a model of the contract."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from msgspec import structs

from gateway.election.outcome import Receipt
from gateway.election.validation import ValidReport
from gateway.journal.administration import NewToken, administration
from gateway.journal.connection import open_pool
from gateway.journal.connection_pool import Pool
from gateway.journal.elections import ElectionVersion
from gateway.journal.postgres import PostgresJournal
from gateway.journal.session import Connection
from tests.conftest import Database
from tests.counts import count
from tests.journal.makers import TIMEOUT_S, a_registry, a_report, connected
from tests.journal.push_processes import LONG_BEFORE, Process, odd, rules, verify, verify_rows
from tests.simulation.database import SimulatedDatabase
from tests.simulation.journal import open_pool as simulated_pool
from tests.simulation.real_time import RealClient, RealTime

UNITS = ("a-1", "a-2", "b-1")
HOLDING = rules(odd_time={"do": "hold"}, most_open=1000)
NOT_HOLDING = rules(odd_time={"do": "warn"}, most_open=1000)

units = st.sampled_from(UNITS)
places = st.sampled_from((0, 1))


class Accepted:
    """A report that the journal has accepted, as the model has it."""

    def __init__(self, valid: ValidReport, *, held: bool) -> None:
        self.valid = valid
        self.was_held = held
        self.state = "held" if held else "published"

    @property
    def votes(self) -> int:
        """The only figure that differs between the reports of these tests."""
        return self.valid.report.counts["election_day"].votes["A"]


class Model:
    """What the contract says about reports that arrive one after the other."""

    def __init__(self) -> None:
        self.holds = True
        """Whether the policy holds odd reports."""
        self.accepted: dict[str, dict[int, Accepted]] = {unit: {} for unit in UNITS}
        self.placed: list[tuple[str, int]] = []

    def newest(self, unit: str) -> Accepted | None:
        """The newest revision of a unit."""
        revisions = self.accepted[unit]
        return revisions[max(revisions)] if revisions else None

    def current(self, unit: str) -> Accepted | None:
        """The current report of a unit."""
        placed = [revision for each, revision in self.placed if each == unit]
        return self.accepted[unit][placed[-1]] if placed else None

    def open_holds(self) -> list[Accepted]:
        """The reports that are held."""
        return [each for unit in UNITS for each in self.accepted[unit].values() if each.state == "held"]

    def push(self, valid: ValidReport) -> tuple[str, str]:
        """Decide on a report, and return the outcome with its state or code."""
        report = valid.report
        known = self.accepted[report.unit].get(report.revision)
        newest = self.newest(report.unit)
        if known is not None:
            if known.valid.digest == valid.digest:
                return "duplicate", known.state
            return "refused", "revision_conflict"
        if newest is not None and report.revision < newest.valid.report.revision:
            return "refused", "stale_revision"
        if newest is not None and newest.state == "held":
            newest.state = "superseded"
        current = self.current(report.unit)
        differs = current is None or current.valid.report.counts != report.counts
        new = Accepted(valid, held=self.holds and differs and report.counted_at == LONG_BEFORE)
        self.accepted[report.unit][report.revision] = new
        if not new.was_held:
            self.placed.append((report.unit, report.revision))
        return "accepted", new.state

    def push_batch(self, batch: list[ValidReport]) -> list[tuple[str, str]]:
        """Decide on the reports of one request; a receipt has the state after all of them."""
        decided = [self.push(valid) for valid in batch]
        return [
            (outcome, state)
            if outcome == "refused"
            else (outcome, self.accepted[valid.report.unit][valid.report.revision].state)
            for valid, (outcome, state) in zip(batch, decided, strict=True)
        ]

    def decide(self, release: bool, named: list[Accepted]) -> list[str | None]:
        """Decide on reports, and return the code of each conflict; None for no conflict."""
        found = [self._code(release, each) for each in named]
        if not any(found):
            for each in map(self._applies_to, named):
                if each.state == "held":
                    each.state = "published" if release else "rejected"
                    if release:
                        self.placed.append((each.valid.report.unit, each.valid.report.revision))
        return found

    def _applies_to(self, named: Accepted) -> Accepted:
        revisions = self.accepted[named.valid.report.unit]
        while named.state == "superseded":
            following = min(each for each in revisions if each > named.valid.report.revision)
            later = revisions[following]
            if not later.was_held or later.votes != named.votes:
                return named
            named = later
        return named

    def _code(self, release: bool, named: Accepted) -> str | None:
        if not named.was_held:
            return "not_held"
        found = self._applies_to(named)
        if found.state == "superseded":
            return "superseded"
        return (
            None if found.state in ("held", "published" if release else "rejected") else "decided_otherwise"
        )


class Site(Protocol):
    """A journal with one election."""

    election: str

    async def load(self) -> None:
        """Load the election, with a token."""

    def open_pool(self) -> AbstractAsyncContextManager[Pool]:
        """Open a pool for a push process."""

    async def placed(self, key: int) -> list[tuple[str, int]]:
        """Return the units and revisions of the record, after checking all tables."""

    async def states(self, key: int) -> dict[tuple[str, int], str]:
        """Return the state of each hold."""

    async def close(self) -> None:
        """Close the connections."""


class PostgresSite:
    """A database of a real Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._owner = connected(database.url)

    async def load(self) -> None:
        async with administration(self._database.url, "test") as acts:
            self.election = await acts.load_election(a_registry(rules=HOLDING))
            await acts.issue_tokens(self.election, [(["no"], "")])
        self.owner: Connection = await self._owner.__aenter__()

    def open_pool(self) -> AbstractAsyncContextManager[Pool]:
        return open_pool(self._database.url, max_size=2)

    async def placed(self, key: int) -> list[tuple[str, int]]:
        await verify(self.owner, key)
        rows = await self.owner.fetch(
            "SELECT unit, revision FROM report WHERE election = $1 ORDER BY sequence", key
        )
        return [(row["unit"], row["revision"]) for row in rows]

    async def states(self, key: int) -> dict[tuple[str, int], str]:
        rows = await self.owner.fetch("SELECT unit, revision, state FROM hold WHERE election = $1", key)
        return {(row["unit"], row["revision"]): row["state"] for row in rows}

    async def close(self) -> None:
        await self._owner.__aexit__(None, None, None)


class SimulatedSite:
    """A simulated database, in real time."""

    def __init__(self) -> None:
        self._database = SimulatedDatabase(RealTime(), standby=True, pace=0.0)

    async def load(self) -> None:
        document = a_registry(rules=HOLDING)
        self._database.load(document, [NewToken(["no"])])
        self.election = document["election"]["id"]

    @asynccontextmanager
    async def open_pool(self) -> AsyncIterator[Pool]:
        pool = simulated_pool(self._database, RealClient(), max_size=2)
        yield pool
        pool.terminate()

    async def placed(self, key: int) -> list[tuple[str, int]]:
        rows = self._database.primary.tables.elections[key]
        head, *others = (
            [structs.asdict(row) for row in each]
            for each in ([rows.head], rows.reports, rows.lines, list(rows.all_holds()))
        )
        verify_rows(head[0], *others)
        return [(row.unit, row.revision) for row in rows.reports]

    async def states(self, key: int) -> dict[tuple[str, int], str]:
        rows = self._database.primary.tables.elections[key]
        return {(row.unit, row.revision): row.state for row in rows.all_holds()}

    async def close(self) -> None:
        pass


class Histories(RuleBasedStateMachine):
    """Two push processes do what is drawn, one of them is killed now and then, and each answer is that of the model."""

    site: Callable[[], Site]
    run: Callable[[Any], Any]

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.pools: list[AbstractAsyncContextManager[Pool]] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.both: list[Process] = []
        self.run(self._open())

    async def _open(self) -> None:
        self.journal = self.site()
        await self.journal.load()
        self.election = self.journal.election
        for place in (0, 1):
            await self._start(place)

    async def _start(self, place: int) -> None:
        """Start a process in the place of one that was killed, if there was one."""
        opening = self.journal.open_pool()
        journal = PostgresJournal(await opening.__aenter__())
        row = await journal.election(self.election)
        process = Process(journal, ElectionVersion(self.election, row), [row.tokens[0].key])
        task = asyncio.create_task(process.writer.run())
        self.both[place : place + 1], self.tasks[place : place + 1] = [process], [task]
        self.pools[place : place + 1] = [opening]

    async def _kill(self, place: int) -> None:
        """End a process without notice: its connections are closed, and it answers nothing any more."""
        await self._end(place)
        await self._start(place)

    async def _end(self, place: int) -> None:
        await self.pools[place].__aexit__(None, None, None)
        self.tasks[place].cancel()
        await asyncio.wait([self.tasks[place]], timeout=TIMEOUT_S)

    def teardown(self) -> None:
        """Compare the journal with the model once more, and end the processes."""
        self.run(self._close())

    async def _close(self) -> None:
        try:
            await self._compare()
        finally:
            for place in (0, 1):
                await self._end(place)
            await self.journal.close()

    async def _compare(self) -> None:
        key = self.both[0].version.key
        assert await self.journal.placed(key) == self.model.placed
        assert await self.journal.states(key) == {
            (unit, revision): {"held": "open", "published": "released"}.get(each.state, each.state)
            for unit in UNITS
            for revision, each in self.model.accepted[unit].items()
            if each.was_held
        }

    def _drawn(self, unit: str, step: int, is_odd: bool, votes: int) -> ValidReport:
        """Return a report with a revision `step` above the newest of its unit."""
        newest = self.model.newest(unit)
        revision = max(1, (newest.valid.report.revision if newest is not None else 0) + step)
        return (odd if is_odd else a_report)(unit, revision, votes)

    drawn = (units, st.integers(-1, 2), st.booleans(), st.integers(1, 3))

    @rule(place=places, batch=st.lists(st.tuples(*drawn), min_size=1, max_size=4))
    def push(self, place: int, batch: list[tuple[str, int, bool, int]]) -> None:
        """A request with some reports."""
        reports = [self._drawn(*each) for each in batch]
        found = self.run(self.both[place].push(*reports))
        assert [_shown(each) for each in found] == self.model.push_batch(reports)

    @rule(report=st.tuples(*drawn))
    def push_to_both(self, report: tuple[str, int, bool, int]) -> None:
        """The same report at the same instant: what is accepted, is accepted once."""
        valid = self._drawn(*report)
        found = self.run(_gathered(*(each.push(valid) for each in self.both)))
        assert sorted(_shown(outcome) for (outcome,) in found) == sorted(
            [self.model.push(valid), self.model.push(valid)]
        )

    @rule(place=places, data=st.data())
    def send_again(self, place: int, data: st.DataObject) -> None:
        """Any report that was accepted before."""
        known = [each.valid for unit in UNITS for each in self.model.accepted[unit].values()]
        if known:
            valid = data.draw(st.sampled_from(known), label="report")
            (found,) = self.run(self.both[place].push(valid))
            assert _shown(found) == self.model.push(valid)

    @rule(place=places, release=st.booleans(), data=st.data())
    def decide(self, place: int, release: bool, data: st.DataObject) -> None:
        """On any reports of different units, held or not: all or none."""
        named = []
        for unit in UNITS:
            known = list(self.model.accepted[unit].values())
            if known and data.draw(st.booleans(), label=f"decide {unit}"):
                named.append(data.draw(st.sampled_from(known[-3:]), label="report"))
        if named:
            self._decide(place, release, named)

    @precondition(lambda self: self.model.open_holds())
    @rule(place=places, release=st.booleans())
    def decide_all(self, place: int, release: bool) -> None:
        """On all open holds."""
        self._decide(place, release, self.model.open_holds())

    def _decide(self, place: int, release: bool, named: list[Accepted]) -> None:
        decision = self.run(self.both[place].decide(release, *(each.valid for each in named)))
        codes = self.model.decide(release, named)
        assert [each.code for each in decision.conflicts] == [code for code in codes if code is not None]
        assert len(decision.decided) == (0 if any(codes) else len(named))

    @rule(place=places, holds=st.booleans())
    def change_policy(self, place: int, holds: bool) -> None:
        """It applies in both processes from its commit."""
        changed = self.run(self.both[place].set_policy(HOLDING if holds else NOT_HOLDING))
        if changed:
            self.model.holds = holds

    @rule(place=places, report=st.tuples(*drawn), steps=st.integers(0, 40))
    def kill(self, place: int, report: tuple[str, int, bool, int], steps: int) -> None:
        """A process is killed while it appends; sending the report again shows whether it was accepted."""
        valid = self._drawn(*report)

        async def killed() -> Any:
            pushing = asyncio.create_task(self.both[place].push(valid))
            for _ in range(steps):
                await asyncio.sleep(0)
            await self._kill(place)
            pushing.cancel()
            return await self.both[1 - place].push(valid)

        (found,) = self.run(killed())
        outcome, state = self.model.push(valid)
        assert _shown(found) in (
            {("accepted", state), ("duplicate", state)} if outcome == "accepted" else {(outcome, state)}
        )
        self.run(self._compare())


def _shown(outcome: Any) -> tuple[str, str]:
    if isinstance(outcome, Receipt):
        return outcome.outcome, outcome.state
    return "refused", outcome.code


async def _gathered(*pushes: Any) -> list[Any]:
    return await asyncio.gather(*pushes)


@pytest.mark.parametrize("kind", ["simulated", "postgres"])
def test_random_histories_are_those_of_the_contract(request: pytest.FixtureRequest, kind: str) -> None:
    """No gap, the chains are right, nothing is placed while it is held, and each decision happens once."""
    make_site: Callable[[], Site] = SimulatedSite
    if kind == "postgres":
        make_site = partial(PostgresSite, request.getfixturevalue("shared_database"))
    with asyncio.Runner() as runner:

        class Machine(Histories):
            site = staticmethod(make_site)
            run = staticmethod(runner.run)

        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            Machine,
            settings=settings(
                max_examples=count(9, full=150),
                stateful_step_count=count(8, full=50),
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
