"""Verify the signed record of an election, once or as its checkpoints appear: read it, and check every condition.

Entries are read bundle by bundle, and only their hashes and digests are kept. Figures are compared at the sequence at
which the feed door shows them; reports that no checkpoint covers yet are counted in from the publications.
"""

import asyncio
from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import orjson

from gateway.election.record import CHAIN_START, Publication
from gateway.election.registry import Registry
from gateway.election.report import canonical
from gateway.election.state import CatchUp, ElectionState
from gateway.transparency.entries import Previous
from gateway.transparency.policy import NONE, Policy
from gateway.transparency.tiles import tiles_of
from gateway.transparency.tree import Tree
from gateway.verification.copies import ShownAreas, SignedRecord
from gateway.verification.failures import NotThere, VerificationFailed
from gateway.verification.record_checks import (
    ENTRIES_MAX,
    TrustedCheckpoint,
    check_continues,
    check_earlier,
    check_figures,
    check_fresh,
    check_publications,
    check_quorum,
    check_registry,
    check_root,
    check_saved,
    check_signatures,
    check_tile,
    check_unsigned,
    registry_in,
    time_of,
)
from gateway.verification.record_fold import RecordFold
from gateway.verification.saved_state import Saved

MAX_AGE_S = 120.0
"""Default of the greatest age of cosignatures, in seconds; the signer has them renewed every 60 s."""
QUIET = timedelta(hours=24)
QUIET_MAX_AGE_S = 7500.0
"""The default from QUIET after the last publication on, when the signer has them renewed every hour."""
RENEWED = timedelta(seconds=60)
"""After how long what is shown is verified again, if there is no new checkpoint."""
BEHIND_ATTEMPTS, BEHIND_PAUSE_S = 12, 0.5
"""How often a door is asked whose processes may be at different sequences, and the seconds between."""


def default_max_age_s(published_at: datetime | None, now: datetime) -> float:
    """Return the default of the greatest age of cosignatures, in seconds, by when the last report was published."""
    return QUIET_MAX_AGE_S if published_at is not None and now - published_at > QUIET else MAX_AGE_S


class Verified(msgspec.Struct, frozen=True):
    """What was verified."""

    where: str
    election: str
    name: str
    rehearsal: bool
    origin: str
    size: int
    root: str
    """In base64, as in the checkpoint."""
    log_keys: list[str]
    """The keys of the log that have signed it."""
    witnesses: dict[str, datetime | None]
    """When each witness of the policy has cosigned it, by name; None if it has not."""
    quorum: str
    history: int
    previous: Previous | None
    """The history before this one, of which a restore lost entries; None for the first."""
    opened_at: str
    closed_at: str | None
    registry: str
    """Its SHA-256, in hex."""
    reports: int
    published_at: datetime | None
    """When the last of them was published, by the operator's word."""
    publications: int | None
    """The sequence up to which the publications agree; None if the copy has none."""
    figures_at: int | None
    """The sequence at which every area was compared; None for a copy, which has no areas."""
    areas: int
    unsigned: int
    """Reports in these figures that no checkpoint covers yet."""
    continues: int | None
    """The size of the earlier checkpoint that this one continues; None if there was none."""
    max_age_s: float | None
    """How old the cosignatures might be; None if their age was not checked."""


