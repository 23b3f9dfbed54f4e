"""Peers: a short run of each pair of `python -m bench peers`."""

import msgspec

from bench.figures import Result
from bench.measure import running
from bench.measure.options import Options
from bench.measure.pairs import OF_GOALS, PAIRS
from bench.measure.pairs import __name__ as package
from bench.measure.pairs.options import Options as PairOptions


async def measure(options: Options) -> Result:
    """Measure each pair that is wanted."""
    all_pairs = Result("peers")
    short = PairOptions(
        rounds=options.rounds,
        seconds=options.seconds / 3,
        reports=options.reports,
        readers=options.readers[0] if options.readers else None,
        burst=1,
        receipts=options.receipts,
        goals_only=options.goals_only,
        data=options.data,
        out=options.out,
    )
    for name in OF_GOALS if options.goals_only else PAIRS:
        pair = await running.measured(name, running.module(package, name), short)
        command = f"python -m bench peers {name}"
        all_pairs.rows += [msgspec.structs.replace(row, command=command) for row in pair.rows]
        all_pairs.skipped += pair.skipped
        all_pairs.invalid += pair.invalid
        all_pairs.notes += pair.notes
    return all_pairs
