"""Whose request it was: a trace taken over from its sender, in log lines and, where they are collected, in spans.

A valid `traceparent` (W3C Trace Context) is put into every line that is logged for its request. Spans are made only
where the extra `otel` is installed and OTEL_EXPORTER_OTLP_ENDPOINT is set; OpenTelemetry's own variables say the rest.
Without that a span is one `if`. Nothing of a report, a token or an address goes into either.
"""

import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

import structlog

from gateway import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

log = structlog.get_logger()

HEADER = "traceparent"
LINKS_MAX = 64
"""Requests that the span of one commit names; a commit may hold hundreds."""
FLUSH_S = 2.0
"""What a process that ends gives the collector to take the last spans."""

_HEADER = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Trace(NamedTuple):
    """A place in a trace, in lower-case hex."""

    trace_id: str
    span_id: str
    flags: int


def parse_traceparent(values: Sequence[str]) -> Trace | None:
    """Read the header of a request; None where there is not exactly one, or it is not valid.

    Source: W3C Trace Context, sections 3.2 and 4.3: a later version is read as far as it is known.
    """
    if len(values) != 1:
        return None
    found = _HEADER.fullmatch(values[0].strip(" \t"))
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    if not int(trace_id, 16) or not int(span_id, 16):
        return None
    return Trace(trace_id, span_id, int(flags, 16))


_present: ContextVar[Trace | None] = ContextVar("trace", default=None)


def present() -> Trace | None:
    """Return the place in a trace of what is being done now."""
    return _present.get()


@contextmanager
def within(trace: Trace | None) -> Iterator[None]:
    """Do something as a part of a trace: whatever is logged meanwhile has its `trace_id`."""
    if trace is None:
        yield
        return
    before = _present.set(trace)
    try:
        with structlog.contextvars.bound_contextvars(trace_id=trace.trace_id):
            yield
    finally:
        _present.reset(before)


# Spans.


class _Collected:
    """Who makes spans, if they are collected."""

    tracer: "Tracer | None" = None
    provider: "TracerProvider | None" = None


_OFF = nullcontext()


def begin(process: str, environ: Mapping[str, str] = os.environ) -> None:
    """Make spans from now on, if somebody is named who collects them; `process` is who makes them."""
    if not (environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        log.warning("no spans: the extra `otel` is not installed", error=str(error))
        return
    who = {
        "service.name": environ.get("OTEL_SERVICE_NAME", "valgnatt"),
        "service.version": __version__,
        "service.instance.id": process,
    }
    provider = TracerProvider(resource=Resource.create(who), shutdown_on_exit=False)
    provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter())
    )  # bounded; what is too much is dropped
    use(provider)


def use(provider: "TracerProvider | None") -> None:
    """Make spans with this, or none."""
    _Collected.provider = provider
    _Collected.tracer = provider.get_tracer("valgnatt", __version__) if provider is not None else None


def end() -> None:
    """Hand over the last spans; blocks for FLUSH_S at most, and makes none after that."""
    if _Collected.provider is not None:
        # On a thread: the flush keeps to no time of its own.
        flushing = threading.Thread(target=_Collected.provider.force_flush, daemon=True)
        use(None)
        flushing.start()
        flushing.join(FLUSH_S)


def span(name: str, links: Iterable[Trace | None] = (), **about: str | int) -> AbstractContextManager[None]:
    """Time what is done in the block, as a part of the present trace; `links` are the requests that it is done for."""
    return _OFF if _Collected.tracer is None else _timed(_Collected.tracer, name, links, about)


@contextmanager
def _timed(
    tracer: "Tracer", name: str, links: Iterable[Trace | None], about: Mapping[str, str | int]
) -> Iterator[None]:
    from opentelemetry import trace as otel

    def context_of(trace: Trace) -> otel.SpanContext:
        ids = int(trace.trace_id, 16), int(trace.span_id, 16)
        return otel.SpanContext(*ids, is_remote=True, trace_flags=otel.TraceFlags(trace.flags))

    distinct = list(dict.fromkeys(each for each in links if each is not None))[:LINKS_MAX]
    above = present()
    parent = otel.set_span_in_context(otel.NonRecordingSpan(context_of(above))) if above is not None else None
    timed = tracer.start_span(
        name,
        context=parent,
        kind=otel.SpanKind.SERVER if name == "push" else otel.SpanKind.INTERNAL,
        attributes={f"valgnatt.{key}": value for key, value in about.items()},
        links=[otel.Link(context_of(each)) for each in distinct],
    )
    own = timed.get_span_context()
    here = Trace(f"{own.trace_id:032x}", f"{own.span_id:016x}", int(own.trace_flags))
    try:
        with within(here):
            yield
    except BaseException as error:
        timed.set_status(otel.StatusCode.ERROR, type(error).__name__)  # what it says may name hosts
        raise
    finally:
        timed.end()
