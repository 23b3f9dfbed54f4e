"""PURE: the bytes that a process keeps for connections which do not take their answers, and who is cut when there are
too many.

Knows nothing of sockets: a connection is any hashable value.
"""

import heapq
from collections import OrderedDict
from collections.abc import Iterator
from enum import Enum
from typing import Generic, TypeVar

UNREAD_MAX = 256 << 20
"""Bytes that a process keeps for answers that are not taken: as many again as for slow readers of the feed."""
UNREAD_PER_ADDRESS = 64 << 20
"""Of these, bytes for one address. One answer is always allowed, whatever its size."""
STALLED_MIN_S = 1.0
"""A connection that took something more recently than this, in seconds, is not cut to make room."""

M = TypeVar("M")


class Fit(Enum):
    """Whether another answer fits."""

    YES = "yes"
    ADDRESS_FULL = "address full"
    FULL = "full"


class _Owed(Generic[M]):
    """What is kept for one connection: bytes of its own, and a body that others may share."""

    __slots__ = ("address", "body", "own", "since")

    def __init__(self, address: str, own: int, body: bytes | None, since: float) -> None:
        self.address = address
        self.own = own
        self.body = body
        self.since = since


class _Sum:
    """A number of bytes in which a body that is kept several times counts once."""

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
        """Return the bytes by which a body would make it larger."""
        return 0 if body is None or id(body) in self._bodies else len(body)


class _Share(_Sum, Generic[M]):
    """What is kept for one address: its connections in the order in which they last took something."""

    __slots__ = ("members",)

    def __init__(self) -> None:
        super().__init__()
        self.members: OrderedDict[M, _Owed[M]] = OrderedDict()


class Unread(Generic[M]):
    """The account of a process. Invariants:

    * A body that several connections wait for counts once in all, and once for each of their addresses.
    * `fit` lets in no answer that would make it more than `most` in all, or more than `per_address` for one address
      that has others unread.
    """

    def __init__(self, most: int = UNREAD_MAX, per_address: int = UNREAD_PER_ADDRESS) -> None:
        self._most = most
        self._per_address = per_address
        self._total = _Sum()
        self._shares: dict[str, _Share[M]] = {}
        self._owed: dict[M, _Owed[M]] = {}

    def __len__(self) -> int:
        return len(self._owed)

    def __iter__(self) -> Iterator[M]:
        return iter(self._owed)

    @property
    def total(self) -> int:
        """Bytes kept in all."""
        return self._total.bytes

    def of(self, address: str) -> int:
        """Return the bytes kept for an address."""
        share = self._shares.get(address)
        return share.bytes if share is not None else 0

    def put(self, member: M, address: str, own: int, body: bytes | None, now: float) -> None:
        """Set what is kept for a connection, in place of what was; it took something `now`, in seconds."""
        self.drop(member)
        share = self._shares.get(address)
        if share is None:
            share = self._shares[address] = _Share()
        owed: _Owed[M] = _Owed(address, own, body, now)
        self._owed[member] = share.members[member] = owed
        share.add(own, body)
        self._total.add(own, body)

    def measured(self, member: M, own: int, now: float) -> None:
        """Set the bytes of its own of a connection that is in the account; fewer mean that it took something."""
        owed = self._owed[member]
        less = own < owed.own
        for each in (self._total, self._shares[owed.address]):
            each.bytes += own - owed.own
        owed.own = own
        if less:
            self.progress(member, now)

    def progress(self, member: M, now: float) -> None:
        """Note that a connection took something."""
        owed = self._owed.get(member)
        if owed is not None:
            owed.since = now
            self._shares[owed.address].members.move_to_end(member)

    def drop(self, member: M) -> None:
        """Forget a connection: it has taken everything, or is closed."""
        owed = self._owed.pop(member, None)
        if owed is None:
            return
        self._total.remove(owed.own, owed.body)
        share = self._shares[owed.address]
        share.remove(owed.own, owed.body)
        del share.members[member]
        if not share.members:
            del self._shares[owed.address]

    def fit(self, address: str, own: int, body: bytes | None, now: float) -> tuple[Fit, list[M]]:
        """Return whether another answer fits, and which connections, now forgotten, have to be cut for it.

        First those of its own address, where that has its share; then those of the addresses with the most, and more
        of them than needed, so that it is not done for every answer. A connection that is not stalled is cut only if
        its address has more than twice as much as this one would have.
        """
        cut = self._relieve_share(address, own, body, now)
        share = self._shares.get(address)
        if share is not None and share.bytes + own + share.cost(body) > self._per_address:
            return Fit.ADDRESS_FULL, cut
        if self._total.bytes + own + self._total.cost(body) > self._most:
            needed = own + self._total.cost(body)
            cut += self._relieve(needed, 2 * (self.of(address) + needed), now)
            if self._total.bytes + own + self._total.cost(body) > self._most:
                return Fit.FULL, cut
        return Fit.YES, cut

    def excess(self, now: float) -> list[M]:
        """Return the connections, now forgotten, that have to be cut because what was measured is too much.

        Connections that are not stalled are cut only if their address has more than an eighth of what may be kept.
        """
        cut: list[M] = []
        for address, share in list(self._shares.items()):
            if share.bytes > self._per_address and len(share.members) > 1:
                cut += self._relieve_share(address, 0, None, now)
        if self._total.bytes > self._most:
            cut += self._relieve(0, self._most // 8, now)
        return cut

    def _relieve_share(self, address: str, own: int, body: bytes | None, now: float) -> list[M]:
        cut: list[M] = []
        while (share := self._shares.get(address)) is not None:
            if share.bytes + own + share.cost(body) <= self._per_address:
                break
            member, owed = next(iter(share.members.items()))
            if owed.since > now - STALLED_MIN_S:
                break
            self.drop(member)
            cut.append(member)
        return cut

    def _relieve(self, needed: int, large: int, now: float) -> list[M]:
        """Cut connections until an eighth is free besides what is needed, those of the largest addresses first.

        Connections that are not stalled are cut where their address has more than `large` bytes.
        """
        cut: list[M] = []
        heap = [(-share.bytes, address) for address, share in self._shares.items()]
        heapq.heapify(heap)
        while heap and self._total.bytes + needed > self._most - self._most // 8:
            size, address = heapq.heappop(heap)
            member, owed = next(iter(self._shares[address].members.items()))
            if owed.since > now - STALLED_MIN_S and -size <= large:
                continue
            self.drop(member)
            cut.append(member)
            if address in self._shares:
                heapq.heappush(heap, (-self._shares[address].bytes, address))
        return cut
