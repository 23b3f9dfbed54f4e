"""The ceiling of fan-out: `socket.send` in a loop, in a separate process, to all connections.

It writes the port on which it listens. On `accept N` it accepts N connections; on `send` it sends the next event to
each. It answers each command with its CPU seconds since it started. Under TLS, `send` is `ssl.SSLSocket.send`: one call
of OpenSSL, which makes the system call itself.
"""

import resource
import socket
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from bench.peers.posting import event

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
ACCEPT_S = 60.0


def main() -> None:
    """Execute commands; the arguments are the size of an event and, for TLS, the file of certificate and key."""
    size, tls = int(sys.argv[1]), None
    if len(sys.argv) > 2:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(sys.argv[2])
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
            most = int(argument)
            with ThreadPoolExecutor(most) as pool:  # clients shake hands one by one, in any order
                greeted = [pool.submit(greet, server.accept()[0], tls) for _ in range(most)]
                readers += [each.result() for each in greeted]
        else:
            number += 1
            data = event(number, size)
            for reader in readers:
                reader.send(data)
        print(time.process_time(), flush=True)


def greet(reader: socket.socket, tls: ssl.SSLContext | None) -> socket.socket:
    """Read the request on a connection and send the head of the answer; return what to send through."""
    reader.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls is not None:
        reader = tls.wrap_socket(reader, server_side=True)
    reader.recv(4096)
    reader.send(HEAD)
    return reader


if __name__ == "__main__":
    main()
