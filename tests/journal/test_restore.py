"""Restoring a signed record from a copy: everything is put back at its index, or nothing is changed."""

import asyncio
import hashlib
import itertools
import os
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import orjson
import pytest

from gateway.election.record import Publication
from gateway.errors import Refused
from gateway.journal.administration import administration
from gateway.journal.connection import open_pool
from gateway.journal.embedded import EmbeddedPostgres
from gateway.journal.postgres import PostgresJournal
from gateway.journal.record import PublicRecord
from gateway.journal.restore import Restored, restoration
from gateway.journal.signing import SigningJournal
from gateway.transparency.cosignature import cosign
from gateway.transparency.merkle import root_of
from gateway.transparency.note import parse_note
from gateway.transparency.policy import Policy, parse_policy
from gateway.verification.copies import Copy
from gateway.verification.failures import VerificationFailed
from gateway.verification.restorable import read_restorable
from tests.conftest import Database, privileges_of
from tests.election.makers import DOCUMENT
from tests.fork_server import Command, run_command
from tests.journal.holding import decide, hold
from tests.journal.makers import UNITS, a_registry, a_report, append, until, waiting_for_locks
from tests.shown import commands
from tests.transparency.records import (
    EXPECTED,
    ONLY_AT_A_DOOR,
    STRANGER,
    WITNESSES,
    Fault,
    Night,
    a_key,
    a_night,
    policy,
    policy_text,
)

WRONG_SIZES = {Fault.LAST_LEFT_OUT, Fault.SIZE_ABOVE, Fault.SIZE_BELOW}
FUTURE = datetime(2050, 1, 1, tzinfo=UTC)
_numbers = itertools.count(1)


@dataclass
class Record:
    """What is public of an election, and what is signed of it."""

    publications: list[Publication]
    opening: bytes
    closing: bytes | None
    released_at: datetime | None
    chain: bytes

    @property
    def entries(self) -> list[bytes]:
        """Every entry of the log."""
        closing = [self.closing] if self.closing is not None else []
        return [self.opening, *(each.body for each in self.publications), *closing]

    @property
    def root(self) -> bytes:
        """The root over all of them."""
        return root_of(hashlib.sha256(b"\x00" + entry).digest() for entry in self.entries)

    @property
    def shown(self) -> list[tuple[Any, ...]]:
        """What readers see of each publication, and know it by."""
        return [(each.sequence, each.published_at, each.digest, each.chain) for each in self.publications]


class Site:
    """A database with one election, of which earlier states can be kept."""

    def __init__(self, server: EmbeddedPostgres, database: Database) -> None:
        self._server = server
        self.database = database
        self.election = ""
        self.key = 0

    async def load(self, document: dict[str, Any]) -> None:
        """Load an election."""
        async with administration(self.database.url, "olga") as acts, open_pool(self.database.url) as pool:
            self.election = await acts.load_election(document)
            self.key = (await PostgresJournal(pool).election(self.election)).key

    async def append(self, *units: str, revision: int = 1) -> None:
        """Append a report for each unit."""
        async with open_pool(self.database.url) as pool:
            journal = PostgresJournal(pool)
            version = (await journal.election(self.election)).version
            await append(journal, self.key, version, *(a_report(unit, revision) for unit in units))

    async def execute(self, statement: str, *arguments: object) -> None:
        """Execute a statement as the owner."""
        async with self.owner() as owner:
            await owner.execute(statement, *arguments)

    @asynccontextmanager
    async def owner(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """Open a connection as the owner."""
        connection = await asyncpg.connect(
            self.database.url, server_settings={"search_path": "valgnatt", "timezone": "UTC"}
        )
        try:
            yield connection
        finally:
            await connection.close()

    async def close(self) -> None:
        """Close the election."""
        async with administration(self.database.url, "olga") as acts:
            await acts.close_election(self.election)

    async def kept(self) -> "Site":
        """Keep the present state, as a backup does, and return it as a database of its own."""
        name = urlsplit(self.database.url).path[1:]
        copy = f"backup_{next(_numbers)}"
        connection = await asyncpg.connect(self._server.url)
        used = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = $1)"
        await until(lambda: connection.fetchval(used, name))
        await connection.execute(f"CREATE DATABASE {copy} TEMPLATE {name} STRATEGY file_copy")
        await connection.execute(privileges_of(copy))
        await connection.close()
        urls = (self.database.url, self.database.feed_url, self.database.signer_url)
        site = Site(self._server, Database(*(url.replace(f"/{name}?", f"/{copy}?") for url in urls)))
        site.election, site.key = self.election, self.key
        return site

    async def record(self) -> Record:
        """Read what is public."""
        async with open_pool(self.database.signer_url, signer=True, max_size=1) as pool:
            signing = SigningJournal(pool)
            (head,) = await signing.record.heads()
            log = (await signing.logs.heads())[-1]
            publications = await signing.record.publications(head.key, 0, 10_000)
        return Record(publications, log.opening, log.closing, head.released_at, head.chain)

    async def state(self) -> dict[str, str]:
        """Return the content of every table that a restore could change, for comparison."""
        tables = (
            "head",
            "report",
            "embargo",
            "opening",
            "hold",
            "hold_line",
            "log",
            "checkpoint",
            "cosignature",
            "signer",
        )
        query = "SELECT coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '') FROM valgnatt.{} t"
        async with self.owner() as owner:
            return {
                table: await owner.fetchval(query.format(table)) for table in (*tables, "act", "confirmation")
            }


