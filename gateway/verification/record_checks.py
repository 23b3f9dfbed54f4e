"""PURE: the conditions of a verified record, each a function with a code of its own (section 12.6 of the contract).

They are checked in an order in which the first that fails is the cause: signatures and quorum, the earlier checkpoint,
the root, the opening entry and the registry, the entries, the publications, the age of the cosignatures, the figures.
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import orjson

from gateway.election.record import next_chain
from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry
from gateway.election.report import canonical, digest_of
from gateway.election.state import ElectionState
from gateway.errors import MalformedRegistry
from gateway.humanize import counted
from gateway.transparency.checkpoint import Checkpoint
from gateway.transparency.entries import Opening, registry_hash
from gateway.transparency.note import BadSignature, MalformedNote, Note, parse_note
from gateway.transparency.origins import MalformedOrigin, parse_origin
from gateway.transparency.policy import Agreement, Policy
from gateway.transparency.tiles import Tile
from gateway.transparency.tree import Tree
from gateway.verification.copies import PublicationLine
from gateway.verification.failures import VerificationFailed
from gateway.verification.record_fold import RecordFold
from gateway.verification.saved_state import Saved
from gateway.wire.areas import area_document
from gateway.wire.json import to_json

ENTRIES_MAX = 50_000_000
"""Entries of a log that is read; a country's night has some 10 000, and each takes 65 bytes of memory."""
TIME_MAX_S = 253_402_300_799
"""The end of the year 9999, in seconds since 1970."""
COMPARED = (
    *("parent", "level", "name", "sequence", "eligible", "units", "counts"),
    *("revision", "counted_at", "status"),
    "seats",
)
"""Members of an area's document that follow from the registry and the reports alone."""


class TrustedCheckpoint(NamedTuple):
    """A checkpoint that trusted keys of its log have signed; every signature of theirs is valid."""

    data: bytes
    """The signed note, as it was read."""
    note: Note
    agreement: Agreement
    """Which keys of the log have signed it, and which witnesses have cosigned it, at any time."""

    @property
    def checkpoint(self) -> Checkpoint:
        """Its origin, size and root."""
        return self.agreement.checkpoint


def check_signatures(data: bytes, policy: Policy) -> TrustedCheckpoint:
    """Read a checkpoint that a trusted key of its log has signed.

    Raises VerificationFailed: bad_signature, with what was read as evidence, or unreachable if it covers more entries
    than are read.
    """
    refused = {"checkpoint-refused": data}
    try:
        note = parse_note(data)
        signed = TrustedCheckpoint(data, note, policy.check(note))
    except MalformedNote as error:
        raise VerificationFailed(
            "bad_signature", f"what was read is not a signed checkpoint: {error}", refused
        ) from None
    except BadSignature as error:
        raise VerificationFailed("bad_signature", str(error), refused) from None
    if (size := signed.checkpoint.size) > ENTRIES_MAX:
        raise VerificationFailed(
            "unreachable", f"the log has {size} entries, and no more than {ENTRIES_MAX} are read"
        )
    return signed


def check_quorum(signed: TrustedCheckpoint) -> None:
    """Require that enough witnesses have cosigned. Raises VerificationFailed (too_few_witnesses)."""
    if not signed.agreement.met_at_any_time:
        size = signed.checkpoint.size
        text = f"{signed.agreement.sentence}: the policy requires more to have cosigned the checkpoint of size {size}"
        raise VerificationFailed("too_few_witnesses", text)


def check_fresh(signed: TrustedCheckpoint, policy: Policy, now: datetime, max_age_s: float) -> None:
    """Require a quorum of cosignatures that are at most `max_age_s` seconds old. Raises VerificationFailed (stale)."""
    agreement = policy.check(signed.note, now=int(now.timestamp()), max_age_s=max_age_s)
    if not agreement.met:
        times = ", ".join(
            f"{name} at {time_of(at):%Y-%m-%d %H:%M:%S} UTC"
            for name, at in sorted(agreement.cosigned.items())
        )
        text = (
            f"the checkpoint of size {signed.checkpoint.size} may be an old one: fewer witnesses than the policy"
            f" requires have cosigned it in the last {max_age_s:.0f} s, by the clock of this machine: {times}"
        )
        raise VerificationFailed("stale", text)


def time_of(seconds: int) -> datetime:
    """Return the time of a cosignature, whatever a witness has stated."""
    return datetime.fromtimestamp(min(seconds, TIME_MAX_S), UTC)


