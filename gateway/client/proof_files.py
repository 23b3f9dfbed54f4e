"""The proofs of an outbox as files, UNIT-REVISION.tlog-proof, with names that every file system takes.

A file is written as a whole or not at all, and nothing is overwritten but an earlier proof of the same report.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

from gateway.errors import GatewayError
from gateway.transparency.note import MalformedNote
from gateway.transparency.proof_file import EXTENSION, PROOF_MAX, parse_proof

NAME_MAX = 120
"""Characters of a name before its extension; file systems take 255 bytes, some fewer."""
_UNSAFE = re.compile(rb"[^0-9A-Za-z_-]")


class ProofsUnavailable(GatewayError):
    """Proofs cannot be written; the message names the file or directory, and the reason."""

    code = "proofs_unavailable"


def check_directory(directory: Path) -> None:
    """Make the directory if it does not exist. Raises ProofsUnavailable if no file can be created in it."""
    try:
        directory.mkdir(exist_ok=True)
        with TemporaryFile(dir=directory):
            pass
    except OSError as error:
        text = f"{directory}: no file can be created in this directory: {error.strerror or error}"
        raise ProofsUnavailable(text) from None


def file_names(proofs: Iterable[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """PURE: return a file name for each unit and revision.

    Bytes other than ASCII letters, digits, `_` and `-` are written as `%XX`. Units that differ by case alone, and those
    with long identifiers, get a part of the SHA-256 of the identifier.
    """
    wanted = list(proofs)
    units = {unit for unit, _ in wanted}
    folded = Counter(unit.casefold() for unit in units)
    names = {unit: _safe(unit, is_unique=folded[unit.casefold()] == 1) for unit in units}
    return {(unit, revision): f"{names[unit]}-{revision}{EXTENSION}" for unit, revision in wanted}


def _safe(unit: str, *, is_unique: bool) -> str:
    encoded = unit.encode("utf-8", "surrogatepass")
    name = _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], encoded).decode()
    if is_unique and 0 < len(name) <= NAME_MAX:
        return name
    return f"{name[: NAME_MAX - 17]}~{hashlib.sha256(encoded).hexdigest()[:16]}"


def write_proofs(directory: Path, files: Mapping[str, bytes]) -> int:
    """Write proofs by the names of their files; return how many were not there already.

    Raises ProofsUnavailable, if a file is in the way, after the others are written.
    """
    written = 0
    refused: ProofsUnavailable | None = None
    for name, file in files.items():
        try:
            written += _write(directory / name, file)
        except ProofsUnavailable as error:
            refused = refused or error
        except OSError as error:
            text = f"proofs {directory}: {error.strerror or error}; the outbox has them: correct this, and run again"
            raise ProofsUnavailable(text) from None
    if refused is not None:
        raise refused
    return written


def _write(path: Path, file: bytes) -> bool:
    """Write one file, unless it is there already; return whether it was written. Raises OSError, ProofsUnavailable."""
    earlier = _read(path)
    if earlier == file:
        return False
    if earlier is not None and not _is_earlier_proof(earlier, file):
        raise ProofsUnavailable(
            f"{path}: exists and is not a proof of this report; it is not overwritten: move it away"
        )
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as target:
            target.write(file)
            target.flush()
            os.fsync(target.fileno())
        if earlier is None:
            _put(part, path)
        else:
            part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink()
    return True


def _put(part: Path, path: Path) -> None:
    """Give a file its name, unless another file got it meanwhile. Raises OSError."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if path.exists() or path.is_symlink():
            raise FileExistsError(None, "exists") from None
        part.replace(path)


def _read(path: Path) -> bytes | None:
    """Return the beginning of a file; None if there is none. Raises OSError."""
    try:
        if not path.is_file():
            if path.exists() or path.is_symlink():
                raise ProofsUnavailable(f"{path}: exists and is not a regular file; it is not overwritten")
            return None
        with path.open("rb") as file:
            return file.read(PROOF_MAX + 1)
    except FileNotFoundError:
        return None


def _is_earlier_proof(earlier: bytes, file: bytes) -> bool:
    """Whether a file is a proof for the same report, or empty."""
    if not earlier:
        return True
    try:
        return parse_proof(earlier).extra == parse_proof(file).extra is not None
    except MalformedNote:
        return False
