"""`valgnatt record`: the signed record in the database."""

import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.arguments import ElectionArgument, with_database
from gateway.commands.running import author, fail, run, warn
from gateway.commands.verify_options import Keys, PolicyFile, read_trust
from gateway.config import Config
from gateway.humanize import counted
from gateway.output import say

if TYPE_CHECKING:
    from gateway.election.log_record import VerifiedCopy
    from gateway.journal.restore import Restored
    from gateway.transparency.policy import Policy


@with_database
def restore(
    election: ElectionArgument,
    source: Annotated[
        str,
        typer.Argument(
            metavar="FROM",
            help="a copy: a directory made with `verify record --save` or `witness --mirror`, the URL of a mirror, or"
            " the election at a feed door, https://HOST/v1/elections/ELECTION",
        ),
    ],
    config: Config,
    key: Keys = None,
    policy: PolicyFile = None,
) -> None:
    """Put back what a database that was restored from a backup has lost of a signed record.

    Run it before any push door starts. Everything in the copy is verified first, and what the database has must be the
    beginning of it; otherwise nothing is changed, and the first difference is named. All changes are made in one
    transaction, so the command can be repeated after any interruption. Reports that no signed checkpoint covers are not
    in a copy: their senders send them again. Why a report was held before it was released is not signed, and not put
    back.

    Exit status 0 if the record now has every entry of the copy, and every checkpoint that one of the keys has signed.
    """
    trust = read_trust(key, policy)
    from gateway.errors import ExtraMissing

    try:
        sys.exit(run(_restore(election, source, trust, config)))
    except ExtraMissing as error:
        fail(str(error), 2)


async def _restore(election: str, source: str, trust: "Policy", config: Config) -> int:
    from gateway.journal.restore import restoration
    from gateway.verification.failures import VerificationFailed
    from gateway.verification.restorable import read_restorable
    from gateway.verification.static_mirror import open_copy

    async with _database(config) as url, restoration(url, author(), on_wait=warn) as restoring:
        registry = await restoring.registry(election)
        with tempfile.TemporaryFile() as file:
            try:
                async with open_copy(source, election) as record:
                    copy = await read_restorable(record, trust, registry, file)
            except VerificationFailed as failure:
                say(f"valgnatt: {failure.code}: {failure}; nothing was changed", err=True)
                return 1
            restored = await restoring.restore(election, copy)
    for line in _lines(copy, restored):
        say(line)
    return 0


@asynccontextmanager
async def _database(config: Config) -> AsyncIterator[str]:
    """Yield the URL of the database; an embedded one that does not run is started for the restore alone."""
    if config.database_url is not None:
        yield config.database_url
        return
    from gateway.journal.embedded import EmbeddedPostgres, find
    from gateway.journal.migrate import migrate

    if (running := find(config.data_dir)) is not None:
        yield running.url
        return
    if not (config.data_dir / "cluster").exists():
        fail(
            f"no database: set VALGNATT_DATABASE_URL, or name the data directory; {config.data_dir} has none"
        )
    with EmbeddedPostgres(config.data_dir) as postgres:
        await migrate(postgres.url, dedicated=True, on_wait=warn)
        yield postgres.url


def _lines(copy: "VerifiedCopy", restored: "Restored") -> list[str]:
    """Return what was done, one thing per line."""
    reports = restored.reports - restored.reports_before
    lines = [f"verified\t{copy.origin}, size {copy.size}: {counted(copy.reports, 'report')}"]
    if restored.opening:
        lines.append("restored\tthe opening entry")
    if reports:
        first, last = restored.reports_before + 1, restored.reports
        lines.append(f"restored\t{counted(reports, 'report')}, sequences {first} to {last}")
    if reports and copy.times_from_checkpoints:
        lines.append(
            f"note\tthe copy has no times of publication after sequence {copy.reports - copy.times_from_checkpoints}:"
            " each is that of the first checkpoint that covers the report"
        )
    if restored.released_at is not None:
        lines.append(f"restored\tthe end of the embargo, {restored.released_at.isoformat()}")
    if restored.closed:
        lines.append("restored\tthe closing")
    for number, what in (
        (restored.holds_released, "released, as the record has the report"),
        (restored.holds_superseded, "superseded, as the record has a later report"),
        (restored.holds_rejected, "rejected, as the record is closed without the report"),
    ):
        if number:
            lines.append(f"ended\t{counted(number, 'hold')}: {what}")
    if restored.checkpoints:
        lines.append(f"restored\t{counted(restored.checkpoints, 'checkpoint')}")
    if copy.unknown_checkpoints:
        unknown = counted(copy.unknown_checkpoints, "checkpoint")
        lines.append(
            f"note\t{unknown} left out, because no given key has signed them: add the retired key with --key"
        )
    if not restored.changed:
        lines.append("nothing to restore: the record has everything that is in the copy")
    return lines
