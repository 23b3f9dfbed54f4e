"""The table of a gateway's answers, as the CSV file that `valgnatt push --receipts` writes."""

import csv
from pathlib import Path

from gateway.client.outbox import Destination, Outbox


def write_receipts(path: Path, outbox: Outbox, to: Destination) -> None:
    """Write a gateway's answers to all reports in the outbox as a CSV table, replacing the file.

    It starts with a byte order mark, so that spreadsheets read it as UTF-8.
    """
    part = path.with_name(path.name + ".part")
    with part.open("w", newline="", encoding="utf-8-sig") as file:
        table = csv.writer(file)
        table.writerow(["unit", "revision", "outcome", "code", "state", "sequence", "digest", "accepted_at"])
        for item in outbox.answers(to):
            answer = item.answer
            assert answer is not None
            accepted_at = answer.accepted_at.isoformat() if answer.accepted_at is not None else ""
            table.writerow(
                [
                    item.unit, item.revision, answer.outcome, answer.code or "", answer.state or "",
                    answer.sequence if answer.sequence is not None else "", answer.digest or "", accepted_at,
                ]
            )  # fmt: skip
    part.replace(path)
