"""Who waits, how many and in whose turn: against models that keep plain lists."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.errors import Overloaded
from gateway.journal.admission import CreditBank, WaitingRoom

CAPACITY = 20

Lane = tuple[str, bool]


class Room(RuleBasedStateMachine):
    """Requests of some senders, reports under credit, and batches of any size taken out."""

    def __init__(self) -> None:
        super().__init__()
        self.room: WaitingRoom[tuple[Lane, int]] = WaitingRoom(CAPACITY)
        self.lanes: dict[Lane, list[int]] = {}
        """Lanes that are not empty, the one that waited longest for a turn first."""
        self.next = 0

    def put(self, lane: Lane, count: int) -> None:
        for _ in range(count):
            self.next += 1
            self.lanes.setdefault(lane, []).append(self.next)
            self.room.put(lane[0], (lane, self.next), credited=lane[1])

    @property
    def admitted(self) -> int:
        return sum(len(items) for (_, credited), items in self.lanes.items() if not credited)

    @rule(sender=st.sampled_from("abcdef"), count=st.integers(1, 3))
    def report_under_credit(self, sender: str, count: int) -> None:
        """What the bank counts is always let in."""
        self.put((sender, True), count)

    @rule(
        sender=st.sampled_from("abc"),
        count=st.integers(1, 8) | st.integers(1, 30),
        credit=st.just(0) | st.integers(0, 25),
    )
    def request(self, sender: str, count: int, credit: int) -> None:
        """A whole request is let in or none of it, by the room that credit leaves and the share of its sender."""
        room = max(0, CAPACITY - credit)
        own = len(self.lanes.get((sender, False), []))
        share_full = own > 0 and own + count > room // (2 * len(self.lanes))
        room_full = self.admitted + count > room
        before = len(self.room)
        if self.admitted == 0 or not (share_full or room_full):
            self.room.admit(sender, count, credit)
            self.put((sender, False), count)
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
                assert max(map(len, by_lane.values())) <= len(by_lane.get(lane, [])) + 1
        served_last = list(dict.fromkeys(lane for lane, _ in reversed(taken)))[::-1]
        turns = [*(lane for lane in order if lane not in by_lane), *served_last]
        self.lanes = {lane: self.lanes[lane] for lane in turns if self.lanes[lane]}

    @rule()
    def take_nothing(self) -> None:
        assert self.room.take(0) == []

    @invariant()
    def what_waits_is_counted(self) -> None:
        assert len(self.room) == sum(map(len, self.lanes.values()))
        full = min(1.0, len(self.room) / CAPACITY)
        assert self.room.delay_s() == pytest.approx(1.0 + 4.0 * full)


Room.TestCase.settings = settings(
    deadline=None, max_examples=150, stateful_step_count=30, report_multiple_bugs=False
)
TestWaitingRoom = Room.TestCase


def filled(**lanes: int) -> WaitingRoom[Any]:
    room: WaitingRoom[Any] = WaitingRoom(100_000)
    for sender, count in lanes.items():
        for number in range(count):
            room.put(sender, (sender, number), credited=False)
    return room


def test_one_report_does_not_wait_behind_a_flood() -> None:
    """A sender with one report is in the next batch, whoever has thousands waiting."""
    room = filled(flood=10_000, small=1)
    assert Counter(sender for sender, _ in room.take(500)) == {"flood": 499, "small": 1}
    room.put("late", ("late", 0), credited=False)
    assert ("late", 0) in room.take(2)


def test_more_senders_than_a_batch_holds_take_turns() -> None:
    """Each is served once before any is served twice."""
    room = filled(**{f"sender-{number}": 3 for number in range(10)})
    first = [room.take(4) for _ in range(5)]
    served = Counter(sender for batch in first for sender, _ in batch)
    assert set(served.values()) == {2}
    assert {len(batch) for batch in first} == {4}


@settings(deadline=None, max_examples=100)
@given(st.dictionaries(st.text(max_size=2), st.integers(1, 40), min_size=1), st.integers(1, 30))
def test_everything_leaves_in_the_end_in_order(lanes: dict[str, int], most: int) -> None:
    """Nothing is lost, repeated or turned round, and no lane waits longer than there are others to serve."""
    room = filled(**lanes)
    taken: list[tuple[str, int]] = []
    while batch := room.take(most):
        taken += batch
        if len(taken) == len(batch):
            first = Counter(sender for sender, _ in batch)
            assert len(first) == min(most, len(lanes))
    for sender, count in lanes.items():
        assert [number for name, number in taken if name == sender] == list(range(count))
    assert len(taken) == sum(lanes.values())
    assert len(room) == 0


def test_a_single_request_is_never_too_large() -> None:
    """Where nothing admitted waits, one full request is let in, even into a room smaller than it."""
    room: WaitingRoom[int] = WaitingRoom(10)
    for number in range(10):
        room.put("socket", number, credited=True)
    room.admit("a", 10_000, credit=10)
    room.put("a", 0, credited=False)
    with pytest.raises(Overloaded) as caught:
        room.admit("b", 1, credit=10)
    assert not caught.value.share
    room.take(11)
    room.admit("b", 10_000, credit=10)


@pytest.mark.parametrize(("others", "share"), [(0, 50), (1, 25), (4, 10)])
def test_a_sender_may_fill_its_share_of_half_the_room(others: int, share: int) -> None:
    """The more senders wait, the smaller it is; whoever has nothing waiting is let in as long as there is room."""
    room: WaitingRoom[Any] = WaitingRoom(100)
    for number in range(others):
        room.put(f"other {number}", None, credited=False)
    for _ in range(5):
        room.put("own", None, credited=False)
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


# Credit --------------------------------------------------------------------------------------------------


class Bank(RuleBasedStateMachine):
    """Connections that come and go, and a journal that goes away and comes back."""

    TOTAL, MOST = 20, 8

    def __init__(self) -> None:
        super().__init__()
        self.bank = CreditBank(self.TOTAL, self.MOST)
        self.held: dict[int, int] = {}
        self.open = True
        self.next = 0

    def fair(self) -> int:
        """The largest of 8, 4, 2 and 1 that all connections can have; at least 1."""
        if not self.open:
            return 0
        return next((each for each in (8, 4, 2) if each * len(self.held) <= self.TOTAL), 1)

    @rule()
    def enter(self) -> None:
        """A connection starts with what is free of its fair credit, which may be nothing."""
        self.next += 1
        free = self.TOTAL - sum(self.held.values())
        self.held[self.next] = 0
        self.held[self.next] = self.bank.enter(self.next)
        assert self.held[self.next] == min(free, self.fair())

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """A connection's credit goes to the fair one, down at once, up as far as there is any free."""
        holder = data.draw(st.sampled_from(sorted(self.held)))
        free = self.TOTAL - sum(self.held.values())
        expected = min(self.fair(), self.held[holder] + free)
        self.held[holder] = self.bank.settle(holder)
        assert self.held[holder] == expected

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """What a connection held comes back; leaving twice gives nothing back twice."""
        holder = data.draw(st.sampled_from(sorted(self.held)))
        self.bank.leave(holder)
        del self.held[holder]
        self.bank.leave(holder)

    @rule()
    def lose_the_journal(self) -> None:
        self.bank.close()
        self.open = False

    @rule()
    def find_the_journal(self) -> None:
        self.bank.open()
        self.open = True

    @rule()
    def settle_all(self) -> None:
        """Once everyone has settled after everyone has, all hold the same, as long as there is one for each."""
        for _ in range(2):
            for holder in self.held:
                self.held[holder] = self.bank.settle(holder)
        held = sorted(self.held.values(), reverse=True)
        if not self.open or len(held) <= self.TOTAL:
            assert held == [self.fair()] * len(held)
        else:
            assert held == [1] * self.TOTAL + [0] * (len(held) - self.TOTAL)

    @rule(count=st.integers(1, 12))
    def crowd(self, count: int) -> None:
        """Many come at once."""
        for _ in range(count):
            self.enter()

    @invariant()
    def no_more_is_given_than_there_is(self) -> None:
        assert {holder: self.bank.held(holder) for holder in self.held} == self.held
        assert self.bank.given == sum(self.held.values()) <= self.TOTAL
        assert all(0 <= credit <= self.MOST for credit in self.held.values())
        assert len(self.bank) == len(self.held)
        assert self.bank.fair == self.fair()
        assert self.bank.held("nobody") == 0


Bank.TestCase.settings = settings(
    deadline=None, max_examples=100, stateful_step_count=30, report_multiple_bugs=False
)
TestCreditBank = Bank.TestCase


def test_credit_that_is_given_up_lifts_those_who_have_none() -> None:
    """A connection that came too late gets its part as soon as the others have settled."""
    bank = CreditBank(8, 8)
    assert bank.enter("first") == 8
    assert bank.enter("second") == 0
    assert bank.settle("first") == 4
    assert bank.settle("second") == 4
    bank.leave("first")
    assert bank.settle("second") == 8
