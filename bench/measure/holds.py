"""Holds: reports/s with and without rules, and what others notice while a rule holds one municipality.

Both sides of a pair are runs of the same recorded reports in elections of their own, at one gateway; pairs take turns
in which side is first. Units of which a report is held in a first run are left out. In the first pairs, reports are
pushed as fast as they are accepted, and none is held. In the others, RATE reports per second are sent when they are
due; on one side, a rule holds every report of the municipality with the most units, and the latencies are those of all
other senders.
"""

import copy
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bench.figures import Result, Row, Series, Target, counted
from bench.load.local import Local, gateway, open_data_set
from bench.load.plan import Planned, Planner
from bench.load.processes import cpu_s
from bench.load.pusher import Order, Pushed
from bench.load.pushing import pushing
from bench.load.target import create_election, without_rules
from bench.measure.options import Options
from bench.measure.pairs.rounds import Rounds
from gateway.election.rules.policy import MOST_OPEN_MAX, recommended
from gateway.journal.administration import administration

PAIRS = 7
RATE = 2000.0
CHANCE_PERMILLE = 1
"""‰ of the reports that may be held nevertheless: the rules depend on the order in which senders are served."""
SPEED = Target(0.6, 0.7)
P99 = Target(1.1, most=True)
WITHOUT, WITH, FREE, HELD = "rules off", "recommended rules", "nothing held", "one municipality held"


class _Run(NamedTuple):
    pushed: Pushed
    cpu_s: float
    """Of the push process."""
    held: list[str]
    """Units of the reports for which a hold began."""


async def measure(options: Options) -> Result:
    """Measure PAIRS pairs of each kind, after a first run that shows which reports are held."""
    async with AsyncExitStack() as stack:
        dataset = await stack.enter_async_context(open_data_set(options.data))
        local = await stack.enter_async_context(gateway(role="push"))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="valgnatt-measure-")))
        plan = Planner(dataset.reports()).recorded()
        first = _Pairs(local, dataset.registry, plan, scratch / "reports")
        held = frozenset((await first.run(WITH)).held)
        plan = [each for each in plan if each.unit not in held]
        pairs = _Pairs(local, dataset.registry, plan, scratch / "reports")
        for number in range(PAIRS):
            await pairs.speed(turned=number % 2 == 1)
        for number in range(PAIRS):
            await pairs.latency(turned=number % 2 == 1)
        return pairs.result()


