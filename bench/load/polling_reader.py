"""One reader of a mirror in a crowd: a connection that stays open, one request at a time, and its position."""

import socket
from collections.abc import Sequence
from errno import EINPROGRESS

from bench.load.polling_messages import Place
from gateway.wire.mirror import Position, live_path

REQUEST = "GET /{path} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: gzip\r\n"
DOOR_REQUEST = "GET /v1/elections/{election}/feed HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n"


class Answer:
    """A complete answer; the body is empty unless the status is 200."""

    __slots__ = ("body", "head", "size", "status")

    def __init__(self, status: int, head: bytes, body: bytes) -> None:
        self.status = status
        self.head = head
        self.body = body
        self.size = len(head) + len(body)

    def header(self, name: bytes) -> bytes:
        """Return the value of a header; empty if there is none."""
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.lower() == name:
                return value.strip()
        return b""


class PollingReader:
    """Asks for `live.json`, then for the files that lead to it, each when the one before has arrived."""

    __slots__ = (
        "at_door", "etag", "files", "is_open", "place", "position", "profile", "received", "route", "seen", "socket",
        "target",
    )  # fmt: skip

    def __init__(self, place: Place, profile: str) -> None:
        self.place = place
        self.profile = profile
        self.socket: socket.socket
        self.at_door = place.door is not None
        self.is_open = False
        self.etag = b""
        self.position: Position | None = None
        self.target: Position | None = None
        """Where the files lead that are being requested; None while there are none."""
        self.route: Sequence[str] = ()
        """The files of the route, and those of them that have not arrived."""
        self.files: list[str] = []
        self.received = b""
        self.seen = (-1, "")
        """Sequence and time of the newest `live.json` so far."""

    def connect(self) -> bool:
        """Begin to connect, without waiting; return whether a connection is open or in progress."""
        self.received = b""
        self.target = None
        place = self.place
        address = place.door if self.at_door and place.door is not None else (place.host, place.port)
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            return self.socket.connect_ex(address) in (0, EINPROGRESS)
        except OSError:
            return False

    def ask(self) -> None:
        """Request what is next: the stream, the next file, or `live.json`. Raises OSError."""
        place = self.place
        if self.at_door:
            request = DOOR_REQUEST.format(election=place.election, host=place.host).encode()
        elif self.target is not None:
            request = REQUEST.format(path=self.files[0], host=place.host).encode() + b"\r\n"
        else:
            request = REQUEST.format(path=live_path(place.election), host=place.host).encode()
            request += b"If-None-Match: " + self.etag + b"\r\n\r\n" if self.etag else b"\r\n"
        self.socket.sendall(request)

    def receive(self) -> Answer | None:
        """Return the answer if it is complete. Raises OSError at the end of the connection, ValueError."""
        data = self.socket.recv(1 << 18)
        if not data:
            raise ConnectionResetError
        data = self.received + data if self.received else data
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            self.received = data
            return None
        status = int(data[9:12])
        answer = Answer(status, data[:end], data[end:])
        if status not in (204, 304) and not (self.at_door and status == 200):
            length = int(answer.header(b"content-length"))
            if len(answer.body) < length:
                self.received = data
                return None
        self.received = b""
        return answer
