"""Middleware of every port: problem documents, security headers, refusal of bodies, and CORS preflights."""

from collections.abc import Callable
from random import Random
from typing import Any

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from gateway.clock import SYSTEM_CHANCE
from gateway.telemetry import tracing
from gateway.web.aiohttp_problems import answer_begun
from gateway.web.answers import (
    ANSWERED_ERRORS,
    ANY_ORIGIN,
    SECURITY_HEADERS,
    Problem,
    internal_error,
    is_gone,
    problem_of,
)

log = structlog.get_logger()

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET",
    "Access-Control-Allow-Headers": "Last-Event-ID, If-None-Match, Accept, Cache-Control, traceparent, tracestate",
    "Access-Control-Max-Age": "86400",
}
"""Source: WHATWG Fetch, CORS protocol."""


async def add_security_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Forbid browsers to interpret an answer as anything but what it is; a signal of `on_response_prepare`."""
    response.headers["Server"] = SECURITY_HEADERS["Server"]  # aiohttp has set its own
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)


async def allow_any_origin(_: web.Request, response: web.StreamResponse) -> None:
    """Let pages of any origin read every answer, errors included, as everything here is public."""
    for name, value in ANY_ORIGIN.items():
        response.headers.setdefault(name, value)


def problem_documents(
    count: Callable[[str], None],
    refused: Callable[[web.Request, int, str], None] = lambda *_: None,
    *,
    chance: Random = SYSTEM_CHANCE,
) -> Middleware:
    """Return a middleware that turns errors into problem documents.

    `count` is called with the code of each, and `refused` with the request, the status and the code.

    A request with a valid `traceparent` is answered within that trace. Logs name the route and never the path, which
    may contain a token by mistake.
    """

    def note(request: web.Request, problem: Problem) -> None:
        count(problem.code)
        refused(request, problem.status, problem.code)

    @web.middleware
    async def middleware(request: web.Request, handler: Any) -> web.StreamResponse:
        if tracing.HEADER not in request.headers:
            return await _answer(request, handler, note, chance)
        with tracing.within(tracing.parse_traceparent(request.headers.getall(tracing.HEADER))):
            answer = await _answer(request, handler, note, chance)
            log.debug("answered", method=request.method, route=_route(request), status=answer.status)
            return answer

    return middleware


@web.middleware
async def refuse_bodies(request: web.Request, handler: Any) -> web.StreamResponse:
    """Refuse a body that nothing reads, and that would be buffered while the request waits.

    A body is read with POST, and with PUT where there is a route for it.
    """
    method = request.method
    has_route = request.match_info.http_exception is None
    if request.body_exists and method != hdrs.METH_POST and not (method == hdrs.METH_PUT and has_route):
        raise Problem(400, "bad_request", "a request with this method must not have a body")
    response: web.StreamResponse = await handler(request)
    return response


@web.middleware
async def answer_preflight(request: web.Request, handler: Any) -> web.StreamResponse:
    """Answer a preflight, which a browser sends before a request from a page of another origin."""
    if request.method == hdrs.METH_OPTIONS:
        return web.Response(status=204, headers=_PREFLIGHT)
    response: web.StreamResponse = await handler(request)
    return response


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""


async def _answer(
    request: web.Request, handler: Any, note: Callable[[web.Request, Problem], None], chance: Random
) -> web.StreamResponse:
    """Answer a request, also if aiohttp itself refuses it.

    A refused request leaves no reference cycle. Otherwise many refusals, which cost a client little, accumulate until a
    garbage collection frees them all at once, and that delays every publication by some tens of milliseconds.
    """
    try:
        response: web.StreamResponse = await handler(request)
        return response
    except Problem as raised:
        problem = raised
    except ANSWERED_ERRORS as error:
        if answer_begun(request):
            raise
        problem = Problem.of(error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        problem = problem_of(error)
        error.__traceback__ = None  # the request keeps this error, whose frames refer to the request
    except Exception:
        if answer_begun(request) or is_gone(request):
            raise  # part of another answer has been sent already, or the client is gone
        log.exception("request failed", method=request.method, route=_route(request))
        problem = internal_error()
    try:
        note(request, problem)
        return problem.response(chance=chance)
    finally:
        del problem  # its traceback refers to this frame: a cycle would keep all of the request