@pytest.fixture
async def site(postgres: EmbeddedPostgres, database: Database) -> AsyncIterator[Site]:
    """A database with an election under embargo."""
    site = Site(postgres, database)
    await site.load(a_registry(publish_from=FUTURE.isoformat()))
    yield site
    connection = await asyncpg.connect(postgres.url)
    for row in await connection.fetch("SELECT datname FROM pg_database WHERE datname LIKE 'backup_%'"):
        await connection.execute(f"DROP DATABASE {row[0]} WITH (FORCE)")
    await connection.close()


async def end_embargo(site: Site) -> None:
    """End the embargo with the next append."""
    await site.execute("UPDATE embargo SET publish_from = now()")
    await site.append()


def night_of(site: Site, record: Record, document: bytes, history: tuple[int, ...] = ()) -> Night:
    """Sign the record with the keys of tests."""
    return Night(
        document,
        tuple(record.entries),
        tuple(record.publications),
        log_key=a_key(f"results.example.org/live/{site.election}"),
        cosigners=WITNESSES[:2],
        history=history,
    )


def trust(night: Night) -> Policy:
    """Return the policy of tests, for the log of a night."""
    return parse_policy(policy_text(2, night.log_key))


async def registry_of(site: Site) -> bytes:
    """Return the registry as it is served."""
    async with restoration(site.database.url, "olga") as restoring:
        return await restoring.registry(site.election)


async def restore(site: Site, directory: Path, trusted: Policy) -> Restored:
    """Restore a record from a copy, as the command does."""
    async with restoration(site.database.url, "olga") as restoring:
        with tempfile.TemporaryFile() as file:
            registry = await restoring.registry(site.election)
            copy = await read_restorable(Copy(directory), trusted, registry, file)
            return await restoring.restore(site.election, copy)


async def a_copy(site: Site, directory: Path, history: tuple[int, ...] = ()) -> tuple[Night, Record]:
    """Sign the record of a site and write it to a directory."""
    record = await site.record()
    night = night_of(site, record, await registry_of(site), history)
    night.write(directory)
    return night, record


