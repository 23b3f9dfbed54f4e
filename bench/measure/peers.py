"""Peers: the pairs of `python -m bench peers`, a short turn each."""

from bench.figures import Absent, Skipped
from bench.measure.options import Options
from bench.measure.pairs import PAIRS, module
from bench.measure.pairs.options import Options as PeerOptions
from bench.measure.table import Measured, Row


async def measure(options: Options) -> Measured:
    """Measure each pair once."""
    found = Measured("peers")
    short = PeerOptions(
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
            pair = await module(name).measure(short)
        except Absent as absent:
            found.skipped.append(Skipped.of(absent))
            continue
        command = f"python -m bench peers {name}"
        found.rows += [Row.of(finding, command) for finding in pair.findings]
        found.skipped += pair.skipped
        found.invalid += pair.invalid
        found.notes += pair.notes
    return found
