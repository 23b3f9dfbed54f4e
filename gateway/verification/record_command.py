"""The command `valgnatt verify record`."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from gateway.client.proxies import without_user
from gateway.output import say, say_json
from gateway.transparency.policy import Policy
from gateway.verification.copies import Copy
from gateway.verification.evidence import save_evidence
from gateway.verification.failures import VerificationFailed
from gateway.verification.feed_record import is_url
from gateway.verification.record_checks import TrustedCheckpoint, check_continues
from gateway.verification.record_report import document_of, failure_document, follow_line, lines_of
from gateway.verification.record_verifier import RecordVerifier, Verified
from gateway.verification.saved_state import Saved, load_state, save_state
from gateway.verification.saving import SavingRecord
from gateway.verification.static_mirror import open_published

POLL_S = 2.0
"""Seconds between two looks for a new checkpoint."""


class RecordOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify record` was asked to do."""

    where: str
    policy: Policy
    election: str | None = None
    save: Path | None = None
    state: Path | None = None
    follow: bool = False
    max_age_s: float | None = None
    evidence: Path | None = None
    as_json: bool = False


async def verify_record(options: RecordOptions) -> int:
    """Verify a record and show the result; return the exit status, 1 if a check failed. Raises BadState, BadProxy."""
    try:
        await _verify(options)
    except VerificationFailed as failure:
        show_failure(options.where, failure, options.evidence, as_json=options.as_json)
        return 1
    return 0


def show_failure(where: str, failure: VerificationFailed, evidence: Path | None, *, as_json: bool) -> None:
    """Show which check failed and why, and save what shows it. Raises BadState if that cannot be written."""
    where = without_user(where) if is_url(where) else where
    if as_json:
        say_json(failure_document(where, failure))
    else:
        say(f"valgnatt: {failure.code}: {failure}", err=True)
    if evidence is not None:
        save_evidence(evidence, where, failure, datetime.now(UTC))


async def _verify(options: RecordOptions) -> None:
    state = load_state(options.state) if options.state is not None else None
    async with AsyncExitStack() as stack:
        record = await stack.enter_async_context(open_published(options.where, options.election))
        saving = SavingRecord(record, Copy(options.save)) if options.save is not None else None
        if saving is not None:
            state = _newer(state, await saving.begin(options.policy))
        verifier = RecordVerifier(saving or record, options.policy, max_age_s=options.max_age_s, saved=state)
        while True:
            signed = await verifier.checkpoint()
            if verifier.is_new(signed):
                verified = await _verify_new(verifier, signed, saving, options)
                _show(verified, options)
            else:
                await verifier.renew(signed)
            if not options.follow or verified.closed_at is not None:
                return
            await asyncio.sleep(POLL_S)


async def _verify_new(
    verifier: RecordVerifier, signed: TrustedCheckpoint, saving: SavingRecord | None, options: RecordOptions
) -> Verified:
    """Verify what a new checkpoint covers, then save what was asked for. Raises VerificationFailed, BadState."""
    try:
        verified = await verifier.verify(signed)
    except VerificationFailed as failure:
        if saving is not None and failure.code == "root_mismatch":
            saving.discard_unverified()
        raise
    assert verifier.saved is not None
    if saving is not None:
        await saving.save(verifier.saved, options.policy)
    if options.state is not None:
        save_state(options.state, verifier.saved)
    return verified


def _newer(state: Saved | None, of_copy: Saved | None) -> Saved | None:
    """Return the later of two checkpoints that were verified earlier. Raises VerificationFailed (forked)."""
    if state is None or of_copy is None:
        return state or of_copy
    first, last = sorted((state, of_copy), key=lambda saved: saved.checkpoint.size)
    check_continues(first, last.checkpoint, last.tree)
    return last


def _show(verified: Verified, options: RecordOptions) -> None:
    if options.as_json:
        say_json(document_of(verified))
    elif options.follow:
        say(f"{datetime.now(UTC):%H:%M:%S} {follow_line(verified)}")
    else:
        for line in lines_of(verified, datetime.now(UTC)):
            say(line)
