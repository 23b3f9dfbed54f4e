"""Which process of a machine has which password: a search of memory, environment and command lines."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.conftest import Database
from tests.running import Gateway, running

pytestmark = pytest.mark.long

PIECE = 1 << 24
"""Bytes of memory read at once."""


class Passwords(NamedTuple):
    owner: str
    reader: str
    signer: str | None = None


@pytest.fixture(autouse=True)
def root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may read the memory of the gateway's processes")


def password_of(url: str) -> str:
    found = urlsplit(url).password
    assert found is not None
    assert len(found) > 16
    return found


async def pids(gateway: Gateway) -> dict[str, int]:
    """Return the processes of a machine by name."""
    async with aiohttp.ClientSession() as http, http.get(f"{gateway.admin_url}/health/ready") as response:
        workers = (await response.json())["workers"]
    return {"supervisor": gateway.pid, **{name: worker["pid"] for name, worker in workers.items()}}


def memory_of(pid: int) -> Iterator[bytes]:
    """Yield the writable memory of a process, in pieces that overlap by the length of a password."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            places, rights, *_ = line.split()
            if not rights.startswith("rw"):
                continue
            start, end = (int(place, 16) for place in places.split("-"))
            before = b""
            for place in range(start, end, PIECE):
                memory.seek(place)
                try:
                    piece = memory.read(min(PIECE, end - place))
                except OSError:  # it was unmapped, or is no memory
                    break
                yield before + piece
                before = piece[-256:]


def places_of(password: str, pid: int) -> set[str]:
    """Return where in a process a password is found."""
    wanted = password.encode()
    found = {name for name in ("cmdline", "environ") if wanted in Path(f"/proc/{pid}/{name}").read_bytes()}
    return found | ({"memory"} if any(wanted in piece for piece in memory_of(pid)) else set())


async def expect_each_in_its_process(gateway: Gateway, passwords: Passwords) -> None:
    """The expected matches show that the search works."""
    processes = await pids(gateway)
    assert set(processes) == {"supervisor", "push-0", "feed-0"} | (
        {"signer-0"} if passwords.signer else set()
    )
    assert places_of(passwords.owner, processes["push-0"]) == {"memory"}
    assert places_of(passwords.reader, processes["feed-0"]) == {"memory"}
    assert places_of(passwords.owner, processes["feed-0"]) == set()
    assert places_of(passwords.reader, processes["push-0"]) == set()
    if passwords.signer is not None:
        assert places_of(passwords.signer, processes["signer-0"]) == {"memory"}
        assert places_of(passwords.signer, processes["push-0"]) == set()
        assert places_of(passwords.signer, processes["feed-0"]) == set()
        assert places_of(passwords.owner, processes["signer-0"]) == set()
        assert places_of(passwords.reader, processes["signer-0"]) == set()


async def test_a_feed_process_has_no_password_of_the_owner(database: Database) -> None:
    """Not on its command line, not in its environment, nowhere in its memory; no push process has the feeds'."""
    passwords = Passwords(password_of(database.url), password_of(database.feed_url))
    async with running(database, usual_start=True) as gateway:
        await expect_each_in_its_process(gateway, passwords)


async def test_a_feed_process_beside_an_embedded_postgres_has_no_password_of_the_owner(
    database: Database, tmp_path: Path
) -> None:
    """Nor has the signer. All three passwords are drawn by the machine itself."""
    os.chmod(tmp_path, 0o755)
    own = {"database_url": "", "feed_database_url": "", "data_dir": tmp_path / "data"}
    signing = {"sign_dir": tmp_path / "sign", "log_name": "results.example.no"}
    async with running(database, usual_start=True, **own, **signing) as gateway:
        passwords = Passwords(*(tmp_path / "data" / "passwords").read_text().split())
        await expect_each_in_its_process(gateway, passwords)


async def test_with_passwords_in_files_no_environment_has_one(database: Database, tmp_path: Path) -> None:
    """Not even the supervisor's."""
    options = {}
    for name, url in (("database", database.url), ("feed_database", database.feed_url)):
        password = password_of(url)
        (tmp_path / name).write_text(f"{password}\n")
        options |= {f"{name}_url": url.replace(f":{password}", ""), f"{name}_password_file": tmp_path / name}
    passwords = Passwords(password_of(database.url), password_of(database.feed_url))
    async with running(database, usual_start=True, **options) as gateway:
        await expect_each_in_its_process(gateway, passwords)
        for password in filter(None, passwords):
            assert places_of(password, gateway.pid) <= {"memory"}


async def test_a_command_that_is_given_a_password_in_a_file_finds_the_database(
    database: Database, tmp_path: Path
) -> None:
    """Administrative commands take the same options as `serve`."""
    password = password_of(database.url)
    (tmp_path / "password").write_text(password)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("VALGNATT_")}
    command = [
        *(sys.executable, "-m", "gateway", "election", "list"),
        *("--database-url", database.url.replace(f":{password}", "")),
        *("--database-password-file", str(tmp_path / "password")),
    ]
    listing = await asyncio.create_subprocess_exec(*command, env=environ, stderr=PIPE)
    _, reported = await listing.communicate()
    assert (listing.returncode, reported) == (0, b"")
