"""PURE: what `valgnatt verify record` shows of a record that was verified, for people and as data."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from gateway.humanize import counted, duration, spaced
from gateway.transparency.entries import Previous
from gateway.transparency.note import parse_vkey
from gateway.verification.failures import VerificationFailed
from gateway.verification.record_verifier import Verified


def document_of(verified: Verified) -> dict[str, Any]:
    """Return a verified record as the members of its JSON document."""
    found: dict[str, Any] = {"verified": True, **msgspec.to_builtins(verified)}
    found["log_keys"] = [
        {"vkey": key, "fingerprint": parse_vkey(key).fingerprint} for key in verified.log_keys
    ]
    return found


def failure_document(where: str, failure: VerificationFailed) -> dict[str, Any]:
    """Return a failed verification as the members of its JSON document."""
    return {"verified": False, "where": where, "code": failure.code, "detail": str(failure)}


def lines_of(verified: Verified, now: datetime) -> list[str]:
    """Return what was verified, in lines for people; the first says of which record."""
    rehearsal = ", a rehearsal" if verified.rehearsal else ""
    rows = [
        ("signed by", _keys(verified)),
        ("witnesses", _witnesses(verified, now)),
        ("checkpoint", _checkpoint(verified)),
        ("registry", f"the one that was fixed at the opening, {_time(verified.opened_at)}"),
        ("reports", _reports(verified)),
        ("publications", _publications(verified)),
        ("figures", _figures(verified)),
    ]
    head = [f"verified: {verified.name} ({verified.election}{rehearsal})", f"log {verified.origin}"]
    if verified.previous is not None:
        rows.insert(0, ("history", _history(verified.history, verified.previous)))
    return [*head, *(line for name, text in rows for line in _row(name, text))]


def _row(name: str, text: str) -> list[str]:
    """Return a row of one or more lines, of which only the first has its name."""
    first, *more = text.split("\n")
    return [f"  {name:<13}{first}", *(f"{'':<15}{line}" for line in more)]


def follow_line(verified: Verified) -> str:
    """Return the line for one of many checkpoints."""
    parts = [
        f"size {spaced(verified.size)}",
        counted(verified.reports, "report"),
        verified.quorum,
        f"{counted(verified.areas, 'area')} at sequence {spaced(verified.figures_at)}"
        if verified.figures_at is not None
        else "no areas",
    ]
    return f"verified: {', '.join(parts)}{', closed' if verified.closed_at else ''}"


def _history(number: int, previous: Previous) -> str:
    lost = previous.size - 1 - previous.shared
    return (
        f"number {number}: a restore lost up to {counted(lost, 'report')} that had been signed before\n"
        f"it shares {counted(previous.shared, 'report')} with {previous.origin}, which had the size"
        f" {spaced(previous.size)}\nand the root {previous.root}"
    )


def _keys(verified: Verified) -> str:
    return "\n".join(f"the log's key {parse_vkey(key).fingerprint}" for key in verified.log_keys)


def _witnesses(verified: Verified, now: datetime) -> str:
    if not verified.witnesses:
        return "none required: nobody else confirms that all readers are shown the same record (--policy)"
    seen = ", ".join(
        f"{name} {_ago(at, now)}" if at is not None else f"{name} has not cosigned"
        for name, at in verified.witnesses.items()
    )
    age = f"; a quorum within {duration(verified.max_age_s)}" if verified.max_age_s is not None else ""
    return f"{verified.quorum.removeprefix('witnesses ')}, as the policy requires: {seen}{age}"


def _ago(at: datetime, now: datetime) -> str:
    if now - at > timedelta(days=2):
        return f"at {at:%Y-%m-%d %H:%M} UTC"
    return f"{duration((now - at).total_seconds())} ago"


def _checkpoint(verified: Verified) -> str:
    hashed = "which hashes" if verified.size == 1 else "which hash"
    whole = f"{counted(verified.size, 'entry', 'entries')}, {hashed} to the signed root {verified.root}"
    if verified.continues is None:
        return whole
    return f"{whole}\ncontinues the checkpoint of size {spaced(verified.continues)} that was verified before"


def _reports(verified: Verified) -> str:
    text = f"{counted(verified.reports, 'report')}, each of which obeys the contract; revisions rise"
    if not verified.reports:
        text = "none yet" if verified.closed_at is None else "none"
    if verified.closed_at is not None:
        return f"{text}\nclosed {_time(verified.closed_at)}; nothing follows"
    return text


def _publications(verified: Verified) -> str:
    if verified.publications is None:
        return "not checked: the copy has none"
    if verified.publications == 0:
        return "none yet"
    return f"digests and chain are those of the entries, up to sequence {spaced(verified.publications)}"


def _figures(verified: Verified) -> str:
    if verified.figures_at is None:
        return "not checked: a copy shows no areas"
    text = f"all {counted(verified.areas, 'area')} are shown with the sum of the reports, at sequence"
    text = f"{text} {spaced(verified.figures_at)}"
    if verified.unsigned:
        return f"{text}\n{counted(verified.unsigned, 'report')} of it not signed yet"
    return text


def _time(text: str) -> str:
    try:
        return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    except ValueError:
        return text
