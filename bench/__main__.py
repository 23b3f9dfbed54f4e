"""`python -m bench`, also `valgnatt-bench`: rehearse an installation, or measure this one.

python -m bench run steady flood --rate 500 --slo receipt.p99=250ms     scenarios, each with a report and a verdict
python -m bench capacity                                                how much it can take
python -m bench compare before/steady.json after/steady.json            two runs side by side
python -m bench measure                                                 every target, as in docs/performance.md
python -m bench peers ingest                                            beside others in the same run
"""

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from gateway.errors import GatewayError
from gateway.output import say

T = TypeVar("T")

app = typer.Typer(
    name="valgnatt-bench",
    help="Rehearse an installation before the night, or measure this one.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
NO_GO, INVALID = 1, 3

_Slo = Annotated[
    list[str] | None,
    typer.Option("--slo", help="a service level, as receipt.p99=250ms or lost=0; may be repeated"),
]
_Readers = Annotated[int, typer.Option(help="readers of the feed")]
_Rate = Annotated[float, typer.Option(help="reports a second")]
_Seconds = Annotated[float, typer.Option(help="how long the load lasts, in s")]
_Data = Annotated[
    Path | None, typer.Option(help="data set to play (default: the recorded election, else a made-up one)")
]
_Push = Annotated[
    str | None, typer.Option("--push", help="push door of a gateway that runs (default: one of our own)")
]
_Feed = Annotated[str | None, typer.Option("--feed", help="its feed door")]
_Election = Annotated[str | None, typer.Option(help="its election, which has to be a rehearsal")]
_Tokens = Annotated[Path | None, typer.Option(help="its tokens, JSON: municipality → token")]


@app.command("list")
def list_() -> None:
    """Say which scenarios there are, which measurements, and which pairs of `peers`."""
    from bench.measure import MEASUREMENTS
    from bench.measure import about as about_measurement
    from bench.measure.pairs import PAIRS, about
    from bench.rehearse.scenarios import names, scenario

    for name in names():
        say(f"{name:18} {(scenario(name).__doc__ or '').strip().splitlines()[0].partition(': ')[2]}")
    for name in MEASUREMENTS:
        say(f"{f'measure {name}':18} {about_measurement(name)}")
    for name in PAIRS:
        say(f"{f'peers {name}':18} {about(name)}")


@app.command()
def run(
    scenarios: Annotated[list[str], typer.Argument(help="their names, see `list`; or `all`")],
    readers: _Readers = 1000,
    rate: _Rate = 200.0,
    seconds: _Seconds = 20.0,
    speed: Annotated[
        float, typer.Option(help="for `night`: how many times as fast; 0 is as fast as possible")
    ] = 0.0,
    gzip: Annotated[bool, typer.Option(help="readers ask for gzip")] = False,
    slo: _Slo = None,
    out: Annotated[Path, typer.Option(help="directory of the reports")] = Path("bench-results"),
    data: _Data = None,
    push: _Push = None,
    feed: _Feed = None,
    election: _Election = None,
    tokens: _Tokens = None,
) -> None:
    """Play scenarios: a report of each, a verdict, and as exit status 0 for GO, 1 for NO GO, 3 for INVALID."""
    from bench.rehearse.play import play_all
    from bench.rehearse.report import told
    from bench.rehearse.scenarios import names
    from bench.rehearse.stage import Options

    wanted = names() if scenarios == ["all"] else scenarios
    if unknown := [name for name in wanted if name not in names()]:
        _mistake(f"no scenario {', '.join(unknown)}; there are {', '.join(names())}")
    options = Options(readers=readers, rate=rate, seconds=seconds, speed=speed, gzip=gzip)
    where = _where(push, feed, election, tokens)
    levels = _levels(slo)
    status = 0
    for name in wanted:
        say(f"playing {name} …", err=True)
        (found,) = _run(play_all([name], options, levels, out, data=data, where=where))
        say("\n".join(told(found)))
        say(f"  {'report':20} {out / name}.html")
        status = max(status, 0 if found.go else INVALID if found.invalid else NO_GO)
    sys.exit(status)


@app.command()
def capacity(
    seconds: _Seconds = 8.0,
    rate_max: Annotated[float, typer.Option(help="not tried beyond, in reports a second")] = 32_000.0,
    readers_max: Annotated[int, typer.Option(help="not tried beyond")] = 10_000,
    slo: _Slo = None,
    data: _Data = None,
) -> None:
    """Find the highest rate and the most readers that hold the service levels here, and what gave out first."""
    from bench.rehearse.capacity import capacity as measure_capacity
    from bench.rehearse.stage import Options

    def note(text: str) -> None:
        say(f"  {text}", err=True)

    found = _run(
        measure_capacity(Options(seconds=seconds), _levels(slo), rate_max, readers_max, note, data=data)
    )
    for each in found:
        beyond = f"not {each.fails:,.0f}: {each.gave_out}" if each.fails is not None else each.gave_out
        say(f"{each.holds:,.0f} {each.what} hold; {beyond}")


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="JSON of a run")],
    second: Annotated[Path, typer.Argument(help="JSON of another")],
    out: Annotated[Path | None, typer.Option(help="page to write")] = None,
) -> None:
    """Show two runs side by side."""
    from bench.rehearse.report import compare as side_by_side
    from bench.rehearse.report import comparison_page, read

    one, other = read(first), read(second)
    for row in side_by_side(one, other):
        say(f"{row[0]:28} {row[1]:>14} {row[2]:>14} {row[3]:>10}")
    if out is not None:
        out.write_text(comparison_page(one, other), encoding="utf-8")


