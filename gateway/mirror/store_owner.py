"""The object by which a mirror says that a prefix of an object store is its own, and who that is.

It remains when the mirror ends, as ended, and so shows that what is below the prefix was written by mirrors.
"""

import hashlib
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path

import msgspec

PATH = ".valgnatt-mirror/owner.json"
OWNER_MAX = 4096


class Owner(msgspec.Struct, frozen=True):
    """A mirror that writes, or wrote until it was killed. Public like everything in the bucket, so it names no host."""

    mirror: str
    """Random: another one each time that a mirror is started."""
    machine: str
    """The same for processes that see each other's numbers, until the machine is restarted."""
    process: int
    started_at: datetime
    every_s: int
    ended: bool = False

    def __str__(self) -> str:
        return f"process {self.process}, started {self.started_at:%Y-%m-%d %H:%M:%S} UTC"


def this_process(every_s: int) -> Owner:
    """Return this process as an owner."""
    return Owner(secrets.token_hex(8), _machine(), os.getpid(), datetime.now(UTC), every_s)


def encode(owner: Owner) -> bytes:
    """Return an owner as JSON."""
    return msgspec.json.encode(owner)


def decode(content: bytes) -> Owner | None:
    """Return the owner, or None if it is one of another version."""
    try:
        return msgspec.json.decode(content, type=Owner)
    except ValueError:
        return None


def is_gone(owner: Owner, this: Owner) -> bool:
    """Return whether an owner surely does not write any more: it ended, or its process does not exist here."""
    if owner.ended:
        return True
    if owner.machine != this.machine:
        return False
    if owner.process == this.process:
        return True
    try:
        os.kill(owner.process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass
    return False


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        seen = boot + os.readlink("/proc/self/ns/pid")
    except OSError:
        seen = secrets.token_hex(16)
    return hashlib.sha256(seen.encode()).hexdigest()[:16]
