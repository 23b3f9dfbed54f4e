"""Run simulated nights.

python -m tests.simulation --seeds 1..2000 --jobs 2      the nights of many seeds
python -m tests.simulation --seed 7 --trace              one night, with its events
python -m tests.simulation --seed 7 --plan small.json    the night of a plan, in the order of a seed
python -m tests.simulation --mutant NAME --seeds 1..200  with a bug: the first seed that shows it
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tests.simulation.drawing import draw
from tests.simulation.mutants import MUTANTS, apply, mutant
from tests.simulation.plan import Plan, decode, encode

if TYPE_CHECKING:
    from tests.simulation.run import Result

PROGRESS_S = 10.0
"""Seconds between two lines of progress."""
TRIES = 300
"""Runs with which a failing plan is shrunk, unless `--no-shrink`."""


def main(arguments: list[str]) -> int:
    """Run what the arguments say; return 1 if a guarantee was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", metavar="A..B", default="1..200", help="run these seeds (default: 1..200)")
    parser.add_argument("--seed", type=int, metavar="N", help="run one seed")
    parser.add_argument("--plan", type=Path, metavar="FILE", help="run this plan instead of that of the seed")
    parser.add_argument("--trace", action="store_true", help="print the events of the run, and of each step")
    parser.add_argument("--steps", metavar="A..B", help="with --trace: print these steps only")
    parser.add_argument("--no-shrink", action="store_true", help="do not make a failing plan smaller")
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="processes (default: 1)")
    parser.add_argument("--minutes", type=float, default=0.0, metavar="M", help="stop after so many minutes")
    parser.add_argument(
        "--mutant", choices=[each.name for each in MUTANTS], metavar="NAME", help="run with this bug"
    )
    options = parser.parse_args(arguments)
    if options.mutant:
        apply(mutant(options.mutant))
    if options.seed is not None or options.plan is not None:
        return _run_one(options)
    return _run_many(options)


# One night.


def _run_one(options: argparse.Namespace) -> int:
    from tests.simulation.report import describe
    from tests.simulation.run import run

    plan = decode(options.plan.read_bytes()) if options.plan is not None else draw(options.seed)
    if options.seed is not None:
        plan = msgspec.structs.replace(plan, seed=options.seed)
    first, last = _range(options.steps) if options.steps else (0, sys.maxsize)
    result = run(plan, trace=_say, steps=(first, last)) if options.trace else run(plan)
    _say(describe(result))
    if result.broken:
        _explain(plan, result, options)
    return 1 if result.broken else 0


def _explain(plan: Plan, result: "Result", options: argparse.Namespace) -> None:
    """Print a failure, and store a smaller plan that still fails."""
    from tests.simulation.report import explain, made_smaller

    for broken in result.broken:
        _say(f"seed {result.seed}: {broken.guarantee}: {broken.example}")
    if not options.no_shrink:
        plan, result = made_smaller(plan, result, tries_max=TRIES)
    path = Path(f"simulation-{plan.seed}.json")
    path.write_bytes(encode(plan))
    _say(explain(plan, result, path, options.mutant))


# Many nights.


def _run_many(options: argparse.Namespace) -> int:
    from tests.simulation.report import Totals

    first, last = _range(options.seeds)
    totals = Totals()
    began = shown = time.monotonic()
    failures: list[Result] = []
    for result in _results(range(first, last + 1), options):
        totals.add(result)
        if result.broken:
            failures.append(result)
            _say(f"seed {result.seed}: {result.broken[0].guarantee}: {result.broken[0].example}")
        now = time.monotonic()
        if now - shown > PROGRESS_S:
            shown = now
            _say(str(totals))
        if (options.mutant and failures) or (options.minutes and now - began > 60 * options.minutes):
            break
    _say(str(totals))
    if failures:
        earliest = min(failures, key=lambda each: each.seed)
        _explain(draw(earliest.seed), earliest, options)
    return 1 if failures else 0


def _results(seeds: range, options: argparse.Namespace) -> "Iterator[Result]":
    if options.jobs == 1:
        yield from map(run_seed, seeds)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(options.jobs, _start, (options.mutant,)) as pool:
        yield from pool.imap(run_seed, seeds, chunksize=4)


def _start(bug: str | None) -> None:
    if bug:
        apply(mutant(bug))


def run_seed(seed: int) -> "Result":
    """Run the night of a seed."""
    from tests.simulation.run import run

    return run(draw(seed))


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("..")
    return int(first), int(last or first)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
