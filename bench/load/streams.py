"""Sockets of load generators, with or without TLS, which never block after they are opened."""

import functools
import socket
import ssl
from collections.abc import Iterator

PIECE = 1 << 18


@functools.cache
def trusting(certificate: str) -> ssl.SSLContext:
    """Return the TLS context of a client that trusts one certificate."""
    return ssl.create_default_context(cafile=certificate)


def connected(host: str, port: int, certificate: str, timeout_s: float) -> socket.socket:
    """Connect; with TLS if `certificate` names the file of the certificate to trust."""
    stream = socket.create_connection((host, port), timeout=timeout_s)
    if certificate:
        stream = trusting(certificate).wrap_socket(stream, server_hostname=host)
    return stream


def received(stream: socket.socket, most: int = PIECE) -> bytes:
    """Return the bytes that have arrived, empty at the end of the stream. Raises BlockingIOError if there are none."""
    if not isinstance(stream, ssl.SSLSocket):
        return stream.recv(most)
    return b"".join(_records(stream, most))


def _records(stream: ssl.SSLSocket, most: int) -> Iterator[bytes]:
    """Yield all decrypted bytes: epoll does not report those that TLS has read already. Raises BlockingIOError."""
    found = False
    while True:
        try:
            piece = stream.recv(most)
        except ssl.SSLWantReadError:
            if not found:
                raise BlockingIOError from None
            return
        if not piece:
            return
        found = True
        yield piece


def written(stream: socket.socket, data: bytes) -> int:
    """Write; return how many bytes the socket accepted."""
    try:
        return stream.send(data)
    except (BlockingIOError, ssl.SSLWantWriteError):
        return 0
