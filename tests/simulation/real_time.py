"""A world for a simulated database outside of a simulation: on the event loop of a test, in real time."""

import random
from collections.abc import Callable
from contextvars import Context
from datetime import UTC, datetime


class RealTime:
    """See `database.World`."""

    def chance_for(self, purpose: str) -> random.Random:
        """Return random numbers that are the same in every test."""
        return random.Random(purpose)

    def server_side(self) -> Context:
        """Return an empty context."""
        return Context()

    def now(self) -> datetime:
        """Return the time of this machine."""
        return datetime.now(UTC)

    def trace(self, event: str, **facts: object) -> None:
        """Forget the event."""


class RealClient:
    """See `database.Client`: the process of the test."""

    def __init__(self, name: str = "test") -> None:
        self.name = name
        self.alive = True
        self.on_kill: list[Callable[[], None]] = []
