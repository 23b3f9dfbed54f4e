"""Who waits, how many and in whose turn: against models that keep plain lists."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.errors import Overloaded
from gateway.journal.admission import (
    BATCH_MIN,
    BATCH_S,
    ROOM_MIN,
    TURN,
    TURNS_MIN,
    WAIT_S,
    CreditBank,
    Pace,
    WaitingRoom,
)
from tests.counts import examples

CAPACITY, BATCH = 20, 5

Lane = tuple[str, bool]


class Room(RuleBasedStateMachine):
    """Requests of some senders, reports under credit, and batches of any size taken out."""

    def __init__(self) -> None:
        super().__init__()
        self.room: WaitingRoom[tuple[Lane, int]] = WaitingRoom(CAPACITY, BATCH)
        self.lanes: dict[Lane, list[int]] = {}
        """Lanes that are not empty, the one that waited longest for a turn first."""
        self.next = 0
        self.oversized: set[int] = set()
        """The waiting items of the oversized request."""

    def put(self, lane: Lane, count: int) -> None:
        items = range(self.next + 1, self.next + 1 + count)
        self.next += count
        self.room.put(lane[0], [(lane, item) for item in items], credited=lane[1])
        self.lanes.setdefault(lane, []).extend(items)

    @property
    def admitted(self) -> int:
        return sum(len(items) for (_, credited), items in self.lanes.items() if not credited)

    @rule(sender=st.sampled_from("abcdef"), count=st.integers(1, 3))
    def reports_under_credit(self, sender: str, count: int) -> None:
        """They are always let in, all or none, until the room is full of them: then the bank has not done its work."""
        if len(self.room) - len(self.oversized) + count <= CAPACITY:
            self.put((sender, True), count)
        else:
            with pytest.raises(Overloaded):
                self.room.put(sender, [((sender, True), 0)] * count, credited=True)

    @rule(
        sender=st.sampled_from("abc"),
        count=st.integers(1, 8) | st.integers(1, 30),
        credit=st.just(0) | st.integers(0, 25),
    )
    def request(self, sender: str, count: int, credit: int) -> None:
        """A whole request is let in or none of it, by the room that credit leaves and the share of its sender.

        One at a time is oversized, if it is more than a batch and its sender has nothing waiting.
        """
        own = len(self.lanes.get((sender, False), []))
        share_full = own > 0 and own + count > max(0, CAPACITY - credit) // (2 * max(1, len(self.lanes)))
        fits = count <= CAPACITY - credit - (self.admitted - len(self.oversized))
        may_be_oversized = self.admitted == 0 or (own == 0 and count > BATCH and not self.oversized)
        before = len(self.room)
        if may_be_oversized or (fits and not share_full):
            self.room.check(sender, count, credit)
            self.room.check(sender, 1, credit, at_most=count)
            self.room.admit(sender, count, credit)
            self.put((sender, False), count)
            if not fits:
                self.oversized = set(range(self.next - count + 1, self.next + 1))
            return
        with pytest.raises(Overloaded) as caught:
            self.room.admit(sender, count, credit)
        assert caught.value.share == share_full
        assert 1.0 <= caught.value.retry_after_s <= 5.0
        assert len(self.room) == before

    @rule(most=st.integers(1, 40))
    def take(self, most: int) -> None:
        """A batch is as full as it can be, in the order of each lane, fair to all, the longest waiting first."""
        taken = self.room.take(most)
        self.oversized -= {item for _, item in taken}
        assert len(taken) == min(most, sum(map(len, self.lanes.values())))
        by_lane: dict[Lane, list[int]] = {}
        for lane, item in taken:
            by_lane.setdefault(lane, []).append(item)
        order = list(self.lanes)
        for lane, items in by_lane.items():
            assert items == self.lanes[lane][: len(items)]
            self.lanes[lane] = self.lanes[lane][len(items) :]
        served = [order.index(lane) for lane in by_lane]
        assert sorted(served) == list(range(len(served)))
        for lane in order:
            if self.lanes[lane]:
                assert max(map(len, by_lane.values())) <= max(TURN, len(by_lane.get(lane, []))) + TURN
        served_last = list(dict.fromkeys(lane for lane, _ in reversed(taken)))[::-1]
        turns = [*(lane for lane in order if lane not in by_lane), *served_last]
        self.lanes = {lane: self.lanes[lane] for lane in turns if self.lanes[lane]}

    @rule()
    def take_nothing(self) -> None:
        assert self.room.take(0) == []

    @invariant()
    def what_waits_is_counted_and_bounded(self) -> None:
        for credit in (0, 3, CAPACITY, 2 * CAPACITY):
            left = CAPACITY - credit - (self.admitted - len(self.oversized))
            assert self.room.left(credit) == max(0, left)
        assert len(self.room) - len(self.oversized) <= 2 * CAPACITY
        assert len(self.room) == sum(map(len, self.lanes.values()))
        full = min(1.0, len(self.room) / CAPACITY)
        assert self.room.delay_s() == pytest.approx(1.0 + 4.0 * full)


Room.TestCase.settings = settings(
    deadline=None, max_examples=examples(150), stateful_step_count=30, report_multiple_bugs=False
)
TestWaitingRoom = Room.TestCase


def filled(**lanes: int) -> WaitingRoom[Any]:
    room: WaitingRoom[Any] = WaitingRoom(100_000, 500)
    for sender, count in lanes.items():
        for number in range(count):
            room.put(sender, [(sender, number)], credited=False)
    return room


def test_one_report_does_not_wait_behind_a_flood() -> None:
    """A sender with one report is in the next batch, however many thousands wait for another."""
    room = filled(flood=10_000, small=1)
    assert Counter(sender for sender, _ in room.take(500)) == {"flood": 499, "small": 1}
    room.put("late", [("late", 0)], credited=False)
    assert ("late", 0) in room.take(2 * TURN)


def test_more_senders_than_fit_into_a_batch_take_turns() -> None:
    """Each has had its turn before any has another."""
    room = filled(**{f"sender-{number}": 3 * TURN for number in range(10)})
    first = [room.take(TURNS_MIN * TURN) for _ in range(5)]
    served = Counter(sender for batch in first for sender, _ in batch)
    assert set(served.values()) == {2 * TURN}
    assert {len(batch) for batch in first} == {TURNS_MIN * TURN}
    assert {len(Counter(sender for sender, _ in batch)) for batch in first} == {TURNS_MIN}


@pytest.mark.parametrize("most", [TURNS_MIN, BATCH_MIN, TURNS_MIN * TURN])
def test_turns_are_shorter_in_small_batches(most: int) -> None:
    """So that a batch is not that of one or two senders while commits are slow."""
    room = filled(**{f"sender-{number}": 3 * TURN for number in range(10)})
    assert list(Counter(sender for sender, _ in room.take(most)).values()) == [most // TURNS_MIN] * TURNS_MIN


@settings(deadline=None, max_examples=examples(100))
@given(st.dictionaries(st.text(max_size=2), st.integers(1, 40), min_size=1), st.integers(1, 30))
def test_every_item_leaves_in_the_end_in_order(lanes: dict[str, int], most: int) -> None:
    """None is lost, repeated or reordered, and no lane waits for more turns than there are other lanes."""
    room = filled(**lanes)
    taken: list[tuple[str, int]] = []
    while batch := room.take(most):
        taken += batch
        if len(taken) == len(batch):
            first = Counter(sender for sender, _ in batch)
            assert len(first) >= min(-(-most // TURN), len(lanes))
    for sender, count in lanes.items():
        assert [number for name, number in taken if name == sender] == list(range(count))
    assert len(taken) == sum(lanes.values())
    assert len(room) == 0


@pytest.mark.parametrize(("floods", "part"), [(1, 2), (2, 4)])
def test_what_was_admitted_into_a_larger_room_keeps_no_other_sender_out(floods: int, part: int) -> None:
    """The room shrinks with each commit, as these reports are slow to commit; a part of it is promised as credit."""
    room: WaitingRoom[str] = WaitingRoom(20_000, 500)
    for number in range(floods):
        room.admit(number, 4_000, credit=0)
        room.put(number, ["flood"] * 4_000, credited=False)
    pace = Pace()
    pace.committed(500, 0.02, full=True)
    commits = 0
    while True:
        pace.committed(500, 0.5, full=True)
        room.follow(pace)
        if len(room) <= room.capacity:
            break
        credit = room.capacity // part
        room.admit("other", 1, credit)
        room.put("other", ["other"], credited=False)
        assert room.take(pace.within(BATCH_S, BATCH_MIN, 500)).count("other") == 1
        with pytest.raises(Overloaded):
            room.check(0, room.capacity // 2, credit)
        commits += 1
    assert commits > 10
    while room.take(500):
        room.follow(pace)
    assert (len(room), room.outgrown, room.left(credit=0)) == (0, 0, room.capacity)


def test_what_was_admitted_into_a_larger_room_leaves_the_place_of_the_oversized_request_to_another() -> None:
    """A request that needs this place would otherwise be refused until all of it is committed."""
    room: WaitingRoom[str] = WaitingRoom(20_000, 500)
    room.admit("flood", 4_000, credit=0)
    room.put("flood", ["flood"] * 4_000, credited=False)
    room.follow(Fixed(250))
    room.admit("other", 2_000, credit=125)
    room.put("other", ["other"] * 2_000, credited=False)
    assert (room.oversized, room.outgrown) == (2_000, 4_000 - 250 // 4)
    room.follow(Fixed(250))
    assert (room.oversized, room.outgrown) == (2_000, 4_000 - 250 // 4)
    assert room.take(500).count("other") == 250
    assert (room.oversized, room.outgrown) == (1_750, 3_750 - 250 // 4)


def test_a_room_that_is_large_again_never_has_more_than_its_largest_size() -> None:
    """Whatever was admitted while it was small."""
    room: WaitingRoom[str] = WaitingRoom(1_000, 500)
    room.admit("flood", 900, credit=0)
    room.put("flood", ["flood"] * 900, credited=False)
    for size in (100, 1_000, 100, 600):
        room.follow(Fixed(size))
        for number in range(1_000):
            if room.left(credit=0):
                room.admit(number, 1, credit=0)
                room.put(number, ["other"], credited=False)
    assert len(room) == 1_000


def test_reports_under_credit_find_room_all_or_none() -> None:
    """What does not fit as a whole leaves nothing behind, and no reports leave no lane."""
    room: WaitingRoom[int] = WaitingRoom(10, 500)
    room.put("a", range(8), credited=True)
    with pytest.raises(Overloaded):
        room.put("a", range(3), credited=True)
    room.put("b", [], credited=True)
    room.put("b", [8, 9], credited=True)
    assert sorted(room.take(10)) == list(range(10))
    assert not room.take(10)


def test_a_single_request_is_never_too_large() -> None:
    """While nothing admitted waits, one full request is admitted, even into a smaller room."""
    room: WaitingRoom[int] = WaitingRoom(10, 500)
    for number in range(10):
        room.put("socket", [number], credited=True)
    room.admit("a", 10_000, credit=10)
    for number in range(10_000):
        room.put("a", [number], credited=False)
    with pytest.raises(Overloaded) as caught:
        room.admit("b", 1, credit=10)
    assert not caught.value.share
    room.take(10_010)
    room.admit("b", 10_000, credit=10)


@pytest.mark.parametrize(("others", "share"), [(0, 50), (1, 25), (4, 10)])
def test_a_sender_may_fill_its_share_of_half_the_room(others: int, share: int) -> None:
    """The more senders wait, the smaller the share; one that has nothing waiting is admitted while there is room."""
    room: WaitingRoom[Any] = WaitingRoom(100, 100)
    for number in range(others):
        room.put(f"other {number}", [None], credited=False)
    for _ in range(5):
        room.put("own", [None], credited=False)
    room.admit("own", share - 5, credit=0)
    with pytest.raises(Overloaded) as caught:
        room.admit("own", share - 4, credit=0)
    assert caught.value.share
    room.admit("new", 95 - others, credit=0)
    with pytest.raises(Overloaded) as caught:
        room.admit("new", 96 - others, credit=0)
    assert not caught.value.share
    with pytest.raises(Overloaded):
        room.admit("new", 96 - others - 10, credit=10)


def test_a_large_request_is_admitted_beside_steady_small_ones() -> None:
    """It never finds enough room, so it is admitted as oversized; the next one waits until it has left."""
    room: WaitingRoom[Any] = WaitingRoom(100, 10)

    def request(sender: str, count: int) -> None:
        room.admit(sender, count, credit=50)
        for number in range(count):
            room.put(sender, [(sender, number)], credited=False)

    request("small", 1)
    request("large", 50)
    request("other", 49)
    for sender, count in (("late", 1), ("another large", 50)):
        with pytest.raises(Overloaded) as caught:
            request(sender, count)
        assert not caught.value.share
    with pytest.raises(Overloaded) as caught:
        request("large", 1)
    assert caught.value.share
    assert len(room) == 100
    while ("large", 49) not in room.take(10):
        with pytest.raises(Overloaded):
            request("another large", 60)
    request("another large", 60)


# Credit --------------------------------------------------------------------------------------------------


class Fixed(Pace):
    """A pace that makes a room of a certain size."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._capacity = capacity

    def within(self, seconds: float, least: int, most: int) -> int:
        return self._capacity


