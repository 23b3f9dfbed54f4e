"""Logging: one event per line on standard error, each line in one write, without secrets.

This includes messages of asyncio and aiohttp through `logging`, and uncaught exceptions. As JSON, a line has the
members `time` (RFC 3339), `level`, `process` (`push-0`), `event`, and those of the event. If standard error does not
accept a line at once, the line is dropped and counted: logging never delays the service. Independent of the events.
"""

import logging
import os
import select
import sys
import time
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal

import orjson
import structlog

from gateway.characters import printable, printable_json, printable_lines
from gateway.errors import text_of
from gateway.redaction import without_passwords

Event = MutableMapping[str, Any]

SECRETS = frozenset({"token", "tokens", "authorization", "password", "passwords", "secret", "cookie"})
"""A member whose name ends with one of these words, such as `admin_token`, is masked."""

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_HIDDEN = "***"


def configure(
    process: str,
    *,
    format: Literal["auto", "json", "console"] = "auto",  # noqa: A002 - the name of the option
    level: Literal["debug", "info", "warning", "error"] = "info",
    fd: int = 2,
) -> None:
    """Configure all logging of this process, from `level` up, to the descriptor `fd`. May be called repeatedly."""
    terminal, lines = os.isatty(fd), _Lines(fd)
    renderer: Callable[[Any, str, Event], str | bytes] = _as_json
    if format == "console" or (format == "auto" and terminal):
        console = structlog.dev.ConsoleRenderer(
            colors=terminal, timestamp_key="time", exception_formatter=structlog.dev.plain_traceback
        )

        def renderer(logger: Any, method: str, event: Event) -> str | bytes:
            return console(logger, method, _visible(event))

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            _framed(process),
            redacted,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,  # so that modules may create loggers before this is called
    )
    logging.basicConfig(handlers=[_Forward()], level=_LEVELS[level], force=True)
    logging.captureWarnings(True)
    logging.getLogger("aiohttp.access").disabled = True  # requests are counted in metrics, not logged
    sys.excepthook = _log_uncaught


REPEAT_S = 60.0
"""Seconds between two log lines of the same outage."""


class Outage:
    """Something that may fail for a while: logged when it fails, then at intervals, and when it works again.

    A failure that waiting does not end (`JournalUnavailable.permanent`) is an error.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._log = structlog.get_logger()
        self._since: float | None = None
        self._logged: tuple[bool, float] | None = None

    def failed(self, error: Exception) -> None:
        """Record a failed attempt."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        permanent: bool = getattr(error, "permanent", False)
        if self._logged is not None and self._logged[0] >= permanent and now - self._logged[1] < REPEAT_S:
            return
        self._logged = permanent, now
        if permanent:
            self._log.error(f"{self._what}: unavailable until a setting is changed", error=text_of(error))
        else:
            self._log.warning(f"{self._what}: unavailable", error=text_of(error))

    def succeeded(self) -> None:
        """Record a successful attempt."""
        if self._since is not None:
            self._log.info(f"{self._what}: available again", after_s=round(time.monotonic() - self._since, 1))
            self._since = self._logged = None


class _Lines:
    """Writes each event with one call, so that lines of several processes do not mix.

    Never waits for a blocked reader, except within a line longer than 4 kB, which may not fit into a pipe.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lost = 0
        self._writable = select.poll()
        self._writable.register(fd, select.POLLOUT)

    def _write(self, line: str | bytes) -> None:
        encoded = line if isinstance(line, bytes) else line.encode("utf-8", "backslashreplace")
        try:
            if not self._writable.poll(0):
                raise BlockingIOError
            os.write(self._fd, encoded + b"\n")
        except OSError:  # full or closed; there is no other place to report it
            self._lost += 1
            return
        if self._lost:
            lost, self._lost = self._lost, 0
            structlog.get_logger().warning("log lines lost", lines=lost)

    debug = info = warning = error = critical = _write


def _framed(process: str) -> structlog.typing.Processor:
    """Return a processor that puts the common members first."""

    def framed(_: Any, method: str, event: Event) -> Event:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"time": now, "level": method, "process": process, "event": event.pop("event", ""), **event}

    return framed


def redacted(_: Any, __: str, event: Event) -> Event:
    """Mask secrets in an event, at any depth, and convert values that are not JSON."""
    return {name: _HIDDEN if _is_secret(name) else _plain(value) for name, value in event.items()}


def _is_secret(name: str) -> bool:
    words = name.lower().replace("-", "_")
    return words.rpartition("_")[2] in SECRETS or words.endswith("database_url")


def _plain(value: Any, depth: int = 8) -> Any:
    match value:
        case None | bool() | float():
            return value
        case str():
            text = without_passwords(value)
            return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
        case int():
            return value if -(2**63) <= value < 2**64 else str(value)
        case dict() if depth:
            return {
                str(name): _HIDDEN if _is_secret(str(name)) else _plain(member, depth - 1)
                for name, member in value.items()
            }
        case list() | tuple() | set() | frozenset() if depth:
            return [_plain(member, depth - 1) for member in value]
        case bytes():
            return _plain(value.decode(errors="backslashreplace"))
        case BaseException():
            return _plain(f"{type(value).__name__}: {text_of(value)}")
        case _:
            return _plain(str(value))


def _as_json(_: Any, __: str, event: Event) -> bytes:
    line = orjson.dumps(event)
    return printable_json(line.decode()).encode() if b"\x7f" in line or not line.isascii() else line


def _visible(event: Event) -> dict[str, Any]:
    """Return an event that is safe to show on a terminal; a stack trace keeps its line feeds."""
    return {
        printable(name): _visible_value(
            value, printable_lines if name in ("exception", "stack") else printable
        )
        for name, value in event.items()
    }


def _visible_value(value: Any, visible: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {visible(name): _visible_value(each, visible) for name, each in value.items()}
    if isinstance(value, list):
        return [_visible_value(each, visible) for each in value]
    return visible(value) if isinstance(value, str) else value


class _Forward(logging.Handler):
    """Turns records of `logging` into events."""

    def emit(self, record: logging.LogRecord) -> None:
        known = min(max(record.levelno // 10, 1), 5) * 10
        structlog.get_logger().log(
            known, record.getMessage(), logger=record.name, exc_info=record.exc_info or None
        )


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    structlog.get_logger().critical("ended by an exception", exc_info=(kind, error, trace))
