"""The log of one election in one feed process: its tree, and which checkpoints readers are shown.

A checkpoint is shown only if the tree of the entries that this process has applied has the same root at its size. Until
then, the previous one is shown. Nothing of the feed waits for it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from gateway.deadline import wait_at_most
from gateway.election.log_record import KEYS_MAX, LogHead, SignedCheckpoint
from gateway.election.record import Publication
from gateway.errors import JournalUnavailable
from gateway.feed.log_checkpoints import Checkpoints
from gateway.feed.log_reading import LogReader
from gateway.feed.log_tree import AppliedTree
from gateway.feed.log_views import CurrentLog, EarlierLog, LogView
from gateway.transparency.checkpoint import Checkpoint
from gateway.transparency.entries import MalformedEntry, parse_opening, registry_hash
from gateway.transparency.merkle import leaf_hash
from gateway.transparency.note import MalformedNote, parse_note

log = structlog.get_logger()

POLL_S = 0.5
"""Seconds between two reads of the heads of all logs."""
READ_MAX = 1000
"""Checkpoints that are read, and wait to be compared, at once."""
BEHIND_MAX_S = 30.0
"""How long, in seconds, the record may lack entries that a checkpoint covers: a replica may lag behind."""
REGISTRY_MAX_S = 5.0
"""How long, in seconds, the registry may be another one than that of the opening, which is read separately."""
FAILED_S = 5.0
"""The pause after an unexpected error, in seconds."""
COSIGNED_LATER = 32
"""How many of the newest checkpoints are read again for cosignatures that have arrived later."""

_FORKED = "the record and the checkpoint that was shown are not consistent"


class ElectionLog:
    """Follows the log of one election. Invariants:

    * What is shown is signed, and its root is that of entries which this process has applied.
    * What is shown never gets smaller, and each checkpoint is consistent with the one shown before it, as long as the
      election has the same history.
    """

    def __init__(self, election: str, reader: LogReader | None, settled: Callable[[], bool]) -> None:
        """`settled` returns whether the feed has applied everything up to some head."""
        self._election = election
        self._reader = reader
        self._settled = settled
        self._heads: Sequence[LogHead] | None = None
        self._requested = asyncio.Event()
        self._differences: dict[object, str] = {}
        self._current: CurrentLog | None = None
        self._earlier: dict[int, tuple[LogHead, Checkpoints, int]] = {}
        self._registry: str | None = None
        self._opened_with: tuple[bytes, str] | None = None
        self._registry_differs_since: float | None = None
        self._known = asyncio.Event()
        if reader is None:
            self._known.set()
        self.start()

    def start(self) -> None:
        """Start with an empty tree, because the record is applied from its beginning. What is shown stays."""
        self.tree = AppliedTree()
        self._restart()
        self._requested.set()

    def _restart(self) -> None:
        """Compare the checkpoints of the newest history from the first one on."""
        self._checkpoints: Checkpoints | None = None
        self._read_to = 0
        self._changes = -1
        self._unread = deque[SignedCheckpoint]()
        self._behind_since: float | None = None
        self._differences.clear()

    # What the feed does.

    def add(self, publications: Sequence[Publication]) -> None:
        """Add the next publications that were applied."""
        self.tree.add(publications)

    def advanced(self) -> None:
        """Compare checkpoints that were larger than what was applied before."""
        if self._pending:
            self._requested.set()

    def update_heads(self, heads: Sequence[LogHead]) -> None:
        """Set the histories of this election, in order, as they were read; none if it is not opened."""
        heads, before = list(heads), self._heads
        if before is None or (heads != before and len(heads) >= len(before)):  # fewer: a replica lags behind
            self._heads = heads
            self._requested.set()
        elif self._pending:
            self._requested.set()
        self._check_registry()

    def set_registry(self, document: bytes) -> None:
        """Set the registry that this process shows."""
        self._registry = registry_hash(document) if self._reader is not None else None

    def _check_registry(self) -> None:
        """Note if the registry has not been the one in the opening entry for longer than replacing it may take."""
        newest, now = self._heads[-1] if self._heads else None, asyncio.get_running_loop().time()
        if self._registry is None or newest is None or newest.origin is None:
            return
        if self._opened_with is None or self._opened_with[0] != newest.opening:
            try:
                self._opened_with = newest.opening, parse_opening(newest.opening).registry
            except MalformedEntry:
                self._opened_with = newest.opening, ""
        if self._opened_with[1] == self._registry:
            self._registry_differs_since = None
            self.agrees("registry")
        elif self._registry_differs_since is None:
            self._registry_differs_since = now
        elif now - self._registry_differs_since > REGISTRY_MAX_S:
            self.differs("registry", "the registry is not the one in the opening entry")

    @property
    def _pending(self) -> bool:
        """Whether there is something to compare with what is applied, or to compare again."""
        shown = self._current
        again = shown is not None and (shown.number != self.tree.number or self.tree.closing is not None)
        return bool(self._unread) or not self.known or again

    # What readers are shown.

    @property
    def head(self) -> LogHead | None:
        """The newest history, if it has a log; while nothing of it may be shown, the one that is shown."""
        newest, shown = self._heads[-1] if self._heads else None, self._current
        if shown is not None and (newest is None or newest.history != shown.head.history):
            return shown.head
        return newest if newest is not None and newest.origin is not None else None

    @property
    def current(self) -> CurrentLog | None:
        """What is shown of the newest history; None: nothing."""
        return self._current if self.known else None

    @property
    def known(self) -> bool:
        """Whether it is known what is to be shown: before, a process that has just started would show too little."""
        return self._known.is_set()

    async def wait_known(self, timeout_s: float) -> bool:
        """Wait until it is known what is to be shown, for a bounded time; return whether it is."""
        await wait_at_most(self._known, timeout_s)
        return self.known

    @property
    def size(self) -> int:
        """The size of the newest checkpoint that is shown; 0: none is."""
        return self._current.size if self.known and self._current is not None else 0

    def view(self, history: int) -> LogView | None:
        """Return what is shown of a history; None if there is nothing."""
        current = self.current
        if current is None or history == current.head.history:
            return current
        if history in self._earlier:
            head, checkpoints, shared = self._earlier[history]
            return EarlierLog(head, checkpoints, shared, current) if checkpoints.newest else None
        return None

    @property
    def signed(self) -> bool:
        """Whether there are checkpoints."""
        return self._current is not None or any(head.size for head in self._heads or ())

    @property
    def disagrees(self) -> bool:
        """Whether the record differs from what was signed or shown."""
        return bool(self._differences)

    def differs(self, what: object, reason: str) -> None:
        """Note that something of the record differs from what was signed; log it once."""
        if what not in self._differences:
            log.error("the record differs from its signed log", election=self._election, reason=reason)
        self._differences[what] = reason

    def agrees(self, what: object) -> None:
        """Note that something of the record does not differ any more."""
        self._differences.pop(what, None)

    def check(self, publications: Sequence[Publication]) -> None:
        """Compare publications that were read again with those that were applied. Raises JournalUnavailable.

        Without a log, nothing is compared.
        """
        if self.head is None:
            return
        for each in publications:
            what = ("report", each.sequence)
            applied = self.tree.leaf(each.sequence)
            if applied is not None and leaf_hash(each.body) != applied:
                self.differs(what, f"report {each.sequence} has changed since it was applied")
                raise JournalUnavailable(f"report {each.sequence} differs from the signed record")
            if self._differences:
                self.agrees(what)

    # How it follows the record.

    async def run(self) -> None:
        """Follow the log until cancelled."""
        while True:
            await self._requested.wait()
            self._requested.clear()
            try:
                await self._follow()
            except JournalUnavailable as error:
                log.warning("log not read", election=self._election, error=str(error))
                await asyncio.sleep(POLL_S)
                self._requested.set()
            except Exception as error:
                # A mistake about one log, or what it was made to read, must not end the feeds.
                if "failed" not in self._differences:
                    log.exception("log not followed", election=self._election, error=error)
                self.differs("failed", f"it cannot be followed: {type(error).__name__}")
                await asyncio.sleep(FAILED_S)
                self._requested.set()
            else:
                self.agrees("failed")

    async def _follow(self) -> None:
        """Read what was signed, and show the newest checkpoint that the tree agrees with. Raises JournalUnavailable."""
        heads, tree, settled = self._heads, self.tree, self._settled()
        if heads is None:
            return
        if heads:
            newest = heads[-1]
            if newest.opening != tree.opening:
                tree.open(newest.opening)
                self._restart()
            if newest.closing is not None:
                self._note(
                    "closing", tree.close(newest.closing), "the record does not end with its closing entry"
                )
            if newest.origin is not None:
                await self._follow_newest(newest, tree)
            for place, head in enumerate(heads[:-1], 1):
                await self._read_earlier(head, min(map(_shared, heads[place:])))
        if tree is self.tree and heads is self._heads and (settled or not self._unread):
            self._known.set()

    async def _follow_newest(self, head: LogHead, tree: AppliedTree) -> None:
        assert self._reader is not None
        if self._checkpoints is None:
            read = partial(self._reader.checkpoints, head.key, head.history)
            self._checkpoints = Checkpoints(read, partial(self._reader.cosignatures, head.key, head.history))
        checkpoints = self._checkpoints
        while True:
            await self._compare(head, tree, checkpoints)
            if self._unread or head.changes == self._changes or checkpoints is not self._checkpoints:
                break
            found = await self._reader.checkpoints(head.key, head.history, self._read_to, READ_MAX)
            if checkpoints is not self._checkpoints:
                return
            self._unread.extend(found)
            if found:
                self._read_to = found[-1].size
                continue
            await self._read_cosignatures(head, checkpoints)
            self._changes = head.changes
        if tree is self.tree and self._settled():
            self._check_behind(head, tree)

    async def _compare(self, head: LogHead, tree: AppliedTree, checkpoints: Checkpoints) -> None:
        """Compare the checkpoints that were read with the tree, as far as it goes."""
        while self._unread and checkpoints is self._checkpoints and self._unread[0].size <= tree.size:
            checkpoint = self._unread[0]
            for _ in tree.grow(checkpoint.size):
                await asyncio.sleep(0)
                if checkpoints is not self._checkpoints:
                    return
            self._unread.popleft()
            reason = _difference(head, tree, checkpoint)
            if reason is not None:
                self.differs("checkpoint", reason)  # one line, although all that follow may differ, too
                continue
            checkpoints.add(checkpoint)
            self._show(head, tree, checkpoints)

    def _show(self, head: LogHead, tree: AppliedTree, checkpoints: Checkpoints) -> None:
        """Show the newest of the checkpoints, unless a larger one, or one that it is not consistent with, is shown."""
        size, shown = checkpoints.newest, self._current
        if shown is not None and shown.head.history == head.history and shown.number != tree.number:
            if size < shown.size:
                return
            if not self._note("shown", tree.tree.root(shown.size) == shown.root, _FORKED):
                return
        closing = tree.closing if size == tree.tree.size and tree.closed else None
        self._current = CurrentLog(head, tree.number, tree.tree, checkpoints, size, closing)

    def _check_behind(self, head: LogHead, tree: AppliedTree) -> None:
        """Note if the record lacks something that was signed or shown, for longer than a replica may lag."""
        shown, now = self._current, asyncio.get_running_loop().time()
        lacks_shown = (
            shown is not None
            and shown.number != tree.number
            and shown.head.history == head.history
            and shown.size > tree.size
        )
        if not lacks_shown and not self._unread:
            self._behind_since = None
            self.agrees("behind")
        elif self._behind_since is None:
            self._behind_since = now
        elif now - self._behind_since > BEHIND_MAX_S:
            self.differs("behind", "the record is shorter than a checkpoint that was signed")

    def _note(self, what: str, agrees: bool, reason: str) -> bool:
        if agrees:
            self.agrees(what)
        else:
            self.differs(what, reason)
        return agrees

    async def _read_cosignatures(self, head: LogHead, checkpoints: Checkpoints) -> None:
        assert self._reader is not None
        after, until = checkpoints.size_before(COSIGNED_LATER), checkpoints.newest
        found = await self._reader.cosignatures(head.key, head.history, after, until)
        if checkpoints is self._checkpoints:
            checkpoints.add_cosignatures(found)

    async def _read_earlier(self, head: LogHead, shared: int) -> None:
        """Read the checkpoints of an earlier history, which stay as they are.

        `shared` is the number of reports that it and all later histories have.
        """
        assert self._reader is not None
        if head.origin is None or head.history in self._earlier:
            return
        read = partial(self._reader.checkpoints, head.key, head.history)
        checkpoints = Checkpoints(read, partial(self._reader.cosignatures, head.key, head.history))
        while found := await self._reader.checkpoints(head.key, head.history, checkpoints.newest, READ_MAX):
            for each in found:
                checkpoints.add(each)
        after = checkpoints.size_before(COSIGNED_LATER)
        checkpoints.add_cosignatures(
            await self._reader.cosignatures(head.key, head.history, after, checkpoints.newest)
        )
        self._earlier[head.history] = head, checkpoints, shared


def _difference(head: LogHead, tree: AppliedTree, checkpoint: SignedCheckpoint) -> str | None:
    """Return how a checkpoint differs from the tree, or its note from its root; None if it does not."""
    assert head.origin is not None
    stated = Checkpoint(head.origin, checkpoint.size, checkpoint.root).text()
    try:
        note = parse_note(checkpoint.note.encode())
    except MalformedNote:
        note = None
    if note is None or note.text != stated:
        return f"the note of the checkpoint of size {checkpoint.size} states something else"
    if len(note.signatures) > KEYS_MAX or any(each.name != head.origin for each in note.signatures):
        return f"the note of the checkpoint of size {checkpoint.size} has signatures of others than its log"
    if tree.tree.root(checkpoint.size) != checkpoint.root:
        return f"the entries of the record have another root than the checkpoint of size {checkpoint.size}"
    return None


def _shared(head: LogHead) -> int:
    """Return how many reports a history shares with the one before."""
    try:
        previous = parse_opening(head.opening).previous
    except MalformedEntry:
        return 0
    return 0 if previous is None else previous.shared
