"""A watch goes on: nothing that is wrong with a file, the directory, the outbox or the gateway ends it."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.client import push_directory as module
from gateway.client.outbox import OutboxConflict
from gateway.client.outbox_file import OutboxUnavailable
from gateway.client.push_directory import Delivering, push_directory
from gateway.client.receipts_table import ReceiptsUnavailable
from gateway.client.watched_directory import WatchedDirectory
from gateway.count_files.reports import Mistakes, TooManyReports
from gateway.errors import GatewayError
from gateway.terminal import Terminal

TIMEOUT_S = 30.0


class Away(GatewayError):
    """A gateway that does not answer."""

    retryable = True


class Watch:
    """A watch whose deliveries are recorded; `fail` decides which of them fail."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.printed = io.StringIO()
        self.added: list[tuple[str, ...]] = []
        self.sent = 0
        self.tables = 0
        self.fail: Callable[[Mapping[str, bytes]], Exception | None] = lambda _: None
        self.fail_sending: Callable[[], Exception | None] = lambda: None
        self.fail_table: Callable[[], Exception | None] = lambda: None

    async def add(self, files: Mapping[str, bytes]) -> int:
        if (error := self.fail(files)) is not None:
            raise error
        self.added.append(tuple(files))
        return len(files)

    async def send(self) -> None:
        if (error := self.fail_sending()) is not None:
            raise error
        self.sent += 1
        self.table()

    def table(self) -> None:
        if (error := self.fail_table()) is not None:
            raise error
        self.tables += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        console = Terminal(file=self.printed, soft_wrap=True)
        directory = WatchedDirectory(self.path, settle_s=0.0)
        task = asyncio.create_task(
            push_directory(directory, console, Delivering(self.add, self.send, self.table))
        )
        try:
            yield
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    @property
    def output(self) -> str:
        return self.printed.getvalue()

    async def until(self, fact: Callable[[], bool]) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while not fact():  # noqa: ASYNC110 - facts without an event
                await asyncio.sleep(0.005)


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    for name in ("POLL_S", "RETRY_FIRST_S", "RETRY_MOST_S", "RECEIPTS_S"):
        monkeypatch.setattr(module, name, 0.01)
    monkeypatch.setattr(module, "GATHER_S", 0.0)
    (tmp_path / "w").mkdir()
    return Watch(tmp_path / "w")


async def test_mistakes_exclude_the_files_that_have_them_and_are_shown_once(watch: Watch) -> None:
    """They are read again when they change."""

    def wrong(files: Mapping[str, bytes]) -> Exception | None:
        bad = [name for name, content in files.items() if content == b"wrong"]
        return Mistakes([f"{name}, line 1: wrong" for name in bad], bad) if bad else None

    watch.fail = wrong
    for name, content in (("a.csv", "good"), ("b.csv", "wrong"), ("c.csv", "good")):
        (watch.path / name).write_text(content)
    async with watch.running():
        await watch.until(lambda: watch.added == [("a.csv", "c.csv")])
        (watch.path / "d.csv").write_text("good")
        await watch.until(lambda: len(watch.added) == 2)
        (watch.path / "b.csv").write_text("corrected")
        await watch.until(lambda: len(watch.added) == 3)
    assert watch.output.count("b.csv: not sent:\nb.csv, line 1: wrong\n") == 1


async def test_a_gateway_that_is_away_is_shown_once_and_the_files_are_added_together_later(
    watch: Watch,
) -> None:
    away = True
    tries: list[tuple[str, ...]] = []

    def fail(files: Mapping[str, bytes]) -> Exception | None:
        tries.append(tuple(files))
        return Away("push door: connection refused") if away else None

    watch.fail = fail
    for name in ("a.csv", "b.csv"):
        (watch.path / name).write_text(name)
    async with watch.running():
        await watch.until(lambda: len(tries) > 4)
        away = False
        await watch.until(lambda: bool(watch.added))
    assert watch.added == [("a.csv", "b.csv")]
    shown = "a.csv: push door: connection refused; trying again (1 more file waiting)\n"
    assert watch.output.count(shown) == 1
    assert "Files are taken again." in watch.output


