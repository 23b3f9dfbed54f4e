"""Answers that both doors give: problem documents, JSON, and how long to stay away.

Source: RFC 9457 (problem details), RFC 9110 section 10.2.3 (Retry-After).
"""

import math
import random
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

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
from gateway.telemetry import tracing
from gateway.wire.json import to_json

log = structlog.get_logger()

PROBLEM = "application/problem+json"
JSON = "application/json"

_TITLES = {
    400: "Bad request",
    401: "A valid token is needed",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    408: "The request took too long",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported type",
    417: "Expectation failed",
    422: "The report is refused",
    426: "Upgrade required",
    429: "Too much at once",
    431: "The head of the request is too large",
    500: "Internal error",
    503: "Not available now",
    504: "The answer took too long",
}
_REFUSED = {
    404: ("not_found", "there is nothing at this path"),
    405: ("method_not_allowed", "this path does not take this method; Allow lists those that it takes"),
    413: ("too_large", "the request is too large"),
    417: ("expectation_failed", "the only expectation that is met is 100-continue"),
}
"""Code and text where aiohttp refuses a request. Nothing of the request is repeated: a token may be anywhere in it."""


STATUS = {
    "malformed": 400,
    "token_missing": 401,
    "token_invalid": 401,
    "token_revoked": 401,
    "role_forbidden": 403,
    "unit_forbidden": 403,
    "unknown_election": 404,
    "stale_revision": 409,
    "revision_conflict": 409,
    "election_closed": 409,
    "too_large": 413,
    "overloaded": 503,
    "draining": 503,
    "journal_unavailable": 503,
}
"""The HTTP status of an error, or of a refusal, by its code. Refusals of other codes are 422."""
_AUTHENTICATE = {
    "token_missing": "Bearer",
    "token_invalid": 'Bearer error="invalid_token"',
    "token_revoked": "Bearer",
}
"""WWW-Authenticate of an answer, by its code. Source: RFC 6750 section 3."""
_ANSWERED = (
    Overloaded,
    Draining,
    JournalUnavailable,
    ElectionUnknown,
    TokenMissing,
    TokenInvalid,
    RoleForbidden,
)
"""Errors that end a request with an answer wherever they are raised; any other is a fault of the gateway."""


class Problem(Exception):
    """An answer that says what is wrong; raised anywhere in a door, it ends the request."""

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
        if retry_after_s is not None:
            self.headers["Retry-After"] = str(spread_s(retry_after_s))

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
    def of_refusal(cls, code: str, detail: str, members: Mapping[str, Any]) -> "Problem":
        """Return the answer to a request whose only report was refused."""
        return cls(STATUS.get(code, 422), code, detail, headers=_challenge(code), members=members)

    def response(self) -> web.Response:
        """Return it as a problem document."""
        document = {
            "type": f"urn:valgnatt:problem:{self.code}",
            "title": _TITLES.get(self.status, "Error"),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            **self.members,
        }
        headers = {"Cache-Control": "no-store", **self.headers}
        return web.Response(body=to_json(document), status=self.status, content_type=PROBLEM, headers=headers)


def _challenge(code: str) -> dict[str, str]:
    return {"WWW-Authenticate": _AUTHENTICATE[code]} if code in _AUTHENTICATE else {}


def spread_s(delay_s: float) -> int:
    """Return whole seconds at random about a delay, at least 1, so that those sent away do not return at once."""
    return max(1, math.ceil(random.uniform(0.5, 1.5) * delay_s))  # noqa: S311 - jitter, no secret


def jittered_s(delay_s: float) -> float:
    """Return a delay at random about the given one."""
    return round(random.uniform(0.5, 1.5) * delay_s, 2)  # noqa: S311


def json_response(
    document: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return a document as JSON."""
    return web.Response(body=to_json(document), status=status, content_type=JSON, headers=headers)


HARD = {
    "Server": "valgnatt",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
"""Headers of every answer. Source: WHATWG Fetch (nosniff), W3C Content Security Policy Level 3."""
ANY_ORIGIN = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "ETag, Retry-After"}
"""Headers of every answer of the feed door. Source: WHATWG Fetch, CORS protocol."""


async def harden(_: web.Request, response: web.StreamResponse) -> None:
    """Tell browsers, in the head of every answer, to take it for nothing but what it is."""
    response.headers["Server"] = HARD["Server"]  # aiohttp has set its own
    for name, value in HARD.items():
        response.headers.setdefault(name, value)


def problems(note: Callable[[str], None]) -> Middleware:
    """Return a middleware that turns what goes wrong into problem documents, and notes the code of each.

    A request with a valid `traceparent` is answered within that trace. Logs name the route and never the path, where
    someone may have put a token.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Any) -> web.StreamResponse:
        if tracing.HEADER not in request.headers:
            return await _answered(request, handler, note)
        with tracing.within(tracing.parse_traceparent(request.headers.getall(tracing.HEADER))):
            answer = await _answered(request, handler, note)
            log.debug("answered", method=request.method, route=_route(request), status=answer.status)
            return answer

    return middleware


@web.middleware
async def bodiless(request: web.Request, handler: Any) -> web.StreamResponse:
    """Refuse a body with any method but POST: nobody reads it, so it would be kept while the request waits."""
    if request.body_exists and request.method != hdrs.METH_POST:
        raise Problem(400, "bad_request", "a request of this method has no body here")
    response: web.StreamResponse = await handler(request)
    return response


def is_gone(request: web.BaseRequest) -> bool:
    """Whether the client has closed its connection, so that what is written to it fails."""
    return request.transport is None or request.transport.is_closing()


def problem_of(error: web.HTTPException) -> tuple[str, Problem]:
    """Return the code and the problem document for a request that aiohttp refuses."""
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    code, detail = _REFUSED.get(error.status, ("bad_request", "the request cannot be served"))
    return code, Problem(error.status, code, detail, headers=headers)


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""


async def _answered(request: web.Request, handler: Any, note: Callable[[str], None]) -> web.StreamResponse:
    """Answer a request, also where aiohttp itself refuses it."""
    try:
        response: web.StreamResponse = await handler(request)
    except Problem as problem:
        note(problem.code)
        return problem.response()
    except _ANSWERED as error:
        note(error.code)
        return Problem.of(error).response()
    except web.HTTPException as error:
        if error.status < 400:
            raise
        code, refused = problem_of(error)
        note(code)
        return refused.response()
    except Exception:
        if request.writer.output_size or is_gone(request):
            raise  # part of another answer has left already, or there is nobody to answer
        log.exception("request failed", method=request.method, route=_route(request))
        note("internal_error")
        return Problem(500, "internal_error", "internal error; it has been logged").response()
    return response
