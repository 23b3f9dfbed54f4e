"""A municipality's desk: a directory, files with counts, and `valgnatt push`."""

import csv
import io
import json
import os
import subprocess
import time
from contextlib import AbstractContextManager, redirect_stderr
from pathlib import Path
from typing import Any

from gateway.client.push_command import PushOptions, push
from gateway.client.push_files import destination
from gateway.count_files.reports import Mistakes
from tests.client.commands import running_command
from tests.running import Gateway, Sender
from tests.web.doors import UNIT, a_report

TIMEOUT_S = 30.0


class Desk:
    """A municipality's desk: a directory, and the command."""

    def __init__(
        self, directory: Path, gateway: Gateway, sender: Sender, push_url: str | None = None
    ) -> None:
        push_url = push_url or gateway.push_url
        self.directory = directory
        self.outbox = directory / "outbox.db"
        self.receipts = directory / "receipts.csv"
        self._election = sender.election
        self._options = (push_url, gateway.feed_url, sender.election, sender.secret)
        self.to = destination(push_url, sender.election)
        self._environ = {
            **os.environ,
            "VALGNATT_TOKEN": sender.secret,
            "VALGNATT_PUSH_URL": push_url,
            "VALGNATT_FEED_URL": gateway.feed_url,
        }

    def file(self, name: str, *reports: dict[str, Any]) -> Path:
        path = self.directory / name
        path.write_text("\n".join(json.dumps(report) for report in reports))
        return path

    def command(
        self,
        *arguments: object,
        stdin: int = subprocess.DEVNULL,
        terminal: int | None = None,
        **environ: str,
    ) -> AbstractContextManager[subprocess.Popen[str]]:
        whole = [
            "push",
            "--election",
            self._election,
            "--outbox",
            self.outbox,
            "--receipts",
            self.receipts,
            *arguments,
        ]
        streams = {"stdin": stdin}
        if terminal is not None:
            streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal)
        return running_command(*whole, environ={**self._environ, **environ}, **streams)

    def push(self, *arguments: object, **environ: str) -> tuple[int, str]:
        with self.command(*arguments, **environ) as process:
            _, output = process.communicate(timeout=TIMEOUT_S)
        assert "Traceback" not in output
        return process.returncode, output

    async def push_here(self, *files: Path, accept: bool = False) -> tuple[int, str]:
        """Push files as the command does, but in this process, which is quicker to start."""
        options = PushOptions(*self._options, self.outbox, self.receipts, yes=True, accept=accept)
        with redirect_stderr(io.StringIO()) as printed:
            try:
                return await push(options, files, None), printed.getvalue()
            except Mistakes as error:
                return 2, "\n".join([printed.getvalue(), *error.mistakes])

    def answers(self) -> list[dict[str, str]]:
        with self.receipts.open(encoding="utf-8-sig") as file:
            return list(csv.DictReader(file))


def until(fact: Any) -> None:
    ends = time.monotonic() + TIMEOUT_S
    while not fact():
        assert time.monotonic() < ends
        time.sleep(0.02)


def counted(votes: int, *, minute: int, unit: str = UNIT, **members: Any) -> dict[str, Any]:
    """A report without a revision, counted at that minute after 22:00."""
    report = a_report(unit, votes=votes, counted_at=f"2024-09-09T22:{minute:02}:00+02:00", **members)
    del report["revision"]
    return report
