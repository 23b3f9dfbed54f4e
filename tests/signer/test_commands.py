"""`valgnatt sign`, `valgnatt key`, and the signer of `valgnatt serve`, as their users see them."""

import asyncio
import os
import shutil
import socket
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import urlopen

import orjson
import pytest

from gateway.journal.administration import Administration
from gateway.journal.postgres import PostgresJournal
from gateway.signer.directory import SignDirectory, SignedState
from gateway.signer.steps import Signed
from gateway.transparency.entries import parse_opening
from gateway.transparency.note import parse_vkey
from tests.conftest import Database
from tests.fork_server import Command, Ended, run_command
from tests.journal.makers import UNITS, a_registry, a_report, append, until
from tests.running import running
from tests.signer.signing import LOG_NAME, create_key, signing


class Commands:
    """Runs commands with the options of a signer in the environment."""

    def __init__(self, database: Database, directory: Path) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("VALGNATT_")}
        self.environ = inherited | {
            "VALGNATT_LOG_NAME": LOG_NAME,
            "VALGNATT_SIGN_DIR": str(directory),
            "VALGNATT_SIGNER_DATABASE_URL": database.signer_url,
            "VALGNATT_DATABASE_URL": database.url,
        }

    def __call__(self, *arguments: str) -> Ended:
        return run_command(*arguments, environ=self.environ)


@pytest.fixture
def valgnatt(database: Database, tmp_path: Path) -> Commands:
    return Commands(database, tmp_path)


async def signable(acts: Administration, journal: PostgresJournal) -> tuple[str, int]:
    """Load an election and accept three reports; return its identifier and key."""
    election = await acts.load_election(a_registry())
    key = (await journal.election(election)).key
    await append(journal, key, 1, *(a_report(unit) for unit in UNITS[:3]))
    return election, key


def test_a_key_is_printed_with_its_fingerprint(valgnatt: Commands) -> None:
    """In lines that can be read out; a second one beside it, until the first is retired."""
    created = valgnatt("key", "create", "e")
    vkey, *lines = created.out.splitlines()
    key = parse_vkey(vkey)
    assert key.name == f"{LOG_NAME}/live/e"
    assert " ".join(lines).split() == ["SHA-256:", *key.fingerprint.split()]
    assert [len(group) for group in key.fingerprint.split()] == [4] * 16
    assert "keep a copy" in created.err
    again = valgnatt("key", "create", "e")
    assert (again.status, again.out) == (1, "")
    assert "`valgnatt key add`" in again.err
    other = parse_vkey(valgnatt("key", "add", "e").out.splitlines()[0])
    assert valgnatt("key", "retire", "e", key.key_id.hex()).out == f"retired: {key}\n"
    listed = orjson.loads(valgnatt("key", "list", "--json").out)
    assert listed == {
        "origin": key.name,
        "size": 0,
        "signed_at": None,
        "keys": [{"vkey": str(other), "fingerprint": other.fingerprint}],
        "retired": [str(key)],
    }
    assert "PRIVATE" not in created.out + created.err + valgnatt("key", "list").out


