"""One history of one election in a mirror: follows the stream, and writes a step for each of its states.

All immutable files of a step are stored before the `live.json` that names them. So at every moment, and after an end at
any moment, `live.json` names files that exist.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import structlog

from gateway.backoff import Backoff, with_jitter
from gateway.client.documents import registry_of
from gateway.client.failures import Failure
from gateway.client.http_json import NoDocument
from gateway.client.subscriber import Block, Subscriber
from gateway.client.tasks import run_until_one_ends
from gateway.election.registry import Registry
from gateway.errors import GatewayError
from gateway.mirror.documents import Documents
from gateway.mirror.door import FeedDoor, open_feed_door
from gateway.mirror.election_files import ElectionList
from gateway.mirror.files import JSON, StoredFile
from gateway.mirror.ledger import Ledger, Step
from gateway.mirror.profiles import profiles_of
from gateway.mirror.progress import Progress
from gateway.mirror.removal import Removal
from gateway.mirror.state import MirrorState, View, WrongBlock
from gateway.mirror.target import Target, TargetInUse
from gateway.transparency.note import VerifierKey
from gateway.wire.mirror import USER_AGENT, Live, encode_live, live_path

REFRESH_S = 5.0
"""Seconds after which `live.json` is written again with a new time, or `every_s` if that is more."""
BLOCK_AGE_MAX_S = 12.0
"""Seconds since the last block of the stream up to which its state is the newest; it sends one at least each 10 s."""
RETRY_FIRST_S, RETRY_MOST_S = 0.5, 10.0

log = structlog.get_logger()


class AnotherRecord(Exception):
    """The gateway's record is not that of this history: it needs another one, perhaps with another registry."""


