"""PURE: why a door did not answer as a door does, for people and for the decision whether to try again.

Judges by status, media type, code of a problem document and type of an exception, never by a text.
"""

import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from http import HTTPStatus

import aiohttp
import msgspec

from gateway.characters import printable
from gateway.client.proxies import Proxy, without_user
from gateway.client.refusals import meaning_of
from gateway.client.retry_after import retry_after_s
from gateway.clock import SYSTEM_CLOCK, Clock

PROBLEM = "application/problem+json"
DETAIL_MAX = 500
"""Characters of a detail that are shown."""
URL_MAX = 200
"""Characters of a URL that are shown."""
TEMPORARY = {408, 425, 429, 500, 502, 503, 504}
"""Statuses after which the same request may succeed later, whatever the answer contains."""
PERMANENT_CODES = {
    *(
        "token_missing",
        "token_invalid",
        "token_revoked",
        "role_forbidden",
        "unit_forbidden",
        "origin_forbidden",
    ),
    *(
        "unknown_election",
        "unknown_area",
        "unknown_municipality",
        "no_previous",
        "not_found",
        "method_not_allowed",
    ),
    *("bad_query", "bad_selection", "bad_request", "malformed", "unsupported_type", "unsupported_encoding"),
}
"""Codes of the gateway's problem documents for which the same request never succeeds."""
WITHOUT_WEBSOCKET = {"upgrade_required", "subprotocol_missing"}
"""Codes of the push door for an upgrade whose headers were removed on the way."""

_EXPIRED, _NOT_YET_VALID = 10, 9
_OTHER_NAME = {62, 64}
"""Results of the verification of a certificate. Source: OpenSSL, X509_STORE_CTX_get_error(3)."""
_NOT_TLS = {
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "RECORD_LAYER_FAILURE",
    "UNKNOWN_PROTOCOL",
    "PACKET_LENGTH_TOO_LONG",
}
"""Reasons of OpenSSL for bytes that are no TLS record."""

_ERRORS: tuple[tuple[type[BaseException], str, str, str], ...] = (
    (aiohttp.InvalidURL, "bad_url", "not a valid URL", ""),
    (socket.gaierror, "name_unknown", "the host name cannot be resolved", "; check the name and the network"),
    (ConnectionRefusedError, "refused", "connection refused", "; nothing listens there: check host and port"),
    (aiohttp.ClientPayloadError, "cut_off", "the answer was cut off", ""),
    (
        aiohttp.ClientResponseError,
        "not_http",
        "the answer is not HTTP",
        "; check the port, and http:// or https://",
    ),
    (TimeoutError, "timeout", "no answer in time", "; check the network, a firewall, and the port"),
    (
        aiohttp.ServerDisconnectedError,
        "disconnected",
        "the connection was closed without an answer",
        "; check the port, and the proxy in front of the gateway",
    ),
    (ConnectionResetError, "disconnected", "the connection was reset", ""),
)
"""Types of exceptions, the most telling first: code, what happened, and what to check."""
_CLOSED_OVER_TLS = "; check the port, and whether the door requires a client certificate"


class Failure(msgspec.Struct, frozen=True):
    """Why a request got no useful answer."""

    code: str
    """`problem`, or what else was seen; stable, for decisions and tests."""
    text: str
    """One line: what happened, at which URL, and what to check."""
    permanent: bool = False
    """Whether the same request fails until somebody changes something."""
    retry_after_s: float | None = None
    """When to try again, if the answer says so; bounded."""
    status: int | None = None
    """The status of the answer, if there was one."""
    problem: str | None = None
    """The code of the problem document, if the answer is one of a gateway."""