async def test_a_record_restored_to_an_earlier_point_is_put_back(site: Site, tmp_path: Path) -> None:
    """The root, the sequences, the cursors and the times are the same; once more changes nothing."""
    await site.append(*UNITS[:3])
    await end_embargo(site)
    await site.append(*UNITS[3:5])
    backup = await site.kept()
    await site.append(*UNITS[5:])
    await site.append(*UNITS, revision=2_000_000_000)
    await site.close()
    night, record = await a_copy(site, tmp_path / "copy", (1, 5, 9))
    restored = await restore(backup, tmp_path / "copy", trust(night))
    assert (restored.reports_before, restored.reports, restored.closed) == (5, 24, True)
    found = await backup.record()
    assert found.shown == record.shown
    assert (found.entries, found.root, found.chain) == (record.entries, record.root, record.chain)
    async with open_pool(backup.database.signer_url, signer=True, max_size=1) as pool:
        logs = SigningJournal(pool).logs
        checkpoints = await logs.checkpoints(backup.key, 1, 0)
        cosignatures = await logs.cosignatures(backup.key, 1, 0, 99)
        (head,) = await logs.heads()
    assert [each.size for each in checkpoints] == [1, 5, 9, 26]
    assert len(cosignatures) == 8
    lines = "".join(f"{each.line}\n" for each in cosignatures if each.size == 26)
    assert (checkpoints[-1].note + lines).encode() == night.note()
    assert (head.origin, head.vkeys) == (night.log_key.vkey.name, [str(night.log_key.vkey)])
    before = await backup.state()
    assert not (await restore(backup, tmp_path / "copy", trust(night))).changed
    after = await backup.state()
    del before["head"], after["head"]  # each commit is written to the head
    assert after == before


async def test_the_opening_and_the_end_of_the_embargo_are_put_back(site: Site, tmp_path: Path) -> None:
    """Into a database from before both; later reports continue the record."""
    backup = await site.kept()
    await site.append(*UNITS[:3])
    await end_embargo(site)
    await site.append(*UNITS[3:])
    night, record = await a_copy(site, tmp_path / "copy")
    restored = await restore(backup, tmp_path / "copy", trust(night))
    assert restored.opening
    assert restored.released_at == record.released_at
    found = await backup.record()
    assert (found.shown, found.opening, found.released_at) == (
        record.shown,
        record.opening,
        record.released_at,
    )
    await backup.append("a-1", revision=2)
    await site.append("a-1", revision=2)
    assert (await backup.record()).chain == (await site.record()).chain


async def test_a_copy_without_times_takes_those_of_its_checkpoints(site: Site, tmp_path: Path) -> None:
    """A mirror by others has entries and checkpoints alone."""
    backup = await site.kept()
    await end_embargo(site)
    await site.append(*UNITS)
    night, record = await a_copy(site, tmp_path / "copy", (1, 4))
    (tmp_path / "copy" / "publications.ndjson").unlink()
    await restore(backup, tmp_path / "copy", trust(night))
    found = await backup.record()
    assert found.root == record.root
    assert {each.published_at for each in found.publications} == {night.cosigned_at}


async def test_no_time_of_a_copy_is_in_the_future(site: Site, tmp_path: Path) -> None:
    """Later reports would be published at that time: those of checkpoints are unsigned, like those of publications."""
    backup = await site.kept()
    await end_embargo(site)
    await site.append(*UNITS)
    night, _ = await a_copy(site, tmp_path / "copy", (1, 4))
    (tmp_path / "copy" / "publications.ndjson").unlink()
    lines = tmp_path / "copy" / "log" / "checkpoints.ndjson"
    sound = lines.read_bytes()
    lines.write_bytes(sound.replace(night.cosigned_at.isoformat().encode(), b"2999-01-01T00:00:00+00:00"))
    with pytest.raises(VerificationFailed, match="in the future"):
        await restore(backup, tmp_path / "copy", trust(night))
    lines.write_bytes(b"")
    of_stranger = cosign(STRANGER, parse_note(night.note()).text, int(FUTURE.timestamp()))
    (tmp_path / "copy" / "log" / "checkpoint").write_bytes(night.note() + of_stranger.line.encode())
    await restore(backup, tmp_path / "copy", trust(night))
    assert max(each.published_at for each in (await backup.record()).publications) <= datetime.now(UTC)


async def test_a_record_that_is_not_the_beginning_of_the_copy_is_left_alone(
    site: Site, tmp_path: Path
) -> None:
    """The message names the first difference."""
    await end_embargo(site)
    await site.append(*UNITS[:2])
    backup = await site.kept()
    await site.append("a-3", "a-4")
    await backup.append("a-4", "a-3")
    night, _ = await a_copy(site, tmp_path / "copy")
    before = await backup.state()
    with pytest.raises(Refused, match="first at sequence 3, which is revision 1 of unit a-4 in the record"):
        await restore(backup, tmp_path / "copy", trust(night))
    assert await backup.state() == before


