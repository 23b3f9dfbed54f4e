"""Ports of 127.0.0.1 for servers that cannot be given a socket: reserved until they listen, and while they do."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def reserved_ports(count: int) -> Iterator[list[int]]:
    """Reserve ports until the block ends, each for one server that sets SO_REUSEADDR, as servers do.

    Each port is bound here without listening: connections are refused until the server listens, which the kernel
    permits, and it gives the port neither to another program that asks for any port nor to an outgoing connection.
    """
    with ExitStack() as held:
        bound = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in bound:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.bind(("127.0.0.1", 0))
        yield [each.getsockname()[1] for each in bound]


@contextmanager
def reserved_port() -> Iterator[int]:
    """Reserve one port, as `reserved_ports` does."""
    with reserved_ports(1) as (port,):
        yield port
