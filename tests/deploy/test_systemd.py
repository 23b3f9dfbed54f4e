"""The gateway as a systemd service: notifications to the service manager, and the units."""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import aiohttp
import pytest

from gateway.config import Config, all_options
from gateway.config_loading import load
from gateway.machine.control import OVERDUE_S
from gateway.machine.systemd import ServiceManager
from tests.conftest import Database
from tests.deploy.proxies import DEPLOY
from tests.fork_server import run_command
from tests.running import running
from tests.web.doors import TIMEOUT_S, until

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
OF_DOORS = [unit for unit in UNITS if unit.with_name(f"{unit.stem.removeprefix('valgnatt-')}.toml").exists()]
"""Those that run `serve`, each with a configuration file; others run other commands."""
PROGRAM = "/opt/valgnatt/bin/valgnatt"
EXPOSURE_MAX = 2.0
"""Maximum exposure, of 10, by `systemd-analyze security`, which rates up to 2 as OK."""


class Manager:
    """The socket of a service manager, and the messages that it received."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)

    async def next_message(self) -> str:
        """Return the next message."""
        async with asyncio.timeout(TIMEOUT_S):
            return (await asyncio.get_running_loop().sock_recv(self._socket, 4096)).decode()

    def received_messages(self) -> list[str]:
        """Return all messages that have arrived."""
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


async def test_each_message_is_a_separate_datagram(manager: Manager) -> None:
    """Messages are sent to a path or an abstract address."""
    other = ServiceManager.from_environment({"NOTIFY_SOCKET": manager.address})
    other.ready()
    other.stopping()
    assert manager.received_messages() == ["READY=1", "STOPPING=1"]


async def test_the_watchdog_is_notified_at_half_its_interval_and_only_while_all_is_well(
    manager: Manager,
) -> None:
    """A check may take a quarter of the interval, so a slow one is still in time."""
    given, checked, well = [], [], asyncio.Event()
    clock = asyncio.get_running_loop().time
    well.set()

    async def check(timeout_s: float) -> bool:
        given.append(timeout_s)
        checked.append(clock())
        return well.is_set()

    usec = 400_000
    other = ServiceManager.from_environment({"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": str(usec)})
    keeping = asyncio.create_task(other.run_watchdog(check))
    for _ in range(4):
        assert await manager.next_message() == "WATCHDOG=1"
    assert 0.15 < min(later - earlier for earlier, later in pairwise(checked)) < 0.4
    well.clear()
    count = len(given)
    await until(lambda: after(given, count + 5))
    assert manager.received_messages() == []
    well.set()
    assert await manager.next_message() == "WATCHDOG=1"
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
async def test_nothing_is_sent_without_a_service_manager(environ: dict[str, str]) -> None:
    """Without a usable `NOTIFY_SOCKET` nothing is sent, and the watchdog does not run."""
    without_manager = ServiceManager.from_environment(environ)
    without_manager.ready()
    await asyncio.wait_for(without_manager.run_watchdog(fine), 1.0)


@pytest.mark.parametrize(
    "watchdog",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "400000", "WATCHDOG_PID": "1"}],
)
async def test_the_watchdog_of_another_process_is_not_notified(
    manager: Manager, watchdog: dict[str, str]
) -> None:
    """`WATCHDOG_PID` of another process, or a missing interval, disables the watchdog."""
    other = ServiceManager.from_environment({"NOTIFY_SOCKET": manager.address, **watchdog})
    await asyncio.wait_for(other.run_watchdog(fine), 1.0)
    assert manager.received_messages() == []


async def test_a_service_manager_that_has_ended_is_not_an_error(tmp_path: Path) -> None:
    """Notifications to a closed socket are ignored."""
    ServiceManager.from_environment({"NOTIFY_SOCKET": str(tmp_path / "nowhere")}).ready()


async def test_child_processes_do_not_inherit_the_socket(manager: Manager) -> None:
    """A child process cannot send messages on behalf of its parent."""
    environ = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "PATH": "/bin"}
    ServiceManager.from_environment(environ)
    assert environ == {"PATH": "/bin"}


@pytest.mark.long
async def test_a_machine_notifies_the_manager_when_it_is_ready_alive_and_stopping(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """READY=1 is sent once all workers are ready, and WATCHDOG=1 only while every worker responds."""
    manager = Manager(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    try:
        async with running(database, feed_workers=2) as gateway:
            words = []
            while "READY=1" not in words:
                words.append(await manager.next_message())
            assert set(words[:-1]) <= {"WATCHDOG=1"}
            states = await workers(gateway.admin_url)
            assert {worker["state"] for worker in states.values()} == {"ready"}
            assert await manager.next_message() == "WATCHDOG=1"

            feed = states["feed-1"]["pid"]
            os.kill(feed, signal.SIGSTOP)
            await silence(manager, 2.0)
            os.kill(feed, signal.SIGCONT)
            assert await manager.next_message() == "WATCHDOG=1"

            os.kill(feed, signal.SIGKILL)
            await until(lambda: back(gateway.admin_url, feed))
            manager.received_messages()
            assert await manager.next_message() == "WATCHDOG=1"
            environ = environment((await workers(gateway.admin_url))["feed-1"]["pid"])
            assert b"NOTIFY_SOCKET" not in environ
            assert b"WATCHDOG" not in environ
        assert "STOPPING=1" in manager.received_messages()
    finally:
        manager.close()


def environment(pid: object) -> bytes:
    """Return the initial environment of a process; empty if only root may read it."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except PermissionError:
        return b""


async def silence(manager: Manager, seconds: float) -> None:
    """Assert that, apart from messages in progress, none is sent for this time."""
    await asyncio.sleep(0.6)
    manager.received_messages()
    await asyncio.sleep(seconds)
    assert manager.received_messages() == []


