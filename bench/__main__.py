"""`python -m bench`, also `valgnatt-bench`: rehearse an installation, or measure this one.

python -m bench run steady flood --rate 500 --slo receipt.p99=250ms     run scenarios, each with a report and a verdict
python -m bench run soak --hours 24                                     repeat the night for hours; what grows?
python -m bench capacity                                                find the highest load
python -m bench compare before/steady.json after/steady.json            show two runs side by side
python -m bench measure goals                                           measure the goals of docs/performance.md
python -m bench measure                                                 measure everything, the goals included
python -m bench peers ingest                                            compare with peers in the same run
"""

import asyncio
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec
import typer

from bench.earlier import keep_earlier
from gateway.commands.extras import MODULES_OF_GATEWAY
from gateway.errors import GatewayError
from gateway.output import say

T = TypeVar("T")

app = typer.Typer(
    name="valgnatt-bench",
    help="Rehearse an installation under load, or measure this machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
NO_GO, INVALID = 1, 3
"""Exit statuses."""
SOAK = "soak"
HOURS_MAX = 1000
GOALS = "goals"
"""The name that stands for the measurements of all goals."""

_Slo = Annotated[
    list[str] | None,
    typer.Option("--slo", help="service level, such as receipt.p99=250ms or lost=0; may be repeated"),
]
_Readers = Annotated[int, typer.Option(help="number of readers of the feed")]
_Rate = Annotated[float, typer.Option(help="reports per second")]
_Seconds = Annotated[float, typer.Option(help="duration of the load in s")]
_Data = Annotated[
    Path | None, typer.Option(help="data set to use (default: the recorded election, else a generated one)")
]
_Push = Annotated[
    str | None,
    typer.Option("--push", help="address of the push port of a running gateway (default: start one)"),
]
_Feed = Annotated[str | None, typer.Option("--feed", help="address of its feed port")]
_Election = Annotated[str | None, typer.Option(help="its election, which must be a rehearsal")]
_Tokens = Annotated[Path | None, typer.Option(help="JSON file of its tokens: municipality → token")]


@app.command("list")
def list_() -> None:
    """List the scenarios, the measurements, and the pairs of `peers`."""
    from bench.measure import MEASUREMENTS
    from bench.measure import about as about_measurement
    from bench.measure.pairs import PAIRS, about
    from bench.rehearse.scenarios import names, scenario
    from bench.soak import __doc__ as about_soak

    for name in names():
        say(f"{name:22} {(scenario(name).__doc__ or '').strip().splitlines()[0].partition(': ')[2]}")
    say(f"{SOAK:22} {(about_soak or '').strip().partition(': ')[2]}")
    say(f"{f'measure {GOALS}':22} the goals of docs/performance.md, and no more than they need")
    for name in MEASUREMENTS:
        say(f"{f'measure {name}':22} {about_measurement(name)}")
    for name in PAIRS:
        say(f"{f'peers {name}':22} {about(name)}")


@app.command()
def run(
    scenarios: Annotated[
        list[str], typer.Argument(help="names, see `list`; or `all`, which are all but `soak`")
    ],
    readers: Annotated[
        int | None, typer.Option(help="number of readers of the feed (default: 1000; of `soak`: 300)")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="reports per second (default: 200; of `soak`: 30)")
    ] = None,
    seconds: _Seconds = 20.0,
    speed: Annotated[
        float, typer.Option(help="for `night`: multiple of the original speed; 0: as fast as possible")
    ] = 0.0,
    gzip: Annotated[bool, typer.Option(help="readers request gzip")] = False,
    slo: _Slo = None,
    out: Annotated[
        Path, typer.Option(help="directory for the reports; those of earlier runs are kept, with a number")
    ] = Path("bench-results"),
    data: _Data = None,
    push: _Push = None,
    feed: _Feed = None,
    election: _Election = None,
    tokens: _Tokens = None,
    hours: Annotated[float | None, typer.Option(help="for `soak`: its duration in hours")] = None,
    election_s: Annotated[
        float, typer.Option(help="for `soak`: duration of each election in s; 0: a fifteenth of the run")
    ] = 0.0,
) -> None:
    """Run scenarios, with a report and a verdict for each; the exit status is 0 for GO, 1 for NO GO, 3 for INVALID."""
    from bench.rehearse.play import play_all
    from bench.rehearse.report import summary
    from bench.rehearse.scenarios import names
    from bench.rehearse.stage import Options

    if scenarios == [SOAK]:
        if hours is None or not 0 < hours <= HOURS_MAX:
            _usage_error(f"soak needs --hours, up to {HOURS_MAX}")
        _run_soak(hours, rate, readers, election_s, data, out)
    wanted = _known("scenario", names() if scenarios == ["all"] else scenarios, names())
    if hours is not None:
        _usage_error("--hours is for `soak`")
    if readers is None:
        readers = Options().readers
    options = Options(
        readers=readers,
        rate=Options().rate if rate is None else rate,
        seconds=seconds,
        speed=speed,
        gzip=gzip,
    )
    running = _running_gateway(push, feed, election, tokens)
    levels = _levels(slo)
    status = 0
    for name in wanted:
        say(f"running {name} …", err=True)
        (found,) = _run(play_all([name], options, levels, out, data=data, running=running))
        say("\n".join(summary(found)))
        say(f"  {'report':20} {out / name}.html")
        status = max(status, 0 if found.go else INVALID if found.invalid else NO_GO)
    sys.exit(status)


