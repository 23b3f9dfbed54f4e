"""`valgnatt push` when the disk is full, the outbox locked, a file half written or the directory away."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

import pytest

from gateway.client.outbox import Outbox
from gateway.reserved_ports import reserved_ports
from tests.client.desk import TIMEOUT_S, Desk, until
from tests.running import Sender
from tests.web.doors import UNIT, a_report

pytestmark = pytest.mark.long

needs_mount = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="needs root, to mount a small file system"
)
REPORTS = 200


@contextmanager
def small_disk(path: Path, size: int) -> Iterator[Path]:
    """Mount a file system of so many bytes."""
    path.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("this machine does not let root mount a file system")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def fill(disk: Path) -> Path:
    """Leave no byte free; return the file to delete."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass
    return filler


def many(desk: Desk) -> Path:
    """A file with many revisions of one unit."""
    reports = [
        a_report(
            revision=number, votes=number, counted_at=f"2024-09-09T{20 + number // 60}:{number % 60:02}:00Z"
        )
        for number in range(1, REPORTS + 1)
    ]
    return desk.file("many.ndjson", *reports)


def one_line(output: str, words: str) -> None:
    """Check that it is said in exactly one line, without a traceback."""
    assert "Traceback" not in output, output
    assert sum(words in line for line in output.splitlines()) == 1, output


class Lines:
    """The lines that a command has printed on standard error."""

    def __init__(self, stream: IO[str] | None) -> None:
        assert stream is not None
        self._stream = stream
        self.text = ""

    def until(self, words: str) -> None:
        """Read until words are there."""
        while words not in self.text:
            line = self._stream.readline()
            assert line, self.text
            self.text += line

    def end(self, process: "subprocess.Popen[str]") -> str:
        """Interrupt the command with Ctrl-C; return everything that it printed."""
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 130
        assert "Traceback" not in self.text + rest
        return self.text + rest


def test_what_surrounds_a_token_is_left_out(desk: Desk, sender: Sender) -> None:
    """In the variable and in a file."""
    file = desk.file("a.json", a_report())
    status, output = desk.push(file, VALGNATT_TOKEN=f"{sender.secret}\r\n")
    assert (status, "1 receipt" in output) == (0, True), output
    path = desk.directory / "token"
    path.write_text(f"\ufeff{sender.secret}\r\n", newline="")
    status, output = desk.push(file, "--token-file", path, VALGNATT_TOKEN="")
    assert (status, "1 receipt" in output) == (0, True), output


@needs_mount
def test_a_disk_that_is_full_when_reports_are_added_ends_push_with_one_line(desk: Desk) -> None:
    """Nothing is added then, nothing is sent, and the same command works when there is space."""
    with small_disk(desk.directory / "disk", 100 << 10) as disk:
        desk.outbox = disk / "o.db"
        status, output = desk.push(many(desk))
        assert status == 1
        one_line(output, f"valgnatt: outbox {desk.outbox}: no space left on its device; free some")
        assert not desk.receipts.exists()
        desk.outbox = desk.directory / "outbox.db"
        assert desk.push(many(desk))[0] == 0


