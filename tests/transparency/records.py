"""Small signed records in memory and in directories, with every fault that a verifier has to detect.

    night = a_night()                          a record of 300 reports that is as it has to be
    night = a_night(Fault.TWO_SWAPPED)         the same record with this fault alone; EXPECTED says how it is detected
    night.write(directory)                     as a copy, which `verify record DIR` reads

The keys are those of tests. `tests/verification/feed.py` serves a night as a feed door does.
"""

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from gateway.election.record import Publication
from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry
from gateway.transparency.checkpoint import Checkpoint
from gateway.transparency.cosignature import cosign
from gateway.transparency.ed25519 import SigningKey
from gateway.transparency.entries import Closing, Opening
from gateway.transparency.merkle import root_of
from gateway.transparency.note import COSIGNATURE, ED25519, Note, parse_note
from gateway.transparency.policy import Policy, encode_policy, parse_policy
from gateway.transparency.proof_file import ProofFile
from gateway.transparency.tiles import bundles_of, encode_bundle, tiles_of
from gateway.transparency.tree import Tree
from gateway.wire.events import publication_line
from tests.election.makers import BALLOTS, DOCUMENT, Record, a_report, compact, some_counts

ORIGIN = "results.example.org/live/made-up-1"
STARTED = datetime(2025, 9, 8, 19, tzinfo=UTC)
REPORTS = 300
"""More than one entry bundle has."""


def a_key(name: str, kind: int = ED25519) -> SigningKey:
    """A key that only tests use, the same for the same name."""
    return SigningKey(name, kind, sha256(f"test {name} {kind}".encode()).digest())


LOG_KEY = a_key(ORIGIN)
OTHER_KEY = SigningKey(ORIGIN, ED25519, sha256(b"another key").digest())
WITNESSES = tuple(a_key(f"witness-{number}.example.org", COSIGNATURE) for number in (1, 2, 3))
STRANGER = a_key("stranger.example.org", COSIGNATURE)
NAMESAKE = SigningKey(WITNESSES[0].vkey.name, COSIGNATURE, sha256(b"a namesake").digest())
"""A stranger under the name of a witness."""


class Fault(Enum):
    """What can be wrong with a record; each alone."""

    FLIPPED_BIT = "a flipped bit in an entry"
    TWO_SWAPPED = "two entries swapped"
    LAST_LEFT_OUT = "the last entry left out"
    OTHER_KEY = "signed with another key under the name of the log"
    SIZE_ABOVE = "signed with a size that is one too large"
    SIZE_BELOW = "signed with a size that is one too small"
    SIZE_CHANGED = "a size that was changed after signing"
    STRANGER = "cosigned by one witness and by strangers"
    BAD_COSIGNATURE = "a cosignature of a witness over another text"
    TOO_OLD = "cosignatures that are too old"
    PARTIES_EXCHANGED = "a registry with two parties exchanged"
    OTHER_ELECTION = "the log of another election"
    AFTER_CLOSING = "an entry after the closing entry"
    WRONG_CLOSING = "a closing entry with the chain of another record"
    SECOND_OPENING = "an opening entry among the reports"
    NOT_A_SUM = "a signed report whose votes and ballots do not add up"
    NOT_CANONICAL = "a signed report with white space"
    REVISION_REPEATED = "a signed report with a revision that was there before"
    OTHER_DIGEST = "a publication with another digest"
    OTHER_CHAIN = "a publication with another chain"
    OTHER_REPORT = "a publication with another report"
    FIGURE_CHANGED = "a figure of an area that was changed in transit"
    AREA_LEFT_OUT = "an area that is not shown"


EXPECTED: Mapping[Fault, str] = {
    Fault.FLIPPED_BIT: "root_mismatch",
    Fault.TWO_SWAPPED: "root_mismatch",
    Fault.LAST_LEFT_OUT: "root_mismatch",
    Fault.OTHER_KEY: "bad_signature",
    Fault.SIZE_ABOVE: "root_mismatch",
    Fault.SIZE_BELOW: "root_mismatch",
    Fault.SIZE_CHANGED: "bad_signature",
    Fault.STRANGER: "too_few_witnesses",
    Fault.BAD_COSIGNATURE: "bad_signature",
    Fault.TOO_OLD: "stale",
    Fault.PARTIES_EXCHANGED: "registry_mismatch",
    Fault.OTHER_ELECTION: "registry_mismatch",
    Fault.AFTER_CLOSING: "after_closing",
    Fault.WRONG_CLOSING: "chain_mismatch",
    Fault.SECOND_OPENING: "bad_report",
    Fault.NOT_A_SUM: "bad_report",
    Fault.NOT_CANONICAL: "bad_report",
    Fault.REVISION_REPEATED: "bad_report",
    Fault.OTHER_DIGEST: "chain_mismatch",
    Fault.OTHER_CHAIN: "chain_mismatch",
    Fault.OTHER_REPORT: "chain_mismatch",
    Fault.FIGURE_CHANGED: "figures_differ",
    Fault.AREA_LEFT_OUT: "figures_differ",
}
ONLY_AT_A_DOOR = {Fault.TOO_OLD, Fault.OTHER_REPORT, Fault.FIGURE_CHANGED, Fault.AREA_LEFT_OUT}
"""Faults that a copy cannot have: it has no areas, no reports beside its entries, and is not expected to be new."""


