"""Tracing: the trace of a sender's request, in log lines and, if they are exported, in spans.

The trace id of a valid `traceparent` (W3C Trace Context) is added to every line that is logged for the request. Spans
are created only if the extra `otel` is installed and OTEL_EXPORTER_OTLP_ENDPOINT is set; other variables of
OpenTelemetry apply. Otherwise a span costs one `if`. Neither contains anything of a report, a token or an address.
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
"""Requests linked from the span of one commit, which may contain hundreds."""
FLUSH_S = 2.0
"""Seconds that a process waits at its end for the export of the last spans."""

_HEADER = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Trace(NamedTuple):
    """A position in a trace; ids in lower-case hex."""

    trace_id: str
    span_id: str
    flags: int


def parse_traceparent(values: Sequence[str]) -> Trace | None:
    """Parse the header of a request; None if there is not exactly one valid value.

    Source: W3C Trace Context, sections 3.2 and 4.3: of a later version, the known part is used.
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


_current: ContextVar[Trace | None] = ContextVar("trace", default=None)


def current() -> Trace | None:
    """Return the current position in a trace."""
    return _current.get()


@contextmanager
def within(trace: Trace | None) -> Iterator[None]:
    """Run a block as part of a trace; events logged in it have its `trace_id`."""
    if trace is None:
        yield
        return
    before = _current.set(trace)
    try:
        with structlog.contextvars.bound_contextvars(trace_id=trace.trace_id):
            yield
    finally:
        _current.reset(before)


# Spans.


class _Export:
    """The tracer and its provider, if spans are exported."""

    tracer: "Tracer | None" = None
    provider: "TracerProvider | None" = None


_OFF = nullcontext()


def begin(process: str, environ: Mapping[str, str] = os.environ) -> None:
    """Start to export spans if a collector is configured; `process` is the name of this process."""
    if not (environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        log.warning("spans are not exported: the extra `otel` is not installed", error=str(error))
        return
    attributes = {
        "service.name": environ.get("OTEL_SERVICE_NAME", "valgnatt"),
        "service.version": __version__,
        "service.instance.id": process,
    }
    provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))  # bounded; drops spans when full
    use(provider)


def use(provider: "TracerProvider | None") -> None:
    """Export spans through this provider, or none."""
    _Export.provider = provider
    _Export.tracer = provider.get_tracer("valgnatt", __version__) if provider is not None else None


def end() -> None:
    """Export the last spans and stop; blocks for at most FLUSH_S."""
    if _Export.provider is not None:
        # In a thread, because force_flush does not honour a timeout.
        flushing = threading.Thread(target=_Export.provider.force_flush, daemon=True)
        use(None)
        flushing.start()
        flushing.join(FLUSH_S)


def exporting() -> bool:
    """Return whether spans are exported."""
    return _Export.tracer is not None


def span(name: str, links: Iterable[Trace | None] = (), **about: str | int) -> AbstractContextManager[None]:
    """Return a span for a block, in the current trace; `links` are the requests that the block works for."""
    return _OFF if _Export.tracer is None else _timed(_Export.tracer, name, links, about)


@contextmanager
def _timed(
    tracer: "Tracer", name: str, links: Iterable[Trace | None], about: Mapping[str, str | int]
) -> Iterator[None]:
    from opentelemetry import trace as otel

    def context_of(trace: Trace) -> otel.SpanContext:
        ids = int(trace.trace_id, 16), int(trace.span_id, 16)
        return otel.SpanContext(*ids, is_remote=True, trace_flags=otel.TraceFlags(trace.flags))

    distinct = list(dict.fromkeys(each for each in links if each is not None))[:LINKS_MAX]
    above = current()
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
        timed.set_status(otel.StatusCode.ERROR, type(error).__name__)  # its message may contain host names
        raise
    finally:
        timed.end()
