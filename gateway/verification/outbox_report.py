"""PURE: what `valgnatt verify outbox` shows: first what is wrong and what to do, in plain sentences.

It is read by somebody who sends counts and knows neither logs nor proofs.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway.characters import printable
from gateway.election.registry import Registry
from gateway.humanize import counted, spaced
from gateway.verification.failures import Code
from gateway.verification.outbox_checks import Excepted, Foreign, Missing, Sent
from gateway.verification.outbox_verifier import OutboxResult

SHOWN_MAX = 20
"""Reports that are named in each list; the others are counted, and --json has all."""
AREAS_MAX = 10


class Failing(msgspec.Struct, frozen=True):
    """One kind of disagreement between an outbox and the record."""

    code: Code
    sentence: str
    reports: list[str]
    advice: list[str]


def failings(result: OutboxResult) -> list[Failing]:
    """Return what is wrong, the most serious first; empty if the record agrees with the outbox."""
    agreement = result.agreement
    found = []
    if agreement.not_mine:
        found.append(_not_mine(result, agreement.not_mine))
    if agreement.missing:
        found.append(_missing(result, agreement.missing))
    return found


def _not_mine(result: OutboxResult, foreign: Sequence[Foreign]) -> Failing:
    highest = max(max(each.placed.revision, each.newest_sent or 0) for each in foreign)
    lines = []
    for each in foreign:
        sent = (
            f"the newest that you sent is revision {each.newest_sent}"
            if each.newest_sent
            else "you sent none"
        )
        lines.append(
            f"{_report(result, each.placed.unit, each.placed.revision)}, entry {spaced(each.placed.sequence)}; {sent}"
        )
    return Failing(
        "not_mine",
        f"the record has {counted(len(foreign), 'report')} of your areas that this outbox did not send",
        lines,
        [*_ASK, f"Then send the right count of each unit again, with a higher revision (above {highest})."],
    )


_ASK = (
    "Ask everybody who reports for you whether they sent it: from another computer, system or outbox, or on /count.",
    """If nobody did, somebody else has your token: call the operator of the election now, on a number that you know
