"""TLS of a door: certificate and key from files, reloaded when they are renewed, without closing any connection."""

import ssl
from pathlib import Path
from typing import Any

from gateway.config import Config
from gateway.errors import GatewayError

NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME: read an expired certificate too. Source: OpenSSL, x509_vfy.h."""


class BadCertificate(GatewayError):
    """Files that cannot be used for TLS; the message names the file and the reason."""

    code = "bad_certificate"


class Certificate:
    """The files of a door's certificate, its key, and the authority of client certificates."""

    def __init__(self, chain: Path, key: Path | None, client_ca: Path | None = None) -> None:
        self.chain = chain
        self.key = key or chain
        self.client_ca = client_ca

    def context(self) -> ssl.SSLContext:
        """Read the files and return a server's context. Raises BadCertificate.

        With `client_ca`, the handshake fails for clients without a certificate of that authority.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        self._read_into(context)
        if self.client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def renew(self, context: ssl.SSLContext) -> None:
        """Reload the files into `context`, for all handshakes from now on. Raises BadCertificate, and then changes
        nothing.

        A new authority is trusted in addition to the old one; removing one takes a restart.
        """
        self.context()
        self._read_into(context)

    def peer_view(self) -> dict[str, Any]:
        """Return the certificate as a client sees it. Raises BadCertificate, or ssl.SSLError."""
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        client.load_verify_locations(self.chain)  # getpeercert() is empty unless it is trusted
        client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | NO_CHECK_TIME
        certificate = self.handshake(client).getpeercert()
        assert certificate is not None
        return certificate

    def handshake(self, client: ssl.SSLContext) -> ssl.SSLObject:
        """Perform a handshake between a server with this certificate and a client, in memory; return the client's side.

        Raises BadCertificate, or ssl.SSLError if the client rejects it.
        """
        server = Certificate(self.chain, self.key).context()
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        sides = [
            client.wrap_bio(to_client, to_server),
            server.wrap_bio(to_server, to_client, server_side=True),
        ]
        for _ in range(10):
            waiting = []
            for side in sides:
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    waiting.append(side)
            if not waiting:
                break
        return sides[0]

    def expires_at(self) -> float:
        """Return when the certificate expires, in Unix time. Raises BadCertificate, or ssl.SSLError."""
        return ssl.cert_time_to_seconds(self.peer_view()["notAfter"])

    def _read_into(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self.chain, self.key, password=_no_password)
        except (OSError, ValueError) as error:
            raise BadCertificate(f"certificate {self.chain} with key {self.key}: {_reason(error)}") from None
        if self.client_ca is None:
            return
        try:
            context.load_verify_locations(self.client_ca)
        except (OSError, ValueError) as error:
            raise BadCertificate(f"client authority {self.client_ca}: {_reason(error)}") from None


def push_certificate(config: Config) -> Certificate | None:
    """Return the certificate of the push door; None if it serves plain HTTP."""
    if config.push_tls_certificate is None:
        return None
    return Certificate(config.push_tls_certificate, config.push_tls_key, config.push_client_ca)


def feed_certificate(config: Config) -> Certificate | None:
    """Return the certificate of the feed door; None if it serves plain HTTP."""
    if config.feed_tls_certificate is None:
        return None
    return Certificate(config.feed_tls_certificate, config.feed_tls_key)


def check_certificates(config: Config) -> None:
    """Raise BadCertificate for files that cannot be used, before anything is started."""
    for certificate in (push_certificate(config), feed_certificate(config)):
        if certificate is not None:
            certificate.context()


def _no_password() -> str:
    raise ValueError("the key is encrypted; remove its passphrase")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        known = {
            "KEY_VALUES_MISMATCH": "the key does not match the certificate",
            "NO_CERTIFICATE_OR_CRL_FOUND": "it contains no certificate",
        }
        return known.get(error.reason or "", error.reason or "not in PEM format")
    return getattr(error, "strerror", None) or str(error)