def test_what_a_signer_lacks_is_named(valgnatt: Commands) -> None:
    """Before anything is signed or created, and before a port is taken."""
    del valgnatt.environ["VALGNATT_SIGN_DIR"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        valgnatt.environ["VALGNATT_ADMIN_PORT"] = str(taken.getsockname()[1])
        for command in (("sign",), ("sign", "--check"), ("key", "create", "e")):
            ended = valgnatt(*command)
            assert ended.status == 1
            assert "set VALGNATT_SIGN_DIR" in ended.err
    assert valgnatt("sign", "--new-history", "e").status == 2
    assert "needs --reason" in valgnatt("sign", "--new-history", "e").err


async def test_check_says_in_one_line_per_election_what_is_refused_and_a_new_history_goes_on(
    valgnatt: Commands, database: Database, acts: Administration, journal: PostgresJournal, tmp_path: Path
) -> None:
    """Status 1 while something is refused; the opening of the new history names what was signed last."""
    good, _ = await signable(acts, journal)
    lost, key = await signable(acts, journal)
    without_key, _ = await signable(acts, journal)
    async with signing(database, tmp_path, live=[good, lost]) as signed:
        await signed.wait_covered(good)
        await signed.wait_covered(lost)
    checked = valgnatt("sign", "--check")
    assert checked.status == 0, checked
    assert (
        "has everything that was signed, so its history can go on"
        in valgnatt("sign", "--new-history", lost, "--reason", "x").err
    )
    directory = SignDirectory(tmp_path, LOG_NAME)
    log = directory.newest(lost)
    assert log is not None
    directory.store(log, SignedState(Signed(9, bytes(32)), datetime.now(UTC)))  # a restore lost five entries
    checked = valgnatt("sign", "--check")
    lines = {line.split()[0]: line.partition("  ")[2].strip() for line in checked.out.splitlines()}
    assert checked.status == 1
    assert lines[good] == "signed up to entry 4"
    assert lines[lost].startswith("record_behind: this signer signed 9 entries, and the record has only 4")
    assert f"valgnatt key create {without_key}" in lines[without_key]
    refused = valgnatt("sign", "--new-history", lost, "--reason", "x", "--require-standby")
    assert refused.status == 1
    assert "no synchronous standby" in refused.err
    started = valgnatt("sign", "--new-history", lost, "--reason", "the disk was lost")
    assert started.status == 0, started
    assert f"{LOG_NAME}/live/{lost}/2" in started.out
    async with signing(database, tmp_path) as signed:
        await append(journal, key, (await journal.election(lost)).version, a_report(UNITS[0], 2))
        checkpoint = await signed.wait_covered(lost, 4)
        assert checkpoint.note.startswith(f"{LOG_NAME}/live/{lost}/2\n5\n")
        head = await signed.log(lost)
    assert head is not None
    previous = parse_opening(head.opening).previous
    assert previous is not None
    assert (previous.origin, previous.size, previous.shared) == (str(log), 9, 3)
    assert valgnatt("sign", "--check").status == 0


async def test_a_restore_to_before_the_opening_is_refused(
    valgnatt: Commands,
    database: Database,
    acts: Administration,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the check, before a push door can open the election again, and by a signer that runs."""
    restored = await acts.load_election(a_registry())
    directory = SignDirectory(tmp_path, LOG_NAME)
    create_key(tmp_path, restored)
    assert valgnatt("sign", "--check").status == 0
    directory.store(
        directory.origin(restored, 1, rehearsal=False), SignedState(Signed(9, bytes(32)), datetime.now(UTC))
    )
    checked = valgnatt("sign", "--check")
    assert checked.status == 1
    assert (
        f"this signer signed 9 entries of {restored}, and the record has not even its opening" in checked.out
    )
    monkeypatch.setattr("gateway.signer.log_signer.MISSING_MAX_S", 0.0)
    async with signing(database, tmp_path) as signed, asyncio.timeout(30):
        states = signed.signer.states
        while restored not in states() or not states()[restored].refused:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        assert states()[restored].refused == "record_behind"


async def test_a_lost_directory_is_refused_and_a_new_history_goes_on_though_a_key_was_created(
    valgnatt: Commands, database: Database, acts: Administration, journal: PostgresJournal, tmp_path: Path
) -> None:
    """A log that has a key in the database is not one without a key, and no other key can continue it."""
    lost, key = await signable(acts, journal)
    async with signing(database, tmp_path, live=[lost]) as signed:
        await signed.wait_covered(lost)
    shutil.rmtree(tmp_path / "live")
    checked = valgnatt("sign", "--check")
    assert checked.status == 1
    assert f"sign_dir_unusable: {tmp_path} has no key of {LOG_NAME}/live/{lost}" in checked.out
    async with signing(database, tmp_path) as signed:

        async def refused() -> bool:
            state = signed.signer.states().get(lost)
            return state is not None and state.refused == "sign_dir_unusable"

        await until(refused)
    assert valgnatt("key", "create", lost).status == 0
    assert "restore that one" in valgnatt("sign", "--check").out
    started = valgnatt("sign", "--new-history", lost, "--reason", "the directory was lost")
    assert started.status == 0, started
    async with signing(database, tmp_path) as signed:
        await append(journal, key, (await journal.election(lost)).version, a_report(UNITS[0], 2))
        checkpoint = await signed.wait_covered(lost, 4)
    assert checkpoint.note.startswith(f"{LOG_NAME}/live/{lost}/2\n5\n")


async def test_serve_runs_a_signer_whose_failures_do_not_stop_the_doors(
    database: Database, acts: Administration, journal: PostgresJournal, tmp_path: Path
) -> None:
    """It is started again until its directory can be used, and after it was killed."""
    election, key = await signable(acts, journal)
    create_key(tmp_path, election)
    directory = SignDirectory(tmp_path, LOG_NAME)
    options = {"sign_dir": tmp_path, "log_name": LOG_NAME, "signer_database_url": database.signer_url}
    with directory.locked():
        serving = running(database, checkpoint_every_s=1, **options)
        gateway = await serving.__aenter__()
        try:

            async def in_use() -> bool:
                return bool(gateway.logged("worker ended unexpectedly"))

            await until(in_use)
            assert directory.state(directory.origin(election, 1, rehearsal=False)).signed.size == 0
        except BaseException:
            gateway.kill()
            raise

    async def signed(size: int = 4) -> bool:
        return (await gateway.metrics()).get(
            f'valgnatt_checkpoint_size{{process="signer-0",election="{election}"}}'
        ) == size

    try:
        await until(signed)
        os.kill(await pid(gateway.admin_url), 9)
        await append(journal, key, 1, a_report(UNITS[0], 2))
        await until(lambda: signed(5))
    finally:
        await serving.__aexit__(None, None, None)


def test_a_signer_of_its_own_has_an_admin_port_and_ends_at_sigterm(valgnatt: Commands) -> None:
    """At once, because the next one continues whatever it does; while it runs, no other one starts."""
    environ = valgnatt.environ | {"VALGNATT_ADMIN_PORT": "0", "VALGNATT_LOG_FORMAT": "json"}
    with Command("sign", environ=environ) as process:
        assert process.stderr is not None
        started = orjson.loads(process.stderr.readline())
        assert started["event"] == "signing"
        with urlopen(f"http://127.0.0.1:{started['admin']}/metrics") as answer:
            assert b'valgnatt_loop_lag_seconds_count{process="signer"}' in answer.read()
        with urlopen(f"http://127.0.0.1:{started['admin']}/health/ready") as answer:
            assert orjson.loads(answer.read())["status"] == "ready"
        other = run_command("sign", environ=environ)
        assert other.status == 1
        assert f"process {process.pid}" in other.err
        process.terminate()
        assert process.wait(20) == 0


async def pid(admin_url: str) -> int:
    import aiohttp

    async with aiohttp.ClientSession() as http, http.get(f"{admin_url}/health/ready") as answer:
        found: int = (await answer.json())["workers"]["signer-0"]["pid"]
        return found