def _run_soak(
    hours: float, rate: float | None, readers: int | None, election_s: float, data: Path | None, out: Path
) -> NoReturn:
    """Run a soak; its exit status is that of `run`."""
    from bench.soak.play import SoakOptions, play
    from bench.soak.report import PAGE, summary, table

    options = SoakOptions(hours=hours, cycle_s=election_s, data=data)
    if rate is not None:
        options = msgspec.structs.replace(options, rate=rate)
    if readers is not None:
        options = msgspec.structs.replace(options, readers=readers)
    say(f"running {SOAK} …", err=True)
    soak = _run(play(options, out))
    say("\n".join([*summary(soak), "", table(soak)]))
    say(f"{out / PAGE}")
    sys.exit({"GO": 0, "INVALID": INVALID}.get(soak.verdict, NO_GO))


@app.command()
def capacity(
    seconds: _Seconds = 8.0,
    rate_max: Annotated[float, typer.Option(help="highest rate to try, in reports per second")] = 32_000.0,
    readers_max: Annotated[int, typer.Option(help="largest number of readers to try")] = 10_000,
    slo: _Slo = None,
    data: _Data = None,
) -> None:
    """Find the highest rate and the most readers that keep the service levels, and what is exceeded first."""
    from bench.rehearse.capacity import capacity as measure_capacity
    from bench.rehearse.stage import Options

    def note(text: str) -> None:
        say(f"  {text}", err=True)

    found = _run(
        measure_capacity(Options(seconds=seconds), _levels(slo), rate_max, readers_max, note, data=data)
    )
    for each in found:
        limit = f"{each.failed:,.0f} failed: {each.limit}" if each.failed is not None else each.limit
        say(f"{each.passed:,.0f} {each.what} passed; {limit}")


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="JSON file of a run")],
    second: Annotated[Path, typer.Argument(help="JSON file of another run")],
    out: Annotated[Path | None, typer.Option(help="HTML page to write")] = None,
) -> None:
    """Show two runs side by side."""
    from bench.rehearse.report import compare as side_by_side
    from bench.rehearse.report import comparison_page, read

    one, other = read(first), read(second)
    for row in side_by_side(one, other):
        say(f"{row[0]:28} {row[1]:>14} {row[2]:>14} {row[3]:>10}")
    if out is not None:
        keep_earlier(out)
        out.write_text(comparison_page(one, other), encoding="utf-8")


