"""The life cycle of a signer: as a worker of a machine, as a process of its own, and for one check of everything."""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Literal

import structlog

from gateway.config import Config, ConfigError
from gateway.config_values import witness_of
from gateway.errors import GatewayError
from gateway.inspection import forbid_inspection
from gateway.journal.connection import open_pool
from gateway.journal.signing import SigningJournal
from gateway.machine.admin_port import admin_port
from gateway.machine.control import Control
from gateway.machine.ports import listen_socket
from gateway.machine.standalone import run_until_stopped, stop_signals
from gateway.machine.systemd import ServiceManager
from gateway.signer.cosigning import LATE_S
from gateway.signer.directory import SignDirectory
from gateway.signer.log_signer import LogSigner, NoKey, describe
from gateway.signer.signer import Signer, Timing
from gateway.signer.steps import Checked, Covered, NoLog, Outcome
from gateway.signer.witness_client import WitnessClient
from gateway.telemetry.metrics import exposition, sample_loop_lag
from gateway.telemetry.metrics_merge import merge_metrics
from gateway.telemetry.signer_metrics import SignerMetrics
from gateway.transparency.note import MalformedKey, parse_vkey

SIGNER_NICE = 10
"""The niceness of a signer beside the doors, so that it takes no CPU time from senders and hardly any from readers."""
CONNECTIONS_MAX = 2
"""Connections of a signer to Postgres."""

log = structlog.get_logger()


def directory_of(config: Config) -> SignDirectory:
    """Return the configured directory. Raises ConfigError."""
    if config.sign_dir is None or config.log_name is None:
        missing = "sign_dir" if config.sign_dir is None else "log_name"
        raise ConfigError([f"{missing}: a signer needs it; set VALGNATT_{missing.upper()}"])
    return SignDirectory(config.sign_dir, config.log_name)


def witnesses_of(config: Config) -> list[WitnessClient]:
    """Return the configured witnesses. Raises ConfigError, BadProxy."""
    try:
        named = [witness_of(each) for each in config.witnesses]
        return [WitnessClient(parse_vkey(vkey), url, timeout_s=LATE_S) for vkey, url in named]
    except MalformedKey as error:
        raise ConfigError([f"witnesses: {error}"]) from None


def database_of(config: Config) -> str:
    """Return the URL of the signer's login. Raises ConfigError."""
    if config.signer_database_url is None:
        raise ConfigError(
            ["signer_database_url: a signer has a login of its own; set VALGNATT_SIGNER_DATABASE_URL"]
        )
    return config.signer_database_url


@asynccontextmanager
async def signing(
    config: Config, timing: Timing | None = None
) -> AsyncIterator[tuple[Signer, SignerMetrics]]:
    """Run a signer until the block is left. Raises ConfigError, SignDirUnusable."""
    timing = timing or Timing(config.checkpoint_every_s, config.full_read_every_s)
    directory, url = directory_of(config), database_of(config)
    async with AsyncExitStack() as opened:
        opened.enter_context(directory.locked())
        witnesses = [await opened.enter_async_context(each) for each in witnesses_of(config)]
        pool = await opened.enter_async_context(open_pool(url, signer=True, max_size=CONNECTIONS_MAX))
        journal = SigningJournal(pool, require_standby=config.require_standby)
        signer = Signer(journal, directory, witnesses, timing, _name())
        metrics = SignerMetrics(signer.states)
        async with asyncio.TaskGroup() as parts:
            tasks = [
                parts.create_task(signer.run(), name="signer"),
                parts.create_task(sample_loop_lag(metrics.loop_lag), name="loop"),
            ]
            yield signer, metrics
            for task in tasks:
                task.cancel()


async def signer_service(control: Control) -> None:
    """Sign until the supervisor stops this process; whatever step a round is at, the next signer continues."""
    os.nice(SIGNER_NICE)
    async with signing(control.config) as (_, metrics):
        control.metrics = lambda: exposition(metrics.registry)
        control.set_ready(True)
        await control.stop.wait()
        control.set_ready(False)


async def sign(config: Config, stop: asyncio.Event | None = None) -> int:
    """Run a signer as a process of its own, until SIGTERM, SIGINT or `stop`; return the exit status."""
    stop = stop or asyncio.Event()
    forbid_inspection()
    _require_options(config)
    manager = ServiceManager.from_environment(os.environ)
    async with AsyncExitStack() as opened:
        admin = None
        if config.admin_port is not None:
            admin = opened.enter_context(listen_socket(config.admin_host, config.admin_port, shared=False))
        signer, metrics = await opened.enter_async_context(signing(config))
        if admin is not None:
            await opened.enter_async_context(_admin_port(admin, signer, metrics))
        opened.enter_context(stop_signals(stop))
        port = None if admin is None else admin.getsockname()[1]
        await run_until_stopped(manager, stop, lambda: log.info("signing", admin=port))
    return 0


def _require_options(config: Config) -> None:
    """Raise ConfigError for an option that a signer lacks, before it takes a port or a lock."""
    directory_of(config)
    database_of(config)
    witnesses_of(config)


async def check(config: Config) -> list[Checked]:
    """Check every log as a signer does at its start; return what was found, for each election that is opened."""
    directory, url = directory_of(config), database_of(config)
    found: list[Checked] = []
    async with AsyncExitStack() as opened:
        witnesses = [await opened.enter_async_context(each) for each in witnesses_of(config)]
        pool = await opened.enter_async_context(open_pool(url, signer=True, max_size=1))
        journal = SigningJournal(pool)
        opened_ = dict.fromkeys(head.id for head in await journal.logs.heads())
        loaded = {head.id for head in await journal.record.heads()}
        signed = [each.election for each in directory.logs() if each.election in loaded]
        for election in opened_ | dict.fromkeys(signed):
            signer = LogSigner(election, journal, directory, witnesses, _name())
            try:
                outcome = await signer.check()
                found.append(Checked(election, _state(outcome), describe(outcome)))
            except GatewayError as error:
                found.append(Checked(election, "refused", f"{error.code}: {error}"))
            finally:
                await signer.close()
    return found


def _state(outcome: Outcome) -> Literal["signed", "not_opened", "no_key", "refused"]:
    match outcome:
        case Covered():
            return "signed"
        case NoLog():
            return "not_opened"
        case NoKey():
            return "no_key"
        case _:
            return "refused"


def _name() -> str:
    """Return a name of this process, up to 64 bytes."""
    return f"{socket.gethostname()[:32]}:{os.getpid()}:{secrets.token_hex(4)}"


def _admin_port(sock: socket.socket, signer: Signer, metrics: SignerMetrics) -> Any:
    def health() -> tuple[bool, dict[str, Any]]:
        refused = {election: state.refused for election, state in signer.states().items() if state.refused}
        return not refused, {"status": "not_ready" if refused else "ready", "refused": refused}

    async def text() -> str:
        return merge_metrics([("signer", exposition(metrics.registry).decode())])

    return admin_port(sock, health, text)