@needs_mount
def test_a_disk_that_is_full_when_answers_come_loses_nothing(desk: Desk) -> None:
    """Answers that could not be recorded are asked for again by the next run."""
    file = many(desk)
    added = Outbox(desk.outbox)
    bodies = [(UNIT, number, line) for number, line in enumerate(file.read_bytes().splitlines(), 1)]
    added.add(desk.to, bodies)
    used = sum(-(-each.stat().st_size // 4096) * 4096 for each in desk.directory.glob("outbox.db*"))
    added.close()
    with small_disk(desk.directory / "disk", used + (16 << 10)) as disk:
        desk.outbox = disk / "o.db"
        status, output = desk.push(file)
        assert status == 1, output
        one_line(output, "no space left on its device; free some")
        kept = desk.directory / "kept.db"
        for each in disk.glob("o.db*"):
            shutil.copy(each, desk.directory / each.name.replace("o.db", "kept.db"))
    desk.outbox = kept
    status, output = desk.push()
    assert status == 0, output
    assert [(each["revision"], each["outcome"] in ("accepted", "duplicate")) for each in desk.answers()] == [
        (str(number), True) for number in range(1, REPORTS + 1)
    ]


@needs_mount
def test_a_table_of_receipts_that_cannot_be_written_ends_push_with_one_line(desk: Desk) -> None:
    """The receipts are in the outbox, and the next run writes them; what was in the file is left."""
    with small_disk(desk.directory / "disk", 64 << 10) as disk:
        desk.receipts = disk / "r.csv"
        former = "unit,revision,outcome\n1103-0001,1,accepted\n"
        desk.receipts.write_text(former)
        filler = fill(disk)
        status, output = desk.push(desk.file("a.json", a_report()))
        assert (status, "1 receipt\n" in output) == (1, True), output
        one_line(output, f"valgnatt: receipts {desk.receipts}: No space left on device")
        assert sorted(each.name for each in disk.iterdir()) == ["filler", "r.csv"]
        assert desk.receipts.read_text() == former
        filler.unlink()
        assert desk.push()[0] == 0
        assert [each["outcome"] for each in desk.answers()] == ["accepted"]


def test_another_file_is_not_overwritten_by_the_table_of_receipts(desk: Desk) -> None:
    """The counts themselves, for example; nothing is sent. An empty file is replaced."""
    content = "unit,revision,counted_at,status\n"
    desk.receipts.write_text(content)
    status, output = desk.push(desk.file("a.json", a_report()))
    assert status == 2
    one_line(output, f"--receipts {desk.receipts}: exists and is not a table of receipts")
    assert desk.receipts.read_text() == content
    desk.receipts.write_text("")
    assert desk.push(desk.file("a.json", a_report()))[0] == 0
    assert [each["outcome"] for each in desk.answers()] == ["accepted"]


def test_a_table_of_receipts_that_is_a_directory_is_a_usage_error(desk: Desk) -> None:
    desk.receipts.mkdir()
    status, output = desk.push(desk.file("a.json", a_report()))
    assert status == 2
    one_line(output, f"--receipts {desk.receipts}: a directory; name a file")
    assert not desk.outbox.exists()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/proc/r.csv", "no file can be created in this directory: "),
        ("/dev/null", "not a regular file"),
        ("/nowhere/r.csv", "no such directory"),
    ],
)
def test_receipts_that_could_not_be_written_are_a_usage_error_before_anything_is_sent(
    desk: Desk, path: str, words: str
) -> None:
    desk.receipts = Path(path)
    status, output = desk.push(desk.file("a.json", a_report()))
    assert status == 2
    one_line(output, f"--receipts {path}: {words}")
    assert not desk.outbox.exists()


