"""`valgnatt demo`, and the display of `valgnatt replay`: a live table of a replay in the terminal."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from gateway.client.hold_sentences import place_name
from gateway.client.subscriber import Block, Subscriber
from gateway.client.tables import area_table, ballots
from gateway.config import Config
from gateway.errors import GatewayError
from gateway.humanize import counted, spaced
from gateway.machine.serve import serve
from gateway.machine.supervisor import Ports
from gateway.rehearsal.dataset import DataSet
from gateway.rehearsal.operator import LOOK_S, Decided, decided_line, held_line
from gateway.rehearsal.rehearse import GatewayUrls, MakeSchedule, Rehearsal, rehearse
from gateway.rehearsal.replay import Sending
from gateway.rehearsal.results import RecordCheck, Summary, summary_lines
from gateway.rehearsal.schedule import within
from gateway.rehearsal.signed_rehearsal import SigningDemo
from gateway.reserved_ports import reserved_port
from gateway.terminal import Terminal
from gateway.wire.holds import AreaNames, Hold

ROWS_MAX = 24
"""Counties that are shown."""
REDRAWS_PER_S = 5
ERRORS = {"copy": 1}
"""Errors in the election of the demo: one that anybody understands."""
LOOK_SHARE, LOOK_MAX_S = 0.04, 2.0
"""For how long the operator of a demo looks at a held report: as a share of its length, and at most."""
LINES_MAX = 20
"""Holds and decisions that are printed; more would move the board away."""
Check = Callable[[str, int], Awaitable[RecordCheck | None]]
"""Verifies the signed record of an election that has this many publications; None if it is not signed."""


class Board:
    """The display of a running replay: country and counties, with units reported and lag."""

    def __init__(self, console: Terminal, reports: int, title: str) -> None:
        self._console = console
        self._title = title
        self._copy: dict[str, Any] = {}
        self._lag_s: dict[str, float] = {}
        self._progress = Progress(
            TextColumn("receipts"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
        )
        self._task = self._progress.add_task("receipts", total=reports)
        self._publish_at: datetime | None = None
        self._plain_at = 0.0
        self._lines = 0
        self._corrections: dict[tuple[str, int], str] = {}
        """Names of places by the revision that corrects a decided report."""

    def set_publish_at(self, publish_at: datetime) -> None:
        """Set the end of the embargo."""
        self._publish_at = publish_at

    def on_answer(self, sending: Sending) -> None:
        """Count an answered report; print that it corrects a rejected one."""
        self._progress.advance(self._task)
        if name := self._corrections.pop((sending.unit, sending.revision), None):
            self._note(f"Corrected  {name}: the sender's revision {sending.revision} is accepted")

    def on_held(self, hold: Hold, areas: Mapping[str, AreaNames]) -> None:
        """Print that a report is held, and why."""
        self._note(held_line(hold, areas))

    def on_decided(self, decided: Decided) -> None:
        """Print a decision of the operator, and wait for the corrections."""
        self._note(decided_line(decided))
        if decided.error is not None:
            for each in decided.error.corrected_by:
                self._corrections[each.unit, each.revision] = place_name(each.unit, decided.areas)

    def _note(self, line: str) -> None:
        if self._lines < LINES_MAX:
            self._lines += 1
            self._console.print(line, style="yellow", soft_wrap=True, markup=False, highlight=False)

    def on_block(self, subscriber: Subscriber, block: Block) -> None:
        """Record the changed areas and their lag."""
        self._copy = dict(subscriber.copy)
        now = datetime.now(UTC)
        for identifier, area in block.areas.items():
            if area["published_at"] is not None:
                published_at = datetime.fromisoformat(area["published_at"])
                self._lag_s[identifier] = max(0.0, (now - published_at).total_seconds())

    async def show(self, work: Awaitable[Summary]) -> Summary:
        """Show the board until the work is done; return its result."""
        if not self._console.is_terminal:
            return await self._print_progress(work)
        with Live(self, console=self._console, refresh_per_second=REDRAWS_PER_S, redirect_stderr=False):
            return await work

    async def _print_progress(self, work: Awaitable[Summary]) -> Summary:
        """Print a line of progress every few seconds, for output that is not a terminal."""
        working = asyncio.ensure_future(work)
        try:
            while not working.done():
                await asyncio.wait({working}, timeout=5.0)
                self._console.print(self._headline(), soft_wrap=True)
        finally:
            working.cancel()
        return working.result()

    def __rich__(self) -> Group:
        return Group(self._headline(), self._progress, self._table())

    @property
    def _left_s(self) -> float:
        return (self._publish_at - datetime.now(UTC)).total_seconds() if self._publish_at else 0.0

    def _headline(self) -> Text:
        left_s = self._left_s
        done = self._progress.tasks[0].completed
        country = next((area for area in self._copy.values() if area["parent"] is None), None)
        units = counted(country["units"]["total"], "unit") if country is not None else "figures"
        if left_s > 0:
            state = f"{units} hidden until the embargo ends in {left_s:4.1f} s"
        elif country is None:
            state = "published"
        else:
            reported = spaced(country["units"]["reported"])
            state = f"published: {reported} of {units}, {counted(ballots(country), 'ballot')}"
        return Text(f"{self._title}  {state}  {counted(int(done), 'receipt')}", style="bold")

    def _table(self) -> Table:
        roots = [area for area in self._copy.values() if area["parent"] is None]
        below = [area for area in self._copy.values() if area["parent"] in {root["area"] for root in roots}]
        return area_table(roots, below, self._lag_s, ROWS_MAX, hidden=self._left_s > 0)


async def replay(
    dataset: DataSet,
    make_schedule: MakeSchedule,
    gateway: GatewayUrls,
    *,
    author: str,
    console: Terminal,
    announce: Callable[[Rehearsal], None] = lambda _: None,
    look_s: float = LOOK_S,
    check: Check,
    prepare_log: Callable[[str], Awaitable[None]] | None = None,
) -> Summary:
    """Rehearse a data set on a running gateway, with a board in the terminal, and print a summary.

    At the end, `check` verifies the signed record, if there is one.
    """
    board = Board(console, sum(1 for _ in dataset.reports()), dataset.registry["election"]["name"])
    rehearsal = await rehearse(
        dataset,
        make_schedule,
        gateway,
        author=author,
        on_block=board.on_block,
        on_answer=board.on_answer,
        look_s=look_s,
        on_held=board.on_held,
        on_decided=board.on_decided,
        prepare_log=prepare_log,
    )
    board.set_publish_at(rehearsal.publish_at)
    announce(rehearsal)
    summary = await board.show(rehearsal.run())
    found = await check(rehearsal.election, summary.publications)
    summary = msgspec.structs.replace(summary, record=found)
    for line in summary_lines(summary):
        console.say(line)
    return summary


async def demo(data: Path | None, seconds: float, author: str) -> int:
    """Replay a whole election in about `seconds` on a temporary Postgres, and remove everything afterwards.

    Its record is signed and cosigned by a witness. Returns the exit status: 0 if every area equals the official totals
    and the record is verified, 1 if not, 130 if it was interrupted.
    """
    console = Terminal()
    directory = Path(tempfile.mkdtemp(prefix="valgnatt-demo-"))
    try:
        if data is None:
            from gateway.rehearsal.generator import write_election

            console.print("Generating an election …")
            data = directory / "election"
            # Not in a thread, which would go on after an interrupt.
            write_election(data, 1, 1.0, ERRORS, past=True)
            await asyncio.sleep(0)  # an interrupt takes effect here
        dataset = DataSet.open(data)
        return await _run(dataset, directory, seconds, author, console)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def _run(dataset: DataSet, directory: Path, seconds: float, author: str, console: Terminal) -> int:
    with reserved_port() as port:
        signing = SigningDemo(directory, port)
        config = Config(
            data_dir=directory / "postgres",
            database_url=None,
            feed_database_url=None,
            drain_s=1.0,
            log_level="warning",
        )
        config = signing.configured(config)
        async with signing.witnessing(config):
            return await _serve_and_play(dataset, config, signing, seconds, author, console)


async def _serve_and_play(
    dataset: DataSet, config: Config, signing: SigningDemo, seconds: float, author: str, console: Terminal
) -> int:
    stop = asyncio.Event()
    started: asyncio.Future[Ports] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve(config, on_started=started.set_result, stop=stop, other_ports=True), name="serve"
    )
    serving.add_done_callback(_retrieve)
    try:
        await asyncio.wait((serving, asyncio.ensure_future(started)), return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            return await serving or 130  # it ended without a failure, so it was interrupted
        playing = asyncio.create_task(
            _play(dataset, config, signing, started.result(), seconds, author, console)
        )
        playing.add_done_callback(_retrieve)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({playing, stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if playing.done():
            return 0 if playing.result().good else 1
        playing.cancel()
        await asyncio.wait({playing})
        if serving.done():
            return await serving or 1
        console.print("Interrupted; shutting down …")
        return 130
    finally:
        stop.set()
        await _wait_ended(serving)


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Retrieve the exception of a task, so that it is not logged if an interrupt prevents its caller from doing so."""
    if not task.cancelled():
        task.exception()