async def test_another_opening_is_named_as_the_difference(site: Site, tmp_path: Path) -> None:
    """A push door was started before the restore, and has ended the embargo at another time."""
    backup = await site.kept()
    await end_embargo(site)
    await site.append(*UNITS[:2])
    night, _ = await a_copy(site, tmp_path / "copy")
    await end_embargo(backup)
    with pytest.raises(Refused, match="the opening entry"):
        await restore(backup, tmp_path / "copy", trust(night))


async def test_a_record_with_a_checkpoint_that_the_copy_contradicts_is_left_alone(
    site: Site, tmp_path: Path
) -> None:
    """Even if the copy has none of that size: two records were signed."""
    await end_embargo(site)
    await site.append(*UNITS[:2])
    night, _ = await a_copy(site, tmp_path / "copy")
    await site.execute("INSERT INTO log VALUES ($1, 1, 'x', '{x}', '{}')", site.key)
    await site.execute("INSERT INTO checkpoint VALUES ($1, 1, 2, $2, now(), 'x')", site.key, bytes(32))
    before = await site.state()
    with pytest.raises(Refused, match="a checkpoint of size 2 with another root"):
        await restore(site, tmp_path / "copy", trust(night))
    assert await site.state() == before


async def test_holds_end_as_the_record_shows(site: Site, tmp_path: Path) -> None:
    """One is in the record, one has a later report there, and one is still open; a closed record has rejected it."""
    await end_embargo(site)
    held = [a_report(unit) for unit in ("a-1", "a-2", "a-3")]
    async with site.owner() as owner:
        await hold(owner, site.key, *held)
    backup = await site.kept()
    async with site.owner() as owner:
        await decide(owner, site.key, held[0], release=True)
    await site.append("a-2", revision=2)
    night, record = await a_copy(site, tmp_path / "copy")
    restored = await restore(backup, tmp_path / "copy", trust(night))
    assert (restored.holds_released, restored.holds_superseded, restored.holds_rejected) == (1, 1, 0)
    async with open_pool(backup.database.feed_url, feed=True, max_size=1) as pool:
        public = PublicRecord(pool)
        lines = [orjson.loads(each.line) for each in await public.hold_lines(backup.key, 0, 100)]
        (head,) = await public.heads()
    assert [(line["unit"], line["state"]) for line in lines[3:]] == [
        ("a-1", "released"),
        ("a-2", "superseded"),
    ]
    assert head.hold_lines == 5
    assert lines[3]["digest"] == record.publications[0].digest.hex()
    async with site.owner() as owner:
        await decide(owner, site.key, held[2], release=False)
    await site.close()
    night, record = await a_copy(site, tmp_path / "closed")
    restored = await restore(backup, tmp_path / "closed", trust(night))
    assert (restored.holds_rejected, restored.closed) == (1, True)
    assert (await backup.record()).entries == record.entries


async def test_a_hold_that_the_backup_lacks_is_not_put_back_with_its_report(
    site: Site, tmp_path: Path
) -> None:
    """Nobody has signed it. What was held before the backup keeps since when, and why."""
    await end_embargo(site)
    before, after = (a_report(unit) for unit in ("a-1", "a-2"))
    async with site.owner() as owner:
        await hold(owner, site.key, before)
    backup = await site.kept()
    async with site.owner() as owner:
        await hold(owner, site.key, after)
        for report in (before, after):
            await decide(owner, site.key, report, release=True)
    night, record = await a_copy(site, tmp_path / "copy")
    await restore(backup, tmp_path / "copy", trust(night))
    found = await backup.record()
    assert found.entries == record.entries
    assert [each.held_since for each in found.publications] == [record.publications[0].held_since, None]
    assert found.publications[0].held_since is not None
    assert record.publications[1].held_since is not None


async def test_nothing_is_written_from_a_copy_with_a_fault(
    postgres: EmbeddedPostgres, database: Database, tmp_path: Path
) -> None:
    """Whatever was changed in it. With a wrong size, a copy has no such bundle of entries."""
    site = Site(postgres, database)
    await site.load(DOCUMENT)
    before = await site.state()
    for number, fault in enumerate(each for each in Fault if each not in ONLY_AT_A_DOOR):
        directory = a_night(fault).write(tmp_path / str(number))
        with pytest.raises(VerificationFailed) as failed:
            await restore(site, directory, policy())
        assert failed.value.code in (EXPECTED[fault], "unreachable"), fault
        assert (failed.value.code == EXPECTED[fault]) == (fault not in WRONG_SIZES), fault
    assert await site.state() == before


