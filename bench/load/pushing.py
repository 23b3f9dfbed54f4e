"""A generator of reports, which runs in a separate process: see `bench.load.pusher`."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from bench.load.generating import generator
from bench.load.pusher import Order, Pushed

MODULE = "bench.load.pusher"
GRACE_S = 10.0
Go = Callable[[], Awaitable[Pushed]]


@asynccontextmanager
async def pushing(order: Order) -> AsyncIterator[Go]:
    """Start a generator and wait until it is ready; the yielded function starts the load and returns its result."""
    async with generator(MODULE, order) as started:

        async def go() -> Pushed:
            started.tell("go")
            return await started.result(Pushed, order.limit_s + GRACE_S)

        yield go
