"""What aiohttp itself answers: problem documents, on every port.

One of the modules that rely on aiohttp's internals (`aiohttp_*.py`): the protocol of a connection
(`web.RequestHandler`), its queue of requests, and how it answers errors.

* `ProblemHandler`: what aiohttp answers before a route is reached (a request that is not HTTP, an unknown expectation)
  would otherwise name aiohttp and its version, lack the security headers, and repeat what the client sent, which may
  include a token.
* `AdminHandler`: answers a client that has closed its side, as `DoorHandler` does.
"""

from collections.abc import Mapping
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.http_exceptions import LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import _ErrInfo

from gateway.web.answers import SECURITY_HEADERS, Problem, internal_error, is_gone, problem_of

log = structlog.get_logger()

HEAD_MAX = 20 << 10
"""Bytes of the head of a request. One header field may have nearly all of them: pages of a domain share its cookies."""
REQUEST_LINE_MAX = 8190
"""Bytes of the target of a request."""


def answer_begun(request: web.BaseRequest) -> bool:
    """Return whether a part of an answer has been written."""
    return request.writer.output_size > 0


class ProblemHandler(web.RequestHandler):
    """A connection whose errors are problem documents that repeat nothing of the request.

    `answer_headers` are added to the answers that no route gives.
    """

    __slots__ = ("_answer_headers",)

    def __init__(
        self, server: web.Server, *, answer_headers: Mapping[str, str] | None = None, **options: Any
    ) -> None:
        super().__init__(server, **options)
        self._answer_headers = dict(answer_headers or {})

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it repeats what the client sent
    ) -> web.StreamResponse:
        """Return the answer to what cannot be served; then the connection is closed."""
        if isinstance(exc, ConnectionError) and is_gone(request):
            raise exc  # clients go away at any time; aiohttp ends the connection
        if not isinstance(
            exc, HttpProcessingError
        ):  # what is not HTTP is not logged: scanners send it to any port
            log.error("request failed", exc_info=exc)
        if answer_begun(request):
            raise ConnectionError("part of another answer has been sent")
        answer = self._without_route(_problem(status, exc))
        answer.force_close()
        return answer

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write an answer; one that aiohttp made for an error is replaced."""
        if isinstance(resp, web.HTTPException) and resp.status >= 400:
            resp = self._without_route(problem_of(resp))
        return await super().finish_response(request, resp, start_time)

    def refuse_head(self) -> None:
        """Answer that the head of a request is too large, in place of the queued requests, and read nothing more."""
        self._answer_last(431, LineTooLong(b"", str(HEAD_MAX)))

    def answer_error(self, error: Exception) -> None:
        """Answer an internal error, which is logged, in place of the queued requests, and read nothing more."""
        self._answer_last(500, error)

    def _answer_last(self, status: int, error: Exception) -> None:
        self._messages.clear()
        self._messages.append((_ErrInfo(status=status, exc=error, message=""), EMPTY_PAYLOAD))
        self._wake()
        self._close = True

    def _wake(self) -> None:
        """Let aiohttp's task answer the queued requests, if it waits for one."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _without_route(self, problem: Problem) -> web.Response:
        """Return a problem document with the headers that the application adds to every answer."""
        answer = problem.response()
        answer.headers.update(SECURITY_HEADERS)
        answer.headers.update(self._answer_headers)
        return answer


class AdminHandler(ProblemHandler):
    """A connection of the admin port: without the bounds of a door, and without TLS."""

    __slots__ = ("_answered", "_ended")

    def __init__(self, server: web.Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._answered = 0
        self._ended = False
        """Whether the client has closed its side."""

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp returns None, which closes the connection
        """Close the connection, but not before the requests that have arrived are answered.

        Source: RFC 9112, section 9.6.
        """
        self._ended = True
        return self._request_count > self._answered

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write an answer; after the last one, close the connection if the client has closed its side."""
        finished = await super().finish_response(request, resp, start_time)
        self._answered += 1
        if self._ended and self._answered == self._request_count:
            self._close = True
        return finished


def _problem(status: int, exc: BaseException | None) -> Problem:
    if isinstance(exc, LineTooLong):
        detail = f"the head of a request may have at most {HEAD_MAX} bytes, and its target {REQUEST_LINE_MAX}"
        return Problem(431, "head_too_large", detail)
    if isinstance(exc, HttpProcessingError):
        return Problem(400, "bad_request", "the request is not valid HTTP/1.1")
    if status == 504:
        return Problem(504, "timeout", "the answer took too long")
    return internal_error()