class HttpAnswer(msgspec.Struct, frozen=True):
    """An answer over HTTP, as far as it is judged."""

    url: str
    status: int
    headers: Mapping[str, str]
    """By name in any case, as aiohttp has them."""
    body: bytes = b""
    """The body, or its beginning."""

    @property
    def media_type(self) -> str:
        """The media type without parameters."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


class _Problem(msgspec.Struct):
    code: str
    detail: str = ""


def failure_of_answer(
    answer: HttpAnswer, door: str, proxy: Proxy | None = None, *, clock: Clock = SYSTEM_CLOCK
) -> Failure:
    """Judge an answer that is not the one of a `door` ("push door", "feed door")."""
    status, url = answer.status, _shown(answer.url)
    through = f", through {proxy}" if proxy is not None else ""
    after_s = retry_after_s(answer.headers.get("Retry-After"), answer.headers.get("Date"), clock.now())
    if (problem := problem_of(answer)) is not None:
        permanent = problem.code in PERMANENT_CODES and status not in TEMPORARY
        todo = meaning_of(problem.code)
        text = f"{url}: {_cut(problem.detail or problem.code)} ({status}, {_cut(problem.code)})"
        text += f"; {todo}" if todo else ""
        return Failure("problem", text, permanent, after_s, status, problem.code)
    if status == 407:
        text = f"{url}: {proxy or 'a proxy'} requires a user name and password, or does not accept those given (407)"
        return Failure("proxy_authentication", text, True, None, status)
    said = f"{url}: answered {status}{_phrase(status)}{_content(answer)}{through}"
    if 300 <= status < 400:
        target = _shown(answer.headers.get("Location", "")) or "nowhere"
        text = (
            f"{url}: redirected to {target} ({status}{through}); give the gateway's own URL,"
            " and check whether this network requires a login"
        )
        return Failure("redirect", text, True, after_s, status)
    if status < 300:
        return Failure(
            "not_a_door", f"{said}; this is not a {door} of version 1: check the URL", True, None, status
        )
    if status in TEMPORARY:
        return Failure(
            "unavailable",
            f"{said}; the gateway, or the proxy in front of it, is not available",
            False,
            after_s,
            status,
        )
    return Failure(
        "foreign",
        f"{said}; this is not an answer of a gateway: check the URL, and the proxy in front of the gateway",
        False,
        after_s,
        status,
    )


def failure_of_error(url: str, error: BaseException, proxy: Proxy | None = None) -> Failure:
    """Judge an exception that a request to `url` ended with."""
    shown = _shown(url)
    through = f", through {proxy}" if proxy is not None else ""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return _proxy_refuses(shown, error.status, proxy)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        text = f"{shown}: cannot reach {proxy or 'the proxy'}: {_os_reason(error)}; check the variable, or NO_PROXY"
        return Failure("proxy_unreachable", text)
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, aiohttp.ClientError):
            continue  # aiohttp's types of TLS errors have no result of the verification
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Failure("certificate", f"{shown}: {_certificate(cause)}{through}", True)
        if isinstance(cause, ssl.SSLError):
            return _tls_failed(shown, cause, through)
    for kind, code, happened, check in _ERRORS:
        if any(isinstance(cause, kind) for cause in causes):
            over_tls = code == "disconnected" and shown.startswith("https://")
            hint = _CLOSED_OVER_TLS if over_tls else check
            return Failure(code, f"{shown}: {happened}{through}{hint}", code == "bad_url")
    if isinstance(error, OSError):
        return Failure("unreachable", f"{shown}: {_os_reason(error)}{through}")
    return Failure("failed", f"{shown}: {type(error).__name__}{through}")


def wrong_scheme(url: str, *, speaks_tls: bool) -> Failure:
    """Return the failure of a URL whose port speaks TLS, or does not, unlike the URL says."""
    right = "https" if speaks_tls else "http"
    seen = "expects TLS" if speaks_tls else "does not use TLS"
    return Failure(
        "wrong_scheme", f"{_shown(url)}: this port {seen}; the URL has to begin with {right}://", True
    )


def problem_of(answer: HttpAnswer) -> _Problem | None:
    """Return the problem document of a gateway, or None: other servers give none, or one without a code."""
    if answer.media_type != PROBLEM:
        return None
    try:
        return msgspec.json.decode(answer.body, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _proxy_refuses(url: str, status: int, proxy: Proxy | None) -> Failure:
    if status == 407:
        text = f"{url}: {proxy or 'the proxy'} requires a user name and password, or does not accept those given (407)"
        return Failure("proxy_authentication", text, True, None, status)
    refused = f"{url}: {proxy or 'the proxy'} does not connect to this host"
    return Failure("proxy_refused", f"{refused}: it answered {status}{_phrase(status)}", False, None, status)


def _certificate(error: ssl.SSLCertVerificationError) -> str:
    code = error.verify_code
    if code == _EXPIRED:
        return "the certificate has expired; have it renewed, and check the clock of this machine"
    if code == _NOT_YET_VALID:
        return "the certificate is not valid yet; check the clock of this machine"
    if code in _OTHER_NAME:
        return "the certificate is for another name; give the URL with the name in the certificate"
    return (
        "the certificate is not trusted (no known authority signed it); install the CA certificate on this machine,"
        " or name its file in SSL_CERT_FILE"
    )


def _tls_failed(url: str, error: ssl.SSLError, through: str) -> Failure:
    reason = error.reason or ""
    if reason in _NOT_TLS:
        return wrong_scheme(url, speaks_tls=False)
    if "CERTIFICATE_REQUIRED" in reason:
        return Failure("client_certificate", f"{url}: the door requires a client certificate{through}", True)
    named = f": {printable(reason).replace('_', ' ').lower()}" if reason else ""
    return Failure("tls", f"{url}: the TLS handshake failed{named}{through}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None)
        error = inner or error.__cause__ or error.__context__


def _os_reason(error: BaseException) -> str:
    for cause in _causes(error):
        number = getattr(cause, "errno", None)
        if isinstance(cause, socket.gaierror):
            return "its name cannot be resolved"
        if isinstance(number, int) and number > 0 and not isinstance(cause, ssl.SSLError):
            return os.strerror(number)
        if isinstance(cause, ConnectionResetError):
            return "the connection was reset"
    return "the connection failed"


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""


def _content(answer: HttpAnswer) -> str:
    if answer.media_type in ("text/html", "application/xhtml+xml"):
        return " with a web page"
    return f" with {_cut(answer.media_type)}" if answer.media_type and answer.status < 300 else ""


def _shown(url: str) -> str:
    """Return a URL for people: without user, password, query, or fragment, and not too long."""
    return _cut(without_user(url).partition("?")[0].partition("#")[0], URL_MAX)


def _cut(text: str, most: int = DETAIL_MAX) -> str:
    text = printable(text)
    return text if len(text) <= most else f"{text[:most]} …"
