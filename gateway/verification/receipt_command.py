"""The command `valgnatt verify receipt`: offline, with files alone."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from gateway.errors import GatewayError
from gateway.humanize import spaced
from gateway.output import say, say_json
from gateway.transparency.note import parse_vkey
from gateway.transparency.policy import Policy
from gateway.transparency.proof_file import PROOF_MAX
from gateway.verification.evidence import save_evidence
from gateway.verification.failures import VerificationFailed
from gateway.verification.receipts import VerifiedReceipt, read_report, verify_receipt
from gateway.verification.record_report import failure_document

REPORT_MAX = 1 << 20
"""Bytes of a file with a report that are read; its canonical form has at most 65 535."""


class UnreadableFiles(GatewayError):
    """A file that was named cannot be read, or is not what it has to be; nothing was verified."""

    code = "unreadable_files"


class ReceiptOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify receipt` was asked to do."""

    files: Sequence[Path]
    policy: Policy
    report: Path | None = None
    """The report that the proof, of a single file, has to be for."""
    evidence: Path | None = None
    as_json: bool = False


def verify_receipts(options: ReceiptOptions) -> int:
    """Verify proof files, each by itself, and show the results; return the exit status, 1 if one failed.

    Raises UnreadableFiles before anything is verified, BadState if evidence cannot be written, and ExtraMissing.
    """
    report = _report(options.report) if options.report is not None else None
    contents = [(str(path), _content(path, PROOF_MAX)) for path in options.files]
    failed = False
    for name, content in contents:
        try:
            verified = verify_receipt(content, options.policy, report)
        except VerificationFailed as failure:
            failed = True
            failure.evidence |= {"receipt.tlog-proof": content} | ({"report.json": report} if report else {})
            _show_failure(name, failure, options)
        else:
            _show(name, verified, as_json=options.as_json)
    return 1 if failed else 0


def _show_failure(name: str, failure: VerificationFailed, options: ReceiptOptions) -> None:
    if options.as_json:
        say_json(failure_document(name, failure))
    else:
        say(f"valgnatt: {failure.code}: {name}: {failure}", err=True)
    if options.evidence is not None:
        save_evidence(options.evidence, name, failure, datetime.now(UTC))


def _show(name: str, verified: VerifiedReceipt, *, as_json: bool) -> None:
    if as_json:
        say_json({"verified": True, "where": name, **msgspec.to_builtins(verified)})
        return
    for line in lines_of(name, verified):
        say(line)


def lines_of(name: str, verified: VerifiedReceipt) -> list[str]:
    """PURE: return what a proof shows, in lines for people."""
    same = ", the report that was given" if verified.report_compared else ""
    keys = " and ".join(parse_vkey(key).fingerprint for key in verified.log_keys)
    size = spaced(verified.size)
    return [
        f"verified: {name}: unit {verified.unit}, revision {verified.revision}{same}",
        f"  is entry {spaced(verified.sequence)} of the log {verified.origin}, by its checkpoint of size {size}",
        f"  digest {verified.digest}",
        f"  signed by the log's key {keys}",
        f"  {_witnesses(verified)}",
    ]


def _witnesses(verified: VerifiedReceipt) -> str:
    if verified.quorum.endswith(" of 0"):
        return "no witness is required, so others may have been shown another record (--policy)"
    return f"{verified.quorum}, as the policy requires"


def _report(path: Path) -> bytes:
    report = read_report(_content(path, REPORT_MAX))
    if report is None:
        raise UnreadableFiles(f"{path}: not one report in JSON")
    return report


def _content(path: Path, most: int) -> bytes:
    """Return a file, or the beginning of one that is too large to be what it has to be."""
    try:
        if not path.is_file():
            raise UnreadableFiles(f"{path}: {'not a regular file' if path.exists() else 'no such file'}")
        with path.open("rb") as file:
            return file.read(most + 1)
    except OSError as error:
        raise UnreadableFiles(f"{path}: {error.strerror or error}") from None
