"""`valgnatt sign` and `valgnatt key`: the signer of the record, and its keys."""

import sys
from typing import Annotated

import msgspec
import typer

from gateway.commands.arguments import ElectionArgument
from gateway.commands.running import fail, run, warn
from gateway.config import Config
from gateway.options import with_config_options
from gateway.output import say, say_json

_SIGNER = (
    *("log_name", "sign_dir", "signer_database_url", "signer_database_password_file", "checkpoint_every_s"),
    *("full_read_every_s", "witnesses", "admin_host", "admin_port", "log_format", "log_level", "data_dir"),
    *("database_url", "database_password_file", "require_standby"),
)
with_directory = with_config_options(only=("log_name", "sign_dir"))
"""Adds the options that name the directory of the keys."""
_GROUPS_PER_LINE = 4


@with_config_options(only=_SIGNER)
def sign(
    config: Config,
    check: Annotated[
        bool,
        typer.Option("--check", help="only check every log, as the signer does at its start; signs nothing"),
    ] = False,
    new_history: Annotated[
        str | None,
        typer.Option(
            metavar="ELECTION",
            help="start a new history: a restore lost what was signed, and nobody has a copy; needs --reason (default:"
            " none)",
        ),
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option(
            help="why a new history is started; recorded with the author and the time (default: none)"
        ),
    ] = None,
) -> None:
    """Sign the public record of every election that has a key, until stopped.

    Needs no other process of the gateway, only its database, with a login of its own. Not needed on a machine whose
    `serve` has --sign-dir: that runs a signer itself.

    Exit status of --check: 0 if everything that has a key can be signed, 1 if something is refused.
    """
    config = _with_embedded_database(config)
    if new_history is not None:
        if not reason or not reason.strip():
            fail("--new-history needs --reason, which is recorded", 2)
        _start_history(config, new_history, reason.strip())
    elif reason is not None:
        fail("--reason is only used with --new-history", 2)
    elif check:
        _check(config)
    else:
        _sign(config)


def _sign(config: Config) -> None:
    from gateway.telemetry.structlog_import import import_structlog

    import_structlog()
    from gateway.signer.service import sign as run_signer
    from gateway.telemetry import logs

    logs.configure("sign", format=config.log_format, level=config.log_level)
    sys.exit(run(run_signer(config)))


def _check(config: Config) -> None:
    from gateway.signer.service import check as check_logs

    checked = run(check_logs(config))
    width = max((len(each.election) for each in checked), default=0)
    for each in checked:
        say(f"{each.election:<{width}}  {each.text}")
    if not checked:
        say("no election is opened yet")
    sys.exit(1 if any(each.state == "refused" for each in checked) else 0)


def _start_history(config: Config, election: str, reason: str) -> None:
    from gateway.commands.running import author, database_url
    from gateway.signer.new_history import start_history

    owner = database_url(config)
    key = run(start_history(config, owner, author(), election, reason, on_wait=warn))
    say(f"New history of {election} started: {key.vkey.name}")
    _show_key(str(key.vkey), key.vkey.fingerprint)


def _with_embedded_database(config: Config) -> Config:
    """Return the options with the signer's login of an embedded Postgres, unless another database is configured."""
    if config.signer_database_url is not None or config.database_url is not None:
        return config
    from gateway.journal.embedded import find

    running = find(config.data_dir)
    if running is None or not running.signer_url:
        fail(
            "no database: set VALGNATT_SIGNER_DATABASE_URL, or start `valgnatt serve` with data directory"
            f" {config.data_dir}"
        )
    return msgspec.structs.replace(config, signer_database_url=running.signer_url)


@with_directory
def create(election: ElectionArgument, config: Config) -> None:
    """Create the key of a live election, and print its public part.

    Do so before the election is opened, and publish key and fingerprint through another channel than the feed door.
    Rehearsals get their keys automatically.
    """
    from gateway.signer.service import directory_of

    directory = directory_of(config)
    log = directory.newest(election)
    if log is None or log.rehearsal:
        log = directory.origin(election, 1, rehearsal=False)
    key = directory.create(log)
    _show_key(str(key.vkey), key.vkey.fingerprint)
    say(f"The key is in {directory.path}; keep a copy of it where nobody else can read it.", err=True)


@with_directory
def add(election: ElectionArgument, config: Config) -> None:
    """Add a key, so that both sign: from the next checkpoint on, each has a line of every key.

    Retire the old key once everybody has the new one.
    """
    from gateway.signer.service import directory_of

    directory = directory_of(config)
    if (log := directory.newest(election)) is None:
        fail(f"{election} has no key yet; `valgnatt key create {election}` creates it")
    key = directory.add(log)
    _show_key(str(key.vkey), key.vkey.fingerprint)


@with_directory
def retire(
    election: ElectionArgument,
    key: Annotated[str, typer.Argument(help="its ID of 8 hex digits, its vkey, or its fingerprint")],
    config: Config,
) -> None:
    """Delete a key, which then signs no more; its public part is kept."""
    from gateway.signer.service import directory_of

    directory = directory_of(config)
    if (log := directory.newest(election)) is None:
        fail(f"{election} has no key")
    say(f"retired: {directory.retire(log, key)}")


@with_directory
def list_all(
    config: Config,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, one document per line")] = False,
) -> None:
    """List the keys of all logs, with their fingerprints and what was signed last."""
    from gateway.signer.service import directory_of

    directory = directory_of(config)
    for log in directory.logs():
        keys, state = directory.keys(log), directory.state(log)
        if as_json:
            say_json(
                {
                    "origin": str(log),
                    "size": state.signed.size,
                    "signed_at": state.signed_at and state.signed_at.isoformat(),
                    "keys": [{"vkey": str(each), "fingerprint": each.fingerprint} for each in keys.vkeys],
                    "retired": [str(each) for each in keys.retired],
                }
            )
            continue
        signed = "nothing signed yet"
        if state.signed_at is not None:
            signed = f"signed up to entry {state.signed.size}, {state.signed_at:%Y-%m-%d %H:%M:%S} UTC"
        say(f"{log}: {signed}")
        for each in keys.vkeys:
            _show_key(str(each), each.fingerprint, indent="  ")
        for each in keys.retired:
            say(f"  retired: {each}")


def _show_key(vkey: str, fingerprint: str, indent: str = "") -> None:
    """Print a public key, and its fingerprint in lines that can be read out."""
    groups = fingerprint.split()
    say(f"{indent}{vkey}")
    for at in range(0, len(groups), _GROUPS_PER_LINE):
        label = "SHA-256:" if at == 0 else "        "
        say(f"{indent}{label} {' '.join(groups[at : at + _GROUPS_PER_LINE])}")
