"""Backup and restore under load, with the exact commands of docs/backup.md; see `night`.

A shell runs the blocks of the document as the user of Postgres; the test itself stops and starts Postgres, for which
the document gives no command.
"""

import asyncio
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.client.outbox import Outbox
from gateway.client.push_files import destination
from gateway.client.sending import send
from gateway.journal.administration import administration
from gateway.journal.postgres_programs import find_binaries
from gateway.rehearsal.judge import Push
from tests.counts import count, full_only, variants
from tests.faults.night import Addresses, Night, a_night
from tests.faults.servers import TIMEOUT_S, Server, a_server, require_binaries, urls_of
from tests.faults.test_postgres import remove_lost_receipts, snapshots_after_first
from tests.measured import note
from tests.running import Gateway, running
from tests.shown import commands
from tests.web.doors import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(120)]

LOAD: dict[str, Any] = {"senders": count(3, full=12), "rate": count(9, full=120)}
TOOLS = ("psql", "pg_basebackup")
OLDEST = Path("/usr/lib/postgresql/15/bin")

NAMES, ARCHIVE, LOOK, BASE, VERIFY = (
    "Three names",
    "Enable archiving",
    "Check that segments arrive",
    "Take a base backup",
    "Verify it",
)
POINT, ASIDE, IN_PLACE, OWN_LOG, STARTED = (
    "1. Choose the point",
    "3. Stop Postgres and set it aside",
    "4. Put the base backup in its place",
    "5. Only if Postgres crashed and its disk can be read",
    "6. Start Postgres and check",
)
SIGNED = "7. Put back what was signed"
"""Run by `tests/journal/test_restore.py`."""


class Page:
    """The commands of the document, for one server. The test sets the variables that the document defines first."""

    def __init__(self, server: Server, backups: Path) -> None:
        self.server = server
        self.backups = backups
        backups.mkdir(mode=0o700)
        os.chown(backups, server.data_dir.stat().st_uid, -1)
        self._blocks = commands("backup.md")
        self._names = {"CLUSTER": str(server.cluster), "BACKUPS": str(backups), "POINT": ""}

    async def run(self, heading: str) -> str:
        """Run the block under a heading, assert that it succeeds, and return its output."""
        server = self.server
        process = await asyncio.create_subprocess_exec(
            *server._prefix,
            *("bash", "-eu", "-c", self._blocks[heading]),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd="/",
            env={
                "PATH": f"{server._bin}:{os.defpath}",
                "HOME": str(server.data_dir),
                "LC_ALL": "C",
                "TZ": "UTC",
                "DATABASE": server.url,
                **self._names,
            },
        )
        async with asyncio.timeout(TIMEOUT_S):
            output, _ = await process.communicate()
        assert process.returncode == 0, f"{heading}: {output.decode()}"
        return output.decode()

    def set_point(self, point: str) -> None:
        """Choose the point to restore to."""
        self._names["POINT"] = point

    async def prepare(self) -> None:
        """Run everything under "Before the night"; verify the backup if the tool for it starts."""
        await self.run(ARCHIVE)
        self.server.restart()
        assert "000000010000" in await self.run(LOOK)
        await self.run(BASE)
        if is_runnable(self.server._bin / "pg_verifybackup"):
            assert "successfully verified" in await self.run(VERIFY)

    async def restore(self, *, own_log: bool = False) -> None:
        """Restore the base backup to the point; Postgres has stopped."""
        await self.run(ASIDE)
        await self.run(IN_PLACE)
        if own_log:
            await self.run(OWN_LOG)
        self.server.start_again()
        assert "token issue" in await self.run(STARTED)
        assert await self.server.ask("SELECT NOT pg_is_in_recovery()")


def is_runnable(program: Path) -> bool:
    """Return whether a program exists and can be run."""
    return (
        program.exists()
        and subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0
    )