already, and have the token revoked.""".replace("\n", " "),
)
_WHY = {
    "absent": "it is not in the record",
    "other_bytes": "the record has this revision with other content",
    "not_newest": "it is in the record, but an older revision of the unit follows it and counts as the current one",
    "not_covered": "its receipt has a position beyond the end of the signed record",
    "held": "it is still held for a check by an operator, and not published",
}


def _missing(result: OutboxResult, missing: Sequence[Missing]) -> Failing:
    lines = [
        f"{_report(result, each.sent.unit, each.sent.revision)}{_receipt(each.sent)}: {_WHY[each.why]}"
        for each in missing
    ]
    whys = {each.why for each in missing}
    if not result.record.fold.reports:
        sentence = "no report is published yet, so nothing can be compared"
        return Failing("missing", sentence, lines, ["Run this command again after the results are released."])
    advice = []
    if "held" in whys:
        advice.append(
            "Held reports: ask the operator what to correct, or wait for the decision, and run this command again."
        )
    if "not_covered" in whys:
        advice.append("If the receipt is less than a minute old, run this command again in a minute.")
    if whys - {"held"}:
        advice.append(
            "Call the operator of the election: a report with a receipt must not be lost or changed. Keep this outbox,"
            " which has the receipts. If the database was restored, send everything again: valgnatt push --again."
        )
    if not result.has_holds:
        advice.append(
            "This copy has no list of holds, so reports that an operator rejected count as missing; use the URL of the"
            " feed door."
        )
    verb = "is" if len(missing) == 1 else "are"
    sentence = f"{counted(len(missing), 'report')} with a receipt {verb} not in the record as sent"
    return Failing("missing", sentence, lines, advice)


def lines_of(result: OutboxResult) -> list[str]:
    """Return the whole result in lines for people."""
    lines: list[str] = []
    for each in failings(result):
        lines += [
            f"{each.code}: {each.sentence}",
            *_limited(each.reports),
            *(f"- {line}" for line in each.advice),
            "",
        ]
    record, agreement = result.record, result.agreement
    name = (
        f"{record.registry.name} ({record.registry.id}{', a rehearsal' if record.registry.rehearsal else ''})"
    )
    if not lines:
        count = result.receipts - len(agreement.excepted)
        whole = (
            "your report with a receipt is"
            if count == 1
            else f"all your {spaced(count)} reports with a receipt are"
        )
        if not count:
            whole = "you have no report with a receipt that has to be in the record"
        else:
            whole += " in the record, unchanged"
        lines.append(f"verified: {whole}; no other report of your areas is in it")
    lines.append(f"election {name}, sent to {result.to.gateway}")
    if agreement.excepted:
        lines.append(
            f"not in the record, as the list of holds says ({counted(len(agreement.excepted), 'report')}):"
        )
        lines += _limited(_excepted(result, each) for each in agreement.excepted)
    lines.append(f"  your areas   {_areas(result)}")
    checkpoint = record.signed.checkpoint
    lines.append(
        f"  record       {counted(record.fold.reports, 'report')}, verified up to the checkpoint of size"
        f" {spaced(checkpoint.size)} of {checkpoint.origin}"
    )
    lines.append(f"  witnesses    {_witnesses(result)}")
    new = f", {spaced(result.new_proofs)} of them new" if result.new_proofs else ""
    lines.append(f"  proofs       {counted(result.proofs, 'report')} with a proof in the outbox{new}")
    if result.proofs_failure is not None:
        lines.append(f"  proofs could not be stored: {result.proofs_failure}")
    return lines


def document_of(where: str, result: OutboxResult) -> dict[str, Any]:
    """Return the whole result as the members of its JSON document."""
    wrong = failings(result)
    agreement, record = result.agreement, result.record
    checkpoint = record.signed.checkpoint
    failed = {"code": wrong[0].code, "detail": wrong[0].sentence} if wrong else {}
    return {
        "verified": not wrong,
        "where": where,
        **failed,
        "election": result.to.election,
        "gateway": result.to.gateway,
        "areas": result.areas,
        "areas_known": result.areas_known,
        "receipts": result.receipts,
        "not_mine": [
            {**_placed(each.placed), "newest_sent": each.newest_sent} for each in agreement.not_mine
        ],
        "missing": [
            {
                "unit": each.sent.unit,
                "revision": each.sent.revision,
                "digest": each.sent.digest.hex(),
                "sequence": each.sent.sequence,
                "why": each.why,
                "in_record": _placed(each.placed) if each.placed is not None else None,
            }
            for each in agreement.missing
        ],
        "excepted": [
            {
                "unit": each.sent.unit,
                "revision": each.sent.revision,
                "state": each.hold.state,
                "at": each.hold.at,
                "reason": each.hold.reason,
            }
            for each in agreement.excepted
        ],
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "quorum": record.signed.agreement.sentence,
        "proofs": result.proofs,
        "new_proofs": result.new_proofs,
    }


def _placed(placed: Any) -> dict[str, Any]:
    return {
        "sequence": placed.sequence,
        "unit": placed.unit,
        "revision": placed.revision,
        "digest": placed.digest.hex(),
    }


def _limited(lines: Iterable[str]) -> list[str]:
    every = [f"  {line}" for line in lines]
    more = len(every) - SHOWN_MAX
    return (
        every
        if more <= 0
        else [*every[:SHOWN_MAX], f"  … and {counted(more, 'more report')}; --json lists all"]
    )


def _report(result: OutboxResult, unit: str, revision: int) -> str:
    return f"unit {_named(result.record.registry, unit)}, revision {revision}"


def _named(registry: Registry, unit: str) -> str:
    area = registry.by_id.get(unit)
    return printable(f"{unit} {area.name}" if area is not None else unit)


def _receipt(sent: Sent) -> str:
    return f", receipt of {_time(sent.accepted_at)}" if sent.accepted_at is not None else ""


def _excepted(result: OutboxResult, each: Excepted) -> str:
    reason = f": {each.hold.reason.replace('_', ' ')}" if each.hold.reason else ""
    how = (
        "rejected by an operator"
        if each.hold.state == "rejected"
        else "replaced by a newer revision while it was held"
    )
    return f"{_report(result, each.sent.unit, each.sent.revision)}: {how}, {_time(each.hold.at)}{reason}"


def _areas(result: OutboxResult) -> str:
    named = [_named(result.record.registry, area) for area in result.areas[:AREAS_MAX]]
    more = f" and {len(result.areas) - AREAS_MAX} more" if len(result.areas) > AREAS_MAX else ""
    note = (
        ""
        if result.areas_known
        else " (those of your reports: the outbox does not know those of your token; --areas)"
    )
    return f"{', '.join(named)}{more}{note}"


def _witnesses(result: OutboxResult) -> str:
    quorum = result.record.signed.agreement.sentence
    if quorum.endswith(" of 0"):
        return "none required, so others may be shown another record (--policy)"
    return f"{quorum.removeprefix('witnesses ')} have cosigned, as the policy requires"


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
