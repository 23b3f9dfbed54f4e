"""The event loop of tests: a test that waits for ever fails at its limit."""

import asyncio
from typing import Any

import pytest
import uvloop


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a loop as the gateway's, which the limit of a test ends.

    pytest-timeout raises pytest.fail.Exception in the handler of a signal. While uvloop waits, it passes exceptions of
    signal handlers to its exception handler, KeyboardInterrupt and SystemExit apart, and continues to wait.
    """
    loop = uvloop.new_event_loop()
    loop.set_exception_handler(_end_at_limit)
    return loop


def _end_at_limit(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    loop.default_exception_handler(context)
    if isinstance(context.get("exception"), pytest.fail.Exception):
        loop.stop()  # run_until_complete raises RuntimeError
