"""A cluster of Postgres that Patroni manages: three members, and etcd, in which they keep who leads.

    async with a_cluster(tmp_path) as cluster:      cluster.database names all members in one URL
        old = await cluster.wait_led()
        old.crash()
        new = await cluster.wait_led(other_than=old)
        old.start()
        await cluster.wait_complete()

Each member is a machine (`machine.py`) that can be lost as a whole, and has a link of its own to etcd, which can be
cut. All members start from the same migrated data, so none has to be copied first. Everything ends with the block, and
also if the process of the tests is killed.
"""

import base64
import json
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from gateway.journal.embedded import DATABASE, OWNER, READER, SETTINGS
from gateway.journal.postgres_programs import as_permitted_user, find_binaries
from gateway.reserved_ports import reserved_ports
from tests.faults.servers import TIMEOUT_S, DatabaseUrls, copy_cluster, require_binaries
from tests.patroni.machine import descendants
from tests.web.doors import until

HERE = Path(__file__).parent
PATRONI = HERE.parents[1] / ".patroni"
SCOPE = "night"
NAMES = ("a", "b", "c")
MODES: dict[str, dict[str, Any]] = {
    "synchronous": {"synchronous_mode": True},  # while there is no standby, commits wait for none
    "strict": {
        "synchronous_mode": True,
        "synchronous_mode_strict": True,
    },  # then they wait until there is one
    "quorum": {"synchronous_mode": "quorum"},  # commits wait for any one of all standbys
}
"""Patroni's settings of synchronous replication."""


@dataclass(frozen=True)
class Timeouts:
    """Patroni's settings that decide how long a failover takes, in seconds: loop_wait + 2 retry_timeout <= ttl."""

    ttl: int
    loop_wait: int
    retry_timeout: int

    @property
    def failover_s(self) -> float:
        """How long a test waits for a new leader and for its synchronous standby."""
        return TIMEOUT_S + 2 * self.ttl


SHORT = Timeouts(ttl=7, loop_wait=1, retry_timeout=3)
"""A shorter `ttl` than Patroni accepts; see `short_ttl.py`."""
SHORTEST_ACCEPTED = Timeouts(ttl=20, loop_wait=1, retry_timeout=3)
"""The least that Patroni accepts."""


def require_patroni() -> None:
    """Skip the test if Patroni, etcd, the Postgres binaries or the rights to run them are missing."""
    require_binaries()
    if not (PATRONI / "bin" / "patroni").exists():
        pytest.skip("Patroni is not installed: `make patroni` installs it")
    if shutil.which("etcd") is None:
        pytest.skip("etcd is not installed (Debian: etcd-server)")
    prefix, _ = as_permitted_user()
    if os.geteuid() == 0 and "--user" not in prefix:
        pytest.skip("root needs user namespaces to run Patroni and Postgres here, and they are not permitted")


class Machine:
    """A program that runs with all its descendants until it is crashed. Its output is appended to a log."""

    def __init__(self, log: Path, command: Sequence[str], environ: dict[str, str]) -> None:
        self.log = log
        self._command = command
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the machine runs, with or without its program."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the machine. For the main thread only: the machine ends with the thread that starts it."""
        assert not self.running
        prefix, _ = as_permitted_user()
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [
                    *prefix,
                    str(PATRONI / "bin" / "python"),
                    "-I",
                    "-S",
                    str(HERE / "machine.py"),
                    *self._command,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC", **self._environ},
                start_new_session=True,
            )

    def start_program_again(self) -> None:
        """Start the program again, which has ended while the machine kept running."""
        assert self._process is not None
        self._process.send_signal(signal.SIGUSR1)

    def crash(self) -> None:
        """Kill all processes at once, as a power failure does."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(TIMEOUT_S)

    def processes(self) -> list[int]:
        """Return the pids of the program and of all that it has started."""
        return list(descendants(self._process.pid)) if self._process is not None and self.running else []

    def signal_all(self, number: int) -> None:
        """Send a signal to the program and to all that it has started."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def log_tail(self) -> str:
        """Return the last lines of the log, for the report of a failure."""
        if not self.log.exists():
            return "(nothing)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])


