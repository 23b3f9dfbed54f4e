"""The log: one event per line, in one write, without secrets."""

import asyncio
import logging
import os
import pty
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Literal

import orjson
import pytest
import structlog

from gateway.journal.db_errors import LoginRefused
from gateway.telemetry import logs


class Output:
    """The reading end of the log."""

    def __init__(self) -> None:
        self.source, self.fd = os.pipe()
        os.set_blocking(self.source, False)

    def read(self) -> bytes:
        return os.read(self.source, 1 << 20)

    def events(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.read().splitlines()]


@pytest.fixture
def output() -> Iterator[Output]:
    """A pipe in place of standard error; restores logging afterwards."""
    root, hook = logging.getLogger(), sys.excepthook
    handlers, level = root.handlers[:], root.level
    made = Output()
    try:
        yield made
    finally:
        logging.captureWarnings(False)
        root.handlers[:], sys.excepthook = handlers, hook
        root.setLevel(level)
        logging.getLogger("aiohttp.access").disabled = False
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()
        os.close(made.source)
        os.close(made.fd)


def test_a_line_has_time_level_process_and_event(output: Output) -> None:
    """In this order, with the members of the event and of the context."""
    logs.configure("push-0", fd=output.fd)
    with structlog.contextvars.bound_contextvars(election="no"):
        structlog.get_logger().info("batch committed", reports=7)
    (event,) = output.events()
    assert list(event) == ["time", "level", "process", "event", "reports", "election"]
    assert event | {"time": ""} == {
        "time": "",
        "level": "info",
        "process": "push-0",
        "event": "batch committed",
        "election": "no",
        "reports": 7,
    }
    assert datetime.fromisoformat(event["time"]).utcoffset() == timedelta(0)


