"""PURE: the entries of a log in order, as a verifier reads them: hashed into a tree, and judged one by one.

What is wrong with an entry is kept and not raised: whether the entries are those that were signed is decided first.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from gateway.election.record import CHAIN_START, Publication, next_chain
from gateway.election.registry import Registry
from gateway.election.validation import Invalid, Scope, Validator
from gateway.election.violations import Violation
from gateway.errors import MalformedDocument
from gateway.transparency.entries import Closing, MalformedEntry, Opening, parse_entry, parse_opening
from gateway.transparency.tree import Tree
from gateway.verification.failures import VerificationFailed

DIGEST_SIZE = 32
UNKNOWN_TIME = datetime(1970, 1, 1, tzinfo=UTC)
"""The time of a publication that is folded from its entry alone, which has none."""


class ReportCheck:
    """Checks reports in the order of the record: each obeys section 3 of the contract, and revisions rise."""

    def __init__(self, registry: Registry) -> None:
        self._validator = Validator(registry)
        self._scope = Scope(registry, frozenset({registry.root.id}))
        self._revisions: dict[str, int] = {}

    def check(self, sequence: int, entry: bytes, chain: bytes) -> Publication:
        """Return a report as the publication after `chain`. Raises VerificationFailed (bad_report)."""
        try:
            found = self._validator.check(entry, self._scope)
        except MalformedDocument as error:
            raise _bad_report(sequence, entry, f"is not JSON: {error}") from None
        if isinstance(found, Invalid):
            raise _bad_report(sequence, entry, f"does not obey the contract: {_listed(found.violations)}")
        if found.body != entry:
            raise _bad_report(sequence, entry, "is not written in the canonical form")
        report = found.report
        before = self._revisions.get(report.unit, 0)
        if report.revision <= before:
            text = f"is revision {report.revision} of unit {report.unit}, after revision {before}"
            raise _bad_report(sequence, entry, text)
        self._revisions[report.unit] = report.revision
        return Publication(
            sequence=sequence,
            published_at=UNKNOWN_TIME,
            unit=report.unit,
            revision=report.revision,
            digest=found.digest,
            chain=next_chain(chain, found.digest),
            body=entry,
            received_at=UNKNOWN_TIME,
            accepted_at=UNKNOWN_TIME,
        )

    def continued(self) -> "ReportCheck":
        """Return a check that continues after the same reports, without changing this one."""
        other = object.__new__(ReportCheck)
        other._validator, other._scope = self._validator, self._scope
        other._revisions = dict(self._revisions)
        return other


class RecordFold:
    """The entries that were added. Invariants:

    * `tree` has every entry, whatever is wrong with it.
    * `failure` is the first thing that is wrong; nothing after it is judged.
    * `reports`, `chain` and `digests` are those of the reports before it.
    """

    def __init__(self, registry: Registry | None) -> None:
        """Judge entries by a registry; without one, only hash them."""
        self.tree = Tree()
        self.failure: VerificationFailed | None = None
        self.opening_entry = b""
        self.opening: Opening | None = None
        self.closing: Closing | None = None
        self.reports = 0
        self.chain = CHAIN_START
        self.digests = bytearray()
        """The digest of every report, in order, 32 bytes each."""
        self.check = ReportCheck(registry) if registry is not None else None

    def add(self, entries: Iterable[bytes]) -> list[Publication]:
        """Add the next entries, and return the reports among them that are in order."""
        found: list[Publication] = []
        for entry in entries:
            index = self.tree.size
            self.tree.append(entry)
            if self.failure is None:
                try:
                    self._judge(index, entry, found)
                except VerificationFailed as failure:
                    self.failure = failure
        return found

    def digest(self, sequence: int) -> bytes:
        """Return the digest of a report, by its sequence from 1."""
        return bytes(self.digests[DIGEST_SIZE * (sequence - 1) : DIGEST_SIZE * sequence])

    def _judge(self, index: int, entry: bytes, found: list[Publication]) -> None:
        if index == 0:
            self._open(entry)
        elif self.closing is not None:
            text = f"entry {index} follows the closing entry, which has to be the last one"
            raise VerificationFailed("after_closing", text, {f"entry-{index}": entry})
        elif self.check is not None:
            try:
                other = parse_entry(entry)
            except MalformedEntry as error:
                raise _bad_report(index, entry, f"is neither a report nor a closing entry: {error}") from None
            if isinstance(other, Closing):
                self._close(index, entry, other)
            elif other is not None:
                raise _bad_report(index, entry, "is an opening entry; only entry 0 may be one")
            else:
                publication = self.check.check(index, entry, self.chain)
                self.reports, self.chain = index, publication.chain
                self.digests += publication.digest
                found.append(publication)

    def _open(self, entry: bytes) -> None:
        self.opening_entry = entry
        try:
            self.opening = parse_opening(entry)
        except MalformedEntry as error:
            raise VerificationFailed(
                "registry_mismatch", f"entry 0 is not an opening entry: {error}", {"entry-0": entry}
            ) from None

    def _close(self, index: int, entry: bytes, closing: Closing) -> None:
        if (closing.sequence, closing.chain) != (self.reports, self.chain.hex()):
            text = (
                f"the closing entry {index} names sequence {closing.sequence} and chain {closing.chain}, but the"
                f" reports before it end at sequence {self.reports} with chain {self.chain.hex()}"
            )
            raise VerificationFailed("chain_mismatch", text, {f"entry-{index}": entry})
        self.closing = closing


def _bad_report(index: int, entry: bytes, text: str) -> VerificationFailed:
    return VerificationFailed("bad_report", f"entry {index} {text}", {f"entry-{index}": entry})


def _listed(violations: tuple[Violation, ...]) -> str:
    first = violations[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    return f"{first.path}: {first.detail} ({first.code}){more}"
