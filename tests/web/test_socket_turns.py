"""The turns of sockets, spread over turns of the event loop."""

import asyncio
from collections.abc import Callable
from functools import partial
from unittest.mock import Mock

import pytest

from gateway.web.socket_turns import SocketTurns
from gateway.web.turns import SLICE_S
from tests.clocks import ManualClock


class Sockets:
    """Sockets that work for a while in each turn."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.turns = SocketTurns(clock=self.clock)
        self.had: list[str] = []

    def turn(self, name: str, slices: float) -> Callable[[], None]:
        """Return a turn of a socket that works for so many slices of time."""
        return partial(self._work, name, slices)

    def arrive(self, name: str, slices: float) -> None:
        """Have a turn of a socket at once if it may, as when something has arrived, and else later."""
        turn = self.turn(name, slices)
        if self.turns.free:
            self.turns.have(turn)
        else:
            self.turns.wait(turn)

    def _work(self, name: str, slices: float) -> None:
        self.had.append(name)
        self.clock.advance(slices * SLICE_S)


async def test_no_turn_begins_once_a_slice_was_worked_in_a_turn_of_the_event_loop() -> None:
    sockets = Sockets()
    for name in "abcdefg":
        sockets.arrive(name, 0.4)
    assert sockets.had == ["a", "b", "c"]
    await asyncio.sleep(0)
    assert sockets.had == ["a", "b", "c", "d", "e", "f"]
    await asyncio.sleep(0)
    assert sockets.had == ["a", "b", "c", "d", "e", "f", "g"]


async def test_sockets_that_wait_get_half_of_the_time_however_long_everything_else_takes() -> None:
    """Such as a flood of requests over HTTP; and no more than a slice again afterwards."""
    sockets = Sockets()
    for name in "abcdefghijkl":
        sockets.arrive(name, 1.0)
    assert sockets.had == ["a"]
    await asyncio.sleep(0)
    assert sockets.had == ["a", "b"]
    sockets.clock.advance(4.5 * SLICE_S)
    await asyncio.sleep(0)
    assert sockets.had == list("abcdefg")
    await asyncio.sleep(0)
    assert sockets.had == list("abcdefgh")
    for _ in range(20):
        await asyncio.sleep(0)
        sockets.clock.advance(4.5 * SLICE_S)
    assert sockets.had == list("abcdefghijkl")
    for name in "ab":
        sockets.arrive(name, 1.0)
    assert sockets.had == [*"abcdefghijkl", "a"]


async def test_those_that_wait_come_before_those_that_arrive_later() -> None:
    sockets = Sockets()
    for name in "abc":
        sockets.arrive(name, 1.0)
    await asyncio.sleep(0)
    sockets.arrive("d", 0.0)
    assert sockets.had == ["a", "b"]
    for _ in range(3):
        await asyncio.sleep(0)
    assert sockets.had == ["a", "b", "c", "d"]


async def test_a_socket_that_has_more_to_do_waits_for_the_next_turn_of_the_event_loop() -> None:
    """Even if its turns are short: others, which are no sockets, go on in between."""
    sockets = Sockets()

    def turn() -> None:
        sockets.had.append("turn")
        sockets.turns.wait(turn)

    sockets.turns.wait(turn)
    await asyncio.sleep(0)
    assert sockets.had == ["turn"]
    await asyncio.sleep(0)
    assert sockets.had == ["turn", "turn"]
    sockets.turns.cancel(turn)
    await asyncio.sleep(0)
    assert sockets.had == ["turn", "turn"]
    assert sockets.turns.free


async def test_a_cancelled_turn_is_not_had_and_the_others_are() -> None:
    sockets = Sockets()
    first, second, third = (sockets.turn(name, 0.0) for name in "abc")
    for turn in (first, second, third):
        sockets.turns.wait(turn)
    sockets.turns.cancel(second)
    sockets.turns.cancel(second)
    await asyncio.sleep(0)
    assert sockets.had == ["a", "c"]


async def test_an_error_in_a_turn_keeps_no_other_socket_from_its_turn() -> None:
    """It is an error of the program, which the event loop reports."""
    sockets = Sockets()
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    error = ZeroDivisionError()
    for turn in (Mock(side_effect=error), sockets.turn("a", 0.0)):
        sockets.turns.wait(turn)
    for _ in range(2):
        await asyncio.sleep(0)
    assert reported == [error]
    assert sockets.had == ["a"]
    with pytest.raises(ZeroDivisionError):
        sockets.turns.have(Mock(side_effect=error))
    await asyncio.sleep(0)
    assert sockets.turns.free


async def test_a_turn_may_cancel_another_one_that_waits() -> None:
    """As when the answer to one socket ends the connection of another."""
    sockets = Sockets()
    other = sockets.turn("b", 0.0)
    sockets.turns.wait(partial(sockets.turns.cancel, other))
    sockets.turns.wait(other)
    await asyncio.sleep(0)
    assert sockets.had == []
    assert sockets.turns.free
