"""PURE: admission control: how many reports of which sender may wait for a commit, and in what order.

`WaitingRoom` keeps reports in one lane per sender, which are served in turn, so that no flood of one delays another.
`CreditBank` divides the number of reports that may be unanswered among the WebSockets. `Pace` measures the cost of
commits, so that the room shrinks when the database is slow: reports that are admitted are committed soon, and others
are refused at once. None of them reads a clock.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Generic, TypeVar

from gateway.errors import Overloaded
from gateway.humanize import counted

T = TypeVar("T")

WAIT_S = 0.25
"""How long an admitted report may have to wait, in seconds; longer queues are refused with `retry`."""
BATCH_S = 0.15
"""Target duration of one commit, in seconds; the next commit waits for it."""
ROOM_MIN, BATCH_MIN = 64, 16
"""Minimum sizes of the room and of a batch, in reports, however slow the commits are."""
TURN = 8
"""Maximum number of reports taken from a lane per turn, even if other lanes then wait for the next batch: their answers
share a frame, and what the client sends next is read together. With 4, a report takes a tenth more CPU under full load.
A report waits for at most TURN - 1 further reports of each lane ahead of it."""
TURNS_MIN = 4
"""Lanes that have a turn in each batch, if so many wait: turns are shorter in small batches, as slow commits have."""
NEW_WEIGHT = 0.3
"""The weight of the newest commit in the average."""


class Pace:
    """Estimated cost per report, from the commits observed. Invariant: only full commits raise it; any commit may lower
    it.

    A commit of few reports has fixed costs that more reports would share, so it is an upper bound on the cost per
    report and never raises the estimate. Source of the idea: J. D. C. Little, "A Proof for the Queuing Formula L = λW"
    (1961): in a room for λ × W reports, none waits longer than W.
    """

    def __init__(self) -> None:
        self.cost_s = 0.0
        """Seconds per report; 0 while it is unknown."""

    def committed(self, reports: int, seconds: float, *, full: bool) -> None:
        """Record a commit; `full`: more reports were waiting than it took."""
        if not reports:
            return
        cost_s = seconds / reports
        if full:
            self.cost_s += (cost_s - self.cost_s) * (NEW_WEIGHT if self.cost_s else 1.0)
        elif cost_s < self.cost_s:
            self.cost_s = cost_s

    def within(self, seconds: float, least: int, most: int) -> int:
        """Return how many reports can be committed in so many seconds, from `least` to `most`."""
        if self.cost_s * most <= seconds:
            return most
        return max(min(least, most), int(seconds / self.cost_s))


class WaitingRoom(Generic[T]):
    """Items waiting for a commit. Invariants:

    * At most `most` wait, plus at most one oversized request. New ones are admitted while fewer than `capacity` wait,
      which follows the pace of the commits and is never above `most`.
    * Items under credit, which the bank counts, always find room. Others are admitted while there is room beside all
      credit. A request that might never find enough room is admitted as oversized, one at a time.
    * Items of one lane leave in the order in which they came; lanes are served in turn. A sender has one lane, and
      another one for items under credit.
    """

    def __init__(self, most: int, batch: int) -> None:
        self.most = most
        self.capacity = most
        self.batch = batch
        self._lanes: OrderedDict[tuple[object, bool], deque[T]] = OrderedDict()
        self._length = 0
        self._admitted = 0
        self._oversized: tuple[object, bool] | None = None
        """The lane of the oversized request."""
        self._oversized_left = 0
        self._outgrown: dict[tuple[object, bool], int] = {}
        """By lane, admitted items beyond a quarter of the room, if more were admitted than fit since it has shrunk."""
        self._outgrown_sum = 0

    def __len__(self) -> int:
        return self._length

    def check(self, sender: object, count: int, credit: int, *, at_most: int = 0) -> None:
        """Check that `count` more items of one sender may wait, all or none, while `credit` is promised to others.

        If their number is not known yet, it is enough that some number from `count` to `at_most` may wait.

        While nothing admitted waits, any one request may. A sender that has items waiting may have no more than its
        share of half of the room. One that has none may send an oversized request, unless one waits already, of more
        than a batch: as each batch leaves there is room for less than that, and perhaps never for more.
        Raises Overloaded, whose `share` says whether it is the sender's own share that is full.
        """
        if not self._admitted:
            return
        room = self.left(credit)
        lane = self._lanes.get((sender, False))
        if lane is not None:
            share = max(0, self.capacity - credit) // (2 * len(self._lanes))
            if len(lane) + count > share:
                raise Overloaded(
                    f"{counted(len(lane), 'report', grouped=False)} of this token already waiting",
                    self.delay_s(),
                    share=True,
                )
        elif max(count, at_most) > self.batch and not self._oversized_left:
            return
        if count > room:
            raise Overloaded(f"{counted(self._length, 'report', grouped=False)} waiting", self.delay_s())

    @property
    def oversized(self) -> int:
        """The number of items of an oversized request that still wait."""
        return self._oversized_left

    @property
    def outgrown(self) -> int:
        """The number of admitted items that count for no room, since it has shrunk."""
        return self._outgrown_sum

    def admit(self, sender: object, count: int, credit: int) -> None:
        """Admit a request of `count` items, which are put next. Raises Overloaded, see `check`."""
        self.check(sender, count, credit)
        if count > self.left(credit):
            self._oversized, self._oversized_left = (sender, False), count

    def left(self, credit: int) -> int:
        """Return for how many more there is room while `credit` is promised.

        Neither an oversized request counts, nor what a sender was admitted with before the room has shrunk.
        """
        room = min(self.capacity + self._outgrown_sum, self.most)
        return max(0, room - credit - (self._admitted - self._oversized_left))

    def left_at_most(self, credit: int) -> int:
        """Return the same for a room of the largest size, as it is while commits are fast."""
        return max(0, self.most - credit - (self._admitted - self._oversized_left))

    def delay_s(self) -> float:
        """Return after how many seconds to try again: 1, up to 5 as the room fills. The caller adds jitter."""
        return 1.0 + 4.0 * min(1.0, self._length / self.capacity)

    def put(self, sender: object, items: Sequence[T], *, credited: bool) -> None:
        """Add items of one sender that were admitted or are under credit, all or none.

        Raises Overloaded if credit would fill more than the room: a last resort, since the bank prevents it.
        """
        if credited and self._length - self._oversized_left + len(items) > self.most:
            raise Overloaded(f"{counted(self._length, 'report', grouped=False)} waiting", self.delay_s())
        if not items:
            return
        lane = self._lanes.get((sender, credited))
        if lane is None:
            lane = self._lanes[sender, credited] = deque()
        lane += items
        self._length += len(items)
        if not credited:
            self._admitted += len(items)

    def follow(self, pace: Pace) -> None:
        """Set the capacity to what is committed within WAIT_S.

        If more items are waiting than that, they were admitted while the room was larger. Each sender then counts for
        at most a quarter of the room, so that its earlier items keep nobody else out: all credit takes at most half of
        the room, and a quarter is half of the rest.
        """
        self.capacity = pace.within(WAIT_S, ROOM_MIN, self.most)
        self._outgrown.clear()
        if self._admitted - self._oversized_left > self.capacity:
            part = self.capacity // 4
            for key, lane in self._lanes.items():
                oversized = self._oversized_left if key == self._oversized else 0
                if not key[1] and len(lane) - oversized > part:
                    self._outgrown[key] = len(lane) - oversized - part
        self._outgrown_sum = sum(self._outgrown.values())

    def heads(self) -> Iterator[T]:
        """Yield the first item of each lane, which has waited longest."""
        return (lane[0] for lane in self._lanes.values())

    def take(self, most: int) -> list[T]:
        """Take up to `most` items, an equal part from each lane, first from the one that has waited longest for a turn.

        If an equal part would be less than a turn, those served first get a turn, and the others the next one.
        """
        taken: list[T] = []
        turn = max(1, min(TURN, most // TURNS_MIN))
        while self._lanes and len(taken) < most:
            part = max(turn, (most - len(taken)) // len(self._lanes))
            for key in list(islice(self._lanes, most - len(taken))):
                lane = self._lanes[key]
                count = min(part, len(lane), most - len(taken))
                if not count:
                    break
                if count == len(lane):
                    taken += lane
                    lane.clear()
                else:
                    taken += [lane.popleft() for _ in range(count)]
                self._length -= count
                self._admitted -= 0 if key[1] else count
                if key == self._oversized:  # its lane was empty before it, so it leaves first
                    self._oversized_left = max(0, self._oversized_left - count) if lane else 0
                if key in self._outgrown:
                    left = min(count, self._outgrown[key])
                    self._outgrown[key] -= left
                    self._outgrown_sum -= left
                if lane:
                    self._lanes.move_to_end(key)
                else:
                    del self._lanes[key]
        return taken


class CreditBank:
    """How many reports each connection may leave unanswered. Invariants:

    * All credit given is at most `total`, half of the room, and together with the admitted items at most the room. If
      the room shrinks, credit that was given is taken back as reports are answered.
    * If slow commits have made the room so small that `total` is given and some connections have nothing, each of them
      gets 1 more, up to half of the largest room. Otherwise they would wait for connections that send nothing, forever,
      since the room grows again only by commits.
    * A connection whose credit was taken back may have the reports that it sent before decided, one at a time, besides.
    * A report that a connection submitted is under credit until it is answered, also after the connection has left.
    * Every sender's fair credit is the same, however many connections it has: `most`, halved as often as needed, so
      that it changes rarely as senders come and go. Its connections share it equally, with at least 1 each.
    * Fair credits fit into `total`, unless there are more connections than that; so none waits for an idle one.
    """

    def __init__(self, most: int, room: WaitingRoom[Any]) -> None:
        self._needs = {most >> halvings: 0 for halvings in range(most.bit_length())}
        """By possible fair credit: what all senders need if it is that, with at least 1 for each connection."""
        self.given = 0
        """The sum of all credit, and of the unanswered reports of connections that have left."""
        self._room = room
        self._credit: dict[object, int] = {}
        """By connection."""
        self._sender: dict[object, object] = {}
        self._connections: Counter[object] = Counter()
        """By sender."""
        self._unanswered: dict[object, int] = {}
        self._lent: set[object] = set()
        """Connections with a report that was submitted without credit."""
        self._open = True

    def __len__(self) -> int:
        return len(self._credit)

    @property
    def total(self) -> int:
        """How much credit there is."""
        return max(1, self._room.capacity // 2)

    @property
    def fair(self) -> int:
        """The credit that every sender should have now; 0 while the bank is closed."""
        if not self._open:
            return 0
        total = self.total
        for fair, need in self._needs.items():
            if need <= total:
                return fair
        return 1

    def fair_of(self, connection: object) -> int:
        """Return the credit that a connection should have now."""
        fair = self.fair
        return fair and max(1, fair // self._connections[self._sender[connection]])

    @property
    def promised(self) -> int:
        """What is given, or would be if every connection had its fair credit: requests leave room for it."""
        if not self._connections:
            return self.given
        return max(self.given, min(self.total, self._needs.get(self.fair, 0)))

    def enter(self, connection: object, sender: object) -> int:
        """Add a connection of a sender and return its first credit, 0 if none is free."""
        self._credit[connection] = 0
        self._sender[connection] = sender
        self._count(sender, 1)
        return self.adjust(connection)

    def adjust(self, connection: object) -> int:
        """Adjust a connection's credit to the fair one and return it.

        It rises as far as there is free credit and room for it, and never falls below the number of unanswered reports.
        """
        before = self._credit[connection]
        fair = self.fair_of(connection)
        if fair == before:
            return before
        free = max(0, min(self.total - self.given, self._room.left(self.given)))
        if not before and not free and self.total <= self.given < self._room.most // 2:
            free = min(1, self._room.left_at_most(self.given))
        credit = max(min(fair, before + free), self._unanswered.get(connection, 0))
        self.given += credit - before
        self._credit[connection] = credit
        return credit

    def credit(self, connection: object) -> int:
        """Return a connection's present credit."""
        return self._credit.get(connection, 0)

    def submitted(self, connection: object, count: int = 1) -> None:
        """Count reports of a connection as submitted and unanswered; without credit, at most one may be."""
        credit = self._credit[connection]
        if not credit:
            assert connection not in self._lent
            assert count == 1
            self._lent.add(connection)
            return
        unanswered = self._unanswered.get(connection, 0) + count
        assert unanswered <= credit
        self._unanswered[connection] = unanswered

    def answered(self, connection: object, count: int = 1) -> None:
        """Count some of them as answered, which frees their credit if the connection has left."""
        if connection in self._lent:
            self._lent.discard(connection)
            count -= 1
        if not count:
            return
        unanswered = self._unanswered.pop(connection) - count
        assert unanswered >= 0
        if unanswered:
            self._unanswered[connection] = unanswered
        if connection not in self._credit:
            self.given -= count

    def leave(self, connection: object) -> None:
        """Take back a connection's credit, except for its unanswered reports."""
        if connection not in self._credit:
            return
        self.given -= self._credit.pop(connection) - self._unanswered.get(connection, 0)
        self._count(self._sender.pop(connection), -1)

    def _count(self, sender: object, change: int) -> None:
        """Add (1) or remove (-1) a connection of a sender, and update what all senders need."""
        before = self._connections[sender]
        after = self._connections[sender] = before + change
        for fair in self._needs:
            self._needs[fair] += (after and max(fair, after)) - (before and max(fair, before))
        if not after:
            del self._connections[sender]

    def close(self) -> None:
        """Set every fair credit to 0: the journal is unavailable."""
        self._open = False

    def open(self) -> None:
        """Distribute credit again."""
        self._open = True
