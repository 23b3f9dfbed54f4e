"""PURE: the bytes that a process buffers for connections that do not read their answers, and which ones to close when
there are too many.

Independent of sockets: a connection is any hashable value.
"""

import heapq
from collections import OrderedDict
from collections.abc import Iterator
from enum import Enum
from typing import Generic, TypeVar

UNREAD_MAX = 256 << 20
"""Bytes that a process buffers for unread answers; slow readers of the feed have as many again."""
UNREAD_PER_ADDRESS = 64 << 20
"""Of these, bytes for one address. One answer is always allowed, whatever its size."""
STALLED_MIN_S = 1.0
"""A connection that read something more recently than this, in seconds, is not closed to make room."""

M = TypeVar("M")


class Fit(Enum):
    """Whether another answer fits."""

    YES = "yes"
    ADDRESS_FULL = "address full"
    FULL = "full"


class _Unread(Generic[M]):
    """The unread bytes of one connection: those buffered for it alone, and a body that others may share."""

    __slots__ = ("address", "body", "own", "since")

    def __init__(self, address: str, own: int, body: bytes | None, since: float) -> None:
        self.address = address
        self.own = own
        self.body = body
        self.since = since


class _Sum:
    """A number of bytes in which a body that several connections share counts once."""

    __slots__ = ("_bodies", "bytes")

    def __init__(self) -> None:
        self.bytes = 0
        self._bodies: dict[int, int] = {}

    def add(self, own: int, body: bytes | None) -> None:
        self.bytes += own + self.cost(body)
        if body is not None:
            self._bodies[id(body)] = self._bodies.get(id(body), 0) + 1

    def remove(self, own: int, body: bytes | None) -> None:
        self.bytes -= own
        if body is not None:
            count = self._bodies[id(body)] - 1
            if count:
                self._bodies[id(body)] = count
            else:
                del self._bodies[id(body)]
                self.bytes -= len(body)

    def cost(self, body: bytes | None) -> int:
        """Return by how many bytes adding a body would increase the sum."""
        return 0 if body is None or id(body) in self._bodies else len(body)


class _AddressSum(_Sum, Generic[M]):
    """The unread bytes of one address, and its connections in the order in which they last read something."""

    __slots__ = ("members",)

    def __init__(self) -> None:
        super().__init__()
        self.members: OrderedDict[M, _Unread[M]] = OrderedDict()


class UnreadBytes(Generic[M]):
    """The unread bytes of a process. Invariants:

    * A body that several connections wait for counts once in the total, and once for each of their addresses.
    * `fit` admits no answer that would exceed `limit` in total, or `per_address` for one address that has other answers
      unread.
    """

    def __init__(self, limit: int = UNREAD_MAX, per_address: int = UNREAD_PER_ADDRESS) -> None:
        self._limit = limit
        self._per_address = per_address
        self._total = _Sum()
        self._addresses: dict[str, _AddressSum[M]] = {}
        self._unread: dict[M, _Unread[M]] = {}

    def __len__(self) -> int:
        return len(self._unread)

    def __iter__(self) -> Iterator[M]:
        return iter(self._unread)

    def __contains__(self, member: object) -> bool:
        return member in self._unread

    @property
    def total(self) -> int:
        """Unread bytes in total."""
        return self._total.bytes

    def of(self, address: str) -> int:
        """Return the unread bytes of an address."""
        found = self._addresses.get(address)
        return found.bytes if found is not None else 0

    def put(self, member: M, address: str, own: int, body: bytes | None, now: float) -> None:
        """Set the unread bytes of a connection, in place of those before; it read something at `now`, in seconds."""
        self.drop(member)
        found = self._addresses.get(address)
        if found is None:
            found = self._addresses[address] = _AddressSum()
        unread: _Unread[M] = _Unread(address, own, body, now)
        self._unread[member] = found.members[member] = unread
        found.add(own, body)
        self._total.add(own, body)

    def resize(self, member: M, own: int, now: float) -> None:
        """Set the bytes buffered for a connection alone; fewer than before mean that it read something."""
        unread = self._unread[member]
        fewer = own < unread.own
        for each in (self._total, self._addresses[unread.address]):
            each.bytes += own - unread.own
        unread.own = own
        if fewer:
            self.progress(member, now)

    def progress(self, member: M, now: float) -> None:
        """Record that a connection read something."""
        unread = self._unread.get(member)
        if unread is not None:
            unread.since = now
            self._addresses[unread.address].members.move_to_end(member)

    def drop(self, member: M) -> None:
        """Remove a connection: it has read everything, or is closed."""
        unread = self._unread.pop(member, None)
        if unread is None:
            return
        self._total.remove(unread.own, unread.body)
        found = self._addresses[unread.address]
        found.remove(unread.own, unread.body)
        del found.members[member]
        if not found.members:
            del self._addresses[unread.address]

    def fit(self, address: str, own: int, body: bytes | None, now: float) -> tuple[Fit, list[M]]:
        """Return whether another answer fits, and which connections, already removed, to close for it.

        Connections of the same address go first if it has used up its share; then those of the addresses with the most
        bytes, and more of them than needed, to avoid doing this for every answer. A connection that is not stalled is
        closed only if its address has more than twice as many bytes as this one would have.
        """
        closed = self._shrink_address(address, own, body, now)
        found = self._addresses.get(address)
        if found is not None and found.bytes + own + found.cost(body) > self._per_address:
            return Fit.ADDRESS_FULL, closed
        if self._total.bytes + own + self._total.cost(body) > self._limit:
            needed = own + self._total.cost(body)
            closed += self._shrink(needed, 2 * (self.of(address) + needed), now)
            if self._total.bytes + own + self._total.cost(body) > self._limit:
                return Fit.FULL, closed
        return Fit.YES, closed

    def excess(self, now: float) -> list[M]:
        """Return the connections, already removed, to close because the measured bytes exceed a limit.

        Connections that are not stalled are closed only if their address has more than an eighth of the limit.
        """
        closed: list[M] = []
        for address, found in list(self._addresses.items()):
            if found.bytes > self._per_address and len(found.members) > 1:
                closed += self._shrink_address(address, 0, None, now)
        if self._total.bytes > self._limit:
            closed += self._shrink(0, self._limit // 8, now)
        return closed

    def _shrink_address(self, address: str, own: int, body: bytes | None, now: float) -> list[M]:
        closed: list[M] = []
        while (found := self._addresses.get(address)) is not None:
            if found.bytes + own + found.cost(body) <= self._per_address:
                break
            member, unread = next(iter(found.members.items()))
            if unread.since > now - STALLED_MIN_S:
                break
            self.drop(member)
            closed.append(member)
        return closed

    def _shrink(self, needed: int, large: int, now: float) -> list[M]:
        """Remove connections of the largest addresses first, until an eighth is free in addition to what is needed.

        Connections that are not stalled are removed only if their address has more than `large` bytes.
        """
        closed: list[M] = []
        heap = [(-found.bytes, address) for address, found in self._addresses.items()]
        heapq.heapify(heap)
        while heap and self._total.bytes + needed > self._limit - self._limit // 8:
            size, address = heapq.heappop(heap)
            member, unread = next(iter(self._addresses[address].members.items()))
            if unread.since > now - STALLED_MIN_S and -size <= large:
                continue
            self.drop(member)
            closed.append(member)
            if address in self._addresses:
                heapq.heappush(heap, (-self._addresses[address].bytes, address))
        return closed