async def workers(admin_url: str) -> dict[str, dict[str, object]]:
    async with aiohttp.ClientSession() as http, http.get(f"{admin_url}/health/ready") as response:
        found: dict[str, dict[str, object]] = (await response.json())["workers"]
        return found


async def back(admin_url: str, before: object) -> bool:
    worker = (await workers(admin_url))["feed-1"]
    return worker["state"] == "ready" and worker["pid"] != before


# The units.


def settings(unit: Path) -> dict[str, list[str]]:
    """Return the settings of a unit, each with all its values."""
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
    """Return a copy of the unit with an existing program, in a separate directory."""
    program = directory / "valgnatt"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = unit.read_text()
    assert text.count(PROGRAM) == 1
    place = directory / unit.name
    place.write_text(text.replace(PROGRAM, str(program)))
    return place


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_no_error_in_a_unit(unit: Path, tmp_path: Path) -> None:
    """`systemd-analyze verify` reports neither unknown nor invalid settings."""
    command = [systemd_analyze(), "verify", "--man=no", str(installed(unit, tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    messages = [line for line in done.stderr.splitlines() if unit.name in line or str(tmp_path) in line]
    assert (done.returncode, messages) == (0, [])


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_has_little_exposure(unit: Path, tmp_path: Path) -> None:
    """The exposure computed by `systemd-analyze security` is below the maximum."""
    place = installed(unit, tmp_path)
    command = [systemd_analyze(), "security", "--offline=true", "--no-pager", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    exposure = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert exposure, done.stdout + done.stderr
    assert float(exposure[1]) <= EXPOSURE_MAX, done.stdout


@pytest.mark.parametrize("unit", OF_DOORS, ids=lambda unit: unit.name)
def test_a_unit_allows_enough_time_for_a_drain(unit: Path) -> None:
    """SIGKILL is sent after everything that the gateway itself waits for; a reload renews certificates."""
    set_here = settings(unit)
    config = load({}, DEPLOY / "systemd" / f"{unit.stem.removeprefix('valgnatt-')}.toml")
    assert float(set_here["TimeoutStopSec"][0].removesuffix("s")) > config.drain_s + OVERDUE_S
    assert set_here["Type"] == ["notify"]
    assert set_here["KillMode"] == ["mixed"]
    assert set_here["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert float(set_here["WatchdogSec"][0].removesuffix("s")) >= 30
    assert int(set_here["LimitNOFILE"][0]) > config.connections_max + config.readers_max * config.feed_workers


@pytest.mark.parametrize("unit", OF_DOORS, ids=lambda unit: unit.name)
def test_a_unit_and_its_configuration_file_match(unit: Path) -> None:
    """The gateway accepts the configuration file of the unit."""
    role = unit.stem.removeprefix("valgnatt-")
    set_here = settings(unit)
    assert set_here["ExecStart"] == [f"{PROGRAM} serve --role {role}"]
    assert set_here["LoadCredential"] == [f"valgnatt.toml:/etc/valgnatt/{role}.toml"]
    assert "VALGNATT_CONFIG=%d/valgnatt.toml" in set_here["Environment"][0]
    config = load({}, DEPLOY / "systemd" / f"{role}.toml", {"role": role})
    assert (config.database_url is None) is (role == "feed")


def test_the_configuration_files_use_different_ports() -> None:
    configs = {role: load({}, DEPLOY / "systemd" / f"{role}.toml") for role in ("push", "feed")}
    assert configs["push"].admin_port != configs["feed"].admin_port
    assert {option.name for option in all_options()} >= {"trusted_proxies"}
    assert configs["push"].trusted_proxies == configs["feed"].trusted_proxies != Config().trusted_proxies


def test_unit_of_the_signer_has_its_directory_and_a_configuration_that_works() -> None:
    """The directory of the keys is below its own state directory, and its port is not that of a door."""
    set_here = settings(DEPLOY / "systemd" / "valgnatt-signer.service")
    config = load({}, DEPLOY / "systemd" / "sign.toml")
    assert set_here["ExecStart"] == [f"{PROGRAM} sign"]
    assert set_here["StateDirectory"] == ["valgnatt-signer"]
    assert set_here["StateDirectoryMode"] == ["0700"]
    assert config.sign_dir is not None
    assert config.sign_dir.is_relative_to("/var/lib/valgnatt-signer")
    assert config.log_name is not None
    assert config.signer_database_url is not None
    assert (config.database_url, config.feed_database_url) == (None, None)
    assert "VALGNATT_CONFIG=%d/valgnatt.toml" in set_here["Environment"][0]
    ports = {load({}, DEPLOY / "systemd" / f"{role}.toml").admin_port for role in ("push", "feed")}
    assert config.admin_port not in ports


def test_unit_of_the_witness_gives_options_that_the_command_takes() -> None:
    """Its own, and those of the file, whose example has no valid key."""
    set_here = settings(DEPLOY / "systemd" / "valgnatt-witness.service")
    (line,) = set_here["ExecStart"]
    environment = (DEPLOY / "systemd" / "witness.env").read_text()
    (options,) = re.findall(r"^WITNESS_OPTIONS=(.*)$", environment, re.MULTILINE)
    line = line.replace("$WITNESS_OPTIONS", options)
    assert line.split()[:2] == [PROGRAM, "witness"]
    ended = run_command(*line.split()[1:], environ=os.environ)
    assert ended.status == 2
    assert "--log: not VKEY or VKEY=URL" in ended.err
    names = {option.variable for option in all_options()}
    assert {each.partition("=")[0] for each in set_here["Environment"][0].split()} <= names
    assert set_here["StateDirectory"] == ["valgnatt-witness"]
    assert (set_here["Type"], set_here["DynamicUser"]) == (["notify"], ["yes"])
