"""PURE: draw a plan from a seed."""

import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from tests.simulation.plan import (
    INVALID,
    OF_STANDBY,
    Fault,
    Plan,
    Reader,
    Report,
    Sender,
    municipality,
    units_of,
)

Embargo = Literal["before", "within", "after"]

LOST_COMMITS = 0.4
"""Share of the plans with a standby in which a failover loses commits."""
SMALL_SIZES, UNSTORABLE, ALIKE = 0.3, 0.1, 0.1
"""Shares of the plans with small sizes, with a unit whose reports are not stored, and with readers that are alike."""
COMMON = {"levels": None, "areas": None, "every_s": 1, "gzip": False}
"""What readers have that are alike: they share one channel, which waits for its interval."""


def draw(seed: int) -> Plan:
    """Return the plan of a seed: always the same one."""
    chance = random.Random(f"plan {seed}")
    lasts_s = round(chance.uniform(2.0, 7.0), 1)
    standby = chance.random() < 0.5
    bare = Plan(
        seed=seed,
        push_processes=chance.choice((1, 1, 2, 2, 3)),
        feeds=chance.choice((1, 1, 2)),
        senders=(),
        readers=(),
        faults=(),
        lasts_s=lasts_s,
        standby=standby,
        replica=standby and chance.random() < 0.4,
        publish_from_s=_end_of_embargo(chance, lasts_s),
        rules=chance.choice(("off", "warn", "hold")),
        credit_max=chance.choice((4, 16, 64)),
        batch_max=chance.choice((2, 8, 64)),
        municipalities=chance.choice((2, 2, 3)),
        units=chance.choice((1, 2, 2, 3)),
    )
    plan = msgspec.structs.replace(
        bare, senders=tuple(_senders(bare, chance)), readers=tuple(_readers(bare, chance))
    )
    faults = tuple(_faults(plan, chance))
    operator = plan.rules == "hold" and chance.random() < 0.75
    return _rarities(msgspec.structs.replace(plan, faults=faults, operator=operator))


def _rarities(plan: Plan) -> Plan:
    """Draw what few nights have, from a chance of its own, so that the rest of a plan does not depend on it."""
    chance = random.Random(f"rarities {plan.seed}")
    small = chance.random() < SMALL_SIZES
    unstorable = ""
    if chance.random() < UNSTORABLE:
        unstorable = chance.choice(units_of(municipality(chance.randrange(plan.municipalities)), plan.units))
    readers = plan.readers
    if chance.random() < ALIKE:
        readers = tuple(
            each if each.stream == "publications" else msgspec.structs.replace(each, **COMMON)
            for each in readers
        )
    return msgspec.structs.replace(plan, small=small, unstorable=unstorable, readers=readers)


def _end_of_embargo(chance: random.Random, lasts_s: float) -> float:
    embargo: Embargo = chance.choice(("before", "before", "within", "within", "after"))
    if embargo == "before":
        return -60.0
    share = chance.uniform(0.2, 0.8) if embargo == "within" else chance.uniform(1.05, 1.4)
    return round(share * lasts_s, 2)