class EtcdLink(Machine):
    """The network between a member and etcd: a forwarder, `etcd gateway`, in a process of its own."""

    def __init__(self, directory: Path, port: int, etcd_port: int) -> None:
        self.host = f"127.0.0.1:{port}"
        options = [f"--listen-addr={self.host}", f"--endpoints=127.0.0.1:{etcd_port}", "--retry-delay=1s"]
        super().__init__(
            directory / "link.log", [_found("etcd"), "gateway", "start", *options], {"HOME": str(directory)}
        )

    @contextmanager
    def down(self) -> Iterator[None]:
        """Reset all connections and refuse new ones, until the block ends."""
        self.crash()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Accept connections and data but forward nothing, until the block ends."""
        self.signal_all(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal_all(signal.SIGCONT)


class Member(Machine):
    """A machine with Patroni and the Postgres that it manages."""

    def __init__(
        self, name: str, directory: Path, ports: Sequence[int], etcd: EtcdLink, cluster: "_Options"
    ) -> None:
        self.name = name
        self.port, self.rest_port = ports
        self.etcd = etcd
        self.directory = directory
        self.data_dir = directory / "cluster"
        self._owner = cluster.owner
        configuration = directory / "patroni.json"
        configuration.write_text(json.dumps(self._configuration(cluster)))
        runner = [str(PATRONI / "bin" / "patroni")]
        if cluster.timeouts.ttl < SHORTEST_ACCEPTED.ttl:
            runner = [str(HERE / "short_ttl.py")]
        super().__init__(
            directory / "patroni.log",
            [str(PATRONI / "bin" / "python"), *runner, str(configuration)],
            {"HOME": str(directory)},
        )

    def _configuration(self, cluster: "_Options") -> dict[str, Any]:
        login = {"username": OWNER, "password": cluster.owner}
        return {
            "scope": SCOPE,
            "name": self.name,
            "log": {"format": f"%(asctime)s %(levelname)s {self.name}: %(message)s"},
            "restapi": {
                "listen": f"127.0.0.1:{self.rest_port}",
                "connect_address": f"127.0.0.1:{self.rest_port}",
            },
            "etcd3": {"hosts": [self.etcd.host], "use_proxies": True},
            "postgresql": {
                "listen": f"127.0.0.1:{self.port}",
                "connect_address": f"127.0.0.1:{self.port}",
                "data_dir": str(self.data_dir),
                "bin_dir": str(cluster.binaries),
                "pgpass": str(self.directory / "pgpass"),
                "authentication": {"superuser": login, "replication": login, "rewind": login},
                "parameters": {"unix_socket_directories": ""},
            },
        }

    @property
    def host(self) -> str:
        """Host and port of its Postgres, as written in a URL."""
        return f"127.0.0.1:{self.port}"

    @property
    def postmaster(self) -> int:
        """The pid of its Postgres. Raises FileNotFoundError if none runs."""
        return int((self.data_dir / "postmaster.pid").read_text().split()[0])

    def kill_postgres(self) -> None:
        """Kill the postmaster (SIGKILL); the other processes of Postgres detect that and end."""
        os.kill(self.postmaster, signal.SIGKILL)

    def kill_patroni(self) -> None:
        """Kill Patroni alone (SIGKILL), which leaves its Postgres running."""
        postgres = {self.postmaster, *descendants(self.postmaster)}
        for pid in set(self.processes()) - postgres:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def role(self) -> str:
        """Return its role as Patroni's REST interface reports it: primary, replica, or why there is none."""
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2.0)) as http,
                http.get(f"http://127.0.0.1:{self.rest_port}/patroni") as answer,
            ):
                document = await answer.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            return type(error).__name__
        state: str = document["state"]
        return document["role"] if state in ("running", "streaming", "in archive recovery") else state

    async def ask(self, query: str, *arguments: object) -> Any:
        """Return the first value of a query, asked as the owner. Raises asyncpg's errors and OSError."""
        connection = await asyncpg.connect(self.owner_url, timeout=TIMEOUT_S, command_timeout=TIMEOUT_S)
        try:
            return await connection.fetchval(query, *arguments)
        finally:
            connection.terminate()

    @property
    def owner_url(self) -> str:
        """The URL of its Postgres alone."""
        return f"postgresql://{OWNER}:{self._owner}@{self.host}/{DATABASE}"