@pytest.mark.parametrize(
    "error",
    [
        GatewayError("not a report"),
        OutboxConflict("unit 1, revision 1"),
        TooManyReports(["all files: more than 20000 reports"]),
    ],
)
async def test_one_file_that_can_never_be_added_does_not_keep_the_others_from_it(
    watch: Watch, error: Exception
) -> None:
    """They are tried one by one then."""
    watch.fail = lambda files: error if "b.csv" in files else None
    for name in ("a.csv", "b.csv", "c.csv"):
        (watch.path / name).write_text(name)
    async with watch.running():
        await watch.until(lambda: len(watch.added) == 2)
        (watch.path / "d.csv").write_text("d")
        await watch.until(lambda: len(watch.added) == 3)
    assert sorted(watch.added) == [("a.csv",), ("c.csv",), ("d.csv",)]
    assert watch.output.count(str(error)) == 1


async def test_a_directory_that_is_away_is_shown_once_and_when_it_is_back(watch: Watch) -> None:
    """At the start too."""
    away = watch.path.with_name("away")
    watch.path.rename(away)
    async with watch.running():
        await watch.until(lambda: "No such file or directory; waiting for it" in watch.output)
        (away / "a.csv").write_text("1")
        away.rename(watch.path)
        await watch.until(lambda: watch.added == [("a.csv",)])
    assert watch.output.count("No such file") == 1
    assert watch.output.count(f"{watch.path} can be read again.") == 1


async def test_reports_are_sent_while_files_wait_and_files_are_taken_while_reports_wait(watch: Watch) -> None:
    """At the start, what waits in the outbox is sent."""
    sending = asyncio.Event()
    answered = asyncio.Event()

    async def send() -> None:
        sending.set()
        await answered.wait()
        watch.sent += 1

    watch.send = send  # type: ignore[method-assign]
    async with watch.running():
        await sending.wait()
        (watch.path / "a.csv").write_text("1")
        await watch.until(lambda: watch.added == [("a.csv",)])
        (watch.path / "b.csv").write_text("1")
        await watch.until(lambda: len(watch.added) == 2)
        assert watch.sent == 0
        answered.set()
        await watch.until(lambda: watch.sent == 2)


async def test_a_table_of_receipts_that_cannot_be_written_is_shown_once_and_written_later(
    watch: Watch,
) -> None:
    full = True
    tries = 0

    def fail() -> Exception | None:
        nonlocal tries
        tries += 1
        return ReceiptsUnavailable("receipts r.csv: No space left on device") if full else None

    watch.fail_table = fail
    async with watch.running():
        await watch.until(lambda: tries > 3)
        full = False
        await watch.until(lambda: watch.tables == 1)
    assert watch.sent == 1
    assert watch.output.count("receipts r.csv: No space left on device; trying again\n") == 1
    assert "All answers are recorded again." in watch.output


async def test_an_outbox_that_cannot_be_used_is_shown_once_and_used_later(watch: Watch) -> None:
    """For adding and for sending."""
    full = True
    tries: list[str] = []
    error = OutboxUnavailable("outbox o.db: no space left on its device")

    def fail(what: str) -> Exception | None:
        tries.append(what)
        return error if full else None

    watch.fail = lambda _: fail("adding")
    watch.fail_sending = lambda: fail("sending")
    (watch.path / "a.csv").write_text("1")
    async with watch.running():
        await watch.until(lambda: min(tries.count("adding"), tries.count("sending")) > 3)
        full = False
        await watch.until(lambda: bool(watch.added) and watch.sent > 0)
    assert watch.output.count("no space left on its device") == 2


async def test_files_that_become_complete_in_close_succession_are_added_together(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For GATHER_S at most: a file that is written all the time keeps none waiting."""
    monkeypatch.setattr(module, "GATHER_S", 0.3)
    async with watch.running():
        await watch.until(lambda: watch.sent == 1)
        for name in ("a.csv", "b.csv"):
            (watch.path / name).write_text("1")
        await watch.until(lambda: bool(watch.added))
    assert watch.added == [("a.csv", "b.csv")]