@pytest.mark.parametrize(
    ("path", "member", "value", "code"),
    [
        ("log/checkpoints.ndjson", "root", "A" * 43 + "=", "bad_signature"),
        ("log/checkpoints.ndjson", "size", 2, "bad_signature"),
        ("publications.ndjson", "published_at", "2099-01-01T00:00:00Z", "chain_mismatch"),
        ("publications.ndjson", "published_at", "2020-01-01T00:00:00Z", "chain_mismatch"),
    ],
)
async def test_nothing_is_written_if_the_last_line_of_a_file_was_changed(
    site: Site, tmp_path: Path, path: str, member: str, value: object, code: str
) -> None:
    """Also where the signed note itself is as it was; and times are past and do not decrease."""
    backup = await site.kept()
    await end_embargo(site)
    await site.append(*UNITS[:2])
    night, _ = await a_copy(site, tmp_path / "copy")
    file = tmp_path / "copy" / path
    *lines, last = file.read_bytes().splitlines()
    changed = orjson.dumps(orjson.loads(last) | {member: value})
    file.write_bytes(b"\n".join([*lines, changed, b""]))
    before = await backup.state()
    with pytest.raises(VerificationFailed) as failed:
        await restore(backup, tmp_path / "copy", trust(night))
    assert failed.value.code == code
    assert await backup.state() == before


async def test_the_command_restores_from_a_mirror_and_can_be_killed(site: Site, tmp_path: Path) -> None:
    """Killed before its commit, it has changed nothing; run again, it puts everything back."""
    backup = await site.kept()
    await end_embargo(site)
    await site.append(*UNITS)
    night, record = await a_copy(site, tmp_path / "copy", (1,))
    (tmp_path / "policy").write_bytes(policy_text(2, night.log_key))
    before = await backup.state()
    with mirror(tmp_path / "copy") as url:
        environ = {**os.environ, "VALGNATT_DATABASE_URL": backup.database.url}
        command = ["record", "restore", backup.election, url, "--policy", str(tmp_path / "policy")]
        async with backup.owner() as owner, backup.owner() as watching, owner.transaction():
            await owner.execute("LOCK TABLE checkpoint IN ACCESS EXCLUSIVE MODE")
            with Command(*command, environ=environ) as killed:
                await until(lambda: waiting_for_locks(watching, 1))
                killed.kill()
        left = (
            "SELECT NOT EXISTS (SELECT FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'valgnatt')"
        )
        async with backup.owner() as watching:
            await until(lambda: watching.fetchval(left))
        assert await backup.state() == before
        done = await documented(backup, {"ELECTION": backup.election, "COPY": url, "POLICY": command[-1]})
        output = (await done.communicate())[0].decode()
        assert done.returncode == 0, output
        assert f"restored\t{len(UNITS)} reports, sequences 1 to {len(UNITS)}" in output
        assert (await backup.record()).shown == record.shown
        again = await asyncio.to_thread(run_command, *command, environ=environ)
        assert "nothing to restore" in again.out
        (tmp_path / "copy" / "log" / "checkpoint").write_bytes(night.note().replace(b"13", b"12", 1))
        failed = await asyncio.to_thread(run_command, *command, environ=environ)
        assert (failed.status, failed.err.startswith("valgnatt: bad_signature: ")) == (1, True), failed


async def documented(site: Site, names: dict[str, str]) -> asyncio.subprocess.Process:
    """Run the command as docs/backup.md has it."""
    return await asyncio.create_subprocess_exec(
        *("bash", "-eu", "-c", commands("backup.md")["7. Put back what was signed"]),
        env={
            **os.environ,
            **names,
            "VALGNATT_DATABASE_URL": site.database.url,
            "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


@contextmanager
def mirror(directory: Path) -> Iterator[str]:
    """Serve a copy as any web server does; yield its URL."""
    handler = partial(Quiet, directory=str(directory))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and logs nothing."""

    def log_message(self, *_: object) -> None:
        """Do nothing."""