@app.command()
def measure(
    names: Annotated[list[str] | None, typer.Argument(help="which, see `list` (default: all)")] = None,
    readers: Annotated[
        int | None, typer.Option(help="readers of each crowd (default: those that each measurement is about)")
    ] = None,
    long: Annotated[bool, typer.Option("--long", help="growth up to 100 times the election too")] = False,
    out: Annotated[Path, typer.Option(help="directory of the results")] = Path("bench-results"),
    data: _Data = None,
) -> None:
    """Measure this gateway, and write the table of all targets; everything takes some minutes."""
    from bench.measure import MEASUREMENTS, TABLE, measure_all, table
    from bench.measure.options import Options, long_one

    wanted = names or list(MEASUREMENTS)
    if unknown := [name for name in wanted if name not in MEASUREMENTS]:
        _mistake(f"no measurement {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}")
    options = Options(data=data, out=out, readers=(readers,) if readers is not None else ())
    found = measure_all(wanted, long_one(options) if long else options)
    say(f"\n{table(found)}\n{out / TABLE}")
    sys.exit(INVALID if any(each.invalid for each in found) else 0)


@app.command()
def peers(
    names: Annotated[list[str] | None, typer.Argument(help="which pairs, see `list` (default: all)")] = None,
    rounds: Annotated[int, typer.Option(help="turns of each side")] = 3,
    seconds: Annotated[float, typer.Option(help="how long a turn takes that is bounded by time, in s")] = 4.0,
    reports: Annotated[int, typer.Option(help="reports of a turn that is bounded by their number")] = 40_000,
    readers: Annotated[
        int | None, typer.Option(help="readers of each side (default: as many as each pair is about)")
    ] = None,
    burst: Annotated[int, typer.Option(help="frames a write, where several are; 1 leaves that out")] = 8,
    rate: Annotated[float, typer.Option(help="changes a second that readers follow")] = 200.0,
    feed: Annotated[bool, typer.Option(help="a feed process follows while reports are taken in")] = False,
    out: Annotated[Path, typer.Option(help="directory of the results")] = Path("bench-results"),
    data: _Data = None,
) -> None:
    """Measure this gateway beside its peers, in turn, in one run; what is not here is left out by name."""
    from bench.figures import compared_table
    from bench.load.environment import machine
    from bench.measure.pairs import PAIRS, RESULTS, measure_pairs
    from bench.measure.pairs.options import Options

    wanted = names or list(PAIRS)
    if unknown := [name for name in wanted if name not in PAIRS]:
        _mistake(f"no pair {', '.join(unknown)}; there are {', '.join(PAIRS)}")
    options = Options(rounds, seconds, reports, readers, burst, rate, feed, data, out)
    found = measure_pairs(wanted, options)
    say(f"\n{machine()}\n\n{compared_table(found)}\n\n{out / RESULTS}")
    sys.exit(INVALID if any(pair.invalid for pair in found) else 0)


def _levels(texts: list[str] | None) -> dict[str, float]:
    from bench.rehearse.run import read_level

    try:
        return dict(read_level(text) for text in texts or ())
    except ValueError as error:
        _mistake(str(error))
        raise AssertionError from None


def _where(push: str | None, feed: str | None, election: str | None, tokens: Path | None) -> Any:
    from bench.rehearse.play import Where

    if push is None and feed is None and election is None and tokens is None:
        return None
    if push is None or feed is None or election is None or tokens is None:
        _mistake("a gateway that runs is named by --push, --feed, --election and --tokens together")
        raise AssertionError
    return Where(push, feed, election, tokens)


def _mistake(text: str) -> None:
    say(f"valgnatt-bench: {text}", err=True)
    sys.exit(2)


def _run(work: Coroutine[Any, Any, T]) -> T:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def main() -> None:
    """Run the command line; what the gateway names is told as one line."""
    try:
        app(prog_name="valgnatt-bench")
    except GatewayError as error:
        say(f"valgnatt-bench: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
