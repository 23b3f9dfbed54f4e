"""Peers: a short run of each pair of `python -m bench peers`."""

import msgspec

from bench.figures import Result, Skipped, Unavailable
from bench.measure import running
from bench.measure.options import Options
from bench.measure.pairs import PAIRS
from bench.measure.pairs import __name__ as package
from bench.measure.pairs.options import Options as PairOptions


async def measure(options: Options) -> Result:
    """Measure each pair once."""
    all_pairs = Result("peers")
    short = PairOptions(
        rounds=1,
        seconds=options.seconds / 3,
        reports=options.reports,
        readers=options.readers[0] if options.readers else None,
        burst=1,
        data=options.data,
        out=options.out,
    )
    for name in PAIRS:
        try:
            pair: Result = await running.module(package, name).measure(short)
        except Unavailable as error:
            all_pairs.skipped.append(Skipped.of(error))
            continue
        command = f"python -m bench peers {name}"
        all_pairs.rows += [msgspec.structs.replace(row, command=command) for row in pair.rows]
        all_pairs.skipped += pair.skipped
        all_pairs.invalid += pair.invalid
        all_pairs.notes += pair.notes
    return all_pairs
