"""The ceiling of fan-out: `socket.send` in a loop, in a separate process, to all connections.

It writes the port on which it listens. On `accept N` it accepts N connections; on `send` it sends the next event to
each. It answers each command with its CPU seconds since it started.
"""

import resource
import socket
import sys
import time

from bench.peers.posting import event

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
ACCEPT_S = 60.0


def main() -> None:
    """Execute commands; the argument is the size of an event."""
    size = int(sys.argv[1])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    server = socket.create_server(("127.0.0.1", 0), backlog=4096)
    server.settimeout(ACCEPT_S)
    print(server.getsockname()[1], flush=True)
    readers: list[socket.socket] = []
    number = 0
    for line in sys.stdin:
        word, _, argument = line.strip().partition(" ")
        if word == "accept":
            for _ in range(int(argument)):
                reader = server.accept()[0]
                reader.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                reader.recv(4096)
                reader.send(HEAD)
                readers.append(reader)
        else:
            number += 1
            data = event(number, size)
            for reader in readers:
                reader.send(data)
        print(time.process_time(), flush=True)


if __name__ == "__main__":
    main()