@pytest.fixture
def page(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Page]:
    """The page for a server with the embedded Postgres, or with the oldest supported version."""
    require_binaries()
    binaries = OLDEST if getattr(request, "param", "newest") == "oldest" else find_binaries(None)
    if missing := [tool for tool in TOOLS if not (binaries / tool).exists()]:
        pytest.skip(f"{', '.join(missing)} not found in {binaries}")
    with a_server(tmp_path, binaries=binaries) as server:
        yield Page(server, tmp_path / "backups")


def test_every_command_of_the_page_is_tested() -> None:
    """Every heading with commands, and every variable, is known to these tests."""
    assert set(commands("backup.md")) == {
        *(NAMES, ARCHIVE, LOOK, BASE, VERIFY),
        *(POINT, ASIDE, IN_PLACE, OWN_LOG, STARTED),
        SIGNED,
    }
    assert {line.split("=")[0] for line in commands("backup.md")[NAMES].splitlines()} == {
        "export DATABASE",
        "export CLUSTER",
        "export BACKUPS",
    }


@full_only
@pytest.mark.parametrize(
    ("page", "kind"), variants([("newest", "time"), ("oldest", "lsn")], ("oldest", "lsn")), indirect=["page"]
)
async def test_after_a_restore_to_a_point_in_time_outboxes_replace_all_lost_reports(
    page: Page, tmp_path: Path, kind: str
) -> None:
    """Postgres is restored to an earlier point under load, with the push door stopped and the feed door running.

    Reports with a receipt from after the point are lost, and a token revoked after it is valid again, as documented.
    Readers start over once. After the outboxes are sent again, the record has a report for every receipt.
    """
    server = page.server
    database = urls_of(server)
    async with running(database, role="feed", heartbeat_s=2) as feed, AsyncExitStack() as before:
        push = await before.enter_async_context(running(database, role="push"))
        addresses = Addresses([push.push_url], [feed.feed_url], database.url)
        async with a_night(addresses, **LOAD) as night:
            token = await a_token(night)
            await page.prepare()
            await night.wait_progress()
            last_before = night.sequence
            page.set_point(await recovery_target(server, kind))
            await night.wait_progress()
            await revoke(night, token)
            await before.aclose()
            receipts = {(each.unit, each.revision): each.digest for each in with_receipt(night)}
            began = time.monotonic()
            server.shut_down()
            await page.restore()
            took_s = time.monotonic() - began
            kept = await server.ask("SELECT accepted FROM valgnatt.head")
            assert last_before <= kept < night.sequence
            assert not await is_revoked(night, token)
            await revoke(night, token)
            lost = night.sequence - kept
            mine = outboxes(night, tmp_path, push)
            remove_lost_receipts(night, kept)
            await wait_readers_start_over(night)
            async with running(database, role="push") as second:
                again = await send_again(night, mine, push, second)
                assert again["accepted"] == lost
                night.addresses.push = [second.push_url]
                await night.wait_progress()
                assert await is_revoked(night, token)
                history = await night.settle()
        stored = {(each.unit, each.revision): each.digest.hex() for each in history.stored}
        assert receipts.items() <= stored.items()
        rebuilt = feed.logged("the record has a different history")
        assert [line for line in feed.logged_errors() if line not in rebuilt] == []
        note(
            "faults",
            f"restore to a {kind}: in {took_s:.1f} s, {kept} reports kept; {lost} receipts void, sent again",
        )


async def test_a_crashed_postgres_is_restored_from_backup_archive_and_remaining_wal_without_loss(
    page: Page,
) -> None:
    """Postgres crashes with receipts that are not archived yet; the gateway is not restarted."""
    server = page.server
    async with running(urls_of(server)) as gateway, a_night(gateway, **LOAD) as night:
        await page.prepare()
        await night.wait_progress()
        segment = await server.ask("SELECT pg_walfile_name(pg_current_wal_lsn())")
        last = night.sequence
        server.crash()
        assert not (page.backups / "wal" / segment).exists(), "the last segment is already archived"
        await page.restore(own_log=True)
        assert await server.ask("SELECT accepted FROM valgnatt.head") >= last
        await night.wait_progress()
        await night.settle()
        assert gateway.logged_errors() == []