def new_history(now: datetime, after: str | None = None) -> str:
    """Return an identifier for a history that begins now, or a second later than the one `after` which it comes.

    So the later of two histories of a target has the greater identifier, and readers know which `live.json` is old.
    """
    began = now.astimezone(UTC)
    with suppress(ValueError, OverflowError):
        earlier = datetime.strptime((after or "")[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        began = max(began, earlier + timedelta(seconds=1))
    return f"{began:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


async def read_registry(feed_url: str, progress: Progress) -> Registry:
    """Read the registry of an election, again after failures that may pass. Raises NoDocument."""
    backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S)
    while True:
        try:
            registry = await registry_of(feed_url, progress.election)
        except NoDocument as error:
            if error.failure.permanent:
                raise
            progress.note("feed", str(error))
            await asyncio.sleep(with_jitter(max(backoff.next(), error.failure.retry_after_s or 0.0)))
        else:
            progress.note("feed", None)
            return registry


class History:
    """Writes one history. Invariants:

    * `live.json` never goes back, and names only files that exist.
    * A slow target skips states; nothing is queued for it.
    """

    def __init__(
        self,
        feed_url: str,
        registry: Registry,
        target: Target,
        *,
        every_s: int,
        keys: Sequence[VerifierKey],
        elections: ElectionList | None,
        continued: Live | None,
        after: str | None = None,
        progress: Progress,
        clock: Callable[[], float],
    ) -> None:
        """Continue the history of `continued`, as it was read from the target, or begin one after `after`."""
        self._feed_url = feed_url
        self._registry = registry
        self._election = registry.id
        self._target = target
        self._every_s = every_s
        self._keys = keys
        self._elections = elections
        self._continued = continued
        self._progress = progress
        self._clock = clock
        self.name = continued.history if continued is not None else new_history(datetime.now(UTC), after)
        self._state = MirrorState(tuple(area.id for area in registry.areas))
        self._ledger = Ledger(
            self._election,
            self.name,
            every_s,
            profiles_of(registry),
            rehearsal=registry.rehearsal,
            continued=continued,
            now_s=clock(),
        )
        self._removal = Removal(registry, self.name, self._ledger, target, progress, clock)
        self._block_at_s = 0.0
        self._received = asyncio.Event()
        self._shown: View | None = None
        """The state that the newest `live.json` names."""
        self._changed = asyncio.Condition()
        self._documents: Documents | None = None
        self._failed_at = 0
        """Where the rewritten files were when they failed."""

    async def run(self) -> None:
        """Write until cancelled. Raises AnotherRecord, FeedRefused, TargetInUse."""
        self._progress.histories += 1
        log.info(
            "history of a mirror begins",
            election=self._election,
            history=self.name,
            continued=bool(self._continued),
        )
        async with open_feed_door(self._feed_url, self._election) as door:
            self._documents = self._documents_over(door)
            parts = [
                asyncio.create_task(self._follow(), name="stream"),
                asyncio.create_task(self._write(), name="steps"),
                asyncio.create_task(self._write_documents(self._documents), name="documents"),
                asyncio.create_task(self._removal.run(), name="removal"),
            ]
            await run_until_one_ends(*parts)

    def _documents_over(self, door: FeedDoor) -> Documents:
        documents = self._continued.documents if self._continued is not None else 0
        return Documents(
            door,
            self._election,
            self._registry,
            self.name,
            self._target,
            self._every_s,
            self._keys,
            documents,
            elections=self._elections,
        )

    async def _follow(self) -> None:
        """Apply every block of the stream. Raises AnotherRecord, FeedRefused."""
        async with Subscriber(
            self._feed_url,
            self._election,
            levels=",".join(self._registry.levels),
            every_s=self._every_s,
            keep_copy=False,
            raw=True,
            on_change=self._note_feed,
            use_mirror=False,
            user_agent=USER_AGENT,
        ) as subscriber:
            async for block in subscriber.blocks():
                if block.snapshot and not self._state.empty and not await self._same_record(block):
                    raise AnotherRecord
                try:
                    self._state.apply(block)
                except WrongBlock as error:
                    log.warning("block of the stream refused", election=self._election, reason=str(error))
                    raise AnotherRecord from None
                self._check_first(block.sequence, block.chain)
                self._block_at_s = self._clock()
                self._progress.received = block.sequence
                self._received.set()

    async def _same_record(self, snapshot: Block) -> bool:
        """Whether the record may be the same although the stream began again with a snapshot.

        The gateway knows every cursor of its record, except those before the first publication. Until then the registry
        and the previous election may be replaced, which changes areas at the same sequence.
        """
        view = self._state.view()
        if view.sequence or snapshot.raw != {name: area.raw for name, area in view.areas.items()}:
            return False
        registry = await read_registry(self._feed_url, self._progress)
        return registry.canonical() == self._registry.canonical()

    def _check_first(self, sequence: int, chain: str) -> None:
        live = self._continued
        if live is not None and live.sequence == sequence and live.chain != chain:
            raise AnotherRecord

    async def _write(self) -> None:
        """Write each new state, and the time in between. Raises TargetInUse."""
        await self._retrying("removal", self._removal.retire_unnamed)
        await self._retrying("removal", self._removal.remove_absent)
        refresh_s = max(float(self._every_s), REFRESH_S)
        step_at_s = refresh_at_s = -refresh_s
        while True:
            await self._wait_received(refresh_at_s + refresh_s)
            view = self._state.view()
            now_s = self._clock()
            if self._ledger.is_due(view):
                await asyncio.sleep(max(0.0, step_at_s + self._every_s / 2 - now_s))
                step_at_s = self._clock()
                await self._retrying("steps", self._step)
                refresh_at_s = step_at_s
            elif now_s - refresh_at_s >= refresh_s:
                refresh_at_s = now_s
                if view.sequence == self._ledger.sequence and now_s - self._block_at_s <= BLOCK_AGE_MAX_S:
                    await self._retrying("steps", self._refresh)

    async def _wait_received(self, until_s: float) -> None:
        """Wait for a block, or until a time if there was one already."""
        if self._state.empty:
            await self._received.wait()
        try:
            async with asyncio.timeout(max(0.0, until_s - self._clock())):
                await self._received.wait()
        except TimeoutError:
            return
        self._received.clear()

    async def _step(self) -> None:
        known_at = datetime.now(UTC)  # the stream may go on while the files are written
        step = self._ledger.prepare(self._state.view(), self._clock())
        await self._target.write(step.files)
        await self._write_live(step, known_at)
        self._ledger.commit(step, self._clock())
        await self._show(step.view)
        self._progress.steps += 1
        self._progress.last_step_s = self._clock() - self._block_at_s
        self._progress.observe_step(self._progress.last_step_s)

    async def _refresh(self) -> None:
        view = self._state.view()
        if view.sequence == self._ledger.sequence:
            await self._write_live(None, datetime.now(UTC))
            if self._shown is None or self._shown.holds != view.holds:
                await self._show(view)

    async def _write_live(self, step: Step | None, written_at: datetime) -> None:
        """Write `live.json`; `written_at` is when its state was known to be the newest."""
        documents = self._documents
        assert documents is not None
        live = self._ledger.live(
            self._state.view(),
            step,
            written_at=self._progress.later_than_shown(written_at),
            documents=documents.documents,
            ranges=max(documents.ranges, self._continued.ranges if self._continued is not None else 0),
            closed_at=self._closed_at(documents),
        )
        await self._target.write_live(
            StoredFile(live_path(self._election), encode_live(live), JSON, self._every_s)
        )
        if documents.documents > self._failed_at:
            self._progress.note("documents", None)
        self._progress.sequence, self._progress.written_at = live.sequence, written_at
        self._progress.shown_at = live.written_at
        self._progress.documents, self._progress.document_failures = live.documents, documents.failures
        self._progress.closed_at = live.closed_at

    def _closed_at(self, documents: Documents) -> datetime | None:
        """Return when the election was closed, if this is its last state; a restart knows it from `live.json`."""
        view, live = self._state.view(), self._continued
        if live is not None and (live.sequence, live.chain, live.holds) == (
            view.sequence,
            view.chain,
            view.holds,
        ):
            return live.closed_at or documents.closed_at(view)
        return documents.closed_at(view)

    async def _show(self, view: View) -> None:
        """Let the rewritten files follow a state that `live.json` names."""
        async with self._changed:
            self._shown = view
            self._changed.notify_all()

    async def _write_documents(self, documents: Documents) -> None:
        """Write the rewritten files once there is a state to write, again after every failure."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._shown is not None)
        backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S)
        while True:
            try:
                await documents.run(self._newest_shown, self._changed)
            except* TargetInUse as group:
                raise _first(group) from None
            except* Exception as group:  # no error of the rewritten files stops the steps
                log.exception("documents failed", election=self._election, error=_first(group))
                self._progress.note("documents", repr(_first(group)))
                self._failed_at = documents.documents
            await asyncio.sleep(with_jitter(backoff.next()))

    def _newest_shown(self) -> View:
        assert self._shown is not None
        return self._shown

    async def _retrying(self, part: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do something that needs the target, until it succeeds. Raises TargetInUse."""
        backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S)
        while True:
            try:
                await work()
            except TargetInUse:
                raise
            except GatewayError as error:
                self._progress.note(part, str(error))
            else:
                self._progress.note(part, None)
                return
            await asyncio.sleep(with_jitter(backoff.next()))

    def _note_feed(self, failure: Failure | None) -> None:
        self._progress.note("feed", failure.text if failure is not None else None)


def _first(error: BaseException) -> BaseException:
    """Return the first error in groups of errors."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
