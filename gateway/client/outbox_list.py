"""PURE: format the reports waiting in an outbox as text and JSON. `names` are those of units, by election and unit."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from gateway.client.outbox_items import Destination, Kept
from gateway.count_files.messages import abbreviated
from gateway.humanize import counted

SHOWN_MAX = 200
"""Reports listed as text; --json lists all."""


def kept_document(each: Kept, names: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    """Return a waiting report as a JSON document."""
    last = each.item.answer
    return {
        "gateway": each.to.gateway,
        "election": each.to.election,
        "unit": each.item.unit,
        "name": names.get((each.to.election, each.item.unit)),
        "revision": each.item.revision,
        "revision_is_provisional": each.item.chosen,
        "counted_at": _counted_at(each),
        "waiting_since": _time(each.added_at),
        "answer": None if last is None else {"outcome": last.outcome, "code": last.code},
        "answered_at": _time(each.answered_at) if each.answered_at is not None else None,
        "proof": each.has_proof,
    }


def kept_lines(kept: Sequence[Kept], names: Mapping[tuple[str, str], str]) -> list[str]:
    """Return a line per waiting report, at most SHOWN_MAX, below a heading for each election and gateway."""
    lines = []
    to = None
    for each in kept[:SHOWN_MAX]:
        if each.to != to:
            to = each.to
            lines.append(f"election {to.election}, for {to.gateway}:")
        name = names.get((to.election, each.item.unit), "")
        provisional = " (provisional)" if each.item.chosen else ""
        lines.append(
            f"  unit {abbreviated(each.item.unit)}{f' {abbreviated(name)}' if name else ''},"
            f" revision {each.item.revision}{provisional}, counted at {_counted_at(each) or 'an unknown time'},"
            f" waiting since {_local(each.added_at)}; {_last_answer(each)}{'; has a proof' if each.has_proof else ''}"
        )
    if len(kept) > SHOWN_MAX:
        lines.append(f"… and {counted(len(kept) - SHOWN_MAX, 'more report')}; --json lists all")
    return lines


def proof_lines(to: Destination, proofs: int, missing: int) -> list[str]:
    """Return how many reports of an outbox have a proof, and how many may still get one; nothing without any proof."""
    if not proofs:
        return []
    more = f", {counted(missing, 'report')} with a receipt not yet" if missing else ""
    have = "has" if proofs == 1 else "have"
    proved = f"{counted(proofs, 'report')} {have} a proof in the outbox"
    return [f"election {to.election}, for {to.gateway}: {proved}{more}; --proofs DIR writes them as files"]


def _last_answer(each: Kept) -> str:
    last = each.item.answer
    if last is None:
        return "no answer yet"
    at = f" at {_local(each.answered_at)}" if each.answered_at is not None else ""
    if last.has_receipt:
        return f"had a receipt{at}, and is sent again"
    return f"last answer: {last.outcome}{f', {last.code}' if last.code else ''}{at}"


def _counted_at(each: Kept) -> str | None:
    try:
        time = orjson.loads(each.item.body).get("counted_at")
    except (orjson.JSONDecodeError, AttributeError):
        return None
    return abbreviated(time) if isinstance(time, str) else None


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _local(seconds: float) -> str:
    """Return a time in the time zone of this machine."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().isoformat(sep=" ", timespec="seconds")
