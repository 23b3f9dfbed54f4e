"""The readers of one selection, encoding and interval. No reader waits for another.

A reader has a position, not a queue: when its socket accepts bytes, it is sent the areas that changed since then.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from gateway.feed.blocks import Block, BlockMaker, Position
from gateway.feed.compression import Window
from gateway.feed.selection import Selection
from gateway.telemetry.metrics import FeedMetrics

log = structlog.get_logger()

STALL_GRACE_S = 60.0
STALL_BYTES_PER_S = 8_000.0
"""A reader is closed when it has not accepted a block within STALL_GRACE_S, and one second more for each
STALL_BYTES_PER_S bytes of the block."""
SHARED_WINDOW_READERS_MIN = 8
"""Readers from which a channel keeps a window. It takes up to 32 kB, so at most 4 kB per reader."""
INDEPENDENT_BYTES = 16 << 10
"""Bytes of a block from which independent compression is as good: a release of 261 kB takes 42.6 kB either way."""
TLS_WRITE_BYTES = 16 << 10
"""Bytes of a block written at a time under TLS, which makes a copy for each reader."""
TLS_BUFFER_BYTES = TLS_WRITE_BYTES + 1024
"""Approximate maximum of such copies for a stalled reader: nothing is written behind unsent bytes."""
BUFFERED = -1
"""What `Reader.send_some` returns if the transport has all bytes, and could not send all of them."""


class Sender(Protocol):
    """What sends bytes without waiting: a non-blocking socket, or TLS over one."""

    def send(self, data: bytes, /) -> int:
        """Return how many bytes were sent, or BUFFERED. Raises OSError, also if there is no room for any."""


class Reader(asyncio.Protocol):
    """One open event stream: a socket and its position in the record.

    It takes over a connection whose request was read elsewhere, so this object is all that exists per reader. Bytes
    that the socket has not accepted are shared with other readers; TLS adds at most TLS_BUFFER_BYTES of copies.
    """

    __slots__ = (
        "_closing",
        "_encrypted",
        "_on_close",
        "_pending",
        "_transport",
        "_transport_paused",
        "channel",
        "overdue_at",
        "paused",
        "send_some",
        "unsent",
    )

    def __init__(
        self, transport: asyncio.Transport, on_close: Callable[[], None], sender: Sender | None = None
    ) -> None:
        """`sender`: what may be written to directly, as long as nothing is buffered in the transport."""
        self._transport = transport
        self._on_close = on_close
        self.channel: Channel | None = None
        self.overdue_at = 0.0
        """When this reader is closed if it is still stalled, by the clock of the event loop."""
        self.unsent = b""
        """The block that the socket has not accepted completely, as encoded."""
        self._encrypted = transport.get_extra_info("sslcontext") is not None
        self._pending: list[memoryview] = []
        """Under TLS, the bytes that are not written yet."""
        self._closing = False
        """Whether to close once the pending bytes are written."""
        transport.set_write_buffer_limits(high=0, low=0)
        # A previous response may still be unsent; then another protocol object received pause_writing().
        self._transport_paused = self.paused = transport.get_write_buffer_size() > 0
        self.send_some: Callable[[bytes], int] = sender.send if sender is not None else self._send_all
        """Send what is accepted at once, and return the number of bytes; `send_rest` has to follow if it is not all, or
        if this raises OSError, and `fail` if it raises anything else. Only while `paused` is False.

        Nearly all bytes are sent by it, so it is the system call itself where possible (under TLS, after encryption); a
        write to a transport takes about a tenth more. Until the connection is closed, nothing is buffered in the
        transport of a reader that is not paused, so bytes stay in order.
        """

    def send(self, *data: bytes | memoryview) -> None:
        """Write without waiting, after the pending bytes. `paused` is True afterwards if the socket did not accept all.

        Never raises: an error is of this connection alone, which is then closed. Pieces are not joined, so that a
        stalled socket keeps references to shared bytes and no copy of them.
        """
        try:
            self._write(data)
        except Exception as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Close at once because of an error: it is unknown how much was sent."""
        log.error("event stream failed", exc_info=error)
        self.abort()

    def _write(self, data: tuple[bytes | memoryview, ...]) -> None:
        if self._encrypted and (len(data) > 1 or self._pending or len(data[0]) > TLS_WRITE_BYTES):
            pieces = data if sum(map(len, data)) > TLS_WRITE_BYTES else (b"".join(data),)
            self._pending += [memoryview(piece) for piece in pieces if piece]
            self._write_pending()
        elif len(data) == 1:
            self._transport.write(data[0])
        else:
            self._transport.writelines(data)

    def send_rest(self, data: bytes, sent: int) -> None:
        """Write what `send_some` has not sent, without a copy; a connection that has failed is closed. Never raises."""
        if sent != BUFFERED:
            self.send(memoryview(data)[sent:])

    def _send_all(self, data: bytes) -> int:
        self.send(data)
        return BUFFERED if self.paused else len(data)

    def _write_pending(self) -> None:
        """Write slice after slice until the socket accepts no more."""
        if self._transport.is_closing():
            self._pending.clear()
        while self._pending and not self._transport_paused:
            first = self._pending.pop(0)
            if len(first) > TLS_WRITE_BYTES:
                self._pending.insert(0, first[TLS_WRITE_BYTES:])
            self._transport.write(first[:TLS_WRITE_BYTES])
        self.paused = self._transport_paused or bool(self._pending)

    @property
    def copied(self) -> int:
        """Approximate number of bytes in memory for this reader alone."""
        return TLS_BUFFER_BYTES if self._encrypted and self.paused else 0

    def data_received(self, data: bytes) -> None:
        """Ignore data from the reader: the protocol has none."""

    def eof_received(self) -> bool:
        """Close the connection when the client has closed its side."""
        self._pending.clear()  # under TLS, anything written from now on is dropped with a warning
        self._send_no_more()
        return False

    def pause_writing(self) -> None:
        """Note that the socket accepts no more bytes."""
        self._transport_paused = self.paused = True

    def resume_writing(self) -> None:
        """Write the pending bytes; without any, catch up with the channel."""
        self._transport_paused = self.paused = False
        if self._pending:
            self.send()
            if self.paused:
                return
        if self._closing:
            self._transport.close()
        elif self.channel is not None:
            self.channel.resume(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Remove the reader from its channel."""
        self._pending.clear()
        self._send_no_more()
        self._on_close()
        if self.channel is not None:
            self.channel.remove(self)

    def end(self, last: bytes = b"") -> None:
        """Close after the pending bytes are sent or, if there are none, after the bytes in `last`."""
        if self._pending:
            self._closing = True
            return
        if last and not self.paused:
            self.send(last)
        self._send_no_more()
        self._transport.close()

    def abort(self) -> None:
        """Close at once and drop the pending bytes."""
        self._pending.clear()
        self._send_no_more()
        self._transport.abort()

    def _send_no_more(self) -> None:
        """Drop what is sent from now on: the connection is closed, perhaps after the buffered bytes."""
        self.send_some = _drop_paused if self.paused else len
        if self.channel is not None:
            self.channel.replace_send(self)


_Sends = dict[Reader, Callable[[bytes], int]]
"""Readers, and `send_some` of each. With thousands of them, finding it in each reader costs as much as the call itself
without its system call: their objects are no longer in the processor's caches."""


class Channel:
    """The readers of one selection, encoding and interval. Invariants:

    * Readers in step have been sent everything in the selection up to `position`. With gzip they also share a
      compression window: the last text sent to each was the same, and the next block may refer to it. Joining readers
      are in step but do not share the window yet.
    * Other readers have their own position: `late` readers accept bytes and wait for the next write; `stalled` readers
      accept none.
    * Each reader has at most one unsent block.
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
        self._in_step: _Sends = {}
        self._joining: _Sends = {}
        self._window = Window()
        self._independent = 0
        """Independently compressed blocks sent to joining readers since the window began, counted per reader."""
        self._late: dict[Reader, Position] = {}
        self._stalled: dict[Reader, Position] = {}
        self.on_empty: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return len(self._in_step) + len(self._joining) + len(self._late) + len(self._stalled)

    @property
    def stalled(self) -> int:
        """Number of readers whose socket accepts no bytes."""
        return len(self._stalled)

    def readers(self) -> list[Reader]:
        """Return all readers."""
        return [*self._in_step, *self._joining, *self._late, *self._stalled]

    def add(self, reader: Reader, head: bytes, sequence: int | None, now: float) -> None:
        """Add a reader: send `head`, then the changes after `sequence`, or a snapshot if it is None."""
        reader.channel = self
        self.wrote_at = self.wrote_at or now
        self._skip_unchanged()
        if sequence is None:
            block = self._maker.snapshot(self.selection)
        else:
            block = self._maker.since_about(self.selection, sequence)
        self._send(reader, block, now, head)

    def resume(self, reader: Reader) -> None:
        """Bring a reader whose socket accepts bytes again up to date, at the interval of the channel.

        While a long run of publications is being applied, it waits for the end like all others.
        """
        position = self._stalled.pop(reader, None)
        if position is None:
            return
        reader.unsent = b""
        if position is self.position:
            self._admit(reader)
        elif self.every_s or not self._maker.settled:
            self._late[reader] = position
        else:
            self._send(reader, self._maker.since_about(self.selection, position.sequence), _now())

    def remove(self, reader: Reader) -> None:
        """Remove a reader."""
        reader.channel = None
        self._in_step.pop(reader, None)
        self._joining.pop(reader, None)
        self._late.pop(reader, None)
        self._stalled.pop(reader, None)
        if not len(self):
            self.on_empty()

    def replace_send(self, reader: Reader) -> None:
        """Use the present `send_some` of a reader from now on."""
        for readers in (self._in_step, self._joining):
            if reader in readers:
                readers[reader] = reader.send_some

    def write(self, now: float) -> int:
        """Send each reader that accepts bytes the changes since its position; return the number of readers."""
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

    def send_heartbeat(self, now: float) -> None:
        """Send an empty block to all readers that accept bytes.

        While a long run of publications is being applied, it does not move a reader's position.
        """
        if self._maker.settled:
            self._skip_unchanged()
        self._broadcast(self.position.block(), now)
        for reader, position in list(self._late.items()):
            data = position.block().bytes(gzip=self.gzip)
            reader.send(data)
            if reader.paused:
                del self._late[reader]
                self._stall(reader, data, position, now)

    def close_overdue(self, now: float) -> int:
        """Close the readers that have not accepted a block in time; return their number."""
        overdue = [reader for reader in self._stalled if reader.overdue_at <= now]
        for reader in overdue:
            reader.abort()
        return len(overdue)

    def _skip_unchanged(self) -> None:
        """Move to the current position if nothing of the selection has changed since the last one."""
        present = self._maker.position
        if self.position is not present and not self._maker.changed(self.selection, self.position.sequence):
            self.position = present

    def _broadcast(self, block: Block, now: float) -> int:
        self.wrote_at = now
        if self.gzip:
            self._choose_window(block)
        readers = 0
        if self._joining:
            data = block.bytes(gzip=self.gzip, readers=len(self._joining))
            readers += self._write(self._joining, data, block.position, now)
        if self._in_step:
            readers += self._write(self._in_step, self._encode_in_step(block), block.position, now)
        return readers

    def _choose_window(self, block: Block) -> None:
        """Decide which readers share the window.

        The window begins again, with an independently compressed block for all, when this costs no more than the
        separate blocks for joining readers have cost, or nothing.
        """
        joining, in_step = self._joining, self._in_step
        self._independent += len(joining)
        if len(joining) + len(in_step) < SHARED_WINDOW_READERS_MIN:
            joining |= in_step
            in_step.clear()
        elif self._independent >= len(in_step) or block.size >= INDEPENDENT_BYTES:
            in_step |= joining
            joining.clear()
        else:
            return
        self._window.clear()
        self._independent = 0

    def _encode_in_step(self, block: Block) -> bytes:
        if self.gzip and self._window:
            return self._window.deflate(block.plain)
        if self.gzip:
            self._window.append(block.plain)
        return block.bytes(gzip=self.gzip, readers=len(self._in_step))

    def _write(self, readers: _Sends, data: bytes, position: Position, now: float) -> int:
        """Send the same bytes to all readers; move those that stall. Return the number of readers."""
        written, size = len(readers), len(data)
        incomplete, failed = {}, {}
        for place, send in enumerate(readers.values()):  # which no `send` changes: connections are lost later
            try:
                sent = send(data)
            except OSError:  # if the connection has failed, `send_rest` closes it
                sent = 0
            except Exception as error:  # of this reader alone
                failed[place] = error
                sent = 0
            if sent != size:
                incomplete[place] = sent
        if incomplete:
            by_place = list(readers)
            for place, sent in incomplete.items():
                reader = by_place[place]
                if place in failed:
                    reader.fail(failed[place])
                else:
                    reader.send_rest(data, sent)
                if reader.paused:
                    readers.pop(reader, None)
                    self._stall(reader, data, position, now)
        self._count(size, written)
        return written

    def _send(self, reader: Reader, block: Block, now: float, head: bytes = b"") -> None:
        data = block.bytes(gzip=self.gzip)
        reader.send(head, data)
        self._count(len(head) + len(data), 1)
        if reader.paused:
            self._stall(reader, data, block.position, now)
        elif block.position is self.position:
            self._admit(reader)
        else:
            self._late[reader] = block.position

    def _admit(self, reader: Reader) -> None:
        (self._joining if self.gzip else self._in_step)[reader] = reader.send_some

    def _stall(self, reader: Reader, data: bytes, position: Position, now: float) -> None:
        reader.unsent = data
        reader.overdue_at = now + STALL_GRACE_S + len(data) / STALL_BYTES_PER_S
        self._stalled[reader] = position

    def _count(self, size: int, readers: int) -> None:
        self._metrics.blocks.inc(readers)
        self._metrics.bytes.inc(size * readers)

    def pinned(self) -> dict[int, tuple[int, list[Reader]]]:
        """Return the size and the readers of each unsent piece of bytes, by its identity."""
        pinned: dict[int, tuple[int, list[Reader]]] = {}
        for reader in self._stalled:
            pinned.setdefault(id(reader.unsent), (len(reader.unsent), []))[1].append(reader)
        return pinned


def _drop_paused(_: bytes) -> int:
    return BUFFERED


def _now() -> float:
    return asyncio.get_running_loop().time()