async def _wait_ended(task: asyncio.Task[Any]) -> None:
    """Wait until a task has ended, even if the caller is cancelled meanwhile; then raise CancelledError."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def _play(
    dataset: DataSet,
    config: Config,
    signing: SigningDemo,
    ports: Ports,
    seconds: float,
    author: str,
    console: Terminal,
) -> Summary:
    from gateway.journal.embedded import find

    running = find(config.data_dir)
    if running is None:
        raise GatewayError("the embedded Postgres has ended")
    push_url, feed_url = f"http://{config.host}:{ports.push}", f"http://{config.host}:{ports.feed}"

    def announce(rehearsal: Rehearsal) -> None:
        election = rehearsal.election
        seats = ""
        if "apportionment" in dataset.registry["election"]:
            seats = f"  curl '{feed_url}/v1/elections/{election}/seats?format=csv'\n"
        console.print("Open in a browser:", style="bold")
        console.print(
            f"  {feed_url}/?election={election}  the results\n"
            f"  {feed_url}/transfers?election={election}  where the counts are\n"
            f"  {feed_url}/verify?election={election}  whether they are signed, and who agrees\n"
            f"  {feed_url}/docs?election={election}  how to read them with a program\n",
            soft_wrap=True,
        )
        console.print("While it runs, try:", style="bold")
        console.print(
            f"  curl -N '{feed_url}/v1/elections/{election}/feed?levels=country'\n"
            f"  curl '{feed_url}/v1/elections/{election}/areas/{_root(dataset)}?format=csv'\n"
            f"{seats}"
            f"  curl '{feed_url}/v1/elections/{election}/transfers'\n"
            f"  curl -N -H 'Accept: text/event-stream' '{feed_url}/v1/elections/{election}/publications'\n"
            f"  curl 'http://{config.admin_host}:{ports.admin}/metrics'\n",
            soft_wrap=True,
        )

    begun = time.monotonic()
    summary = await replay(
        dataset,
        lambda times, publish_from: within(times, publish_from, seconds),
        GatewayUrls(running.url, push_url, feed_url),
        author=author,
        console=console,
        announce=announce,
        look_s=min(LOOK_MAX_S, LOOK_SHARE * seconds),
        check=partial(signing.verify, feed_url),
        prepare_log=signing.prepare,
    )
    verdict = (
        "All results are correct, and the record is verified."
        if summary.good
        else "Some results are WRONG; see above."
    )
    console.print(f"{verdict} ({time.monotonic() - begun:.0f} s)", style="bold")
    return summary


def _root(dataset: DataSet) -> str:
    return next(str(area["id"]) for area in dataset.registry["areas"] if area.get("parent") is None)
