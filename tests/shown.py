"""The fenced blocks of documents, and a shell that runs the commands in them.

A block of `sh` is run. A block of `text` below it is its output: these lines in this order, possibly with others in
between; `…` matches any text. A block of `log` is output about several things that go on at the same time: these lines
in any order.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
END_S = 15.0
MARK = "@@ step "
NOT_REACHED = "the shell did not reach this step"

_PIECE = re.compile(
    r"^#+ (?P<heading>[^\n]+)$|^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_COMPLAINTS = re.compile(r"Traceback|^valgnatt: |command not found|^curl: ", re.MULTILINE)


class Block(NamedTuple):
    """One fenced block."""

    heading: str
    language: str
    text: str


class Step(NamedTuple):
    """A command, and the output shown below it."""

    heading: str
    typed: str
    shown: str
    ordered: bool = True


def blocks(document: str) -> list[Block]:
    """Return the blocks of a document in `docs`, in order."""
    found, heading = [], ""
    for piece in _PIECE.finditer((DOCS / document).read_text(encoding="utf-8")):
        heading = piece["heading"] or heading
        if piece["text"] is not None:
            found.append(Block(heading, piece["language"], piece["text"]))
    return found


def commands(document: str) -> dict[str, str]:
    """Return the commands of a document by heading; each heading has at most one such block."""
    shown = [(block.heading, block.text) for block in blocks(document) if block.language == "sh"]
    found = dict(shown)
    assert len(found) == len(shown), f"{document}: two blocks of commands under one heading"
    return found


def steps(document: str) -> list[Step]:
    """Return the commands of a document, each with the output shown below it. There must be no other blocks."""
    found: list[Step] = []
    for block in blocks(document):
        assert block.language in ("sh", "text", "log"), (
            f"{block.heading}: {block.language!r} is run by no test"
        )
        if block.language == "sh":
            found.append(Step(block.heading, block.text, ""))
        else:
            assert not found[-1].shown, f"{block.heading}: two blocks under one command"
            found[-1] = found[-1]._replace(shown=block.text, ordered=block.language == "text")
    return found


def type_all(
    typed: Sequence[Step], home: Path, ports: Mapping[str, str], environ: Mapping[str, str], most_s: float
) -> list[str]:
    """Run steps in one shell with a temporary home, and return the output of each. No process is left running.

    `ports` maps the ports in the document to those to use; `.venv` is the environment of the tests.
    """
    text = "".join(f"echo; echo '{MARK}{place}'\n{step.typed}" for place, step in enumerate(typed))
    text = text.replace("source .venv/", f"source {sys.prefix}/")
    text = re.sub(rf"127\.0\.0\.1:({'|'.join(ports)})\b", lambda match: f"127.0.0.1:{ports[match[1]]}", text)
    others = {name: value for name, value in os.environ.items() if not name.startswith(("VALGNATT_", "XDG_"))}
    with open(home / "said", "wb") as said:
        shell = subprocess.Popen(
            ["bash", "-c", text],
            cwd=ROOT,
            env={**others, "HOME": str(home), "COLUMNS": "120", **environ},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            shell.wait(most_s)
        except subprocess.TimeoutExpired:
            said.write(f"\n{NOT_REACHED}: it takes longer than {most_s:.0f} s\n".encode())
        finally:
            _end(shell)
    said_by = re.split(rf"^{MARK}\d+\n", (home / "said").read_text(), flags=re.MULTILINE)[1:]
    return said_by + [NOT_REACHED] * (len(typed) - len(said_by))


def _end(shell: "subprocess.Popen[bytes]") -> None:
    """End a shell and the processes that it started; usually none are left."""
    try:
        os.killpg(shell.pid, signal.SIGTERM)
    except ProcessLookupError:
        pass
    shell.wait(END_S)


def assert_as_shown(step: Step, said: str) -> None:
    """Assert that the output of a step is as shown, without error messages other than those shown."""
    assert NOT_REACHED not in said, said
    assert len(_COMPLAINTS.findall(said)) == len(_COMPLAINTS.findall(step.shown)), said
    every = said.splitlines()
    following = iter(every)
    for expected in step.shown.splitlines():
        pattern = ".*".join(re.escape(part) for part in expected.split("…"))
        lines = following if step.ordered else every
        assert any(re.fullmatch(pattern, line) for line in lines), f"{expected}\nis not in\n{said}"