@app.command()
def measure(
    names: Annotated[
        list[str] | None, typer.Argument(help="names, see `list`; or `goals` (default: all)")
    ] = None,
    readers: Annotated[
        int | None, typer.Option(help="number of readers (default: those of each measurement)")
    ] = None,
    long: Annotated[
        bool, typer.Option("--long", help="growth also with an election of 100 times the size")
    ] = False,
    out: Annotated[Path, typer.Option(help="directory for the results")] = Path("bench-results"),
    data: _Data = None,
) -> None:
    """Measure this gateway and write a table of the goals and of all figures; everything takes some minutes.

    The exit status is 1 if a goal was not reached or not measured, and 3 if figures are invalid.
    """
    from bench.measure import MEASUREMENTS, OF_GOALS, TABLE, measure_all, table, unreached
    from bench.measure import RESULTS as MEASURED
    from bench.measure.options import Options, with_largest

    goals_only = names == [GOALS]
    wanted = list(OF_GOALS) if goals_only else _known("measurement", names, MEASUREMENTS)
    keep_earlier(out / TABLE, out / MEASURED)
    options = Options(
        data=data, out=out, readers=(readers,) if readers is not None else (), goals_only=goals_only
    )
    found = measure_all(wanted, with_largest(options) if long else options)
    say(f"\n{table(found)}\n{out / TABLE}")
    if missed := unreached(found, wanted):
        say(f"goals not reached or not measured: {', '.join(map(str, missed))}", err=True)
    sys.exit(INVALID if any(each.invalid for each in found) else NO_GO if missed else 0)


@app.command()
def peers(
    names: Annotated[list[str] | None, typer.Argument(help="names, see `list` (default: all)")] = None,
    rounds: Annotated[int, typer.Option(help="rounds of each side")] = 3,
    seconds: Annotated[float, typer.Option(help="duration of a round that is limited by time, in s")] = 4.0,
    reports: Annotated[int, typer.Option(help="reports of a round that is limited by their number")] = 40_000,
    readers: Annotated[
        int | None, typer.Option(help="readers of each side (default: those of each pair)")
    ] = None,
    burst: Annotated[
        int, typer.Option(help="frames per write of the side that sends several; 1: leave it out")
    ] = 8,
    rate: Annotated[float, typer.Option(help="changes per second that readers follow")] = 200.0,
    feed: Annotated[bool, typer.Option(help="run a feed process while reports are pushed")] = False,
    out: Annotated[Path, typer.Option(help="directory for the results")] = Path("bench-results"),
    data: _Data = None,
) -> None:
    """Compare this gateway with its peers in alternating rounds; peers that are not installed are skipped."""
    from bench.figures import compared_table
    from bench.load.environment import machine
    from bench.measure.pairs import PAIRS, RESULTS, measure_pairs
    from bench.measure.pairs.options import Options

    wanted = _known("pair", names, PAIRS)
    keep_earlier(out / RESULTS)
    options = Options(
        rounds=rounds, seconds=seconds, reports=reports, readers=readers, burst=burst, rate=rate, feed=feed,
        data=data, out=out,
    )  # fmt: skip
    found = measure_pairs(wanted, options)
    say(f"\n{machine()}\n\n{compared_table(found)}\n\n{out / RESULTS}")
    sys.exit(INVALID if any(pair.invalid for pair in found) else 0)


def _known(kind: str, wanted: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """Return the wanted names, or all known ones."""
    if unknown := [name for name in wanted or () if name not in known]:
        _usage_error(f"no {kind} {', '.join(unknown)}; known: {', '.join(known)}")
    return list(wanted or known)


def _levels(texts: list[str] | None) -> dict[str, float]:
    from bench.rehearse.run import read_level

    try:
        return dict(read_level(text) for text in texts or ())
    except ValueError as error:
        _usage_error(str(error))


def _running_gateway(push: str | None, feed: str | None, election: str | None, tokens: Path | None) -> Any:
    from bench.rehearse.play import RunningGateway

    if push is None and feed is None and election is None and tokens is None:
        return None
    if push is None or feed is None or election is None or tokens is None:
        _usage_error("a running gateway needs --push, --feed, --election and --tokens together")
    return RunningGateway(push, feed, election, tokens)


def _usage_error(text: str) -> NoReturn:
    say(f"valgnatt-bench: {text}", err=True)
    sys.exit(2)


def _run(work: Coroutine[Any, Any, T]) -> T:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def main() -> None:
    """Run the command line; errors of the gateway become one line and exit status 1."""
    try:
        app(prog_name="valgnatt-bench")
    except GatewayError as error:
        say(f"valgnatt-bench: {error}", err=True)
        sys.exit(1)
    except ModuleNotFoundError as error:
        if error.name not in (*MODULES_OF_GATEWAY, "matplotlib"):
            raise
        say(f"valgnatt-bench: {error.name} is not installed: pip install 'valgnatt[bench]'", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
