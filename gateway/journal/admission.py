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

    * At most `capacity` wait, and a whole request more: what is under credit, counted by the bank, is always let in,
      the rest is admitted as long as there is room beside all credit given.
    * Items of one lane leave in the order they came; lanes are served in turn. A sender has one lane, and another for
      what it sends under credit.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._lanes: OrderedDict[tuple[object, bool], deque[T]] = OrderedDict()
        self._length = 0
        self._admitted = 0

    def __len__(self) -> int:
        return self._length

    def admit(self, sender: object, count: int, credit: int) -> None:
        """Check that `count` more of one sender may wait, all or none, while `credit` is given to others.

        Where nothing admitted waits, any one request is. A sender with something waiting may have no more than its
        share of half of the room.
        Raises Overloaded, whose `share` says whose fault it is.
        """
        if not self._admitted:
            return
        room = max(0, self.capacity - credit)
        lane = self._lanes.get((sender, False))
        if lane is not None and len(lane) + count > room // (2 * len(self._lanes)):
            raise Overloaded(f"{len(lane)} of your reports are waiting already", self.delay_s(), share=True)
        if self._admitted + count > room:
            raise Overloaded(f"{self._length} reports are waiting", self.delay_s())

    def delay_s(self) -> float:
        """Return after how many seconds to come back: 1 s, up to 5 s as the room fills. The caller spreads it."""
        return 1.0 + 4.0 * min(1.0, self._length / self.capacity)

    def put(self, sender: object, item: T, *, credited: bool) -> None:
        """Let one item wait, which was admitted or is under credit."""
        lane = self._lanes.get((sender, credited))
        if lane is None:
            lane = self._lanes[sender, credited] = deque()
        lane.append(item)
        self._length += 1
        self._admitted += not credited

    def take(self, most: int) -> list[T]:
        """Take up to `most` items, an equal part from each lane, first from the one that waited longest for a turn."""
        taken: list[T] = []
        while self._lanes and len(taken) < most:
            part = max(1, (most - len(taken)) // len(self._lanes))
            for key in list(self._lanes)[: most - len(taken)]:
                lane = self._lanes[key]
                count = min(part, len(lane), most - len(taken))
                taken.extend(lane.popleft() for _ in range(count))
                self._length -= count
                self._admitted -= 0 if key[1] else count
                if lane:
                    self._lanes.move_to_end(key)
                else:
                    del self._lanes[key]
        return taken


class CreditBank:
    """How many reports each connection may leave unanswered. Invariants:

    * The sum of all credits never exceeds `total`.
    * Every connection's fair credit is the same: `most`, halved as often as needed, so that it changes rarely as
      connections come and go.
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

    def held(self, holder: object) -> int:
        """Return a connection's present credit."""
        return self._held.get(holder, 0)

    @property
    def given(self) -> int:
        """The sum of all credits."""
        return self.total - self._free

    def leave(self, holder: object) -> None:
        """Give a connection's credit back."""
        self._free += self._held.pop(holder, 0)

    def close(self) -> None:
        """Make every fair credit 0: the journal is away."""
        self._open = False

    def open(self) -> None:
        """Share out credit again."""
        self._open = True
