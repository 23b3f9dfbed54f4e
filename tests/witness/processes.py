"""Witnesses as processes: the real command, on a free port."""

import asyncio
import os
import re
import threading
from collections import deque
from contextlib import AbstractContextManager
from pathlib import Path

from gateway.transparency.note import VerifierKey, parse_vkey
from tests.fork_server import Command
from tests.witness.logs import NAME, GrowingLog

STARTED_S = 60.0
LINES_MAX = 1000


class WitnessProcess(AbstractContextManager["WitnessProcess"]):
    """A witness that has started; it is ended, if it still runs, when the block is left."""

    def __init__(
        self,
        directory: Path,
        *logs: GrowingLog | str,
        name: str = NAME,
        port: int = 0,
        options: tuple[object, ...] = (),
    ) -> None:
        environ = {key: value for key, value in os.environ.items() if not key.startswith("VALGNATT_")}
        followed = [
            part for log in logs for part in ("--log", log if isinstance(log, str) else str(log.key.vkey))
        ]
        self.process = Command(
            "witness", "--name", name, "--dir", directory, "--port", port, "--log-format", "json", *followed, *options,
            environ=environ,
        )  # fmt: skip
        self.log: deque[str] = deque(maxlen=LINES_MAX)
        self.printed: list[str] = []
        self._started = threading.Event()
        for stream, keep in ((self.process.stderr, self.log.append), (self.process.stdout, self._show)):
            threading.Thread(target=self._read, args=(stream, keep), daemon=True).start()
        assert self._started.wait(STARTED_S), "the witness did not start"
        assert self._url is not None, "\n".join([*self.printed, *self.log])
        self.url: str = self._url

    _url: str | None = None

    def _read(self, stream: object, keep: object) -> None:
        for line in stream:  # type: ignore[attr-defined]
            keep(line.rstrip("\n"))  # type: ignore[operator]
        self._started.set()  # it has ended

    def _show(self, line: str) -> None:
        self.printed.append(line)
        if match := re.fullmatch(r"listens at +(http\S+)", line):
            self._url = match[1]
            self._started.set()

    @property
    def vkey(self) -> VerifierKey:
        """The key of the witness, as it was printed."""
        (line,) = [line for line in self.printed if line.startswith("key ")]
        return parse_vkey(line.split()[1])

    def kill(self) -> None:
        """End it as a failure of its machine does."""
        self.process.kill()
        self.process.wait()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STARTED_S)
            finally:
                self.process.kill()
        for stream in (self.process.stdout, self.process.stderr):
            stream.close()


async def exchange(url: str, request: bytes, *, end: bool = True) -> bytes:
    """Send bytes, and return everything that is answered until the connection is closed."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        if end:
            writer.write_eof()
        async with asyncio.timeout(STARTED_S):
            return await reader.read()
    finally:
        writer.close()


def post(body: bytes, path: str = "/add-checkpoint", headers: str = "") -> bytes:
    """Return a request with a body."""
    head = f"POST {path} HTTP/1.1\r\nHost: w\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body
