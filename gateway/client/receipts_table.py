"""The table of a gateway's answers, as the CSV file that `valgnatt push --receipts` writes."""

import codecs
import csv
import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

from gateway.client.outbox import Outbox
from gateway.client.outbox_items import Destination, Item
from gateway.errors import GatewayError

_COLUMNS = ("unit", "revision", "outcome", "code", "state", "sequence", "digest", "accepted_at")

_START = ",".join(_COLUMNS[:3]).encode()
"""The start of every table, also of earlier versions, after the byte order mark."""


class ReceiptsUnavailable(GatewayError):
    """The table cannot be written; the message names the file, the reason and what to do."""

    code = "receipts_unavailable"


def part_of(path: Path) -> Path:
    """Return the name of the table while it is written."""
    return path.with_name(path.name + ".part")


def check_receipts(path: Path) -> None:
    """Raise ReceiptsUnavailable if the table could not be written now; write nothing."""
    try:
        if path.is_dir():
            raise ReceiptsUnavailable(f"{path}: a directory; name a file")
        if not path.absolute().parent.is_dir():
            raise ReceiptsUnavailable(f"{path}: no such directory")
        if path.exists() and not path.is_file():
            raise ReceiptsUnavailable(f"{path}: not a regular file")
        if path.exists() and not _may_replace(path):
            raise ReceiptsUnavailable(
                f"{path}: exists and is not a table of receipts; it is not overwritten: name another file"
            )
        with TemporaryFile(dir=path.absolute().parent):
            pass
    except OSError as error:
        raise ReceiptsUnavailable(
            f"{path}: no file can be created in this directory: {error.strerror or error}"
        ) from None


def _may_replace(path: Path) -> bool:
    """Whether a file is empty or an earlier table of receipts, by its first columns."""
    with path.open("rb") as file:
        start = file.read(len(codecs.BOM_UTF8) + len(_START)).removeprefix(codecs.BOM_UTF8)
    return not start or start.startswith(_START)


def write_receipts(path: Path, outbox: Outbox, to: Destination) -> None:
    """Write a gateway's answers to all reports in the outbox as a CSV table, replacing the file as a whole.

    It starts with a byte order mark, so that spreadsheets read it as UTF-8. Raises ReceiptsUnavailable, and the file is
    then as before, or OutboxUnavailable.
    """
    part = part_of(path)
    try:
        try:
            with part.open("w", newline="", encoding="utf-8-sig", errors="backslashreplace") as file:
                table = csv.writer(file)
                table.writerow(_COLUMNS)
                table.writerows(map(_row, outbox.answers(to)))
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
    except OSError as error:
        raise ReceiptsUnavailable(
            f"receipts {path}: {error.strerror or error}; the outbox has the receipts: correct this, and run the"
            " command again without files"
        ) from None


def _row(item: Item) -> tuple[object, ...]:
    answer = item.answer
    assert answer is not None
    accepted_at = answer.accepted_at.isoformat() if answer.accepted_at is not None else ""
    return (
        item.unit, item.revision, answer.outcome, answer.code or "", answer.state or "",
        answer.sequence if answer.sequence is not None else "", answer.digest or "", accepted_at,
    )  # fmt: skip