def some_reports(count: int) -> Iterator[dict[str, Any]]:
    """Valid reports in which the revisions of every unit rise, and some figures fall."""
    units = [*BALLOTS]
    for number in range(count):
        unit = units[number * 7 % len(units)]
        fell = 5 if number % 60 == 50 else 0
        votes = {party: number + place * 5 - fell * (number % 7) for place, party in enumerate(BALLOTS[unit])}
        yield a_report(unit, number // len(units) + 1, counts={"advance": some_counts(**votes)})


@dataclass(frozen=True)
class Night:
    """A record, its keys and what a door shows of it."""

    document: bytes
    """The registry, as it is served."""
    entries: tuple[bytes, ...]
    """What is served as the entries; `signed` is what was signed, if that differs."""
    publications: tuple[Publication, ...]
    signed: tuple[bytes, ...] = ()
    log_key: SigningKey = LOG_KEY
    cosigners: Sequence[SigningKey] = WITNESSES[:2]
    cosigned_at: datetime = STARTED + timedelta(hours=3)
    size_error: int = 0
    fault: Fault | None = None
    history: tuple[int, ...] = field(default=())
    """Sizes of earlier checkpoints."""

    @property
    def registry(self) -> Registry:
        """The registry as it is served."""
        return read_registry(json.loads(self.document))

    @property
    def size(self) -> int:
        """The size of the newest checkpoint, as it is signed."""
        return len(self.signed or self.entries) + self.size_error

    def tree(self) -> Tree:
        """The tree that was signed."""
        tree = Tree()
        for entry in self.signed or self.entries:
            tree.append(entry)
        return tree

    def note(self, size: int | None = None) -> bytes:
        """The checkpoint of a size, by default the newest one."""
        whole = self.signed or self.entries
        root = root_of(
            sha256(b"\x00" + entry).digest() for entry in whole[: len(whole) if size is None else size]
        )
        checkpoint = Checkpoint(self.log_key.vkey.name, self.size if size is None else size, root)
        note = checkpoint.signed_by(self.log_key)
        text = note.text
        if self.fault is Fault.SIZE_CHANGED:
            text = text.replace(f"\n{checkpoint.size}\n", f"\n{checkpoint.size - 1}\n")
        of_other = text.replace(f"\n{checkpoint.size}\n", f"\n{checkpoint.size + 1}\n")
        at = int(self.cosigned_at.timestamp())
        cosignatures = tuple(
            cosign(key, of_other if self.fault is Fault.BAD_COSIGNATURE else text, at)
            for key in self.cosigners
        )
        return Note(text, (*note.signatures, *cosignatures)).encode()

    def checkpoint_lines(self) -> list[bytes]:
        """Every checkpoint, as `log/checkpoints` has it."""
        lines = []
        for size in (*self.history, None):
            note = self.note(size)
            root = note.split(b"\n")[2].decode()
            line = {
                "size": int(note.split(b"\n")[1]),
                "root": root,
                "signed_at": self.cosigned_at.isoformat(),
            }
            lines.append(compact({**line, "note": note.decode()}) + b"\n")
        return lines

    def publication_lines(self) -> list[bytes]:
        """Every publication, as the feed door has it."""
        lines = [publication_line(each) for each in self.publications]
        if self.fault is Fault.OTHER_DIGEST:
            lines[4] = _with(lines[4], digest="00" * 32)
        if self.fault is Fault.OTHER_CHAIN:
            lines[4] = _with(lines[4], chain="00" * 32)
        if self.fault is Fault.OTHER_REPORT:
            lines[4] = _with(lines[4], report=json.loads(lines[5])["report"])
        return lines

    def proof(self, sequence: int, size: int | None = None) -> ProofFile:
        """The proof that a report is in the log, against the newest checkpoint."""
        hashes = tuple(self.tree().inclusion_proof(sequence, size))
        return ProofFile(
            sequence, hashes, parse_note(self.note(size)), (self.signed or self.entries)[sequence]
        )

    def write(self, directory: Path) -> Path:
        """Write the record as a copy; return the directory."""
        tree = Tree()
        for entry in self.entries:
            tree.append(entry)
        files = {
            "log/checkpoint": self.note(),
            "log/checkpoints.ndjson": b"".join(self.checkpoint_lines()),
            "log/registry": self.document,
            "publications.ndjson": b"".join(
                _without_report(line) for line in self.publication_lines()[: self.size - 1]
            ),
        }
        for bundle in bundles_of(len(self.entries)):
            files[f"log/{bundle.path}"] = encode_bundle(self.entries[bundle.start : bundle.end])
        for tile in tiles_of(len(self.entries)):
            assert tile.level is not None
            files[f"log/{tile.path}"] = tree.tile(tile.level, tile.index, tile.width)
        for path, content in files.items():
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        return directory


def policy_text(quorum: int = 2, log: SigningKey = LOG_KEY) -> bytes:
    """The policy that requires some of the three witnesses."""
    lines = [f"log {log.vkey}"]
    lines += [f"witness w{number} {key.vkey}" for number, key in enumerate(WITNESSES, 1)]
    lines += [f"group witnesses {quorum} w1 w2 w3", "quorum witnesses"]
    return "".join(f"{line}\n" for line in lines).encode()


def policy(quorum: int = 2) -> Policy:
    """`policy_text`, read."""
    read = parse_policy(policy_text(quorum))
    assert parse_policy(encode_policy(read)) == read
    return read


@cache
def _sound(reports: int, closed: bool) -> Night:
    document = compact(DOCUMENT)
    record = Record()
    for report in some_reports(reports):
        record.write(report)
    opening = Opening(
        election="made-up-1",
        opened_at="2025-09-08T12:00:00Z",
        registry=sha256(document).hexdigest(),
        rehearsal=False,
    )
    entries = [opening.encode(), *(each.body for each in record.publications)]
    if closed:
        entries.append(_closing(record.publications).encode())
    return Night(document, tuple(entries), tuple(record.publications))


def a_night(fault: Fault | None = None, *, reports: int = REPORTS, closed: bool = False) -> Night:
    """A signed record: as it has to be, or with one fault."""
    if fault in (Fault.AFTER_CLOSING, Fault.WRONG_CLOSING):
        closed = True
    night = _sound(reports, closed)
    if fault is None:
        return night
    return _with_other_entries(replace(night, fault=fault), fault) or _with_other_signatures(night, fault)


def _with_other_entries(night: Night, fault: Fault) -> Night | None:
    """The record with a fault of its entries; None for any other fault."""
    entries = night.entries
    match fault:
        case Fault.FLIPPED_BIT:
            entry = entries[-3][:40] + bytes([entries[-3][40] ^ 1]) + entries[-3][41:]
            return replace(night, entries=(*entries[:-3], entry, *entries[-2:]), signed=entries)
        case Fault.TWO_SWAPPED:
            return replace(
                night, entries=(*entries[:-3], entries[-2], entries[-3], entries[-1]), signed=entries
            )
        case Fault.LAST_LEFT_OUT:
            return replace(night, entries=entries[:-1], signed=entries)
        case Fault.OTHER_ELECTION:
            opening = json.loads(entries[0]) | {"election": "made-up-2"}
            return replace(night, entries=(compact(opening), *entries[1:]))
        case Fault.AFTER_CLOSING:
            more = compact(a_report("a-2", 99_999, counts={"advance": some_counts(P=1)}))
            return replace(night, entries=(*entries, more))
        case Fault.WRONG_CLOSING:
            closing = json.loads(entries[-1]) | {"chain": "ab" * 32}
            return replace(night, entries=(*entries[:-1], compact(closing)))
        case Fault.SECOND_OPENING:
            return replace(night, entries=(*entries[:-2], entries[0], entries[-1]))
        case Fault.NOT_A_SUM | Fault.NOT_CANONICAL | Fault.REVISION_REPEATED:
            return replace(night, entries=(*entries[:-1], _bad_entry(fault, entries[-1])))
    return None


def _with_other_signatures(night: Night, fault: Fault) -> Night:
    """The record with a fault of its checkpoint or its registry, or one that is made when it is served."""
    night = replace(night, fault=fault)
    match fault:
        case Fault.OTHER_KEY:
            return replace(night, log_key=OTHER_KEY)
        case Fault.SIZE_ABOVE | Fault.SIZE_BELOW:
            return replace(night, size_error=1 if fault is Fault.SIZE_ABOVE else -1)
        case Fault.STRANGER:
            return replace(night, cosigners=(WITNESSES[1], STRANGER, NAMESAKE))
        case Fault.TOO_OLD:
            return replace(night, cosigned_at=night.cosigned_at - timedelta(minutes=30))
        case Fault.PARTIES_EXCHANGED:
            document = json.loads(night.document)
            first, second, *rest = document["parties"]
            exchanged = [{**first, "code": second["code"]}, {**second, "code": first["code"]}, *rest]
            return replace(night, document=compact({**document, "parties": exchanged}))
    return night


def _bad_entry(fault: Fault, entry: bytes) -> bytes:
    report = json.loads(entry)
    if fault is Fault.NOT_CANONICAL:
        return entry.replace(b'{"counted_at"', b'{ "counted_at"')
    if fault is Fault.REVISION_REPEATED:
        return compact(report | {"revision": report["revision"] - 1})
    report["counts"]["advance"]["ballots"] += 1
    return compact(report)


def _closing(publications: Sequence[Publication]) -> Closing:
    chain = publications[-1].chain.hex() if publications else "00" * 32
    return Closing(chain=chain, closed_at="2025-09-20T12:00:00Z", sequence=len(publications))


def _with(line: bytes, **members: Any) -> bytes:
    return compact(json.loads(line) | members) + b"\n"


def _without_report(line: bytes) -> bytes:
    document = json.loads(line)
    del document["report"]
    return compact(document) + b"\n"


def base64_of(value: bytes) -> str:
    """Bytes in base64, as notes have them."""
    return b64encode(value).decode()