def check_unsigned(published_at: datetime, now: datetime, max_age_s: float) -> None:
    """Require that the oldest report without a checkpoint was published just now. Raises VerificationFailed (stale)."""
    age_s = (now - published_at).total_seconds()
    if age_s > max_age_s:
        text = (
            f"the feed shows a report of {published_at:%Y-%m-%d %H:%M:%S} UTC that no checkpoint covers, {age_s:.0f} s"
            " later by the clock of this machine: the record is not being signed any more"
        )
        raise VerificationFailed("stale", text)


def check_saved(saved: Saved, checkpoint: Checkpoint) -> None:
    """Require a checkpoint that is not behind the saved one and, at its size, the same.

    Raises VerificationFailed (rolled_back, forked). Whether a larger one continues it is for `check_continues`.
    """
    earlier = saved.checkpoint
    if checkpoint.origin != earlier.origin:
        text = (
            f"the log is {checkpoint.origin}, and the saved checkpoint is of the log {earlier.origin}: if the operator"
            " has announced a new history, keep the saved state as evidence and begin another"
        )
        raise VerificationFailed("forked", text)
    if checkpoint.size > earlier.size:
        return
    if saved.tree.root(checkpoint.size) != checkpoint.root:
        raise _forked(saved, checkpoint)
    if checkpoint.size < earlier.size:
        missing = earlier.size - checkpoint.size
        text = (
            f"the checkpoint has size {checkpoint.size}, and size {earlier.size} was seen before:"
            f" {counted(missing, 'entry', 'entries')} taken back, or an old state is shown as the newest"
        )
        raise VerificationFailed("rolled_back", text)


def check_continues(saved: Saved, checkpoint: Checkpoint, tree: Tree) -> None:
    """Require that the tree of a checkpoint begins with the saved one. Raises VerificationFailed (forked)."""
    if tree.root(saved.checkpoint.size) != saved.checkpoint.root:
        raise _forked(saved, checkpoint)


def _forked(saved: Saved, checkpoint: Checkpoint) -> VerificationFailed:
    earlier = saved.checkpoint
    text = (
        f"the checkpoints of size {checkpoint.size} and {earlier.size} contradict each other: both are signed, and no"
        " record has both as its beginnings; keep both notes, as they prove misconduct"
    )
    return VerificationFailed("forked", text)


def check_root(checkpoint: Checkpoint, tree: Tree) -> None:
    """Require that the entries hash to the signed root. Raises VerificationFailed (root_mismatch)."""
    assert tree.size == checkpoint.size
    if (root := tree.root()) != checkpoint.root:
        text = (
            f"the {counted(checkpoint.size, 'entry', 'entries')} hash to the root {b64encode(root).decode()}, and the"
            f" signed root is {b64encode(checkpoint.root).decode()}: an entry was changed, moved, added or left out"
        )
        raise VerificationFailed("root_mismatch", text)


def check_tile(tile: Tile, hashes: bytes, tree: Tree) -> None:
    """Require that a tile has the hashes of the entries. Raises VerificationFailed (root_mismatch)."""
    assert tile.level is not None
    if hashes != tree.tile(tile.level, tile.index, tile.width):
        raise VerificationFailed(
            "root_mismatch", f"{tile.path} does not have the hashes of the entries below it"
        )


def check_earlier(earlier: TrustedCheckpoint, newest: TrustedCheckpoint, tree: Tree) -> None:
    """Require that the tree begins with that of an earlier checkpoint. Raises VerificationFailed (forked)."""
    size = earlier.checkpoint.size
    if earlier.checkpoint.origin != newest.checkpoint.origin or tree.root(size) != earlier.checkpoint.root:
        evidence = {"checkpoint": newest.data, f"checkpoint-{size}": earlier.data}
        text = f"the checkpoint of size {size} contradicts that of size {newest.checkpoint.size}; both are signed"
        raise VerificationFailed("forked", text, evidence)


def registry_in(document: bytes) -> Registry | None:
    """Return the registry that a document is; None if it cannot be read as one."""
    try:
        return read_registry(orjson.loads(document), stored=True)
    except (ValueError, MalformedRegistry):
        return None


def check_registry(origin: str, opening: Opening, document: bytes, registry: Registry | None) -> None:
    """Require the registry that the opening entry names. Raises VerificationFailed (registry_mismatch)."""
    evidence = {"registry.json": document, "entry-0": opening.encode()}

    def mismatch(text: str) -> VerificationFailed:
        return VerificationFailed("registry_mismatch", text, evidence)

    if (found := registry_hash(document)) != opening.registry:
        raise mismatch(
            f"the registry has the SHA-256 {found}, and the opening entry names {opening.registry}: areas, parties or"
            " dates were changed after the opening"
        )
    if registry is None:
        raise mismatch("the registry that the opening entry names cannot be read as one")
    try:
        named = parse_origin(origin)
    except MalformedOrigin as error:
        raise mismatch(str(error)) from None
    of_opening = (opening.rehearsal, opening.election, opening.history)
    if (named.rehearsal, named.election, named.history) != of_opening:
        kind = "rehearsal" if opening.rehearsal else "election"
        text = f"the opening entry is of the {kind} {opening.election}, history {opening.history}"
        raise mismatch(f"{text}, and the log is {origin}")
    if (registry.rehearsal, registry.id) != of_opening[:2]:
        text = f"the registry is of the election {registry.id}"
        raise mismatch(f"{text}, and the opening entry of {opening.election}")


