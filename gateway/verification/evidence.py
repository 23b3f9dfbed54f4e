"""Save what shows that a verification failed: the signed notes, and whatever fails the check."""

from datetime import datetime
from pathlib import Path

import orjson

from gateway.verification.copies import reason_of, write_atomically
from gateway.verification.failures import VerificationFailed
from gateway.verification.saved_state import BadState


def save_evidence(directory: Path, where: str, failure: VerificationFailed, at: datetime) -> None:
    """Write a directory of its own below `directory`, named after the time and the code. Raises BadState."""
    target = directory / f"{at:%Y%m%dT%H%M%SZ}-{failure.code}"
    found = {
        "verified": False,
        "where": where,
        "code": failure.code,
        "detail": str(failure),
        "at": at.isoformat(),
    }
    files = {**failure.evidence, "failure.json": orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n"}
    for name, content in files.items():
        try:
            write_atomically(target / name, content)
        except OSError as error:
            raise BadState(f"{target / name}: {reason_of(error)}") from None
