"""nginx as the origin of a mirror and as an edge in front of it, with the files of `deploy/mirror`.

Only addresses, the directory and `max-age` are replaced, in the files that are meant to be changed. The origin logs
what is requested from it.
"""

import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import msgspec

from bench.figures import Unavailable
from bench.load.processes import cpu_s, program, running
from gateway.reserved_ports import reserved_ports

HOW = "apt-get install nginx"
SHIPPED = Path(__file__).resolve().parents[2] / "deploy" / "mirror"


class MirrorServers(msgspec.Struct, frozen=True):
    """Both servers while they run."""

    origin_port: int
    edge_port: int
    origin_pid: int
    edge_pid: int
    log: Path

    @property
    def edge_url(self) -> str:
        """Where readers read."""
        return f"http://127.0.0.1:{self.edge_port}"

    def edge_cpu_s(self) -> float:
        """Return the CPU seconds of the edge since it started."""
        return cpu_s(self.edge_pid)

    def origin_cpu_s(self) -> float:
        """Return the CPU seconds of the origin since it started."""
        return cpu_s(self.origin_pid)

    def requests(self) -> Counter[str]:
        """Return how often each path was requested from the origin so far; a probe is none of them."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return Counter(line.split(" ")[0] for line in lines if line)


class MirrorPlaces(msgspec.Struct, frozen=True):
    """Ports of both servers that are reserved until they run, so that a gateway can name the mirror before."""

    scratch: Path
    origin_port: int
    edge_port: int

    @property
    def edge_url(self) -> str:
        """Where readers will read."""
        return f"http://127.0.0.1:{self.edge_port}"

    @asynccontextmanager
    async def serving(self, files: Path, max_age_s: int) -> AsyncIterator[MirrorServers]:
        """Serve a directory that exists. Raises Unavailable."""
        origin, edge = (self.scratch / name for name in ("origin", "edge"))
        log = origin / "requests.log"
        _write(origin, "origin.conf", {})
        _write(origin, "origin-site.conf", {"default 2;": f"default {max_age_s};"}, LOG_FORMAT)
        places = {
            "/var/lib/valgnatt-mirror/files": str(files),
            "listen 9082;": f"listen 127.0.0.1:{self.origin_port} backlog=4096;",
        }
        _write(origin, "origin-listen.conf", places, f"access_log {log} asked;\n")
        _write(edge, "edge.conf", {})
        listen = {"listen 9083;": f"listen 127.0.0.1:{self.edge_port} backlog=4096;"}
        _write(edge, "edge-listen.conf", listen)
        site = {"127.0.0.1:9082": f"127.0.0.1:{self.origin_port}", "/var/cache/nginx": str(edge)}
        _write(edge, "edge-site.conf", site)
        async with AsyncExitStack() as opened:
            processes = [
                await opened.enter_async_context(
                    running(f"nginx ({name.name})", _command(name), port, name / "errors.log")
                )
                for name, port in ((origin, self.origin_port), (edge, self.edge_port))
            ]
            yield MirrorServers(self.origin_port, self.edge_port, processes[0].pid, processes[1].pid, log)


LOG_FORMAT = "log_format asked '$request_uri $status $http_accept_encoding';\n"


@contextmanager
def readable_directory() -> Iterator[Path]:
    """Create a directory that every user can read, as nginx does not run as this user."""
    with tempfile.TemporaryDirectory(prefix="valgnatt-mirror-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


@asynccontextmanager
async def mirror_places(scratch: Path) -> AsyncIterator[MirrorPlaces]:
    """Reserve the ports of both servers. Raises Unavailable if nginx or its configuration is not installed."""
    program("nginx", HOW)
    if not SHIPPED.is_dir():
        raise Unavailable("nginx", f"there is no {SHIPPED}", "run this in a checkout of the repository")
    with reserved_ports(2) as (origin_port, edge_port):
        yield MirrorPlaces(scratch, origin_port, edge_port)


def _write(directory: Path, name: str, replaced: Mapping[str, str], more: str = "") -> None:
    text = (SHIPPED / name).read_text(encoding="utf-8")
    for before, after in replaced.items():
        assert before in text, before
        text = text.replace(before, after)
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(text + more, encoding="utf-8")


def _command(directory: Path) -> list[str]:
    options = f"daemon off; pid {directory}/nginx.pid; error_log stderr warn;"
    configuration = str(directory / f"{directory.name}.conf")
    return [
        program("nginx", HOW), "-p", str(directory), "-c", configuration, "-e", "stderr", "-g", options,
    ]  # fmt: skip