@dataclass(frozen=True)
class _Options:
    """What the members have in common."""

    owner: str
    reader: str
    timeouts: Timeouts
    binaries: Path


class Cluster:
    """Members that Patroni keeps in one cluster, and what they agree on in etcd."""

    def __init__(self, members: Sequence[Member], etcd_port: int, options: _Options) -> None:
        self.members = {each.name: each for each in members}
        self.timeouts = options.timeouts
        self._options = options
        self._etcd_url = f"http://127.0.0.1:{etcd_port}/v3"

    @property
    def database(self) -> DatabaseUrls:
        """The addresses of all members in one URL."""
        return self.database_from(None)

    def database_from(self, first: Member | None) -> DatabaseUrls:
        """Return the addresses of all members in one URL, with this member as the first, which feeds prefer."""
        members = sorted(self.members.values(), key=lambda each: each is not first)
        hosts = ",".join(each.host for each in members)
        login, reader = f"{OWNER}:{self._options.owner}", f"{READER}:{self._options.reader}"
        return DatabaseUrls(
            f"postgresql://{login}@{hosts}/{DATABASE}", f"postgresql://{reader}@{hosts}/{DATABASE}"
        )

    # What etcd has.

    async def get(self, key: str) -> str | None:
        """Return the value of one of Patroni's keys: leader, sync, config, history."""
        found = await self._call("kv/range", {"key": _base64(f"/service/{SCOPE}/{key}")})
        values = found.get("kvs", [])
        return base64.b64decode(values[0]["value"]).decode() if values else None

    async def put(self, key: str, value: dict[str, Any]) -> None:
        """Set one of Patroni's keys."""
        wanted = {"key": _base64(f"/service/{SCOPE}/{key}"), "value": _base64(json.dumps(value))}
        await self._call("kv/put", wanted)

    async def _call(self, method: str, body: dict[str, str]) -> dict[str, Any]:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with (
            aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as http,
            http.post(f"{self._etcd_url}/{method}", data=json.dumps(body)) as answer,
        ):
            found: dict[str, Any] = json.loads(await answer.read())
            return found

    async def change(self, **settings: Any) -> None:
        """Change settings of the whole cluster, such as `pause` or `synchronous_mode`; Patroni follows in a loop."""
        now = json.loads(await self.get("config") or "{}")
        await self.put("config", {**now, **settings})

    async def synchronous_standbys(self) -> list[Member]:
        """Return the members that Patroni may promote: those that confirm every commit of the leader."""
        found = json.loads(await self.get("sync") or "{}").get("sync_standby") or ""
        return [self.members[name] for name in found.split(",") if name]

    # Waiting.

    async def wait_led(self, *, other_than: Member | None = None) -> Member:
        """Wait until a member, other than a former one, has the leader's key and is a primary; return it."""
        found: Member | None = None

        async def led() -> bool:
            nonlocal found
            name = await self.get("leader")
            if not name or (other_than is not None and name == other_than.name):
                return False
            found = self.members[name]
            return await found.role() == "primary"

        await self._wait("a leader", led)
        assert found is not None
        return found

    async def wait_synchronous(self, *, without: Sequence[Member] = ()) -> list[Member]:
        """Wait until commits of the leader wait for a standby that may be promoted, none of `without`; return these."""
        found: list[Member] = []

        async def synchronous() -> bool:
            found[:] = await self.synchronous_standbys()
            name = await self.get("leader")
            if not name or not found or {each.name for each in without} & {each.name for each in found}:
                return False
            streaming = (
                "SELECT array_agg(application_name::text) FROM pg_stat_replication"
                " WHERE sync_state IN ('sync', 'quorum') AND state = 'streaming'"
            )
            try:
                confirming = await self.members[name].ask(streaming) or []
            except (asyncpg.PostgresError, OSError):
                return False
            return {each.name for each in found} <= set(confirming)

        await self._wait("a synchronous standby", synchronous)
        return found

    async def wait_complete(self) -> None:
        """Wait until every member runs: one leads, the others stream from it, and commits wait for one of these."""

        async def complete() -> bool:
            name = await self.get("leader")
            if not name or {await each.role() for each in self.members.values()} != {"primary", "replica"}:
                return False
            try:
                streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
                return await self.members[name].ask(streaming) == len(self.members) - 1
            except (asyncpg.PostgresError, OSError):
                return False

        await self._wait("all members", complete)
        await self.wait_synchronous()

    async def _wait(self, what: str, fact: Any) -> None:
        try:
            await until(fact, self.timeouts.failover_s)
        except TimeoutError:
            roles = {each.name: await each.role() for each in self.members.values()}
            found = f"leader {await self.get('leader')}, sync {await self.get('sync')}, {roles}"
            raise AssertionError(f"{what}: not within {self.timeouts.failover_s:.0f} s: {found}") from None


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@asynccontextmanager
async def a_cluster(
    directory: Path,
    *,
    mode: str = "synchronous",
    timeouts: Timeouts = SHORT,
    settings: dict[str, Any] | None = None,
    binaries: dict[str, Path] | None = None,
) -> AsyncIterator[Cluster]:
    """Run etcd and three members until the block ends; it starts when the cluster is complete.

    `mode` is one of MODES. `settings` are more settings of the cluster, as in Patroni's
    dynamic configuration. `binaries` are directories of Postgres for some members, by name.
    """
    require_patroni()
    owner, reader = _copy_data(directory)
    async with AsyncExitStack() as opened:
        etcd_port, peer_port, *ports = opened.enter_context(reserved_ports(2 + 3 * len(NAMES)))
        machines: list[Machine] = [_etcd(directory, etcd_port, peer_port)]
        members = []
        for name in NAMES:
            link = EtcdLink(directory / name, ports.pop(), etcd_port)
            options = _Options(owner, reader, timeouts, (binaries or {}).get(name, find_binaries(None)))
            members.append(Member(name, directory / name, (ports.pop(), ports.pop()), link, options))
        machines += [each.etcd for each in members] + members
        cluster = Cluster(members, etcd_port, options)
        opened.callback(lambda: [each.crash() for each in machines])
        try:
            for each in machines[: -len(members)]:
                each.start()
            await until(lambda: _answers(cluster), TIMEOUT_S)
            await cluster.put("config", _settings(mode, timeouts, settings or {}))
            for each in members:
                each.start()
            await cluster.wait_complete()
            yield cluster
        except BaseException as error:
            for each in machines:
                error.add_note(f"the end of {each.log}:\n{each.log_tail()}")
            raise


