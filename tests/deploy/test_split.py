"""Push and feed on separate machines, with database users as compose and Kubernetes create them."""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp
import asyncpg
import pytest
import yaml

from gateway.journal.feed_login import excess_privileges, read_feed_login
from gateway.journal.postgres_programs import EmbeddedPostgresError, find_binaries
from gateway.journal.session import SIGNER_ROLE
from gateway.rehearsal.generator import GeneratedElection
from gateway.reserved_ports import reserved_ports
from gateway.wire.mirror import decode_live, live_path
from tests.counts import variants
from tests.deploy.proxies import DEPLOY
from tests.faults.servers import require_binaries
from tests.fork_server import Command
from tests.running import running
from tests.web.doors import COUNTRY, UNIT, a_registry, a_report, feed_url, pushed, shown, streaming, until

pytestmark = pytest.mark.long

OWNER, READER, SIGNER = "ownerpassword1", "readerpassword1", "signerpassword1"


class Cluster(NamedTuple):
    """A new Postgres cluster, without anything of the gateway."""

    port: int
    sockets: Path

    @property
    def admin_url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.sockets}&port={self.port}"

    def url_of(self, role: str, password: str) -> str:
        return f"postgresql://{role}:{password}@127.0.0.1:{self.port}/valgnatt"


class DatabaseUrls(NamedTuple):
    url: str
    feed_url: str


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Run by a user other than root, as Postgres requires; it asks for passwords over TCP."""
    require_binaries()
    with a_cluster() as made:
        yield made


@contextmanager
def a_cluster() -> Iterator[Cluster]:
    try:
        programs = find_binaries(None)
    except EmbeddedPostgresError as error:
        pytest.skip(str(error))
    user = {} if os.getuid() else {"user": pwd.getpwnam("nobody").pw_uid, "extra_groups": []}
    with tempfile.TemporaryDirectory(prefix="valgnatt-cluster-") as name:
        directory = Path(name)
        if user:
            os.chown(directory, pwd.getpwnam("nobody").pw_uid, -1)
        environ = {"PATH": os.defpath, "LC_ALL": "C", "HOME": name}
        data = directory / "data"
        options = ["--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync"]
        subprocess.run(
            [programs / "initdb", "-D", data, *options],
            check=True,
            stdout=subprocess.DEVNULL,
            env=environ,
            cwd="/",
            **user,
        )
        with reserved_ports(1) as (port,):
            settings = {
                "port": port,
                "listen_addresses": "127.0.0.1",
                "unix_socket_directories": name,
                "fsync": "off",
            }
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, *(f"--{key}={value}" for key, value in settings.items())],
                stderr=subprocess.DEVNULL,
                env=environ,
                cwd="/",
                **user,
            )
            try:
                yield Cluster(port, directory)
            finally:
                server.terminate()
                server.wait(30)


async def up(cluster: Cluster) -> None:
    async def answers() -> bool:
        try:
            connection = await asyncpg.connect(cluster.admin_url)
        except (OSError, asyncpg.CannotConnectNowError):
            return False
        await connection.close()
        return True

    await until(answers)


async def prepared_by_compose(cluster: Cluster) -> None:
    """Run roles.sh as the image of Postgres runs docker-entrypoint-initdb.d, with secrets as files."""
    path = f"{os.environ['PATH']}:{find_binaries(None)}"
    if shutil.which("psql", path=path) is None:
        pytest.skip("psql is not installed")
    done = await asyncio.create_subprocess_exec(
        str(DEPLOY / "compose" / "postgres" / "roles.sh"),
        env={
            "PATH": path,
            "PGHOST": str(cluster.sockets),
            "PGPORT": str(cluster.port),
            "POSTGRES_USER": "postgres",
            "OWNER_PASSWORD_FILE": secret(cluster, "owner", OWNER),
            "READER_PASSWORD_FILE": secret(cluster, "reader", READER),
        },
    )
    assert await done.wait() == 0


def secret(cluster: Cluster, name: str, password: str) -> str:
    """Create a file with a password, and return its path."""
    file = cluster.sockets / f"{name}_password"
    file.write_text(f"{password}\n")
    return str(file)


async def prepared_by_the_operator(cluster: Cluster) -> None:
    """Set up a cluster as CloudNativePG does: owner, queries of the manifest, database, managed roles."""
    spec = yaml.safe_load((DEPLOY / "kubernetes" / "postgres.yaml").read_text())["spec"]
    initdb, logins = spec["bootstrap"]["initdb"], spec["managed"]["roles"]
    connection = await asyncpg.connect(cluster.admin_url)
    await connection.execute(f"CREATE ROLE {initdb['owner']} LOGIN PASSWORD '{OWNER}'")
    for query in initdb["postInitSQL"]:
        await connection.execute(query)
    await connection.execute(f"CREATE DATABASE {initdb['database']} OWNER {initdb['owner']}")
    assert [each["inRoles"] for each in logins if each["login"]] == [["valgnatt_feed"], ["valgnatt_signer"]]
    inside = await asyncpg.connect(cluster.admin_url.replace("/postgres?", f"/{initdb['database']}?"))
    for query in initdb["postInitApplicationSQL"]:
        await inside.execute(query)
    await inside.close()
    for login, password in zip(logins, (READER, SIGNER), strict=True):
        await connection.execute(
            f"CREATE ROLE {login['name']} LOGIN PASSWORD '{password}' IN ROLE {', '.join(login['inRoles'])}"
        )
    await connection.close()


@pytest.mark.parametrize(
    "prepare", variants([prepared_by_compose, prepared_by_the_operator], prepared_by_compose)
)
async def test_a_feed_that_may_only_read_follows_a_push_door_on_another_machine(
    prepare: object, cluster: Cluster, small: GeneratedElection, tmp_path: Path
) -> None:
    """The feed starts first, on an empty database, and has only its own password; the owner is not a superuser.

    A mirror, started as compose does, has no password at all.
    """
    await up(cluster)
    await prepare(cluster)  # type: ignore[operator]
    owner, reader = cluster.url_of("valgnatt", OWNER), cluster.url_of("valgnatt_reader", READER)
    async with aiohttp.ClientSession() as http:
        await follow(owner, reader, http, small, tmp_path / "files")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await ask_for(reader, "SELECT count(*) FROM valgnatt.report")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await ask_for(reader, "SELECT count(*) FROM valgnatt.token")
    for written in (
        "SELECT lo_create(0)",
        "SELECT lo_creat(-1)",
        "SELECT lo_from_bytea(0, 'x')",
        "CREATE TEMP TABLE t ()",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_xact_lock(1, 2)",
        "SELECT pg_logical_emit_message(false, 'x', 'x')",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await ask_for(reader, written)
    assert list(excess_privileges(await read_feed_login(reader, owner))) == []
    if prepare is prepared_by_the_operator:
        signer = cluster.url_of("valgnatt_signer_login", SIGNER)
        assert list(excess_privileges(await read_feed_login(signer, owner, SIGNER_ROLE))) == []
    assert (
        await ask_for(owner, "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
        is False
    )


async def follow(
    owner: str, reader: str, http: aiohttp.ClientSession, small: GeneratedElection, files: Path
) -> None:
    feeding = running(DatabaseUrls(owner, reader), role="feed", database_url="")
    feed_starts = asyncio.create_task(feeding.__aenter__())
    async with running(DatabaseUrls(owner, reader), role="push", feed_database_url="") as push:
        feed = await feed_starts
        try:
            election = await push.load(a_registry(small))
            sender = await push.issue(election, [COUNTRY])
            await shown(feed, election)
            async with streaming(http, feed_url(feed, election), levels="precinct") as stream:
                await stream.block()
                (receipt,) = await pushed(http, sender, a_report())
                (block,) = await stream.blocks_until(receipt["sequence"])
                assert block.names == [UNIT]
            with a_mirror(feed.feed_url, files):
                await mirrored(files, election, receipt["sequence"])
        finally:
            await feeding.__aexit__(None, None, None)


@contextmanager
def a_mirror(url: str, files: Path) -> Iterator[None]:
    """Run the mirror of compose with the URL of a feed door, and nothing of the gateway in its environment."""
    services = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())["services"]
    command, _, _, admin, _ = services["mirror"]["command"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("VALGNATT_", "PG"))}
    with reserved_ports(1) as (port,), Command(command, url, files, admin, port, environ=environ) as mirror:
        try:
            yield
        finally:
            mirror.terminate()
        assert mirror.wait(30) == 0


async def mirrored(files: Path, election: str, sequence: int) -> None:
    async def shown() -> bool:
        live = files / live_path(election)
        return live.exists() and decode_live(live.read_bytes()).sequence >= sequence

    await until(shown)


async def ask_for(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()
