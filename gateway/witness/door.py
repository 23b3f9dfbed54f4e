"""The HTTP side of a witness: `add-checkpoint`, and the newest checkpoint of each log.

A stranger costs little: a body is bounded in bytes and time, a log that is not followed is refused before any signature
is verified, and submissions wait in a bounded number for the thread that writes the state. Connections are limited as
those of the doors (`web.connections`). Source: C2SP tlog-witness.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from aiohttp import web

from gateway.errors import GatewayError, Overloaded
from gateway.telemetry.logs import Outage
from gateway.telemetry.witness_metrics import WitnessMetrics
from gateway.transparency.witness_protocol import origin_hash
from gateway.web.answers import Problem
from gateway.web.client_address import ClientAddresses
from gateway.web.concurrency_limit import ConcurrencyLimit
from gateway.web.health import add_health
from gateway.web.middleware import add_security_headers, problem_documents, refuse_bodies
from gateway.web.push_receiving import expect_later, receive_content
from gateway.web.shares import ByteBudget, ByteReservation
from gateway.witness.state import WitnessStateUnavailable
from gateway.witness.submission import BODY_MAX
from gateway.witness.witness import Answer, ClockBehind, Witness

T = TypeVar("T")

BODIES_MAX, BODIES_RESERVE = 8 << 20, 16 << 10
"""Bytes of bodies that are being received, in all, and those that every address may always have."""
WAITING_MAX = 256
"""Requests that wait for the state, in all."""
WAITING_PER_ADDRESS = 8
"""Requests of one address that wait for the state. A signer has one per log."""
ANSWER_S = 10.0
"""How long a request may wait for the state, in seconds; the disk may be stuck."""
RETRY_S = 2.0


class WitnessDoor:
    """The routes of a witness. Invariant: its thread alone uses the state, a request at a time."""

    def __init__(self, witness: Witness, addresses: ClientAddresses, metrics: WitnessMetrics) -> None:
        self._witness = witness
        self._addresses = addresses
        self._metrics = metrics
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state")
        self._waiting = 0
        self._per_address = ConcurrencyLimit(WAITING_PER_ADDRESS)
        self._bodies = ByteBudget(BODIES_MAX, BODIES_RESERVE)
        self._outage = Outage("cosigning")
        self._by_hash = {origin_hash(origin): origin for origin in witness.logs}

    def application(self) -> web.Application:
        """Return the routes."""
        application = web.Application(
            middlewares=[problem_documents(self._metrics.problems.note), refuse_bodies]
        )
        application.on_response_prepare.append(add_security_headers)
        application.router.add_post("/add-checkpoint", self._add_checkpoint, expect_handler=expect_later)
        application.router.add_get("/{origin:[0-9a-f]{64}}/checkpoint", self._get_checkpoint)
        add_health(application, lambda: True)
        return application

    def close(self) -> None:
        """Wait for the request in progress, and start no other."""
        self._thread.shutdown(cancel_futures=True)

    def in_state_thread(self, work: Callable[[], T]) -> T:
        """Run something in the thread of the state, for another thread, which waits for it."""
        return self._thread.submit(work).result()

    async def _add_checkpoint(self, request: web.Request) -> web.Response:
        address = self._addresses.of_request(request)
        with ByteReservation(self._bodies, address, "submissions") as memory:
            try:
                body = await receive_content(request, memory, BODY_MAX)
            except Overloaded:
                raise Problem(
                    503, "overloaded", "too many bodies are being received", retry_after_s=RETRY_S
                ) from None
            submission = self._witness.read(body)
            if isinstance(submission, Answer):
                self._metrics.strangers.inc()
                return _response(submission)
            return _response(
                await self._with_state(address, lambda: self._witness.add_checkpoint(submission))
            )

    async def _get_checkpoint(self, request: web.Request) -> web.Response:
        origin = self._by_hash.get(request.match_info["origin"])
        if origin is None:
            raise Problem(404, "not_found", "this witness does not follow that log")
        note = self._witness.newest_note(origin)
        if note is None:
            raise Problem(404, "not_found", "this witness has cosigned no checkpoint of that log")
        headers = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "max-age=1"}
        return web.Response(body=note, headers=headers)

    async def _with_state(self, address: str, work: Callable[[], T]) -> T:
        """Run something in the thread of the state. Raises Problem.

        It is completed also if the client has gone, or if it takes longer than ANSWER_S: then the answer is lost, and
        the next one says what the state is.
        """
        if self._waiting >= WAITING_MAX or self._per_address.full(address):
            raise Problem(503, "overloaded", "too many requests at once", retry_after_s=RETRY_S)
        self._waiting += 1
        self._per_address.enter(address)
        running = asyncio.get_running_loop().run_in_executor(self._thread, work)
        running.add_done_callback(lambda done: self._done(address, done))
        try:
            async with asyncio.timeout(ANSWER_S):
                return await asyncio.shield(running)
        except TimeoutError:
            raise Problem(
                503, "overloaded", "the state could not be written in time", retry_after_s=RETRY_S
            ) from None
        except (WitnessStateUnavailable, ClockBehind) as error:
            raise Problem(503, error.code, _public(error), retry_after_s=RETRY_S) from None

    def _done(self, address: str, done: "asyncio.Future[T]") -> None:
        self._waiting -= 1
        self._per_address.leave(address)
        error = None if done.cancelled() else done.exception()
        if error is None:
            self._outage.succeeded()
        elif isinstance(error, GatewayError):
            self._outage.failed(error)


def _response(answer: Answer) -> web.Response:
    headers = {"Content-Type": answer.content_type, "Cache-Control": "no-store"}
    return web.Response(body=answer.body.encode(), status=answer.status, headers=headers)


def _public(error: GatewayError) -> str:
    """Return what a stranger may know about an error, which is logged."""
    if isinstance(error, ClockBehind):
        return "the clock of this witness is behind its last cosignature"
    return "the state of this witness cannot be written or read"
