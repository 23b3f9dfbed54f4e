"""Answers that both doors give: problem documents, JSON, and when to retry.

Source: RFC 9457 (problem details), RFC 9110 section 10.2.3 (Retry-After).
"""

import math
from collections.abc import Mapping
from http import HTTPStatus
from random import Random
from typing import Any

from aiohttp import web

from gateway.backoff import jittered_s
from gateway.clock import SYSTEM_CHANCE
from gateway.errors import (
    Draining,
    ElectionUnknown,
    GatewayError,
    JournalUnavailable,
    Overloaded,
    RoleForbidden,
    TokenInvalid,
    TokenMissing,
)
from gateway.wire.json import to_json

PROBLEM = "application/problem+json"
JSON = "application/json"

_TITLES = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    408: "Request timeout",
    409: "Conflict",
    413: "Content too large",
    415: "Unsupported media type",
    417: "Expectation failed",
    422: "Unprocessable report",
    426: "Upgrade required",
    429: "Too many requests",
    431: "Request header fields too large",
    500: "Internal server error",
    503: "Service unavailable",
    504: "Timeout",
}
STATUS = {
    "malformed": 400,
    "token_missing": 401,
    "token_invalid": 401,
    "token_revoked": 401,
    "role_forbidden": 403,
    "unit_forbidden": 403,
    "unknown_election": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "stale_revision": 409,
    "revision_conflict": 409,
    "election_closed": 409,
    "too_large": 413,
    "expectation_failed": 417,
    "internal_error": 500,
    "overloaded": 503,
    "draining": 503,
    "journal_unavailable": 503,
}
"""The HTTP status of an error, or of a refusal, by its code. Refusals of other codes are 422."""
_REFUSED = {
    STATUS[code]: (code, detail)
    for code, detail in (
        ("not_found", "no resource at this path"),
        ("method_not_allowed", "method not allowed for this path; see the Allow header"),
        ("too_large", "the request is too large"),
        ("expectation_failed", "the only supported expectation is 100-continue"),
    )
}
"""Code and text where aiohttp refuses a request. Nothing of the request is repeated: a token may be anywhere in it."""
_AUTHENTICATE = {
    "token_missing": "Bearer",
    "token_invalid": 'Bearer error="invalid_token"',
    "token_revoked": "Bearer",
}
"""WWW-Authenticate of an answer, by its code. Source: RFC 6750 section 3."""
ANSWERED_ERRORS = (
    Overloaded,
    Draining,
    JournalUnavailable,
    ElectionUnknown,
    TokenMissing,
    TokenInvalid,
    RoleForbidden,
)
"""Errors that become an answer wherever they are raised in a request; any other is an internal error."""


class Problem(Exception):
    """An answer that describes an error; raised anywhere in a door, it ends the request.

    The status of a code in STATUS comes from there, through one of the class methods.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.headers = dict(headers or {})
        self.members = dict(members or {})

    @classmethod
    def of(
        cls,
        error: GatewayError,
        *,
        retry_after_s: float | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> "Problem":
        """Return the answer to a request that ended with this error."""
        status = STATUS[error.code]
        if isinstance(error, Overloaded) and error.share:
            status = 429
        if error.retryable and retry_after_s is None:
            retry_after_s = error.retry_after_s
        headers = _challenge(error.code)
        detail = error.reason or str(error)
        return cls(status, error.code, detail, retry_after_s=retry_after_s, headers=headers, members=members)

    @classmethod
    def of_code(cls, code: str, detail: str, *, retry_after_s: float | None = None) -> "Problem":
        """Return the answer with a code of STATUS."""
        return cls(STATUS[code], code, detail, retry_after_s=retry_after_s, headers=_challenge(code))

    @classmethod
    def of_refusal(cls, code: str, detail: str, members: Mapping[str, Any]) -> "Problem":
        """Return the answer to a request whose only report was refused."""
        return cls(STATUS.get(code, 422), code, detail, headers=_challenge(code), members=members)

    def response(self, *, chance: Random = SYSTEM_CHANCE) -> web.Response:
        """Return it as a problem document, with a random delay before the next attempt if it has one."""
        document = {
            "type": f"urn:valgnatt:problem:{self.code}",
            "title": _TITLES.get(self.status, "Error"),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            **self.members,
        }
        headers = {"Cache-Control": "no-store", **self.headers}
        if self.retry_after_s is not None:
            delay_s = jittered_s(self.retry_after_s, chance=chance)
            headers["Retry-After"] = str(max(1, math.ceil(delay_s)))
        return web.Response(body=to_json(document), status=self.status, content_type=PROBLEM, headers=headers)


def _challenge(code: str) -> dict[str, str]:
    return {"WWW-Authenticate": _AUTHENTICATE[code]} if code in _AUTHENTICATE else {}


def json_response(
    document: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return a document as JSON."""
    return web.Response(body=to_json(document), status=status, content_type=JSON, headers=headers)


SECURITY_HEADERS = {
    "Server": "valgnatt",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
"""Headers of every answer. Source: WHATWG Fetch (nosniff), W3C Content Security Policy Level 3."""
ANY_ORIGIN = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "ETag, Link, Retry-After"}
"""Headers of every answer of the feed door. Source: WHATWG Fetch, CORS protocol."""


class Head:
    """The head of an answer that no application gives: prepared, but for the length of its body and the date.

    The fields are in the order in which aiohttp writes them, so that both give the same bytes.
    """

    __slots__ = ("_after", "_before")

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        first = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        first += [f"{name}: {value}" for name, value in headers.items()]
        last = [f"{name}: {value}" for name, value in SECURITY_HEADERS.items()]
        self._before = "\r\n".join([*first, "Content-Length: "])
        self._after = "\r\n".join(["", *last, "", ""])

    def before(self, body: bytes, date: str) -> bytes:
        """Return the answer with this body; `date` is in the form of RFC 9110, section 5.6.7."""
        return f"{self._before}{len(body)}\r\nDate: {date}{self._after}".encode() + body


def mirror_link(mirror_url: str | None) -> dict[str, str]:
    """Return the header that names the mirror of a gateway, if it has one. Source: RFC 8288, section 3."""
    return {"Link": f'<{mirror_url}>; rel="alternate"'} if mirror_url is not None else {}


def is_gone(request: web.BaseRequest) -> bool:
    """Return whether the client has closed its connection, so that writing to it fails."""
    return request.transport is None or request.transport.is_closing()


def internal_error() -> Problem:
    """Return the answer to a request that failed unexpectedly."""
    return Problem.of_code("internal_error", "internal error; it has been logged")


def problem_of(error: web.HTTPException) -> Problem:
    """Return the problem document for a request that aiohttp refuses."""
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    code, detail = _REFUSED.get(error.status, ("bad_request", "the request cannot be served"))
    return Problem(error.status, code, detail, headers=headers)
