"""`valgnatt witness`: run a witness, or check what one has cosigned and refused."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from gateway.commands.arguments import AdminPort
from gateway.commands.running import fail, run
from gateway.config import Config
from gateway.options import with_config_options
from gateway.output import say

PORT = 8083
_OPTIONS = (
    *("host", "admin_host", "trusted_proxies", "proxy_header", "ipv6_prefix"),
    *("connections_max", "connections_per_address", "keepalive_s", "log_format", "log_level"),
)
_Options = Callable[..., Any]


def _default_directory() -> Path:
    return Config().data_dir.with_name("valgnatt-witness")


@with_config_options(only=_OPTIONS)
def witness(
    config: Config,
    name: Annotated[
        str | None,
        typer.Option(
            help="name of the witness in its key and signatures, such as witness.example.org/w1; it never changes"
            " (default: none, it is needed)"
        ),
    ] = None,
    logs: Annotated[
        list[str] | None,
        typer.Option(
            "--log",
            metavar="VKEY[=URL]",
            help="a log to follow, by its key, and with --mirror the feed door that it is read from; repeat it for more"
            " logs, or for a second key of one (default: none, one is needed)",
        ),
    ] = None,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            help="directory of the key and the state, never to be restored from a backup (default:"
            " ~/.local/share/valgnatt-witness)",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="port of the witness, a number; 0 is any free one")
    ] = PORT,
    tls_certificate: Annotated[
        Path | None,
        typer.Option(
            help="certificate and chain, PEM; enables TLS; reloaded on SIGHUP (default: plain HTTP)"
        ),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(help="private key, PEM, unencrypted (default: in the file of the certificate)"),
    ] = None,
    admin_port: AdminPort = None,
    mirror: Annotated[
        Path | None,
        typer.Option(
            help="directory in which all entries of the logs with a URL are kept, checked (default: none)"
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="show what was cosigned and refused, also while the witness runs, and exit"
        ),
    ] = False,
    evidence: Annotated[
        Path | None,
        typer.Option(
            help="with --check: directory to write refused checkpoints to, with what they contradict (default: none)"
        ),
    ] = None,
) -> None:
    """Run a witness: cosign checkpoints of logs, each of which must be consistent with the one before.

    The first start creates the key. Exit status of --check: 1 if a log has forked, or if state of the witness is lost.
    """
    directory = directory or _default_directory()
    if check:
        from gateway.witness.check import check as run_check

        sys.exit(run_check(directory, evidence))
    if evidence is not None:
        fail("--evidence needs --check", 2)
    if name is None:
        fail("name the witness with --name, such as witness.example.org/w1", 2)
    if tls_key is not None and tls_certificate is None:
        fail("--tls-key needs --tls-certificate", 2)
    from gateway.witness.logs import BadLog, read_logs

    try:
        followed = read_logs(logs or ())
    except BadLog as error:
        fail(f"--log: {error}", 2)
    config = msgspec.structs.replace(config, admin_port=admin_port)
    from gateway.telemetry.structlog_import import import_structlog

    import_structlog()
    from gateway.telemetry import logs as logging
    from gateway.web.tls import Certificate
    from gateway.witness.service import WitnessOptions, serve, url_of
    from gateway.witness.witness import Witness

    logging.configure("witness", format=config.log_format, level=config.log_level)
    certificate = Certificate(tls_certificate, tls_key) if tls_certificate is not None else None

    def started(running: Witness, at: int) -> None:
        url = url_of(config, at, tls=certificate is not None)
        say(f"witness      {running.vkey.name}")
        say(f"key          {running.vkey}")
        say(f"fingerprint  {running.vkey.fingerprint}")
        say(f"listens at   {url}")
        for origin in running.logs:
            newest = running.newest.get(origin)
            say(
                f"follows      {origin}, {f'cosigned at size {newest.size}' if newest else 'nothing cosigned'}"
            )

    run(serve(config, WitnessOptions(name, directory, followed, port, certificate, mirror), started))