class Bank(RuleBasedStateMachine):
    """Connections that come, send and leave, requests beside them, and a journal that is unavailable at times."""

    MOST, ROOM, BATCH = 8, 40, 10

    def __init__(self) -> None:
        super().__init__()
        self.room: WaitingRoom[int | None] = WaitingRoom(self.ROOM, self.BATCH)
        self.capacity = self.ROOM
        self.bank = CreditBank(self.MOST, self.room)
        self.credit: dict[int, int] = {}
        self.sender: dict[int, str] = {}
        self.unanswered: Counter[int] = Counter()
        """Of connections, also of those that have left."""
        self.lent: set[int] = set()
        """Connections with a report that was handed on without credit."""
        self.requested = 0
        self.oversized = self.outgrown = 0
        self.open = True
        self.next = 0

    def fair(self) -> int:
        """The largest of 8, 4, 2 and 1 that all senders can have, with 1 for each connection; at least 1."""
        if not self.open:
            return 0
        connections = Counter(self.sender[connection] for connection in self.credit).values()
        return next(
            (each for each in (8, 4, 2) if sum(max(each, own) for own in connections) <= self.total()), 1
        )

    def fair_of(self, connection: int) -> int:
        """An equal part of it for each connection of a sender; at least 1."""
        siblings = sum(self.sender[other] == self.sender[connection] for other in self.credit)
        return max(1, self.fair() // siblings) if self.open else 0

    def free(self) -> int:
        """What can be given: of the total, and of the room beside requests."""
        return max(0, min(self.total(), self.room_of_all() - self.requested + self.oversized) - self.given())

    def room_of_all(self) -> int:
        """The capacity, besides what counts for no room."""
        return min(self.capacity + self.outgrown, self.ROOM)

    def free_of(self, connection: int) -> int:
        """What a connection can be given: one that has nothing gets 1 also where slow commits left too little."""
        if not self.credit[connection] and not self.free() and self.total() <= self.given() < self.ROOM // 2:
            return min(1, max(0, self.ROOM - self.given() - self.requested + self.oversized))
        return self.free()

    def total(self) -> int:
        """A half of the room."""
        return max(1, self.capacity // 2)

    def given(self) -> int:
        gone = sum(count for connection, count in self.unanswered.items() if connection not in self.credit)
        return sum(self.credit.values()) + gone

    @rule(sender=st.sampled_from("abcdef"))
    def enter(self, sender: str) -> None:
        """A connection starts with what is free of its fair credit, which may be nothing."""
        self.next += 1
        self.credit[self.next] = 0
        self.sender[self.next] = sender
        free = self.free_of(self.next)
        self.credit[self.next] = self.bank.enter(self.next, sender)
        assert self.credit[self.next] == min(free, self.fair_of(self.next))

    @precondition(lambda self: self.credit)
    @rule(data=st.data())
    def adjust(self, data: st.DataObject) -> None:
        """A connection's credit goes to the fair one, up as far as there is any free, down to what is unanswered."""
        connection = data.draw(st.sampled_from(sorted(self.credit)))
        expected = max(
            min(self.fair_of(connection), self.credit[connection] + self.free_of(connection)),
            self.unanswered[connection],
        )
        self.credit[connection] = self.bank.adjust(connection)
        assert self.credit[connection] == expected

    @precondition(lambda self: self.credit)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """Its credit is free, except for unanswered reports; leaving twice frees nothing twice."""
        connection = data.draw(st.sampled_from(sorted(self.credit)))
        self.bank.leave(connection)
        del self.credit[connection]
        self.bank.leave(connection)

    @precondition(lambda self: self.credit)
    @rule(data=st.data(), count=st.integers(1, 8))
    def send(self, data: st.DataObject, count: int) -> None:
        """A connection hands on what its credit allows, and there is always a place for it."""
        connection = data.draw(st.sampled_from(sorted(self.credit)))
        count = min(count, self.credit[connection] - self.unanswered[connection])
        if self.lent:
            count = min(count, max(0, self.ROOM - len(self.room) + self.oversized))
        if count:
            self.room.put("sender", [connection] * count, credited=True)
            self.bank.submitted(connection, count)
            self.unanswered[connection] += count

    @precondition(lambda self: any(not credit for credit in self.credit.values()))
    @rule(data=st.data())
    def send_without_credit(self, data: st.DataObject) -> None:
        """A connection without credit hands on one report that it sent before; its place comes from no credit."""
        without = {connection for connection, credit in self.credit.items() if not credit} - self.lent
        if without and len(self.room) - self.oversized < self.ROOM:
            connection = data.draw(st.sampled_from(sorted(without)))
            self.room.put("sender", [connection], credited=True)
            self.bank.submitted(connection)
            self.lent.add(connection)

    @rule(sender=st.sampled_from("abc"), count=st.integers(1, 8) | st.integers(9, 60))
    def request(self, sender: str, count: int) -> None:
        """Requests leave room for what is promised."""
        try:
            self.room.admit(sender, count, self.bank.promised)
        except Overloaded:
            return
        if count > self.room_of_all() - self.bank.promised - self.requested + self.oversized:
            assert not self.oversized
            self.oversized = count
        for _ in range(count):
            self.room.put(sender, [None], credited=False)
        self.requested += count

    @rule(most=st.integers(1, 30))
    def commit(self, most: int) -> None:
        """What is taken from the room is answered, also of connections that have left: their credit is free then."""
        for connection, count in Counter(self.room.take(most)).items():
            if connection is None:
                self.requested -= count
            else:
                self.bank.answered(connection, count)
                self.unanswered[connection] -= count - (connection in self.lent)
                self.lent.discard(connection)
        self.oversized, self.outgrown = self.room.oversized, self.room.outgrown

    @rule(capacity=st.integers(1, ROOM))
    def follow(self, capacity: int) -> None:
        """The room follows the pace of the commits; what waits already stays, and what is given is taken back later."""
        self.room.follow(Fixed(capacity))
        self.capacity, self.outgrown = capacity, self.room.outgrown

    @rule()
    def lose_the_journal(self) -> None:
        self.bank.close()
        self.open = False

    @rule()
    def find_the_journal(self) -> None:
        self.bank.open()
        self.open = True

    @rule()
    def adjust_all(self) -> None:
        """Once all have adjusted after all others, each has its fair credit, if there is enough."""
        while self.room:
            self.commit(30)
        for _ in range(2):
            for connection in self.credit:
                self.credit[connection] = self.bank.adjust(connection)
        fair = {connection: self.fair_of(connection) for connection in self.credit}
        if sum(fair.values()) <= self.total():
            assert self.credit == fair
        else:
            assert all(credit <= fair[connection] for connection, credit in self.credit.items())
            assert sum(self.credit.values()) >= self.total()
        if self.open and len(self.credit) <= self.ROOM // 2 and not self.requested:
            assert all(self.credit.values()), "a connection waits for another that sends nothing"

    @rule(senders=st.lists(st.sampled_from("abcdefghijklmnop"), max_size=12))
    def crowd(self, senders: list[str]) -> None:
        """Many come at once."""
        for sender in senders:
            self.enter(sender)

    @invariant()
    def no_more_is_given_than_there_is(self) -> None:
        assert {connection: self.bank.credit(connection) for connection in self.credit} == self.credit
        assert self.bank.given == self.given() <= self.bank.promised <= self.ROOM // 2
        assert all(self.unanswered[connection] <= credit for connection, credit in self.credit.items())
        assert self.given() + self.requested - self.oversized <= self.ROOM
        assert len(self.room) - self.oversized <= self.ROOM + len(self.lent)
        assert all(0 <= credit <= self.MOST for credit in self.credit.values())
        assert len(self.bank) == len(self.credit)
        assert self.bank.fair == self.fair()
        assert all(self.bank.fair_of(connection) == self.fair_of(connection) for connection in self.credit)
        assert self.bank.credit("unknown") == 0


Bank.TestCase.settings = settings(
    deadline=None, max_examples=examples(100), stateful_step_count=30, report_multiple_bugs=False
)
TestCreditBank = Bank.TestCase


def test_no_connection_is_left_without_credit_after_slow_commits() -> None:
    """Connections with credit may never send again, and then no commit would make the room large again."""
    room: WaitingRoom[int] = WaitingRoom(20_000, 500)
    bank = CreditBank(64, room)
    pace = Pace()
    pace.committed(500, 60.0, full=True)
    room.follow(pace)
    assert room.capacity == ROOM_MIN
    connections = range(3 * ROOM_MIN)
    for connection in connections:
        bank.enter(connection, connection)
    assert [bank.adjust(connection) for connection in connections] == [1] * len(connections)


def test_credit_that_is_released_goes_to_connections_that_have_none() -> None:
    """A connection that came too late gets its part as soon as the others have adjusted theirs."""
    bank = CreditBank(8, WaitingRoom(16, 1))
    assert bank.enter("first", 1) == 8
    assert bank.enter("second", 2) == 0
    assert bank.adjust("first") == 4
    assert bank.adjust("second") == 4
    bank.leave("first")
    assert bank.adjust("second") == 8


def test_a_sender_with_many_connections_leaves_none_of_another_sender_without_credit() -> None:
    """Each connection needs at least 1, so the fair credit of all is lower where one has more connections than that."""
    bank = CreditBank(8, WaitingRoom(40, 10))
    connections = [(sender, 0) for sender in "abcefgh"] + [("d", number) for number in range(5)] + [("i", 0)]
    for connection in connections:
        bank.enter(connection, connection[0])
    for connection in connections:
        bank.adjust(connection)
    assert [bank.adjust(connection) for connection in connections] == [1] * len(connections)


def test_more_connections_of_a_sender_bring_it_no_more_credit() -> None:
    """Its connections share what one would have; senders with one connection keep their credit."""
    bank = CreditBank(8, WaitingRoom(64, 1))
    assert bank.enter("quiet", "quiet") == 8
    flood = range(4)
    for connection in flood:
        bank.enter(connection, "flood")
    assert [bank.adjust(connection) for connection in flood] == [2] * 4
    assert bank.adjust("quiet") == 8
    bank.leave(0)
    bank.leave(1)
    assert [bank.adjust(connection) for connection in flood[2:]] == [4] * 2


def test_credit_of_a_closed_connection_is_free_when_its_reports_are_answered() -> None:
    """So connecting, sending and closing again and again fills no more of the room than staying does."""
    room: WaitingRoom[Any] = WaitingRoom(16, 4)
    bank = CreditBank(8, room)
    waiting = []
    for connection in range(100):
        for _ in range(bank.enter(connection, connection)):
            room.put("sender", [connection], credited=True)
            bank.submitted(connection)
            waiting.append(connection)
        bank.leave(connection)
    assert waiting == [0] * 8
    assert bank.enter("late", "late") == 0
    for connection in room.take(4):
        bank.answered(connection)
    assert bank.adjust("late") == 4


def test_credit_does_not_fall_below_the_unanswered_reports() -> None:
    """Other connections wait for it until then."""
    bank = CreditBank(8, WaitingRoom(16, 4))
    assert bank.enter("first", 1) == 8
    for _ in range(8):
        bank.submitted("first")
    assert bank.enter("second", 2) == 0
    assert bank.adjust("first") == 8
    assert bank.adjust("second") == 0
    for _ in range(3):
        bank.answered("first")
    assert bank.adjust("first") == 5
    assert bank.adjust("second") == 3


def test_requests_leave_room_for_the_credit_of_connections() -> None:
    """Credit waits while requests fill the room, and is given as they leave."""
    room: WaitingRoom[Any] = WaitingRoom(16, 16)
    bank = CreditBank(8, room)
    room.admit("a", 14, bank.promised)
    for _ in range(14):
        room.put("a", [None], credited=False)
    assert bank.enter("socket", "sender") == 2
    room.take(6)
    with pytest.raises(Overloaded):
        room.admit("b", 1, bank.promised)
    assert bank.adjust("socket") == 8


# Pace ----------------------------------------------------------------------------------------------------


def test_a_room_is_as_large_as_can_be_committed_in_time() -> None:
    """At 2 000 reports per second, 800 may wait; never less than the minimum, nor more than the maximum."""
    room: WaitingRoom[int] = WaitingRoom(20_000, 500)
    pace = Pace()
    for seconds, expected in ((0.25, 2000 * WAIT_S), (0.001, 20_000), (50.0, ROOM_MIN)):
        for _ in range(60):
            pace.committed(500, seconds, full=True)
        room.follow(pace)
        assert room.capacity == pytest.approx(expected, rel=0.01)


def test_small_commits_do_not_make_the_room_small() -> None:
    """They take long per report, which shows nothing about larger ones, except how cheap a report can be."""
    pace = Pace()
    pace.committed(1, 0.01, full=False)
    assert pace.within(WAIT_S, 1, 20_000) == 20_000
    pace.committed(100, 0.1, full=True)
    pace.committed(1, 0.01, full=False)
    assert pace.cost_s == pytest.approx(0.001)
    pace.committed(100, 0.01, full=False)
    assert pace.cost_s == pytest.approx(0.0001)
    pace.committed(0, 5.0, full=True)
    assert pace.cost_s == pytest.approx(0.0001)


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 100), st.booleans())),
    st.integers(1, 50),
    st.integers(1, 1000),
)
def test_whatever_the_pace_what_is_let_in_stays_within_bounds(
    commits: list[tuple[int, float, bool]], least: int, most: int
) -> None:
    pace = Pace()
    for reports, seconds, full in commits:
        pace.committed(reports, seconds, full=full)
        assert min(least, most) <= pace.within(WAIT_S, least, most) <= most
