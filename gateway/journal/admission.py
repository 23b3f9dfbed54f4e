"""PURE: who may wait for a commit, how many, and in whose turn.

`WaitingRoom` holds reports in a lane a sender, taken in turn, so that no flood of one delays another.
`CreditBank` shares out how many reports the WebSockets may leave unanswered. Neither reads a clock.
"""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

from gateway.errors import Overloaded

T = TypeVar("T")


class WaitingRoom(Generic[T]):
    """Items waiting for a commit. Invariants:

    * At most `capacity` wait; those put under credit were counted by the bank and are never refused.
    * Items of one sender leave in the order they came; senders are served in turn.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._lanes: OrderedDict[object, deque[T]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def senders(self) -> int:
        """How many senders have something waiting."""
        return len(self._lanes)

    def admit(self, sender: object, count: int, room: int) -> None:
        """Check that `count` more of one sender may wait, all or none, where `room` is what is not under credit.

        A sender with nothing waiting may take all the free room; one that has, no more than its share of half of it.
        Raises Overloaded, whose `share` says whose fault it is.
        """
        lane = self._lanes.get(sender)
        if lane is not None and len(lane) + count > max(1, room // (2 * len(self._lanes))):
            raise Overloaded(f"{len(lane)} of your reports are waiting already", self.delay_s(), share=True)
        if self._length + count > room:
            raise Overloaded(f"{self._length} reports are waiting", self.delay_s())

    def delay_s(self) -> float:
        """Return after how many seconds to come back: 1 s, up to 5 s as the room fills. The caller spreads it."""
        return 1.0 + 4.0 * min(1.0, self._length / self.capacity)

    def put(self, sender: object, item: T) -> None:
        """Let one item wait. Its place was admitted, or is under credit."""
        lane = self._lanes.get(sender)
        if lane is None:
            lane = self._lanes[sender] = deque()
        lane.append(item)
        self._length += 1

    def take(self, most: int) -> list[T]:
        """Take up to `most` items, an equal part from each sender, first from who waited longest for a turn."""
        taken: list[T] = []
        while self._lanes and len(taken) < most:
            slice_ = max(1, (most - len(taken)) // len(self._lanes))
            for sender in list(self._lanes):
                lane = self._lanes[sender]
                count = min(slice_, len(lane), most - len(taken))
                taken.extend(lane.popleft() for _ in range(count))
                if lane:
                    self._lanes.move_to_end(sender)
                else:
                    del self._lanes[sender]
                if len(taken) == most:
                    break
        self._length -= len(taken)
        return taken


class CreditBank:
    """How many reports each connection may leave unanswered. Invariants:

    * The sum of all credits never exceeds `total`.
    * Every connection's fair credit is the same: a power of two, so that it changes rarely as connections come and go.
    """

    def __init__(self, total: int, most: int) -> None:
        self.total = total
        self.most = most
        self._held: dict[object, int] = {}
        self._free = total
        self._open = True

    def __len__(self) -> int:
        return len(self._held)

    @property
    def fair(self) -> int:
        """Return the credit that every connection would hold now; 0 while the bank is closed."""
        if not self._open:
            return 0
        fair = self.most
        while fair > 1 and fair * len(self._held) > self.total:
            fair //= 2
        return fair

    def enter(self, holder: object) -> int:
        """Take in a connection and return its first credit, 0 where none is free."""
        self._held[holder] = 0
        return self.settle(holder)

    def settle(self, holder: object) -> int:
        """Bring a connection's credit to the fair one, as far as free credit allows, and return it."""
        held = self._held[holder]
        credit = min(self.fair, held + self._free)
        self._free -= credit - held
        self._held[holder] = credit
        return credit

    def leave(self, holder: object) -> None:
        """Give a connection's credit back."""
        self._free += self._held.pop(holder, 0)

    def close(self) -> None:
        """Make every fair credit 0: the journal is away."""
        self._open = False

    def open(self) -> None:
        """Share out credit again."""
        self._open = True