def test_an_outbox_that_another_process_has_locked_is_waited_for(desk: Desk) -> None:
    """With a message."""
    Outbox(desk.outbox).close()
    other = sqlite3.connect(desk.outbox, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with desk.command(desk.file("a.json", a_report())) as process:
        lines = Lines(process.stderr)
        lines.until("another process has locked it; trying again for 60 s at most")
        other.execute("ROLLBACK")
        other.close()
        lines.until("1 receipt\n")
        assert process.wait(TIMEOUT_S) == 0


def watch(desk: Desk, **environ: str) -> AbstractContextManager["subprocess.Popen[str]"]:
    """A watch for which a file is complete after a moment."""
    watched = desk.directory / "outgoing"
    watched.mkdir(exist_ok=True)
    return desk.command("--watch", watched, "--settle-s", 0.2, stdin=subprocess.DEVNULL, **environ)


@needs_mount
def test_a_watch_goes_on_when_its_disk_was_full(desk: Desk) -> None:
    """What came meanwhile is sent as soon as there is space."""
    with small_disk(desk.directory / "disk", 256 << 10) as disk:
        desk.outbox = disk / "o.db"
        with watch(desk) as process:
            lines = Lines(process.stderr)
            lines.until("Watching")
            until(lambda: desk.receipts.exists())
            filler = fill(disk)
            (desk.directory / "outgoing" / "a.json").write_text(json.dumps(a_report()))
            lines.until("no space left on its device; free some; trying again")
            filler.unlink()
            lines.until("1 receipt\n")
            until(lambda: len(desk.answers()) == 1)
            output = lines.end(process)
        one_line(output, "no space left")


def test_half_a_file_is_not_sent_while_its_writer_pauses(desk: Desk) -> None:
    """Another file, dropped later, is sent meanwhile; so the watch has looked at the first one."""
    half, whole = "unit,revision,counted_at,status,category,ballots,blank,rejected,", ""
    report = a_report("0604-0002")
    parties = sorted({party for counts in report["counts"].values() for party in counts["votes"]})
    rows = [
        f"{report['unit']},1,{report['counted_at']},{report['status']},{category},{counts['ballots']},{counts['blank']},"
        f"{counts['rejected']},{','.join(str(counts['votes'].get(party, 0)) for party in parties)}\n"
        for category, counts in report["counts"].items()
    ]
    half += f"{','.join(parties)}\n" + "".join(rows[:1])
    whole = "".join(rows[1:])
    with watch(desk) as process:
        lines = Lines(process.stderr)
        lines.until("Watching")
        outgoing = desk.directory / "outgoing"
        with (outgoing / "slow.csv").open("w") as file:
            file.write(half)
            file.flush()
            for revision in (1, 2):
                (outgoing / f"{revision}.json").write_text(json.dumps(a_report(revision=revision)))
                until(lambda revision=revision: desk.receipts.exists() and len(desk.answers()) == revision)
            file.write(whole)
        until(lambda: len(desk.answers()) == 3)
        output = lines.end(process)
    assert {(each["unit"], each["revision"], each["outcome"]) for each in desk.answers()} == {
        (UNIT, "1", "accepted"), (UNIT, "2", "accepted"), ("0604-0002", "1", "accepted"),
    }  # fmt: skip
    assert "not sent" not in output


def test_a_watch_goes_on_after_bad_files_and_a_restart_and_a_directory_that_was_away(desk: Desk) -> None:
    """Each is reported once per start."""
    outgoing = desk.directory / "outgoing"
    outgoing.mkdir()
    (outgoing / "bad.json").write_text("{")
    os.mkfifo(outgoing / "pipe.csv")
    (outgoing / "link.csv").symlink_to("nowhere")
    for run in (1, 2):
        (outgoing / f"{run}.json").write_text(json.dumps(a_report(revision=run)))
        with watch(desk) as process:
            lines = Lines(process.stderr)
            until(lambda run=run: desk.receipts.exists() and len(desk.answers()) == run)
            if run == 2:
                outgoing.rename(desk.directory / "away")
                lines.until("outgoing: No such file or directory; waiting for it")
                (desk.directory / "away" / "3.json").write_text(json.dumps(a_report(revision=3)))
                (desk.directory / "away").rename(outgoing)
                until(lambda: len(desk.answers()) == 3)
            output = lines.end(process)
        for name in ("bad.json: not sent", "pipe.csv: a named pipe", "link.csv: a symbolic link to nothing"):
            one_line(output, name)


def test_reports_of_a_watch_that_are_refused_are_named_with_their_file_once(desk: Desk) -> None:
    """Here by the gateway, which has other figures under the revision, from another outbox."""
    assert desk.push(desk.file("a.json", a_report()))[0] == 0
    desk.outbox = desk.directory / "another.db"
    with watch(desk) as process:
        lines = Lines(process.stderr)
        lines.until("Watching")
        (desk.directory / "outgoing" / "b.json").write_text(json.dumps(a_report(votes=99)))
        lines.until("(b.json, line 1)")
        (desk.directory / "outgoing" / "c.json").write_text(json.dumps(a_report("0604-0002")))
        lines.until("1 receipt\n")
        output = lines.end(process)
    one_line(output, f"refused: unit {UNIT}, revision 1: revision_conflict (b.json, line 1)")


def test_push_goes_on_when_nobody_reads_its_messages(desk: Desk) -> None:
    """The reader of a pipe has gone, as with `2>&1 | head -1`."""
    with desk.command(desk.file("a.json", a_report())) as process:
        assert process.stderr is not None
        process.stderr.close()
        assert process.wait(TIMEOUT_S) == 0
    assert [each["outcome"] for each in desk.answers()] == ["accepted"]


def test_names_of_files_are_escaped_on_a_terminal_that_is_not_utf_8(desk: Desk) -> None:
    """Also names that are not UTF-8 themselves, or look like markup."""
    outgoing = desk.directory / "outgoing"
    outgoing.mkdir()
    for name in (b"\xff.json", "\u00e6[red]\x1b[2J\n.json".encode()):
        (outgoing / os.fsdecode(name)).write_text("{")
    with watch(desk, LC_ALL="C", PYTHONIOENCODING="ascii") as process:
        lines = Lines(process.stderr)
        lines.until("\\udcff.json, line")
        output = lines.end(process)
    assert "\\xe6[red]\\x1b[2J\\n.json" in output
    assert output.isascii()


def test_a_watch_waits_for_the_feed_door_at_its_start(desk: Desk) -> None:
    """As after the machine was started again, and the network is not there yet."""
    with (
        reserved_ports(1) as (port,),
        watch(desk, VALGNATT_FEED_URL=f"http://127.0.0.1:{port}") as process,
    ):
        lines = Lines(process.stderr)
        lines.until("trying again")
        assert process.poll() is None
        assert f"127.0.0.1:{port}" in lines.text