def test_a_line_is_one_write(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    """So lines of several processes on one terminal or pipe do not mix."""
    written: list[bytes] = []
    monkeypatch.setattr(os, "write", lambda fd, line: written.append(line))
    logs.configure("push-0", fd=output.fd)
    structlog.get_logger().info("long", text="x" * 100_000)
    logs.configure("push-0", format="console", fd=output.fd)
    structlog.get_logger().info("long", text="x" * 100_000)
    assert [line.count(b"\n") for line in written] == [1, 1]
    assert all(len(line) > 100_000 and line.endswith(b"\n") for line in written)


def test_an_outage_is_logged_once_at_its_start_and_once_at_its_end(output: Output) -> None:
    """However often it is tried meanwhile; and again at the next time."""
    logs.configure("feed-0", fd=output.fd)
    heads = logs.Outage("heads")
    heads.succeeded()
    for _ in range(2):
        for _ in range(5):
            heads.failed(ConnectionError("nobody there"))
        for _ in range(5):
            heads.succeeded()
    found = [(event["level"], event["event"]) for event in output.events()]
    assert found == 2 * [("warning", "heads: unavailable"), ("info", "heads: available again")]


def test_a_failure_that_waiting_does_not_end_is_an_error_and_repeated(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At intervals, also after an ordinary one; an error without a message is still named."""
    logs.configure("feed-0", fd=output.fd)
    heads = logs.Outage("heads")
    heads.failed(TimeoutError())
    for repeat_s in (60.0, 60.0, 0.0, 0.0):
        monkeypatch.setattr(logs, "REPEAT_S", repeat_s)
        heads.failed(LoginRefused("wrong password"))
    heads.succeeded()
    found = [(event["level"], event["event"], event.get("error")) for event in output.events()]
    assert found == [
        ("warning", "heads: unavailable", "no answer in time"),
        *3 * [("error", "heads: unavailable until a setting is changed", "wrong password")],
        ("info", "heads: available again", None),
    ]


def test_events_below_the_level_are_not_logged(output: Output) -> None:
    """Neither ours nor those of others."""
    logs.configure("push-0", level="warning", fd=output.fd)
    structlog.get_logger().info("no")
    logging.getLogger("asyncio").info("no")
    structlog.get_logger().warning("yes")
    logging.getLogger("asyncio").warning("yes")
    assert [event["event"] for event in output.events()] == ["yes", "yes"]


def test_secrets_are_masked(output: Output) -> None:
    """By the name of a member at any depth, or as the password of a URL in any text."""
    logs.configure("push-0", fd=output.fd)
    url = "postgresql://clerk:s3cret@db/night"
    try:
        raise ValueError(f"cannot connect to {url}")
    except ValueError as error:
        structlog.get_logger().exception(
            f"failed {url}",
            token="s3cret",
            database_url="s3cret",
            feed_database_url=["s3cret"],
            request={"headers": [{"Authorization": "s3cret", "X-Admin-Token": "s3cret"}], "token_id": 7},
            error=error,
            raw=url.encode(),
            header="Bearer s3cret.s3cret.s3cret",
        )
    logging.getLogger("x").error("cannot connect to %s", url)
    printed = output.read()
    assert b"s3c" not in printed
    first, second = (orjson.loads(line) for line in printed.splitlines())
    assert first["request"] == {
        "headers": [{"Authorization": "***", "X-Admin-Token": "***"}],
        "token_id": 7,
    }
    assert first["error"] == "ValueError: cannot connect to postgresql://clerk:***@db/night"
    assert "Traceback" in first["exception"]
    assert second["event"] == "cannot connect to postgresql://clerk:***@db/night"


def test_any_value_can_be_logged(output: Output) -> None:
    """No value prevents a line from being logged."""
    logs.configure("push-0", fd=output.fd)
    structlog.get_logger().info("\ud800\n", big=2**70, raw=b"\xff", kinds={1: {2}}, at=timedelta(1), o=[None])
    (event,) = output.events()
    assert event["event"] == "\\ud800\n"
    assert event["big"] == str(2**70)
    assert (event["raw"], event["kinds"], event["at"], event["o"]) == (
        "\\xff",
        {"1": [2]},
        "1 day, 0:00:00",
        [None],
    )


def test_messages_of_other_packages_are_logged_except_access_lines(output: Output) -> None:
    """asyncio, aiohttp and warnings go the same way; a line a request does not."""
    logs.configure("feed-1", fd=output.fd)
    logging.getLogger("asyncio").warning("100%% of %s", "it")
    logging.getLogger("aiohttp.access").info("GET /")
    logging.getLogger("aiohttp.server").log(logging.CRITICAL + 7, "grave")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", stacklevel=1)
    first, second, third = output.events()
    assert (first["event"], first["logger"], first["level"]) == ("100% of it", "asyncio", "warning")
    assert (second["event"], second["level"]) == ("grave", "critical")
    assert "old" in third["event"]
    assert {event["process"] for event in (first, second, third)} == {"feed-1"}


async def test_a_failed_task_is_one_line(output: Output) -> None:
    """With its traceback inside."""
    logs.configure("feed-1", fd=output.fd)
    asyncio.get_running_loop().call_exception_handler({"message": "bad", "exception": ValueError("worse")})
    (event,) = output.events()
    assert "ValueError: worse" in event["exception"]


def test_the_last_words_of_a_process_are_a_line() -> None:
    """A process that logs JSON writes only JSON."""
    code = "from gateway.telemetry import logs; logs.configure('push-0', format='json'); raise RuntimeError('end')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True)
    event = orjson.loads(ended.stderr)
    assert (ended.returncode, event["level"], event["event"]) == (1, "critical", "ended by an exception")
    assert "RuntimeError: end" in event["exception"]


def test_a_terminal_gets_lines_for_people() -> None:
    """By default: auto is console on a terminal."""
    ours, theirs = pty.openpty()
    code = (
        "from gateway.telemetry import logs; import structlog;"
        " logs.configure('push-0'); structlog.get_logger().info('hi')"
    )
    subprocess.run([sys.executable, "-c", code], stderr=theirs, check=True)
    printed = os.read(ours, 10_000)
    os.close(ours)
    os.close(theirs)
    assert b"hi" in printed
    assert b"push-0" in printed
    assert not printed.startswith(b"{")


@pytest.mark.parametrize("format", ["console", "json"])
def test_control_characters_in_a_line_are_escaped(output: Output, format: Literal["console", "json"]) -> None:  # noqa: A002
    """Names, values at any depth and exceptions are shown with their control characters as escapes."""
    hostile = "\x1b[66;6H\x1b]0;owned\x07\x9b31m\u202e\x7f\r"
    logs.configure("push-0", format=format, fd=output.fd)
    log = structlog.get_logger()
    log.info(hostile, who=hostile, **{f"member{hostile}": [hostile, {hostile: {hostile}}]})
    try:
        raise ValueError(hostile)
    except ValueError:
        log.exception("failed")
    printed = output.read().decode()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", printed)
    assert printed.count("[66;6H") >= 6


def test_a_blocked_reader_does_not_delay_logging(output: Output) -> None:
    """Lines are dropped, and their number is logged afterwards."""
    logs.configure("push-0", fd=output.fd)
    for number in range(2000):
        structlog.get_logger().info("x" * 100, number=number)
    kept = len(output.events())
    assert kept < 2000
    structlog.get_logger().info("later")
    assert [event.get("lines", event["event"]) for event in output.events()] == ["later", 2000 - kept]


def test_a_closed_standard_error_raises_no_error() -> None:
    """Its lines are dropped."""
    source, target = os.pipe()
    os.close(source)
    code = (
        "from gateway.telemetry import logs; import structlog;"
        " logs.configure('x'); structlog.get_logger().info('hi')"
    )
    subprocess.run([sys.executable, "-c", code], stderr=target, check=True)
    os.close(target)
