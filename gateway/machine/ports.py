"""Bind the ports of a machine, for one process or shared by several with SO_REUSEPORT."""

import socket

from gateway.errors import GatewayError


class ListenError(GatewayError):
    """An address or port cannot be bound; the message names both and the reason."""

    code = "cannot_listen"


def listen_socket(host: str, port: int, *, shared: bool = True) -> socket.socket:
    """Bind a socket for one of the workers that share a port; it does not listen yet.

    The kernel distributes connections over the sockets that listen. If the host has several addresses, the first is
    used. Raises ListenError.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(address)
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        raise ListenError(f"cannot listen on {host}, port {port}: {error.strerror}") from None
    return sock
