"""The command `valgnatt verify outbox`."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from gateway.client.outbox import Outbox
from gateway.client.outbox_file import when_available
from gateway.client.proxies import without_user
from gateway.output import say, say_json
from gateway.transparency.policy import Policy
from gateway.verification.evidence import save_evidence
from gateway.verification.failures import VerificationFailed
from gateway.verification.feed_record import is_url
from gateway.verification.outbox_report import document_of, failings, lines_of
from gateway.verification.outbox_verifier import OutboxResult, UnusableOutbox, verify
from gateway.verification.record_command import show_failure
from gateway.verification.static_mirror import open_published


class OutboxOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify outbox` was asked to do."""

    file: Path
    where: str
    policy: Policy
    election: str | None = None
    areas: list[str] = []
    gateway: str | None = None
    """The push door, normalised, to which the reports were sent."""
    max_age_s: float | None = None
    evidence: Path | None = None
    as_json: bool = False


async def verify_outbox(options: OutboxOptions) -> int:
    """Compare an outbox with a record and show the result; return the exit status, 1 if a check failed.

    Raises UnusableOutbox and OutboxUnavailable if nothing was compared, BadState if evidence cannot be written.
    """
    if not await asyncio.to_thread(options.file.is_file):
        raise UnusableOutbox(
            f"{options.file}: no such outbox; name the file of --outbox, or see valgnatt push --help"
        )
    outbox = await when_available(lambda: Outbox(options.file), _say_error)
    try:
        async with open_published(options.where, options.election) as record:
            result = await verify(
                record,
                options.policy,
                outbox,
                gateway=options.gateway,
                areas=options.areas,
                max_age_s=options.max_age_s,
                say=_say_error,
            )
    except VerificationFailed as failure:
        show_failure(options.where, failure, options.evidence, as_json=options.as_json)
        return 1
    finally:
        outbox.close()
    return _show(result, options)


def _show(result: OutboxResult, options: OutboxOptions) -> int:
    where = without_user(options.where) if is_url(options.where) else options.where
    wrong = failings(result)
    if options.as_json:
        say_json(document_of(where, result))
    else:
        first, *others = lines_of(result)
        if wrong:
            say(f"valgnatt: {first}", err=True)
        else:
            say(first)
        for line in others:
            say(line, err=bool(wrong))
    if wrong and options.evidence is not None:
        failure = VerificationFailed(
            wrong[0].code, wrong[0].sentence, {"checkpoint": result.record.signed.data}
        )
        failure.evidence["reports.json"] = msgspec.json.encode(document_of(where, result))
        save_evidence(options.evidence, where, failure, datetime.now(UTC))
    return 1 if wrong else 0


def _say_error(line: str) -> None:
    say(line, err=True)
