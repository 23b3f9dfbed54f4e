"""One reader of a crowd: its connection, the head of its response, and its position."""

import socket
import ssl
import time
from errno import EINPROGRESS
from functools import cache
from typing import Any

from bench.load.crowd_messages import Group
from bench.load.streams import trusting

CONNECT_S = 30.0
"""Time limit of a TLS handshake, in s."""
GZIP_HEAD = 10
"""Bytes of the header of a gzip stream without optional fields (RFC 1952)."""


class Refused(Exception):
    """The response is not a stream; the message is the beginning of its head."""


class Reader:
    """One stream: the newest change received, the text received last, and bytes that do not end an event yet."""

    __slots__ = (
        "attempts", "base", "began", "end", "group", "head", "left_at", "new", "number", "place", "slow", "socket",
        "tail", "text",
    )  # fmt: skip

    def __init__(self, group: Group, place: int, *, slow: bool) -> None:
        self.group = group
        self.end = group.end.encode("latin-1")
        self.place = place
        self.slow = slow
        self.socket: socket.socket
        self.attempts = 0
        self.number = -1
        self.base = 0
        """The newest change at the last mark."""
        self.left_at = 0.0
        """When the connection ended; 0.0: this is the first."""
        self._reset()

    def _reset(self) -> None:
        """Drop the state of the connection, but keep the position."""
        self.head = True
        """Whether the head of the response is incomplete."""
        self.new = True
        """Whether no event has arrived on this connection."""
        self.began = time.monotonic()
        self.tail = b""
        self.text = b""
        """The last WINDOW bytes of text, under gzip."""

    @property
    def waiting(self) -> bool:
        """Whether it has not been sent what it waits for: a response, or its first event."""
        return self.head or (self.group.greeted and self.new)

    def connect(self) -> bool:
        """Begin to connect, without waiting; return whether a connection is open or in progress."""
        self._reset()
        group = self.group
        family, address = _resolved(group.host, group.port)
        self.socket = socket.socket(family)
        self.socket.setblocking(False)
        try:
            if group.sources:
                self.socket.bind((f"127.0.{1 + self.place % group.sources}.1", 0))
            error = self.socket.connect_ex(address)
        except OSError as failed:
            error = failed.errno or -1
        return error in (0, EINPROGRESS)

    def request(self, cursor: bytes | None) -> None:
        """Send the request, from a cursor if there is one. Raises OSError, also if connecting has failed."""
        group = self.group
        if self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise ConnectionError
        if group.certificate:
            self.socket = _encrypted(self.socket, group)
        last = f"Last-Event-ID: {cursor.decode()}\r\n" if cursor is not None else ""
        self.socket.sendall(f"{group.request}{last}\r\n".encode())

    def complete(self, data: bytes) -> bytes:
        """Return the events that are complete, and keep the rest. Raises Refused."""
        data = self.tail + data
        if self.head:
            head, found, rest = data.partition(b"\r\n\r\n")
            if not found:
                self.tail = data
                return b""
            if b" 200 " not in head[:16]:
                raise Refused(head[:60].decode(errors="replace"))
            gzip = self.group.gzip
            if gzip and len(rest) < GZIP_HEAD:
                self.tail = data
                return b""
            self.head, data = False, rest[GZIP_HEAD:] if gzip else rest
        events, found, self.tail = data.rpartition(self.end)
        return events + found


@cache
def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return family, address


def _encrypted(stream: socket.socket, group: Group) -> ssl.SSLSocket:
    stream.settimeout(CONNECT_S)
    encrypted = trusting(group.certificate).wrap_socket(stream, server_hostname=group.host)
    encrypted.setblocking(False)
    return encrypted