def _copy_data(directory: Path) -> tuple[str, str]:
    """Give every member the same data; return the passwords of the owner and of the reader."""
    directory.chmod(0o755)
    for name in NAMES:
        copy_cluster(directory / name)
    owner, reader, _ = (directory / NAMES[0] / "passwords").read_text().split()
    return owner, reader


def _etcd(directory: Path, port: int, peer_port: int) -> Machine:
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    options = {
        "data-dir": str(directory / "etcd"),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"default={peer}",
        "logger": "zap",
        "log-level": "warn",
    }
    command = [_found("etcd"), *(f"--{name}={value}" for name, value in options.items())]
    return Machine(directory / "etcd.log", command, {"HOME": str(directory)})


def _found(program: str) -> str:
    path = shutil.which(program)
    assert path is not None
    return path


async def _answers(cluster: Cluster) -> bool:
    with suppress(aiohttp.ClientError):
        await cluster.get("config")
        return True
    return False


def _settings(mode: str, timeouts: Timeouts, more: dict[str, Any]) -> dict[str, Any]:
    unmanaged = {"max_connections", "unix_socket_permissions"}
    parameters = {name: value for name, value in SETTINGS.items() if name not in unmanaged}
    return {
        "ttl": timeouts.ttl,
        "loop_wait": timeouts.loop_wait,
        "retry_timeout": timeouts.retry_timeout,
        **MODES[mode],
        "postgresql": {
            "use_pg_rewind": True,
            "use_slots": True,
            # pg_rewind reads the WAL back to the last checkpoint before the timelines diverged.
            "parameters": {**parameters, "wal_keep_size": "512MB", "min_wal_size": "64MB"},
        },
        **more,
    }