def _senders(plan: Plan, chance: random.Random) -> Iterator[Sender]:
    total = chance.randint(30, 110)
    number = chance.randint(2, 5)
    for place in range(number):
        name = municipality(place % plan.municipalities)
        yield Sender(
            name=f"sender-{place + 1}",
            municipality=name,
            transport=chance.choice(("websocket", "websocket", "http", "ndjson")),
            reports=tuple(_reports(plan, name, place, number, total // number, chance)),
            reads_back_s=chance.choice((0.0, 0.5, 1.5)),
        )


def _reports(
    plan: Plan, name: str, place: int, senders: int, number: int, chance: random.Random
) -> Iterator[Report]:
    """Draw the reports of a sender, in bursts: increasing revisions with gaps; falls, repeats and invalid ones."""
    units = units_of(name, plan.units)
    several = senders > plan.municipalities
    if several and chance.random() < 0.6:  # senders of one municipality often divide its units among them
        units = [
            unit for index, unit in enumerate(units) if index % 2 == place // plan.municipalities % 2
        ] or units
    orderly = chance.random() < 0.7
    revisions = dict.fromkeys(units, 0)
    figures = dict.fromkeys(units, 0)
    last: dict[str, Report] = {}
    at_s = chance.uniform(0.0, 1.0)
    for _ in range(number):
        if chance.random() < 0.15:
            at_s += chance.uniform(0.0, 3.0 * plan.lasts_s / number)
        elif chance.random() < 0.4:
            at_s += chance.uniform(0.0, 0.3)
        unit = chance.choice(units)
        what = chance.random()
        if what < 0.05:
            yield _invalid(Report(round(at_s, 3), unit, revisions[unit] + 1, (1, 1, 1)), plan, name, chance)
            continue
        if what < 0.12 and unit in last and not orderly:
            changed = chance.random() < 0.5
            yield msgspec.structs.replace(
                last[unit],
                at_s=round(at_s, 3),
                revision=max(1, last[unit].revision - changed * chance.randint(0, 2)),
            )
            continue
        revisions[unit] += chance.choice((1, 1, 1, 2, 7))
        falls = chance.random() < 0.12
        figures[unit] = chance.randrange(figures[unit] + 1) if falls else figures[unit] + chance.randrange(60)
        second = chance.randrange(figures[unit] + 1)
        third = chance.randrange(second + 1)
        last[unit] = Report(
            at_s=round(at_s, 3),
            unit=unit,
            revision=revisions[unit],
            votes=(figures[unit] - second, second - third, third),
            advance=chance.randrange(40) if chance.random() < 0.3 else None,
        )
        yield last[unit]


def _invalid(report: Report, plan: Plan, name: str, chance: random.Random) -> Report:
    invalid = chance.choice(INVALID)
    if invalid == "unit":
        others = [other for other in map(municipality, range(plan.municipalities)) if other != name]
        return msgspec.structs.replace(report, invalid=invalid, unit=units_of(chance.choice(others), 1)[0])
    return msgspec.structs.replace(
        report, invalid=invalid, revision=0 if invalid == "revision" else report.revision
    )


def _readers(plan: Plan, chance: random.Random) -> Iterator[Reader]:
    yield Reader("publications-1", stream="publications", begins_s=_begin(plan, chance))
    for number in range(1, chance.randint(2, 5)):
        yield Reader(
            name=f"reader-{number}",
            levels=chance.choice((None, "country,county,municipality,precinct", "country")),
            areas=chance.choice((None, None, "c1", municipality(0))),
            every_s=chance.choice((0, 0, 0, 1)),
            gzip=chance.random() < 0.4,
            begins_s=_begin(plan, chance),
            cursor=f"{chance.randint(1, 20)}-{chance.getrandbits(32):08x}"
            if chance.random() < 0.15
            else None,
        )


def _begin(plan: Plan, chance: random.Random) -> float:
    return 0.0 if chance.random() < 0.6 else round(chance.uniform(0.0, plan.lasts_s), 2)


# Faults.


def _faults(plan: Plan, chance: random.Random) -> Iterator[Fault]:
    kinds = [kind for kind in KINDS.values() if plan.standby or kind.name not in OF_STANDBY]
    weights = [kind.weight for kind in kinds]
    drawn = chance.choices(kinds, weights, k=chance.randint(3, 10))
    once = [kind for place, kind in enumerate(drawn) if not kind.once or kind not in drawn[:place]]
    times = sorted(round(chance.uniform(0.1, 0.9 * plan.lasts_s), 3) for _ in once)
    for at_s, kind in zip(times, once, strict=True):
        yield kind.draw(plan, chance, _amid_reports(plan, chance) if kind.once else at_s)
    if plan.standby and chance.random() < LOST_COMMITS:
        yield from _lost_commits(plan, chance)


def _amid_reports(plan: Plan, chance: random.Random) -> float:
    """Draw a time shortly after a report is submitted: acts are interesting while reports wait."""
    times = [report.at_s for sender in plan.senders for report in sender.reports]
    return round(chance.choice(times) + chance.uniform(0.0, 0.02), 4)


def _lost_commits(plan: Plan, chance: random.Random) -> Iterator[Fault]:
    """Draw what makes a failover lose commits: the standby lags, waits for it are cancelled, and it is promoted."""
    at_s = max(0.0, _amid_reports(plan, chance) - 0.01)
    seconds = chance.uniform(0.3, 2.0)
    yield Fault(round(at_s, 3), "cut_standby", seconds=round(seconds, 3))
    for _ in range(chance.randint(1, 4)):
        cancelled_s = at_s + chance.uniform(0.0, 0.8) * seconds
        yield Fault(round(cancelled_s, 3), "cancel_wait", amount=2.0)
    promoted_s = at_s + chance.uniform(0.8, 0.98) * seconds
    yield Fault(round(promoted_s, 3), "failover", seconds=0.5, amount=chance.choice((0.0, 1.0)))


class Kind:
    """A kind of fault: how often it is drawn, and how its members are."""

    def __init__(
        self,
        name: str,
        meaning: str,
        *,
        weight: float = 1.0,
        of: Callable[[Plan], Sequence[str]] = lambda _: ("",),
        to: Callable[[Plan, str], Sequence[str]] = lambda _, __: ("",),
        seconds: tuple[float, float] | None = None,
        amount: Sequence[float] = (0.0,),
        once: bool = False,
    ) -> None:
        self.name = name
        self.meaning = meaning
        self.weight = weight
        self.once = once
        self._of = of
        self._to = to
        self._seconds = seconds
        self._amount = amount

    def draw(self, plan: Plan, chance: random.Random, at_s: float) -> Fault:
        """Draw a fault of this kind."""
        of = chance.choice(self._of(plan))
        return Fault(
            at_s=at_s,
            kind=self.name,
            of=of,
            to=chance.choice(self._to(plan, of)),
            seconds=_seconds(self._seconds, chance),
            amount=chance.choice(self._amount),
        )


def _seconds(between: tuple[float, float] | None, chance: random.Random) -> float:
    """Draw a duration: short ones are as likely as long ones."""
    if between is None:
        return 0.0
    low, high = between
    return round(low * math.pow(high / low, chance.random()), 3)


def _processes(plan: Plan) -> list[str]:
    return plan.push_names() + plan.feed_names()


def _peers(plan: Plan, process: str) -> list[str]:
    """Return who talks with a process: its database, and its clients."""
    return ["database", "database", *_clients_of(plan, process)]


def _clients_of(plan: Plan, process: str) -> list[str]:
    clients: Iterable[Sender | Reader] = plan.senders if process.startswith("push") else plan.readers
    return [client.name for client in clients]


def _senders_of(plan: Plan) -> list[str]:
    return [sender.name for sender in plan.senders]


def _readers_of(plan: Plan) -> list[str]:
    return [reader.name for reader in plan.readers]


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "kill",
            "`of` is killed, with `amount` 1 by a loss of power, and restarts after `seconds`",
            of=_processes,
            seconds=(0.05, 4),
            amount=(0.0, 0.0, 1.0),
            weight=3,
        ),
        Kind(
            "drain",
            "`of` is told to stop, and restarts `seconds` after it has",
            of=_processes,
            seconds=(0.05, 2),
            weight=3,
        ),
        Kind("suspend", "`of` does not run for `seconds`", of=_processes, seconds=(0.05, 6)),
        Kind(
            "cut",
            "bytes between `of` and `to` wait for `seconds`",
            of=_processes,
            to=_peers,
            seconds=(0.05, 8),
            weight=3,
        ),
        Kind(
            "delay",
            "bytes between `of` and `to` take up to `amount` s, for `seconds`",
            of=_processes,
            to=_clients_of,
            seconds=(0.5, 5),
            amount=(0.01, 0.1, 0.5),
        ),
        Kind("reset", "all connections of `of` with clients are reset", of=_processes, weight=2),
        Kind(
            "reset_sessions",
            "the connections of `of` to the database are reset, or all",
            of=lambda plan: ["", *_processes(plan)],
            weight=2,
        ),
        Kind(
            "terminate_sessions",
            "an administrator ends the sessions of `of`, or all",
            of=lambda plan: ["", *_processes(plan)],
        ),
        Kind("freeze", "the database does not run for `seconds`", seconds=(0.05, 7)),
        Kind("freeze_standby", "the standby does not run for `seconds`", seconds=(0.05, 7)),
        Kind(
            "slow",
            "the database takes `amount` times as long for `seconds`",
            seconds=(0.5, 5),
            amount=(3.0, 20.0),
        ),
        Kind(
            "lose_answers",
            "the answers to the next `amount` commits are lost",
            amount=(1.0, 2.0, 5.0),
            weight=2,
        ),
        Kind("crash", "the database crashes and is back after `seconds`", seconds=(0.1, 4)),
        Kind(
            "failover",
            "the standby becomes the primary, and the former one joins after `seconds`; it takes connections for"
            " `amount` s as if it still were the primary",
            seconds=(0.1, 3),
            amount=(0.0, 0.0, 0.3, 2.0),
            weight=3,
        ),
        Kind(
            "cut_standby",
            "the primary does not reach the standby for `seconds`",
            seconds=(0.1, 6),
            weight=2,
        ),
        Kind(
            "cancel_wait",
            "the waits of `amount` commits for the standby are cancelled",
            amount=(1.0, 3.0),
            weight=2,
        ),
        Kind(
            "change_version",
            "`amount` administrative acts, one after the other",
            amount=(1.0, 3.0, 12.0),
            weight=2,
        ),
        Kind("revoke_token", "the token of `of` is revoked", of=_senders_of, once=True, weight=1),
        Kind("close_election", "the election is closed", once=True, weight=0.5),
        Kind(
            "clock",
            "the clock of `of` jumps by `amount` s",
            of=lambda plan: [*_processes(plan), "database"],
            amount=(-30.0, -1.0, 1.0, 30.0),
        ),
        Kind(
            "restart_sender",
            "`of` is killed, with `amount` 1 by a loss of power, and starts again after `seconds`",
            of=_senders_of,
            seconds=(0.05, 2),
            amount=(0.0, 1.0),
            weight=2,
        ),
        Kind(
            "restart_reader",
            "`of` is killed, with `amount` 1 by a loss of power, and starts again after `seconds`",
            of=_readers_of,
            seconds=(0.05, 2),
            amount=(0.0, 1.0),
        ),
        Kind(
            "suspend_client",
            "`of` does not run for `seconds`",
            of=lambda plan: _senders_of(plan) + _readers_of(plan),
            seconds=(0.3, 6),
            weight=3,
        ),
        Kind(
            "unsynchronous",
            "the primary waits for no standby for `seconds`, since an administrator cleared the setting",
            seconds=(0.1, 3),
        ),
    )
}
"""Every kind of fault, by name."""
