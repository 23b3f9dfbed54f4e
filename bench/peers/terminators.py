"""nginx and HAProxy that terminate TLS in front of a feed port, each with one process that serves connections."""

import resource
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import msgspec

from bench.load.processes import children, cpu_s, program, running
from gateway.reserved_ports import reserved_port

HANDSHAKES = 4096
"""Length of the queue of connections to accept."""
NGINX = """
daemon off; worker_processes 1; worker_rlimit_nofile {files}; pid {run}/nginx.pid; error_log stderr warn;
events {{ worker_connections {connections}; }}
http {{ access_log off; client_body_temp_path {run}/b; proxy_temp_path {run}/p; gzip off; tcp_nodelay on;
 upstream feed {{ server 127.0.0.1:{feed}; keepalive 64; }}
 server {{ listen 127.0.0.1:{port} ssl backlog={backlog}; ssl_certificate {certificate};
  ssl_certificate_key {certificate}; ssl_protocols TLSv1.3; ssl_buffer_size 4k;
  location / {{ proxy_pass http://feed; proxy_http_version 1.1; proxy_set_header Connection "";
   proxy_buffering off; chunked_transfer_encoding off; }} }} }}
"""
HAPROXY = """
global
    maxconn {connections}
    nbthread 1
    tune.ssl.default-dh-param 2048
defaults
    mode http
    option http-no-delay
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen feed
    bind 127.0.0.1:{port} ssl crt {certificate} alpn http/1.1 ssl-min-ver TLSv1.3 backlog {backlog}
    http-reuse safe
    server feed 127.0.0.1:{feed}
"""


class Terminator(msgspec.Struct, frozen=True):
    """A proxy that terminates TLS: where it serves the feed, and the CPU seconds of its worker since it started."""

    feed_url: str
    cpu_s: Callable[[], float]


Start = Callable[[Path, int, Path, int], AbstractAsyncContextManager[Terminator]]
"""Starts a proxy, given a directory, the feed port, the file of certificate and key, and how many readers there are."""


@asynccontextmanager
async def nginx(scratch: Path, feed_port: int, certificate: Path, readers: int) -> AsyncIterator[Terminator]:
    """Run nginx. Raises Unavailable."""
    binary = program("nginx", "apt-get install nginx")
    run = scratch / "terminator-nginx"
    run.mkdir()
    files = _files(readers)
    config = run / "nginx.conf"
    with reserved_port() as port:
        config.write_text(
            NGINX.format(
                files=files, connections=files, run=run, feed=feed_port, port=port, certificate=certificate,
                backlog=HANDSHAKES,
            )
        )  # fmt: skip
        command = [binary, "-c", str(config), "-p", str(run), "-e", "stderr"]
        async with running("nginx", command, port, run / "log") as process:
            (worker,) = children(process.pid)
            yield Terminator(f"https://127.0.0.1:{port}", lambda: cpu_s(worker))


@asynccontextmanager
async def haproxy(
    scratch: Path, feed_port: int, certificate: Path, readers: int
) -> AsyncIterator[Terminator]:
    """Run HAProxy. Raises Unavailable."""
    binary = program("haproxy", "apt-get install haproxy")
    run = scratch / "terminator-haproxy"
    run.mkdir()
    config = run / "haproxy.cfg"
    with reserved_port() as port:
        config.write_text(
            HAPROXY.format(
                connections=_files(readers) // 2 - 100, feed=feed_port, port=port, certificate=certificate,
                backlog=HANDSHAKES,
            )
        )  # fmt: skip
        async with running("HAProxy", [binary, "-db", "-f", str(config)], port, run / "log") as process:
            yield Terminator(f"https://127.0.0.1:{port}", lambda: cpu_s(process.pid))


def _files(readers: int) -> int:
    """Return how many files a proxy opens for so many readers: two sockets for each."""
    return min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 2 * readers + 4096)