class _Pairs:
    """The pairs of runs while they are measured."""

    def __init__(self, local: Local, registry: dict[str, Any], plan: Sequence[Planned], file: Path) -> None:
        self._local = local
        self._senders = list(dict.fromkeys(each.sender for each in plan))
        place = {sender: number for number, sender in enumerate(self._senders)}
        self._order = [place[each.sender] for each in plan]
        self._file = file
        file.write_bytes(b"".join(each.body + b"\n" for each in plan))
        self._senders_by_unit = {each.unit: each.sender for each in plan}
        self._municipality = Counter(self._senders_by_unit.values()).most_common(1)[0][0]
        self._registries = _registries(registry, self._municipality, len(self._senders_by_unit))
        self._rounds = Rounds()
        self._invalid: list[str] = []

    async def speed(self, *, turned: bool) -> None:
        """Push everything as fast as it is accepted, with and without rules."""
        for side in (WITH, WITHOUT) if turned else (WITHOUT, WITH):
            found = await self._checked_run(side)
            reports = found.pushed.reports
            self._rounds.add(side, "reports/s", reports / found.pushed.seconds)
            self._rounds.add(f"{side}, CPU", "µs", 1e6 * found.cpu_s / reports)

    async def latency(self, *, turned: bool) -> None:
        """Push everything when it is due, while one municipality is held and while nothing is."""
        p99_s: dict[str, float] = {}
        for side in (HELD, FREE) if turned else (FREE, HELD):
            found = await self._checked_run(side, RATE)
            p99_s[side] = found.pushed.p99_s
            for part, seconds in (("p50", found.pushed.p50_s), ("p99", found.pushed.p99_s)):
                self._rounds.add(f"{side}, {part}", "ms", 1000 * seconds)
            self._rounds.add(
                f"{side}, delay of the generator itself, p99", "ms", 1000 * found.pushed.late_p99_s
            )
        self._rounds.add("p99 with holds / without", "×", p99_s[HELD] / max(p99_s[FREE], 1e-6))

    async def run(self, side: str, rate: float = 0.0) -> _Run:
        """Push all reports to a new election, `rate` per second, or as fast as they are accepted."""
        local, senders, reports = self._local, self._senders, len(self._order)
        created = await create_election(local, self._registries[side], [[sender] for sender in senders])
        order = Order(
            local.push_url,
            created.id,
            created.secrets,
            str(self._file),
            rate=rate,
            limit_s=20 + reports / (rate or 1000),
            senders=self._order,
            unmeasured=[senders.index(self._municipality)] if rate else [],
        )
        pid = (await local.pids())["push-0"]
        async with pushing(order) as go:
            before = cpu_s(pid)
            pushed = await go()
            used_s = cpu_s(pid) - before
        async with administration(local.database_url, "bench") as acts:
            held = [each.unit for each in await acts.journal_holds(created.id)]
            await acts.close_election(created.id)  # open elections are watched, which would delay later runs
        if pushed.outcomes != {"accepted": reports}:
            self._invalid.append(
                f"{side}: of {reports} reports {pushed.outcomes}, {pushed.unanswered} unanswered"
            )
        return _Run(pushed, used_s, held)

    async def _checked_run(self, side: str, rate: float = 0.0) -> _Run:
        """Run a side, and check that the intended reports are held, and hardly any others."""
        found = await self.run(side, rate)
        others = len(found.held)
        if side == HELD:
            others = sum(self._senders_by_unit[unit] != self._municipality for unit in found.held)
            if others == len(found.held):
                self._invalid.append(f"{side}: none of its reports was held")
        if 1000 * others > CHANCE_PERMILLE * found.pushed.reports:
            self._invalid.append(f"{side}: {counted(others, 'report')} held that should not be")
        return found

    def result(self) -> Result:
        """Return the rows."""
        rounds, reports = self._rounds, len(self._order)
        what = f"{reports} reports at once over {len(self._senders)} WebSockets, recommended rules"
        others = f"{RATE:g} reports/s, a rule holds everything from one municipality"
        rows = [
            Row.compared(f"{what}: rate", rounds[WITH], _named(rounds[WITHOUT], WITHOUT), SPEED),
            Row(
                f"CPU of the push process per report, {what}",
                rounds[f"{WITH}, CPU"],
                _named(rounds[f"{WITHOUT}, CPU"], WITHOUT),
            ),
            *(
                Row(
                    f"{others}: time to receipt of all others, {part}",
                    rounds[f"{HELD}, {part}"],
                    _named(rounds[f"{FREE}, {part}"], FREE),
                )
                for part in ("p50", "p99")
            ),
            Row(
                f"{others}: p99 of all others, ratio within each pair to that with nothing held",
                rounds["p99 with holds / without"],
                None,
                P99,
            ),
        ]
        shown = [series for row in rows for series in (row.ours, row.beside) if series is not None]
        return Result("holds", rows, rounds.others(*shown), invalid=self._invalid)


def _registries(registry: dict[str, Any], municipality: str, units: int) -> dict[str, dict[str, Any]]:
    """Return the registry of each side; a municipality without eligible voters has too many with its first ballot."""
    unlimited = msgspec.structs.replace(recommended(units), most_open=MOST_OPEN_MAX).document()
    sides = {side: copy.deepcopy(registry) for side in (WITH, FREE, HELD)}
    sides[WITHOUT] = without_rules(registry)
    sides[WITH]["election"]["rules"] = "recommended"
    for side in (FREE, HELD):
        sides[side]["election"]["rules"] = unlimited
    for area in sides[HELD]["areas"]:
        if area["id"] == municipality:
            area["eligible"] = 0
    return sides


def _named(series: Series, name: str) -> Series:
    return msgspec.structs.replace(series, name=name)
