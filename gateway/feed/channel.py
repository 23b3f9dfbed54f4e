"""Readers of one selection at one pace, most of them in step, none of them waited for.

A reader is a position, not a queue: it gets what changed since then, when its socket takes bytes.
"""

import asyncio
from collections.abc import Callable

from gateway.feed.blocks import Block, BlockMaker, Position
from gateway.feed.compression import Window
from gateway.feed.selection import Selection
from gateway.telemetry.metrics import FeedMetrics

SLOW_S = 60.0
SLOW_BYTES_S = 8_000.0
"""A reader may take SLOW_S and a second for each SLOW_BYTES_S bytes over one block; then it is closed."""
SHARING_MIN = 8
"""Readers for whom a channel keeps a window, of up to 32 kB, so that it is at most 4 kB for each of them."""
LARGE = 16 << 10
"""Bytes of a block that compresses as well by itself: 42.6 kB of a release of 261 kB either way."""
SLICE = 16 << 10
"""Bytes of a block that are written at a time under TLS, which makes a copy for each reader."""
COPY = 96 << 10
"""Bytes of such copies that a reader who takes nothing has at most, about: SLICE, and what the transport below TLS
takes before it pauses (64 KiB)."""


class Reader(asyncio.Protocol):
    """One open event stream: a socket, and where it is in the record.

    Takes over a connection whose request was read elsewhere, so nothing but this object is kept for it. Of what its
    socket does not take, it refers to bytes that others share; under TLS it makes no more than COPY bytes of its own.
    """

    __slots__ = (
        "_encrypted",
        "_ending",
        "_full",
        "_gone",
        "_rest",
        "_transport",
        "channel",
        "overdue_at",
        "paused",
        "unsent",
    )

    def __init__(self, transport: asyncio.Transport, gone: Callable[[], None]) -> None:
        self._transport = transport
        self._gone = gone
        self.channel: Channel | None = None
        self.overdue_at = 0.0
        """When a reader whose socket takes nothing is closed, by the loop's clock."""
        self.unsent = b""
        """The block it could not take yet, as it goes to its socket."""
        self._encrypted = transport.get_extra_info("sslcontext") is not None
        self._rest: list[memoryview] = []
        """Under TLS, what is not written yet."""
        self._ending = False
        """Whether to close once the rest is written."""
        # At 0, TLS would pause for ever: it does so at the limit, and not beyond it.
        transport.set_write_buffer_limits(high=1 if self._encrypted else 0, low=0)
        # An answer before may not be taken yet, and then it was not this that was told to pause.
        self._full = self.paused = transport.get_write_buffer_size() > 0

    def send(self, *data: bytes) -> None:
        """Write without waiting; `paused` tells afterwards whether the socket took it all.

        Several pieces stay several, so that a socket that takes nothing holds on to what is shared, and to no copy.
        """
        if self._encrypted:
            pieces = data if sum(map(len, data)) > SLICE else (b"".join(data),)
            self._rest += [memoryview(piece) for piece in pieces if piece]
            self._write_on()
        elif len(data) == 1:
            self._transport.write(data[0])
        else:
            self._transport.writelines(data)

    def _write_on(self) -> None:
        """Write slice after slice until the socket takes nothing more."""
        if self._transport.is_closing():
            self._rest.clear()
        while self._rest and not self._full:
            first = self._rest.pop(0)
            if len(first) > SLICE:
                self._rest.insert(0, first[SLICE:])
            self._transport.write(first[:SLICE])
        self.paused = self._full or bool(self._rest)

    @property
    def copied(self) -> int:
        """Bytes that are kept for this reader alone, about."""
        return COPY if self._encrypted and self.paused else 0

    def data_received(self, data: bytes) -> None:
        """Ignore what a reader says: it has nothing to say."""

    def eof_received(self) -> bool:
        """Close: a client that closed its side is gone."""
        self._rest.clear()  # under TLS, whatever is written from now on is dropped, with a warning
        return False

    def pause_writing(self) -> None:
        """Note that the socket takes nothing more."""
        self._full = self.paused = True

    def resume_writing(self) -> None:
        """Go on with the rest; without one catch up: the socket takes bytes again."""
        self._full = self.paused = False
        if self._rest:
            self._write_on()
            if self.paused:
                return
        if self._ending:
            self._transport.close()
        elif self.channel is not None:
            self.channel.resume(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Forget it."""
        self._rest.clear()
        self._gone()
        if self.channel is not None:
            self.channel.leave(self)

    def end(self, last: bytes = b"") -> None:
        """Close politely: after what it has not taken yet, or else after a last word."""
        if self._rest:
            self._ending = True
            return
        if last and not self.paused:
            self._transport.write(last)
        self._transport.close()

    def abort(self) -> None:
        """Close at once, dropping what it has not taken."""
        self._rest.clear()
        self._transport.abort()


class Channel:
    """The readers of one selection, encoding and pace. Invariants:

    * Readers in step have been sent all of the selection up to `position`. Under gzip they also share a window: they
      were sent the same text last, and the next block refers to it. Readers who enter are in step but for that.
    * Others have a position of their own: `late` ones take bytes and wait for the next turn, `blocked` ones take none.
    * At most one block is unsent to any reader.
    """

    def __init__(
        self, selection: Selection, gzip: bool, every_s: int, maker: BlockMaker, metrics: FeedMetrics
    ) -> None:
        self.selection = selection
        self.gzip = gzip
        self.every_s = every_s
        self.position = maker.position
        self.wrote_at = 0.0
        self._maker = maker
        self._metrics = metrics
        self._in_step: set[Reader] = set()
        self._entering: set[Reader] = set()
        self._window = Window()
        self._alone = 0
        """Blocks compressed by themselves for those who entered, each reader counted, since the window began."""
        self._late: dict[Reader, Position] = {}
        self._blocked: dict[Reader, Position] = {}
        self.on_empty: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return len(self._in_step) + len(self._entering) + len(self._late) + len(self._blocked)

    @property
    def blocked(self) -> int:
        """How many sockets take no bytes."""
        return len(self._blocked)

    def readers(self) -> list[Reader]:
        """Return all of them."""
        return [*self._in_step, *self._entering, *self._late, *self._blocked]

    def join(self, reader: Reader, head: bytes, sequence: int | None, now: float) -> None:
        """Let a reader in: send `head`, then what changed after `sequence`, or a snapshot for None."""
        reader.channel = self
        self.wrote_at = self.wrote_at or now
        self._skip_unchanged()
        if sequence is None:
            block = self._maker.snapshot(self.selection)
        else:
            block = self._maker.since_about(self.selection, sequence)
        self._send(reader, block, now, head)

    def resume(self, reader: Reader) -> None:
        """Bring a reader whose socket takes bytes again up to date, at its channel's pace.

        While a long run of publications is half applied it waits for the end of it, as everyone does.
        """
        position = self._blocked.pop(reader, None)
        if position is None:
            return
        reader.unsent = b""
        if position is self.position:
            self._let_in(reader)
        elif self.every_s or not self._maker.settled:
            self._late[reader] = position
        else:
            self._send(reader, self._maker.since_about(self.selection, position.sequence), _now())

    def leave(self, reader: Reader) -> None:
        """Forget a reader."""
        reader.channel = None
        self._in_step.discard(reader)
        self._entering.discard(reader)
        self._late.pop(reader, None)
        self._blocked.pop(reader, None)
        if not len(self):
            self.on_empty()

    def write(self, now: float) -> int:
        """Send every reader that takes bytes what changed since it was last sent something; return how many got it."""
        self._skip_unchanged()
        present = self._maker.position
        late, self._late = self._late, {}
        written = len(late)
        if self.position is not present:
            block = self._maker.since(self.selection, self.position.sequence)
            self.position = present
            written += self._broadcast(block, now)
        for reader, position in late.items():
            self._send(reader, self._maker.since(self.selection, position.sequence), now)
        return written

    def beat(self, now: float) -> None:
        """Send an empty block, so that everyone knows the stream lives.

        While a long run of publications is half applied nobody is moved by it.
        """
        if self._maker.settled:
            self._skip_unchanged()
        self._broadcast(self.position.block(), now)
        for reader, position in list(self._late.items()):
            data = position.block().bytes(gzip=self.gzip)
            reader.send(data)
            if reader.paused:
                del self._late[reader]
                self._block(reader, data, position, now)

    def close_overdue(self, now: float) -> int:
        """Close the readers that have not taken a block in the time allowed, and return how many."""
        overdue = [reader for reader in self._blocked if reader.overdue_at <= now]
        for reader in overdue:
            reader.abort()
        return len(overdue)

    def _skip_unchanged(self) -> None:
        """Move on to the present where nothing of the selection has changed since."""
        present = self._maker.position
        if self.position is not present and not self._maker.changed(self.selection, self.position.sequence):
            self.position = present

    def _broadcast(self, block: Block, now: float) -> int:
        self.wrote_at = now
        if self.gzip:
            self._choose_window(block)
        readers = 0
        if self._entering:
            data = block.bytes(gzip=self.gzip, readers=len(self._entering))
            readers += self._write(self._entering, data, block.position, now)
        if self._in_step:
            readers += self._write(self._in_step, self._for_those_in_step(block), block.position, now)
        return readers

    def _choose_window(self, block: Block) -> None:
        """Decide who shares the window; where it begins anew, the block is compressed by itself and is for all.

        That is when it costs no more than those who entered have cost by blocks of their own, or nothing.
        """
        entering, in_step = self._entering, self._in_step
        self._alone += len(entering)
        if len(entering) + len(in_step) < SHARING_MIN:
            entering |= in_step
            in_step.clear()
        elif self._alone >= len(in_step) or block.size >= LARGE:
            in_step |= entering
            entering.clear()
        else:
            return
        self._window.clear()
        self._alone = 0

    def _for_those_in_step(self, block: Block) -> bytes:
        if self.gzip and self._window:
            return self._window.deflate(block.plain)
        if self.gzip:
            self._window.take(block.plain)
        return block.bytes(gzip=self.gzip, readers=len(self._in_step))

    def _write(self, readers: set[Reader], data: bytes, position: Position, now: float) -> int:
        """Send the same to all of them; take out whose socket does not take it. Return how many it was sent to."""
        written = len(readers)
        stuck = []
        for reader in tuple(readers):
            reader.send(data)
            if reader.paused:
                stuck.append(reader)
        for reader in stuck:
            readers.discard(reader)
            self._block(reader, data, position, now)
        self._count(len(data), written)
        return written

    def _send(self, reader: Reader, block: Block, now: float, head: bytes = b"") -> None:
        data = block.bytes(gzip=self.gzip)
        reader.send(head, data)
        self._count(len(head) + len(data), 1)
        if reader.paused:
            self._block(reader, data, block.position, now)
        elif block.position is self.position:
            self._let_in(reader)
        else:
            self._late[reader] = block.position

    def _let_in(self, reader: Reader) -> None:
        (self._entering if self.gzip else self._in_step).add(reader)

    def _block(self, reader: Reader, data: bytes, position: Position, now: float) -> None:
        reader.unsent = data
        reader.overdue_at = now + SLOW_S + len(data) / SLOW_BYTES_S
        self._blocked[reader] = position

    def _count(self, size: int, readers: int) -> None:
        self._metrics.blocks.inc(readers)
        self._metrics.bytes.inc(size * readers)

    def pinned(self) -> dict[int, tuple[int, list[Reader]]]:
        """Return, by the identity of what could not be sent, how many bytes it is and the readers that hold it."""
        held: dict[int, tuple[int, list[Reader]]] = {}
        for reader in self._blocked:
            held.setdefault(id(reader.unsent), (len(reader.unsent), []))[1].append(reader)
        return held


def _now() -> float:
    return asyncio.get_running_loop().time()
