"""PURE: who may wait for a commit, how many, and in whose turn.

`WaitingRoom` holds reports in a lane a sender, taken in turn, so that no flood of one delays another.
`CreditBank` shares out how many reports the WebSockets may leave unanswered. `Pace` tells what a commit takes, so that
the room can be as small as a slow database makes it: who is let in is served soon, the others are told so at once.
None of them reads a clock.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from itertools import islice
from typing import Any, Generic, TypeVar

from gateway.errors import Overloaded

T = TypeVar("T")

WAIT_S = 0.25
"""What those let in may have to wait for; whoever would wait longer is better told to come back."""
BATCH_S = 0.15
"""What one commit may take: the next one waits for it."""
ROOM_MIN, BATCH_MIN = 64, 16
"""However slow the commits are."""
TURN = 4
"""Reports that a lane may leave with in its turn even where others then wait for the next batch: their answers share
a frame. A report waits for no more than TURN - 1 others of each lane before it."""
NEW_WEIGHT = 0.3
"""Of the newest commit in the average."""


class Pace:
    """What a report costs, by the commits seen. Invariant: it is told only by commits that were full, or cheaper.

    A commit of few reports has costs that more would share, so it says only how cheap a report may be, and never how
    dear. Source of the idea: J. D. C. Little, "A Proof for the Queuing Formula L = λW" (1961): a room for λ × W
    reports is one in which nobody waits longer than W.
    """

    def __init__(self) -> None:
        self.cost_s = 0.0
        """Seconds a report; 0 while nothing is known."""

    def committed(self, reports: int, seconds: float, *, full: bool) -> None:
        """Note a commit; it was full where more waited than it took."""
        if not reports:
            return
        cost_s = seconds / reports
        if full:
            self.cost_s += (cost_s - self.cost_s) * (NEW_WEIGHT if self.cost_s else 1.0)
        elif cost_s < self.cost_s:
            self.cost_s = cost_s

    def within(self, seconds: float, least: int, most: int) -> int:
        """Return how many reports are committed in so many seconds, within bounds."""
        if self.cost_s * most <= seconds:
            return most
        return max(min(least, most), int(seconds / self.cost_s))


class WaitingRoom(Generic[T]):
    """Items waiting for a commit. Invariants:

    * At most `most` wait, and one request more: the one that went in beyond the room, if any. New ones are let in
      while fewer than `capacity` wait, which follows the pace of the commits and is never above `most`.
    * What is under credit, counted by the bank, has its place; the rest is admitted as long as there is room beside
      all credit, and a request that might never find room so goes in beyond it, one at a time.
    * Items of one lane leave in the order they came; lanes are served in turn. A sender has one lane, and another for
      what it sends under credit.
    """

    def __init__(self, most: int, batch: int) -> None:
        self.most = most
        self.capacity = most
        self.batch = batch
        self._lanes: OrderedDict[tuple[object, bool], deque[T]] = OrderedDict()
        self._length = 0
        self._admitted = 0
        self._beyond: tuple[object, bool] | None = None
        self._beyond_left = 0

    def __len__(self) -> int:
        return self._length

    def check(self, sender: object, count: int, credit: int, *, at_most: int = 0) -> None:
        """Check that `count` more of one sender may wait, all or none, while `credit` is promised to others.

        Where it is not known yet how many there are, any number from `count` to `at_most` that may wait is enough.

        Where nothing admitted waits, any one request may. A sender with something waiting may have no more than its
        share of half of the room. One with nothing waiting may go beyond the room, unless another has, with what is
        more than a batch: as each batch leaves there is room for less than that, and perhaps never for more.
        Raises Overloaded, whose `share` says whose fault it is.
        """
        if not self._admitted:
            return
        room = self.left(credit)
        lane = self._lanes.get((sender, False))
        if lane is not None:
            share = max(0, self.capacity - credit) // (2 * len(self._lanes))
            if len(lane) + count > share:
                raise Overloaded(
                    f"{len(lane)} of your reports are waiting already", self.delay_s(), share=True
                )
        elif max(count, at_most) > self.batch and not self._beyond_left:
            return
        if count > room:
            raise Overloaded(f"{self._length} reports are waiting", self.delay_s())

    @property
    def beyond(self) -> int:
        """Return how much of the request beyond the room still waits."""
        return self._beyond_left

    def admit(self, sender: object, count: int, credit: int) -> None:
        """Let in a request of `count`, which is put next. Raises Overloaded, see `check`."""
        self.check(sender, count, credit)
        if count > self.left(credit):
            self._beyond, self._beyond_left = (sender, False), count

    def left(self, credit: int) -> int:
        """Return how many more there is room for while `credit` is promised, besides the request beyond the room."""
        return max(0, self.capacity - credit - (self._admitted - self._beyond_left))

    def left_at_most(self, credit: int) -> int:
        """Return the same for the largest room, which commits of the usual pace would make."""
        return max(0, self.most - credit - (self._admitted - self._beyond_left))

    def delay_s(self) -> float:
        """Return after how many seconds to come back: 1 s, up to 5 s as the room fills. The caller spreads it."""
        return 1.0 + 4.0 * min(1.0, self._length / self.capacity)

    def put(self, sender: object, item: T, *, credited: bool) -> None:
        """Let one item wait, which was admitted or is under credit.

        Raises Overloaded where credit would fill more than the room: a last resort, the bank sees to it before.
        """
        if credited and self._length - self._beyond_left >= self.most:
            raise Overloaded(f"{self._length} reports are waiting", self.delay_s())
        lane = self._lanes.get((sender, credited))
        if lane is None:
            lane = self._lanes[sender, credited] = deque()
        lane.append(item)
        self._length += 1
        self._admitted += not credited

    def follow(self, pace: Pace) -> None:
        """Let in as many as are served within WAIT_S."""
        self.capacity = pace.within(WAIT_S, ROOM_MIN, self.most)

    def heads(self) -> Iterator[T]:
        """Give the first item of each lane, which has waited longest of it."""
        return (lane[0] for lane in self._lanes.values())

    def take(self, most: int) -> list[T]:
        """Take up to `most` items, an equal part from each lane, first from the one that waited longest for a turn.

        Where an equal part would be less than TURN, those served first get as much, and the others the next turn.
        """
        taken: list[T] = []
        while self._lanes and len(taken) < most:
            part = max(TURN, (most - len(taken)) // len(self._lanes))
            for key in list(islice(self._lanes, most - len(taken))):
                lane = self._lanes[key]
                count = min(part, len(lane), most - len(taken))
                if not count:
                    break
                taken.extend(lane.popleft() for _ in range(count))
                self._length -= count
                self._admitted -= 0 if key[1] else count
                if key == self._beyond:  # its lane was empty before it, so it leaves first
                    self._beyond_left = max(0, self._beyond_left - count) if lane else 0
                if lane:
                    self._lanes.move_to_end(key)
                else:
                    del self._lanes[key]
        return taken


class CreditBank:
    """How many reports each connection may leave unanswered. Invariants:

    * No credit is given beyond `total`, a half of the room, nor, with what was admitted to the room, beyond the room.
      Where the room shrinks, credit that was given is taken back as it is answered.
    * Where slow commits have made the room so small that `total` is given and some connections have nothing, each of
      them gets 1 beyond it, up to a half of the largest room: else they would wait for connections that send nothing,
      and for ever, as the room grows again only by commits.
    * A connection whose credit was taken back may have what it sent before decided, one report at a time, beside that.
    * What a connection handed on is under credit until it is answered, also after the connection has left.
    * Every sender's fair credit is the same, however many connections it has: `most`, halved as often as needed, so
      that it changes rarely as senders come and go. Its connections share it alike, with one for each at least.
    """

    def __init__(self, most: int, room: WaitingRoom[Any]) -> None:
        self.most = most
        self.given = 0
        """The sum of all credits, and of what those who left have unanswered."""
        self._room = room
        self._held: dict[object, int] = {}
        self._sender: dict[object, object] = {}
        self._connections: Counter[object] = Counter()
        """Of each sender."""
        self._unanswered: dict[object, int] = {}
        self._lent: set[object] = set()
        """Connections with a report that was handed on without credit."""
        self._open = True

    def __len__(self) -> int:
        return len(self._held)

    @property
    def total(self) -> int:
        """Return how much credit there is."""
        return max(1, self._room.capacity // 2)

    @property
    def fair(self) -> int:
        """Return the credit that every sender would hold now; 0 while the bank is closed."""
        if not self._open:
            return 0
        fair = self.most
        while fair > 1 and fair * len(self._connections) > self.total:
            fair //= 2
        return fair

    def fair_of(self, holder: object) -> int:
        """Return the credit that a connection would hold now."""
        fair = self.fair
        return fair and max(1, fair // self._connections[self._sender[holder]])

    @property
    def promised(self) -> int:
        """What is given, or would be if every connection held its fair credit: requests leave room for it."""
        fair = self.fair
        return max(self.given, min(self.total, fair and max(len(self._held), fair * len(self._connections))))

    def enter(self, holder: object, sender: object) -> int:
        """Take in a connection of a sender and return its first credit, 0 where none is free."""
        self._held[holder] = 0
        self._sender[holder] = sender
        self._connections[sender] += 1
        return self.settle(holder)

    def settle(self, holder: object) -> int:
        """Bring a connection's credit to the fair one and return it.

        It rises as far as there is free credit and room for it, and falls no lower than what is unanswered.
        """
        held = self._held[holder]
        free = max(0, min(self.total - self.given, self._room.left(self.given)))
        if not held and not free and self.total <= self.given < self._room.most // 2:
            free = min(1, self._room.left_at_most(self.given))
        credit = max(min(self.fair_of(holder), held + free), self._unanswered.get(holder, 0))
        self.given += credit - held
        self._held[holder] = credit
        return credit

    def held(self, holder: object) -> int:
        """Return a connection's present credit."""
        return self._held.get(holder, 0)

    def hand_on(self, holder: object) -> None:
        """Count one report of a connection as handed on and not answered; without credit, at most one may be."""
        held = self._held[holder]
        if not held:
            assert holder not in self._lent
            self._lent.add(holder)
            return
        unanswered = self._unanswered.get(holder, 0)
        assert unanswered < held
        self._unanswered[holder] = unanswered + 1

    def answered(self, holder: object) -> None:
        """Count one of them as answered; of a connection that has left, its credit is free with that."""
        if holder in self._lent:
            self._lent.discard(holder)
            return
        unanswered = self._unanswered.pop(holder) - 1
        if unanswered:
            self._unanswered[holder] = unanswered
        if holder not in self._held:
            self.given -= 1

    def leave(self, holder: object) -> None:
        """Give back a connection's credit, but for what is unanswered."""
        if holder not in self._held:
            return
        self.given -= self._held.pop(holder) - self._unanswered.get(holder, 0)
        sender = self._sender.pop(holder)
        self._connections[sender] -= 1
        if not self._connections[sender]:
            del self._connections[sender]

    def close(self) -> None:
        """Make every fair credit 0: the journal is away."""
        self._open = False

    def open(self) -> None:
        """Share out credit again."""
        self._open = True