async def recovery_target(server: Server, kind: str) -> str:
    """Return the current position as a recovery target setting, as documented."""
    if kind == "time":
        return f"recovery_target_time = '{await server.ask('SELECT clock_timestamp()::text')}'"
    return f"recovery_target_lsn = '{await server.ask('SELECT pg_current_wal_flush_lsn()::text')}'"


def with_receipt(night: Night) -> list[Push]:
    """Return the reports with a receipt, of all senders."""
    return [push for sender in night.senders for push in sender.pushes if push.answer.has_receipt]


async def wait_readers_start_over(night: Night) -> None:
    """Wait until every reader has the restored record, and remove its earlier blocks from the history."""
    await night.until(
        lambda: [each.name for each in night.readers if not snapshots_after_first(each.observed)],
        "a snapshot of the restored record",
    )
    night.snapshots_expected = True
    for reader in night.readers:
        (restart,) = snapshots_after_first(reader.observed)
        del reader.observed[:restart]
    for stream in night.streams:
        seen = stream.publications
        await until(lambda seen=seen: _restarted(seen), TIMEOUT_S)
        (restart,) = [place for place, (_, sequence, __) in enumerate(seen) if sequence == 1][1:]
        del seen[:restart]


async def _restarted(seen: Sequence[tuple[float, int, str]]) -> bool:
    return any(sequence == 1 for _, sequence, __ in seen[1:])


def outboxes(night: Night, directory: Path, gateway: Gateway) -> list[Outbox]:
    """Return an outbox per sender with the reports that have a receipt, in the order in which they were sent."""
    found = []
    to = destination(gateway.push_url, night.election)
    for sender in night.senders:
        outbox = Outbox(directory / f"{sender.municipality}.db")
        confirmed = [push for push in sender.pushes if push.answer.has_receipt]
        bodies = [
            (push.unit, push.revision, sender.sent_reports[push.unit, push.revision].body)
            for push in sorted(confirmed, key=lambda push: push.answer.sequence or 0)
        ]
        outbox.add(to, bodies)
        answers = {(push.unit, push.revision): push.answer for push in confirmed}
        outbox.record([(item, answers[item.unit, item.revision]) for item in outbox.waiting(to)])
        found.append(outbox)
    return found


async def send_again(night: Night, mine: Sequence[Outbox], before: Gateway, gateway: Gateway) -> Counter[str]:
    """Let every sender send its whole outbox again; return the outcomes.

    Like `valgnatt push --again --moved-from`, as the restored gateway has another address.
    """
    former = destination(before.push_url, night.election)
    to = destination(gateway.push_url, night.election)

    async def one(sender: Any, outbox: Outbox) -> Counter[str]:
        confirmed = len(list(outbox.answers(former)))
        assert outbox.move(former, to) == outbox.resend_confirmed(to) == confirmed
        answered = await send(outbox, to, gateway.push_url, sender.secret)
        assert len(answered) == confirmed
        for item, answer in answered:
            digest = sender.sent_reports[item.unit, item.revision].digest
            sender.pushes.append(Push(item.unit, item.revision, digest, time.time(), answer))
            sender.sequence = max(sender.sequence, answer.sequence or 0)
        outbox.close()
        return Counter(answer.outcome for _, answer in answered)

    async with asyncio.timeout(TIMEOUT_S):
        outcomes = await asyncio.gather(*map(one, night.senders, mine))
    return sum(outcomes, Counter())


async def a_token(night: Night) -> int:
    """Issue an unused token, and return its key."""
    async with administration(night.addresses.database_url, "test") as acts:
        return (await acts.issue_token(night.election, ["land"])).key


async def revoke(night: Night, token: int) -> None:
    """Revoke a token."""
    async with administration(night.addresses.database_url, "test") as acts:
        await acts.revoke_token(token)


async def is_revoked(night: Night, token: int) -> bool:
    """Return whether a token is revoked."""
    async with administration(night.addresses.database_url, "test") as acts:
        tokens = {each.key: each for each in await acts.tokens(night.election)}
    return tokens[token].revoked_at is not None
