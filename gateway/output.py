"""Write to standard output and error, with control characters escaped so that no text can control the terminal.

Tables and live displays use `gateway/terminal.py`; this module imports nothing that is slow to import.
"""

import sys
from typing import Any

from gateway.characters import printable_json, printable_lines


def say(text: str, *, err: bool = False, end: str = "\n") -> None:
    """Write lines to standard output, or to standard error with `err`."""
    stream = sys.stderr if err else sys.stdout
    stream.write(printable_lines(text) + end)
    stream.flush()


def say_json(document: Any) -> None:
    """Write a document to standard output as one line of JSON."""
    import orjson

    sys.stdout.write(printable_json(orjson.dumps(document).decode()) + "\n")
    sys.stdout.flush()


def write_out(text: str) -> None:
    """Write the content of a file to standard output: unchanged to a file or pipe, escaped to a terminal."""
    sys.stdout.write(printable_lines(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()
