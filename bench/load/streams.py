"""Sockets of load generators, in the clear or in TLS: opened and waited for, then never waited for again."""

import functools
import socket
import ssl
from collections.abc import Iterator

PIECE = 1 << 18


@functools.cache
def trusting(certificate: str) -> ssl.SSLContext:
    """Return what a client needs that trusts one certificate."""
    return ssl.create_default_context(cafile=certificate)


def opened(host: str, port: int, certificate: str, timeout_s: float) -> socket.socket:
    """Connect, in TLS where a certificate to trust is named."""
    stream = socket.create_connection((host, port), timeout=timeout_s)
    if certificate:
        stream = trusting(certificate).wrap_socket(stream, server_hostname=host)
    return stream


def received(stream: socket.socket, most: int = PIECE) -> bytes:
    """Return what is there, nothing at the end. Raises BlockingIOError where nothing is there yet."""
    if not isinstance(stream, ssl.SSLSocket):
        return stream.recv(most)
    return b"".join(_records(stream, most))


def _records(stream: ssl.SSLSocket, most: int) -> Iterator[bytes]:
    """Give all that is there: what TLS has read of a socket, no poll tells of again. Raises BlockingIOError."""
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


def taken(stream: socket.socket, data: bytes) -> int:
    """Write, and return how many bytes were taken."""
    try:
        return stream.send(data)
    except (BlockingIOError, ssl.SSLWantWriteError):
        return 0
