"""Limits of tests."""

import asyncio
import os
import signal
import threading
from typing import Never

import pytest

from tests.loops import new_event_loop


def test_the_limit_of_a_test_ends_a_loop_that_waits_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    """pytest-timeout raises this exception from a signal handler."""

    def limit_reached(*_: object) -> Never:
        pytest.fail("the limit is reached")

    former = signal.signal(signal.SIGUSR1, limit_reached)
    loop = new_event_loop()
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
    waiting = loop.create_task(asyncio.Event().wait())
    timer.start()
    try:
        with pytest.raises(RuntimeError, match="stopped before Future completed"):
            loop.run_until_complete(waiting)
    finally:
        waiting.cancel()
        loop.run_until_complete(asyncio.wait({waiting}))
        loop.close()
        signal.signal(signal.SIGUSR1, former)
    assert "the limit is reached" in caplog.text
