"""Nchan: the publish/subscribe module of nginx, one worker, EventSource subscribers."""

import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.figures import Unavailable
from bench.load.crowd import crowd, readers
from bench.load.hub import Hub
from bench.load.processes import children, cpu_s, program, pss_kb, running
from bench.peers.posting import posting
from gateway.reserved_ports import reserved_port

HOW = "apt-get install nginx libnginx-mod-nchan"
MODULES = (
    Path("/usr/lib/nginx/modules"),
    Path("/usr/lib64/nginx/modules"),
    Path("/usr/share/nginx/modules"),
)
CONFIGURATION = """
daemon off; worker_processes 1; worker_rlimit_nofile {files}; pid {run}/nginx.pid; error_log stderr warn;
load_module {module};
events {{ worker_connections {connections}; }}
http {{ access_log off; client_body_temp_path {run}/b; nchan_shared_memory_size 512M;
 server {{ listen 127.0.0.1:{port} backlog=4096; keepalive_requests 1000000;
  location ~ ^/pub/(\\w+)$ {{ nchan_publisher; nchan_channel_id $1;
   nchan_message_buffer_length 10000; nchan_message_timeout 5m; }}
  location ~ ^/sub/(\\w+)$ {{ nchan_subscriber eventsource; nchan_channel_id $1;
   nchan_subscriber_first_message newest; }} }} }}
"""


@asynccontextmanager
async def nchan(scratch: Path, most_readers: int) -> AsyncIterator[Hub]:
    """Nchan on nginx, one worker. Raises Unavailable."""
    binary = program("nginx", HOW)
    module = next((path for folder in MODULES if (path := folder / "ngx_nchan_module.so").exists()), None)
    if module is None:
        raise Unavailable("Nchan", "nginx is installed, but not its module", HOW)
    run = scratch / "nginx"
    run.mkdir(exist_ok=True)
    most = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 2 * most_readers + 4096)
    config, log = run / "nginx.conf", scratch / "nginx.log"
    with reserved_port() as port:
        config.write_text(
            CONFIGURATION.format(files=most, run=run, module=module, connections=most, port=port)
        )
        async with (
            running(
                "Nchan", [binary, "-c", str(config), "-p", str(run), "-e", "stderr"], port, log
            ) as process,
            crowd(readers("127.0.0.1", port, "/sub/changes", marker='data: {"sequence":')) as audience,
            posting(port, "/pub/changes") as publish,
        ):
            (worker,) = [pid for pid in children(process.pid) if _is_worker(pid)]
            family = [process.pid, *children(process.pid)]
            yield Hub("Nchan", audience, publish, lambda: cpu_s(worker), lambda: sum(map(pss_kb, family)))


def _is_worker(pid: int) -> bool:
    return b"worker process" in Path(f"/proc/{pid}/cmdline").read_bytes()
