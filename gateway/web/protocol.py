"""aiohttp's protocol of a connection, whose own answers are problem documents as well.

What aiohttp answers before any route is reached (a request that is no HTTP, an unknown expectation) would otherwise
name aiohttp and its version, lack the headers that protect browsers, and repeat what the client sent, tokens included.
"""

from collections.abc import Mapping
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.http_exceptions import LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import _ErrInfo

from gateway.web.answers import HARD, Problem, is_gone, problem_of

log = structlog.get_logger()

HEAD_MAX = 16 << 10
"""Bytes of the head of a request."""


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
        if not isinstance(exc, HttpProcessingError):
            log.error(
                "request failed", exc_info=exc
            )  # strangers knock on every open port: of them nothing is logged
        if request.writer.output_size > 0:
            raise ConnectionError("part of another answer has been sent")
        answer = self._without_route(_problem(status, exc))
        answer.force_close()
        return answer

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write an answer; one that aiohttp made for an error is replaced."""
        if isinstance(resp, web.HTTPException) and resp.status >= 400:
            resp = self._without_route(problem_of(resp)[1])
        return await super().finish_response(request, resp, start_time)

    def refuse_head(self) -> None:
        """Answer that the head of a request is too large, in place of the requests that wait, and read nothing more."""
        error = LineTooLong(b"", str(HEAD_MAX))
        self._messages.clear()
        self._messages.append((_ErrInfo(status=431, exc=error, message=""), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._close = True

    def _without_route(self, problem: Problem) -> web.Response:
        """Return a problem document with the headers that the application gives to every answer."""
        answer = problem.response()
        answer.headers.update(HARD)
        answer.headers.update(self._answer_headers)
        return answer


def _problem(status: int, exc: BaseException | None) -> Problem:
    if isinstance(exc, LineTooLong):
        return _head_too_large()
    if isinstance(exc, HttpProcessingError):
        return Problem(400, "bad_request", "the request is not valid HTTP/1.1")
    if status == 504:
        return Problem(504, "timeout", "the answer took too long")
    return Problem(500, "internal_error", "internal error; it has been logged")


def _head_too_large() -> Problem:
    return Problem(
        431, "head_too_large", f"the head of a request is at most {HEAD_MAX} bytes, a line of it 8190"
    )
