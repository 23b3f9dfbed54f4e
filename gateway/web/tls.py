"""TLS of a door: certificate and key from files, read again when they are renewed, without a connection lost."""

import ssl
from pathlib import Path
from typing import Any

from gateway.config import Config
from gateway.errors import GatewayError

NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME: an expired certificate is to be read, not refused. Source: OpenSSL, x509_vfy.h."""


class BadCertificate(GatewayError):
    """Files that cannot serve TLS; the text names the file and the reason."""

    code = "bad_certificate"


class Certificate:
    """Where a door's certificate, its key, and the authority of its clients' certificates are."""

    def __init__(self, chain: Path, key: Path | None, client_ca: Path | None = None) -> None:
        self.chain = chain
        self.key = key or chain
        self.client_ca = client_ca

    def context(self) -> ssl.SSLContext:
        """Read the files and return what a server needs of them. Raises BadCertificate.

        With `client_ca`, a client has to show a certificate of that authority, or is refused in the handshake.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        self._read_into(context)
        if self.client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def renew(self, context: ssl.SSLContext) -> None:
        """Have `context` use the files as they are now, from the next handshake on. Raises BadCertificate, and changes
        nothing then.

        An authority that is new is trusted besides the old one: to end trust in one takes a restart.
        """
        self.context()
        self._read_into(context)

    def shown(self) -> dict[str, Any]:
        """Return what a client sees of the certificate. Raises BadCertificate, or ssl.SSLError."""
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        client.load_verify_locations(self.chain)  # the certificate itself is trusted, so that it is read
        client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | NO_CHECK_TIME
        shown = self.meet(client).getpeercert()
        assert shown is not None
        return shown

    def meet(self, client: ssl.SSLContext) -> ssl.SSLObject:
        """Have a server show the certificate to a client, both in memory; return the client's end.

        Raises BadCertificate, or ssl.SSLError where the client does not take it.
        """
        server = Certificate(self.chain, self.key).context()
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        ends = [client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)]
        for _ in range(10):
            waiting = []
            for end in ends:
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    waiting.append(end)
            if not waiting:
                break
        return ends[0]

    def ends_at(self) -> float:
        """Return when the certificate ends, in Unix time. Raises BadCertificate, or ssl.SSLError."""
        return ssl.cert_time_to_seconds(self.shown()["notAfter"])

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
    """Return what the push door shows, None where it speaks plain HTTP."""
    if config.push_tls_certificate is None:
        return None
    return Certificate(config.push_tls_certificate, config.push_tls_key, config.push_client_ca)


def feed_certificate(config: Config) -> Certificate | None:
    """Return what the feed door shows, None where it speaks plain HTTP."""
    if config.feed_tls_certificate is None:
        return None
    return Certificate(config.feed_tls_certificate, config.feed_tls_key)


def check_certificates(config: Config) -> None:
    """Raise BadCertificate for files that cannot serve, before anything is started."""
    for certificate in (push_certificate(config), feed_certificate(config)):
        if certificate is not None:
            certificate.context()


def _no_password() -> str:
    raise ValueError("the key is protected by a password, which nobody is there to type")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        known = {
            "KEY_VALUES_MISMATCH": "the key is not that of the certificate",
            "NO_CERTIFICATE_OR_CRL_FOUND": "there is no certificate in it",
        }
        return known.get(error.reason or "", error.reason or "not in PEM format")
    return getattr(error, "strerror", None) or str(error)
