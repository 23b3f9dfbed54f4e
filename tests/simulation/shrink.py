"""PURE: make a plan that fails smaller, for as long as it still fails.

A smaller plan takes other steps than the one that it was made from, so the same race may need another order of
callbacks: each candidate is tried with a few seeds.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import msgspec

from tests.simulation.plan import Plan, Sender, tidied

T = TypeVar("T")
TRIES_MAX = 600
"""Runs of candidates, by default."""
SEEDS = 3
"""Seeds that a candidate is tried with: that of the plan, and others."""
SHORTEST_S = 0.5


def shrink(
    plan: Plan, fails: Callable[[Plan], bool], *, tries_max: int = TRIES_MAX, seeds: int = SEEDS
) -> Plan:
    """Return a plan for which `fails` is true and than which no candidate that was tried is smaller.

    `plan` is known to fail. `fails` is called at most `tries_max` times.
    """
    tries = 0

    def found(candidate: Plan) -> Plan | None:
        nonlocal tries
        for seed in range(plan.seed, plan.seed + seeds):
            if tries >= tries_max:
                return None
            tries += 1
            seeded = msgspec.structs.replace(candidate, seed=seed)
            if fails(seeded):
                return seeded
        return None

    progress = True
    while progress and tries < tries_max:
        progress = False
        for candidates in (_fewer_faults, _fewer_clients, _fewer_reports, _simpler, _shorter):
            attempts = candidates(plan)
            while (candidate := next(attempts, None)) is not None:
                smaller = found(tidied(candidate))
                if smaller is not None and smaller != plan:
                    plan, progress = smaller, True
                    attempts = candidates(plan)
    return plan


def _without(items: Sequence[T], least: int = 0) -> Iterator[tuple[T, ...]]:
    """Leave out half of the items, then quarters, and so on down to single ones; keep at least `least`."""
    size = len(items) // 2
    while size:
        for first in range(0, len(items), size):
            kept = (*items[:first], *items[first + size :])
            if least <= len(kept) < len(items):
                yield kept
        size //= 2
    if len(items) == 1 and not least:
        yield ()


def _fewer_faults(plan: Plan) -> Iterator[Plan]:
    for faults in _without(plan.faults):
        yield msgspec.structs.replace(plan, faults=faults)


def _fewer_clients(plan: Plan) -> Iterator[Plan]:
    for senders in _without(plan.senders, least=1):
        yield msgspec.structs.replace(plan, senders=senders)
    for readers in _without(plan.readers):
        yield msgspec.structs.replace(plan, readers=readers)


def _fewer_reports(plan: Plan) -> Iterator[Plan]:
    for place, sender in enumerate(plan.senders):
        for reports in _without(sender.reports):
            yield _with_sender(plan, place, msgspec.structs.replace(sender, reports=reports))


def _with_sender(plan: Plan, place: int, sender: Sender) -> Plan:
    senders = (*plan.senders[:place], sender, *plan.senders[place + 1 :])
    return msgspec.structs.replace(plan, senders=senders)


def _simpler(plan: Plan) -> Iterator[Plan]:
    """Take away processes, the standby, rules and the embargo, and what clients do besides pushing and reading."""
    if plan.push_processes > 1:
        yield msgspec.structs.replace(plan, push_processes=plan.push_processes - 1)
    if plan.feeds > 1:
        yield msgspec.structs.replace(plan, feeds=plan.feeds - 1)
    if plan.standby:
        yield msgspec.structs.replace(plan, standby=False)
    if plan.replica:
        yield msgspec.structs.replace(plan, replica=False)
    if plan.operator:
        yield msgspec.structs.replace(plan, operator=False)
    if plan.rules != "off":
        yield msgspec.structs.replace(plan, rules="off", operator=False)
    if plan.publish_from_s > 0:
        yield msgspec.structs.replace(plan, publish_from_s=-60.0)
    for place, sender in enumerate(plan.senders):
        if sender.reads_back_s:
            yield _with_sender(plan, place, msgspec.structs.replace(sender, reads_back_s=0.0))
    readers = [
        msgspec.structs.replace(each, levels=None, areas=None, every_s=0, gzip=False, begins_s=0.0)
        for each in plan.readers
    ]
    if tuple(readers) != plan.readers:
        yield msgspec.structs.replace(plan, readers=tuple(readers))


def _shorter(plan: Plan) -> Iterator[Plan]:
    """Heal earlier, and shorten the faults."""
    if plan.lasts_s > SHORTEST_S:
        yield msgspec.structs.replace(plan, lasts_s=max(SHORTEST_S, round(plan.lasts_s / 2, 1)))
    for place, fault in enumerate(plan.faults):
        if fault.seconds > 0.1:
            shorter = msgspec.structs.replace(fault, seconds=round(fault.seconds / 2, 3))
            yield msgspec.structs.replace(
                plan, faults=(*plan.faults[:place], shorter, *plan.faults[place + 1 :])
            )
