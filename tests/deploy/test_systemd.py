"""The gateway as a service of systemd: what it tells its manager, and the units."""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from gateway.config import Config, knobs, load
from gateway.machine.control import OVERDUE_S
from gateway.machine.systemd import ServiceManager
from tests.conftest import Database
from tests.deploy.proxies import DEPLOY
from tests.running import running
from tests.web.doors import PATIENCE_S, until

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
PROGRAM = "/opt/valgnatt/bin/valgnatt"
EXPOSURE_MAX = 2.0
"""Of 10: what `systemd-analyze security` may find left open. It calls up to 2 OK."""


class Manager:
    """The socket of a service manager, and what it was told."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)

    async def told(self) -> str:
        """The next word."""
        async with asyncio.timeout(PATIENCE_S):
            return (await asyncio.get_running_loop().sock_recv(self._socket, 4096)).decode()

    def told_now(self) -> list[str]:
        """All that waits."""
        found = []
        while True:
            try:
                found.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@valgnatt-test-{os.getpid()}"
    opened = Manager(address)
    yield opened
    opened.close()


async def fine(_: float) -> bool:
    return True


async def test_each_word_is_a_datagram_of_its_own(manager: Manager) -> None:
    """At a path, or at an abstract address."""
    other = ServiceManager.of({"NOTIFY_SOCKET": manager.address})
    other.ready()
    other.stopping()
    assert manager.told_now() == ["READY=1", "STOPPING=1"]


async def test_a_sign_of_life_comes_at_half_the_time_and_only_while_all_is_fine(manager: Manager) -> None:
    """Whoever is asked is given a quarter of the time, so that one that is late is still in time."""
    given, well = [], asyncio.Event()
    well.set()

    async def asked(patience_s: float) -> bool:
        given.append(patience_s)
        return well.is_set()

    usec = 400_000
    other = ServiceManager.of({"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": str(usec)})
    keeping = asyncio.create_task(other.keep_informed(asked))
    clock = asyncio.get_running_loop().time
    assert await manager.told() == "WATCHDOG=1"
    first = clock()
    assert await manager.told() == "WATCHDOG=1"
    assert 0.15 < clock() - first < 0.4
    well.clear()
    count = len(given)
    await until(lambda: after(given, count + 5))
    assert manager.told_now() == []
    well.set()
    assert await manager.told() == "WATCHDOG=1"
    assert set(given) == {0.1}
    keeping.cancel()


async def after(given: list[float], count: int) -> bool:
    return len(given) >= count


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"NOTIFY_SOCKET": ""},
        {"NOTIFY_SOCKET": "vsock:2:1"},
        {"WATCHDOG_USEC": "400000"},
    ],
)
async def test_nothing_is_said_where_nobody_listens(environ: dict[str, str]) -> None:
    """And nothing is waited for."""
    nobody = ServiceManager.of(environ)
    nobody.ready()
    await asyncio.wait_for(nobody.keep_informed(fine), 1.0)


@pytest.mark.parametrize(
    "watchdog",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "400000", "WATCHDOG_PID": "1"}],
)
async def test_no_sign_of_life_is_given_that_nobody_of_ours_was_asked_for(
    manager: Manager, watchdog: dict[str, str]
) -> None:
    """Of another process, or of none."""
    other = ServiceManager.of({"NOTIFY_SOCKET": manager.address, **watchdog})
    await asyncio.wait_for(other.keep_informed(fine), 1.0)
    assert manager.told_now() == []


async def test_a_manager_that_went_away_is_no_error(tmp_path: Path) -> None:
    """The service is what counts."""
    ServiceManager.of({"NOTIFY_SOCKET": str(tmp_path / "nowhere")}).ready()


async def test_no_child_finds_the_socket(manager: Manager) -> None:
    """So none can speak for its parent."""
    environ = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "PATH": "/bin"}
    ServiceManager.of(environ)
    assert environ == {"PATH": "/bin"}


async def test_a_machine_tells_that_it_is_ready_that_it_lives_and_that_it_ends(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ready once all workers are, alive as long as each answers: one that hangs is noticed."""
    manager = Manager(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    try:
        async with running(database, feed_workers=2) as gateway:
            words = []
            while "READY=1" not in words:
                words.append(await manager.told())
            assert set(words[:-1]) <= {"WATCHDOG=1"}
            states = await workers(gateway.admin_url)
            assert {worker["state"] for worker in states.values()} == {"ready"}
            assert await manager.told() == "WATCHDOG=1"

            feed = states["feed-1"]["pid"]
            os.kill(feed, signal.SIGSTOP)
            await silence(manager, 2.0)
            os.kill(feed, signal.SIGCONT)
            assert await manager.told() == "WATCHDOG=1"

            os.kill(feed, signal.SIGKILL)
            await until(lambda: back(gateway.admin_url, feed))
            manager.told_now()
            assert await manager.told() == "WATCHDOG=1"
            environ = environment((await workers(gateway.admin_url))["feed-1"]["pid"])
            assert b"NOTIFY_SOCKET" not in environ
            assert b"WATCHDOG" not in environ
        assert "STOPPING=1" in manager.told_now()
    finally:
        manager.close()


def environment(pid: object) -> bytes:
    """What a process was started with; empty where only root may read that."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except PermissionError:
        return b""


async def silence(manager: Manager, seconds: float) -> None:
    """Assert that, but for what was under way, nothing is told for so long."""
    await asyncio.sleep(0.6)
    manager.told_now()
    await asyncio.sleep(seconds)
    assert manager.told_now() == []


async def workers(admin_url: str) -> dict[str, dict[str, object]]:
    async with aiohttp.ClientSession() as http, http.get(f"{admin_url}/health/ready") as response:
        found: dict[str, dict[str, object]] = (await response.json())["workers"]
        return found


async def back(admin_url: str, before: object) -> bool:
    worker = (await workers(admin_url))["feed-1"]
    return worker["state"] == "ready" and worker["pid"] != before


# The units.


def settings(unit: Path) -> dict[str, list[str]]:
    """What a unit sets, each with all its values."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def systemd_analyze() -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    return program


def installed(unit: Path, directory: Path) -> Path:
    """The unit with a program that is here, in a directory of its own."""
    program = directory / "valgnatt"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = unit.read_text()
    assert text.count(PROGRAM) == 1
    place = directory / unit.name
    place.write_text(text.replace(PROGRAM, str(program)))
    return place


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_no_mistake_in_a_unit(unit: Path, tmp_path: Path) -> None:
    """Neither a setting that it does not know nor one that it cannot read."""
    command = [systemd_analyze(), "verify", "--man=no", str(installed(unit, tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if unit.name in line or str(tmp_path) in line]
    assert (done.returncode, said) == (0, [])


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_leaves_little_open(unit: Path, tmp_path: Path) -> None:
    """As systemd itself adds it up."""
    place = installed(unit, tmp_path)
    command = [systemd_analyze(), "security", "--offline=true", "--no-pager", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    exposure = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert exposure, done.stdout + done.stderr
    assert float(exposure[1]) <= EXPOSURE_MAX, done.stdout


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_gives_a_drain_its_time(unit: Path) -> None:
    """SIGKILL comes after all that the gateway itself waits for; a reload renews certificates."""
    set_here = settings(unit)
    config = load({}, DEPLOY / "systemd" / f"{unit.stem.removeprefix('valgnatt-')}.toml")
    assert float(set_here["TimeoutStopSec"][0].removesuffix("s")) > config.drain_s + OVERDUE_S
    assert set_here["Type"] == ["notify"]
    assert set_here["KillMode"] == ["mixed"]
    assert set_here["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert float(set_here["WatchdogSec"][0].removesuffix("s")) >= 30
    assert int(set_here["LimitNOFILE"][0]) > config.connections_max + config.readers_max * config.feed_workers


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_and_its_file_of_knobs_fit(unit: Path) -> None:
    """The file is read as the gateway reads it; the doors of one machine do not meet on a port."""
    role = unit.stem.removeprefix("valgnatt-")
    set_here = settings(unit)
    assert set_here["ExecStart"] == [f"{PROGRAM} serve --role {role}"]
    assert set_here["LoadCredential"] == [f"valgnatt.toml:/etc/valgnatt/{role}.toml"]
    assert "VALGNATT_CONFIG=%d/valgnatt.toml" in set_here["Environment"][0]
    config = load({}, DEPLOY / "systemd" / f"{role}.toml", {"role": role})
    assert (config.database_url is None) is (role == "feed")


def test_the_files_of_knobs_leave_each_other_their_ports() -> None:
    configs = {role: load({}, DEPLOY / "systemd" / f"{role}.toml") for role in ("push", "feed")}
    assert configs["push"].admin_port != configs["feed"].admin_port
    assert {knob.name for knob in knobs()} >= {"trusted_proxies"}
    assert configs["push"].trusted_proxies == configs["feed"].trusted_proxies != Config().trusted_proxies