def check_publications(
    fold: RecordFold, after: int, chain: bytes, lines: Sequence[PublicationLine]
) -> tuple[int, bytes]:
    """Require that publications are the entries of the log after a sequence, all and in order, by digest, chain and
    report; return sequence and chain of the last one.

    `chain` is that of the sequence `after`. Raises VerificationFailed (chain_mismatch).
    """
    for line in lines:
        if line.sequence != after + 1 or line.sequence > fold.reports:
            text = f"publication {line.sequence} follows publication {after} of {fold.reports}"
            raise VerificationFailed("chain_mismatch", text, _as_evidence(line))
        after = line.sequence
        digest = fold.digest(after)
        chain = next_chain(chain, digest)
        if line.digest != digest.hex():
            raise _other_publication(line, "digest", line.digest, digest.hex())
        if line.chain != chain.hex():
            raise _other_publication(line, "chain", line.chain, chain.hex())
        if line.report is not msgspec.UNSET and (found := _digest_of(bytes(line.report))) != digest:
            raise _other_publication(line, "report with the digest", found.hex(), digest.hex())
    return after, chain


def _digest_of(report: bytes) -> bytes:
    """Return the digest of a report that may not be in canonical form any more, for example after a proxy."""
    try:
        return digest_of(canonical(orjson.loads(report)))
    except (ValueError, TypeError):
        return digest_of(report)


def _other_publication(line: PublicationLine, what: str, shown: str, right: str) -> VerificationFailed:
    text = f"publication {line.sequence} is shown with the {what} {shown}, and by the signed entries it is {right}"
    return VerificationFailed("chain_mismatch", text, _as_evidence(line))


def _as_evidence(line: PublicationLine) -> dict[str, bytes]:
    return {f"publication-{line.sequence}.json": msgspec.json.encode(line)}


def check_figures(state: ElectionState, shown: Mapping[str, bytes], chain: str) -> None:
    """Require that every area is shown with the sum of the reports, and with the seats that these votes give.

    `shown` are the documents of all areas at the sequence of `state`, as JSON, and `chain` is the one shown with them.
    Raises VerificationFailed (figures_differ).
    """
    if chain != state.chain.hex():
        text = f"the figures are shown with the chain {chain} at sequence {state.sequence}"
        raise VerificationFailed("chain_mismatch", f"{text}; the entries have {state.chain.hex()}")
    for area in state.registry.areas:
        if area.id not in shown:
            raise VerificationFailed("figures_differ", f"area {area.id} ({area.name}) is not shown")
        expected: dict[str, Any] = orjson.loads(to_json(area_document(state, area.index)))
        try:
            document: dict[str, Any] = orjson.loads(shown[area.id])
        except ValueError as error:
            text = f"the document of area {area.id} ({area.name}) cannot be read: {error}"
            raise VerificationFailed("figures_differ", text, {"area-shown.json": shown[area.id]}) from None
        for path, found, right in differences(document, expected):
            text = f"area {area.id} ({area.name}) is shown with {path} = {_short(found)} at sequence {state.sequence}"
            evidence = {
                "area-shown.json": shown[area.id],
                "area-sum.json": orjson.dumps(expected),
            }
            raise VerificationFailed(
                "figures_differ", f"{text}; by the entries it is {_short(right)}", evidence
            )
    if more := shown.keys() - state.registry.by_id.keys():
        raise VerificationFailed(
            "figures_differ", f"area {min(more)} is shown, and the registry has none such"
        )


def differences(shown: Mapping[str, Any], expected: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield path, shown value and right value of every figure of an area that differs."""
    for name in COMPARED:
        if name in expected or name in shown:
            yield from _differences(name, shown.get(name), expected.get(name))


def _differences(path: str, shown: Any, expected: Any) -> Iterator[tuple[str, Any, Any]]:
    if not isinstance(expected, dict) or not isinstance(shown, dict):
        if shown != expected or type(shown) is not type(expected):
            yield path, shown, expected
        return
    for name in dict.fromkeys([*expected, *shown]):
        yield from _differences(f"{path}.{name}", shown.get(name), expected.get(name))


def _short(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 200 else f"{text[:200]} …"