class RecordVerifier:
    """Verifies one record. A later `verify` reads only what is new; after a failure it is not used again."""

    def __init__(
        self,
        record: SignedRecord,
        policy: Policy,
        *,
        max_age_s: float | None = None,
        saved: Saved | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.saved = saved
        """The newest checkpoint that was verified, at first that of an earlier run."""
        self._record = record
        self._policy = policy
        self._max_age_s = max_age_s
        self._clock = clock
        self._fold: RecordFold | None = None
        self._registry: Registry | None = None
        self._document = b""
        self._state: ElectionState | None = None
        self._shown: ShownAreas | None = None
        self._published = (0, CHAIN_START)
        self._published_at: datetime | None = None
        self._verified_at: datetime | None = None

    async def checkpoint(self) -> TrustedCheckpoint:
        """Return the newest checkpoint, with valid signatures. Raises VerificationFailed.

        One that is behind may come from a process of the door that is; a moment later it must not be.
        """
        for _ in range(BEHIND_ATTEMPTS):
            signed = check_signatures(await self._record.checkpoint(), self._policy)
            if not self._record.is_door or not self._is_behind(signed):
                return signed
            await asyncio.sleep(BEHIND_PAUSE_S)
        return signed

    def _is_behind(self, signed: TrustedCheckpoint) -> bool:
        """Whether a checkpoint is smaller than the saved one and consistent with it."""
        if self.saved is None or signed.checkpoint.origin != self.saved.checkpoint.origin:
            return False
        size = signed.checkpoint.size
        return size < self.saved.checkpoint.size and self.saved.tree.root(size) == signed.checkpoint.root

    def is_new(self, signed: TrustedCheckpoint) -> bool:
        """Whether this verifier has not verified what a checkpoint covers."""
        return self._fold is None or self.saved is None or signed.checkpoint != self.saved.checkpoint

    async def renew(self, signed: TrustedCheckpoint) -> None:
        """Verify a checkpoint that is not new: its cosignatures, and now and then what is shown beside it.

        Raises VerificationFailed. Figures may change without a new checkpoint only for a short time.
        """
        if self._verified_at is None or self._clock() - self._verified_at >= RENEWED:
            await self.verify(signed)
            return
        check_quorum(signed)
        self.check_age(signed)

    async def verify(self, signed: TrustedCheckpoint) -> Verified:
        """Verify everything that a checkpoint covers. Raises VerificationFailed, with the notes as evidence."""
        try:
            return await self._verify(signed)
        except VerificationFailed as failure:
            failure.evidence["checkpoint"] = signed.data
            if self.saved is not None:
                failure.evidence["checkpoint-before"] = self.saved.note
            raise

    def check_age(self, signed: TrustedCheckpoint) -> float | None:
        """Require fresh cosignatures where that applies; return the limit in seconds. Raises VerificationFailed."""
        closed = self._fold is not None and self._fold.closing is not None
        if not self._record.is_door or self._policy.quorum == NONE or closed:
            return None
        now = self._clock()
        max_age_s = self._max_age_s or default_max_age_s(self._published_at, now)
        check_fresh(signed, self._policy, now, max_age_s)
        return max_age_s

    async def _verify(self, signed: TrustedCheckpoint) -> Verified:
        checkpoint, saved = signed.checkpoint, self.saved
        check_quorum(signed)
        if saved is not None:
            check_saved(saved, checkpoint)
        fold = self._fold or await self._begin()
        self._shown = await self._read_areas()
        catch_up = CatchUp(self._state) if self._state is not None else None
        await self._read_entries(fold, checkpoint.size, catch_up)
        check_root(checkpoint, fold.tree)
        if saved is not None:
            check_continues(saved, checkpoint, fold.tree)
        if not self._record.is_door:
            await self._check_copy(signed, fold.tree)
        if fold.opening is not None:
            check_registry(checkpoint.origin, fold.opening, self._document, self._registry)
        if fold.failure is not None:
            raise fold.failure
        if fold.opening is None or self._registry is None:
            raise VerificationFailed(
                "registry_mismatch", "the log has no opening entry, which names the registry"
            )
        publications = await self._check_publications(fold)
        max_age_s = self.check_age(signed)
        unsigned = await self._check_areas(fold, catch_up)
        self.saved = Saved(signed.data, checkpoint, fold.tree)
        self._verified_at = self._clock()
        agreement = signed.agreement
        return Verified(
            where=self._record.where,
            election=self._registry.id,
            name=self._registry.name,
            rehearsal=self._registry.rehearsal,
            origin=checkpoint.origin,
            size=checkpoint.size,
            root=b64encode(checkpoint.root).decode(),
            log_keys=[str(key) for key in agreement.log_keys],
            witnesses={
                name: time_of(agreement.cosigned[name]) if name in agreement.cosigned else None
                for name in self._policy.witnesses
            },
            quorum=agreement.sentence,
            history=fold.opening.history,
            previous=fold.opening.previous,
            opened_at=fold.opening.opened_at,
            closed_at=fold.closing.closed_at if fold.closing is not None else None,
            registry=fold.opening.registry,
            reports=fold.reports,
            published_at=self._published_at,
            publications=publications,
            figures_at=self._shown.sequence if self._shown is not None else None,
            areas=len(self._registry.areas),
            unsigned=unsigned,
            continues=saved.checkpoint.size if saved is not None else None,
            max_age_s=max_age_s,
        )

    async def _begin(self) -> RecordFold:
        """Read the registry; whether it is the right one is checked once the opening entry is."""
        self._document = await self._record.registry()
        self._registry = registry_in(self._document)
        if self._registry is not None:
            self._state = ElectionState(self._registry)
        self._fold = RecordFold(self._registry)
        return self._fold

    async def _read_areas(self) -> ShownAreas | None:
        """Return what the feed door shows now; None of a copy, and of a mirror that cannot be compared."""
        if not self._record.shows_areas or self._registry is None:
            return None
        before = self._shown
        try:
            shown = await self._record.areas(self._registry.levels, before)
        except NotThere:
            if self._record.is_door:
                raise
            return None
        if shown.sequence > ENTRIES_MAX:
            text = f"the feed shows figures of sequence {shown.sequence}, and no more than {ENTRIES_MAX} are read"
            raise VerificationFailed("figures_differ", text)
        if before is None:
            return shown
        for _ in range(BEHIND_ATTEMPTS):
            if shown.sequence >= before.sequence:
                return shown
            await asyncio.sleep(BEHIND_PAUSE_S)
            shown = await self._record.areas(self._registry.levels, before)
        text = f"the feed shows figures of sequence {shown.sequence}, after it has shown those of {before.sequence}"
        raise VerificationFailed("rolled_back", text)

    async def _read_entries(self, fold: RecordFold, size: int, catch_up: CatchUp | None) -> None:
        """Read the entries up to a size, and add those to the figures that the feed door shows."""
        try:
            async for entries in self._record.entries(size, fold.tree.size):
                publications = fold.add(entries)
                if catch_up is not None:
                    self._count(publications, catch_up)
        except NotThere as error:
            text = f"the checkpoint has size {size}, and not all of its entries are there: {error}"
            raise VerificationFailed("root_mismatch", text) from None

    def _count(self, publications: Sequence[Publication], catch_up: CatchUp) -> None:
        """Add publications that the feed door shows, and that were not counted in before."""
        assert self._state is not None
        last = self._shown.sequence if self._shown is not None else 0
        for each in publications:
            if (
                each.sequence == self._state.sequence
                and each.chain != self._state.chain
                and self._fold is not None
            ):
                text = (
                    f"publication {each.sequence} was shown before with the chain {self._state.chain.hex()}"
                )
                self._fold.failure = self._fold.failure or VerificationFailed(
                    "chain_mismatch", f"{text}; the signed entries have {each.chain.hex()}"
                )
        catch_up.add([each for each in publications if catch_up.sequence < each.sequence <= last])

    async def _check_copy(self, signed: TrustedCheckpoint, tree: Tree) -> None:
        """Compare what else a copy has of the log: its tiles, which others read, and its earlier checkpoints."""
        for tile in tiles_of(tree.size):
            assert tile.level is not None
            try:
                hashes = await self._record.tile(tile.level, tile.index, tile.width)
            except NotThere:
                continue  # a copy may have entries alone
            check_tile(tile, hashes, tree)
        async for line in self._record.checkpoints():
            if line.size < tree.size:
                check_earlier(check_signatures(line.note.encode(), self._policy), signed, tree)

    async def _check_publications(self, fold: RecordFold) -> int | None:
        """Compare the publications with the entries; return the last sequence, None if there are none to compare."""
        if not self._record.has_publications:
            return None
        for _ in range(BEHIND_ATTEMPTS):
            async for lines in self._record.publications(self._published[0], fold.reports):
                self._published = check_publications(fold, *self._published, lines)
                self._published_at = lines[-1].published_at
            if self._published[0] == fold.reports:
                return fold.reports
            if not self._record.is_door:
                break
            await asyncio.sleep(BEHIND_PAUSE_S)
        text = (
            f"the publications end at sequence {self._published[0]}, and the signed entries at {fold.reports}"
        )
        raise VerificationFailed("chain_mismatch", text)

    async def _check_areas(self, fold: RecordFold, catch_up: CatchUp | None) -> int:
        """Compare every area that is shown; return how many reports in it no checkpoint covers."""
        shown, state = self._shown, self._state
        if shown is None or state is None or catch_up is None:
            return 0
        unsigned = max(0, shown.sequence - fold.reports)
        if unsigned and fold.closing is not None:
            text = f"the feed shows {unsigned} reports after the closing entry, which has to be the last one"
            raise VerificationFailed("after_closing", text)
        if unsigned:
            await self._count_unsigned(fold, catch_up, shown.sequence)
        for _ in catch_up.finish():
            pass
        check_figures(state, shown.areas, shown.chain)
        return unsigned

    async def _count_unsigned(self, fold: RecordFold, catch_up: CatchUp, last: int) -> None:
        """Count in the publications that no checkpoint covers yet, after the entries that one covers."""
        assert fold.check is not None
        check, chain, sequence = fold.check.continued(), fold.chain, fold.reports
        async for lines in self._record.publications(sequence, last):
            if sequence == fold.reports and self._record.is_door:
                check_unsigned(lines[0].published_at, self._clock(), self._max_age_s or MAX_AGE_S)
            for line in lines:
                entry = bytes(line.report) if line.report is not msgspec.UNSET else b""
                try:
                    entry = canonical(orjson.loads(entry))
                except (ValueError, TypeError):
                    pass
                publication = check.check(line.sequence, entry, chain)
                if (line.digest, line.chain) != (publication.digest.hex(), publication.chain.hex()):
                    text = f"publication {line.sequence} does not have the digest and the chain of its report"
                    raise VerificationFailed("chain_mismatch", text)
                chain, sequence = publication.chain, publication.sequence
                if publication.sequence > catch_up.sequence:
                    self._count([publication], catch_up)
        if fold.failure is not None:
            raise fold.failure
        if sequence < last:
            text = f"the publications end at sequence {sequence}, and the feed shows figures of {last}"
            raise VerificationFailed("chain_mismatch", text)
