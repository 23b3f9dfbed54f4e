"""The directory of a signer: the keys of its logs, and for each log what was signed last.

    SIGN_DIR/lock                                  locked by the signer that uses the directory; contains its pid
    SIGN_DIR/live/ELECTION/HISTORY/KEYID.key       a signing key (PRIVATE+KEY+…), readable by its owner only
    SIGN_DIR/live/ELECTION/HISTORY/KEYID.retired   the vkey of a key that signs no more
    SIGN_DIR/live/ELECTION/HISTORY/signed.json     the size and the root that were signed last
    SIGN_DIR/rehearsal/…                           the same for rehearsals

Whoever loses this directory can no longer tell a restored record from the one that was signed, so nothing in it is
overwritten unless it is replaced as a whole, durably (fsync of the file and of its directory), and nothing that is
damaged or missing is replaced by something new: the error says what to do.
"""

import fcntl
import os
import re
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import msgspec

from gateway.durable_files import sync_directory
from gateway.election.log_record import KEYS_MAX
from gateway.errors import GatewayError
from gateway.signer.steps import Signed
from gateway.transparency.ed25519 import SigningKey, generate, parse_skey
from gateway.transparency.merkle import EMPTY_ROOT
from gateway.transparency.note import MalformedKey, VerifierKey, parse_vkey
from gateway.transparency.origins import MalformedOrigin, Origin, parse_origin

SIGNED = "signed.json"
FILE_MAX = 64 << 10
"""Bytes of a file of the directory that are read."""
_NUMBER = re.compile(r"[1-9][0-9]{0,5}")


class SignDirUnusable(GatewayError):
    """The directory of the signer, or a file in it, cannot be used; the message says what to do."""

    code = "sign_dir_unusable"


class SignDirInUse(SignDirUnusable):
    """Another signer uses the directory."""

    code = "sign_dir_in_use"


class KeyRefused(GatewayError):
    """A key was not created, added or retired; the message says why."""

    code = "key_refused"


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of `signed.json`."""

    origin: str
    size: int
    root: str
    signed_at: datetime | None


class SignedState(msgspec.Struct, frozen=True):
    """What was signed last of a log, and when; at size 0 nothing was signed yet."""

    signed: Signed
    signed_at: datetime | None


NOTHING_SIGNED = SignedState(Signed(0, EMPTY_ROOT), None)


class LogKeys(msgspec.Struct, frozen=True):
    """The keys of a log: those that sign, the oldest first, and the public keys of those that signed before."""

    signing: Sequence[SigningKey]
    retired: Sequence[VerifierKey]

    @property
    def vkeys(self) -> list[VerifierKey]:
        """The public keys of those that sign."""
        return [key.vkey for key in self.signing]


class SignDirectory:
    """The directory at `path` of a gateway whose logs begin with `log_name`."""

    def __init__(self, path: Path, log_name: str) -> None:
        self.path = path
        self._name = log_name

    def origin(self, election: str, history: int, *, rehearsal: bool) -> Origin:
        """Return the origin of a log of this gateway. Raises MalformedOrigin."""
        return parse_origin(str(Origin(self._name, rehearsal, election, history)))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other signers from using the directory. Raises SignDirInUse, SignDirUnusable."""
        with self._errors():
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
                raise SignDirInUse(
                    f"{self.path}: another signer uses this directory (process {pid or 'unknown'}); stop it first"
                ) from None
            with self._errors():
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def logs(self) -> list[Origin]:
        """Return the logs of which the directory has something, by kind, election and history."""
        with self._errors():
            found = []
            for rehearsal in (False, True):
                for election in _listed(self.path / _kind(rehearsal)):
                    numbers = [int(each.name) for each in _listed(election) if _NUMBER.fullmatch(each.name)]
                    with suppress(MalformedOrigin):  # a directory of something else
                        found += [
                            self.origin(election.name, each, rehearsal=rehearsal) for each in sorted(numbers)
                        ]
            return found

    def newest(self, election: str) -> Origin | None:
        """Return the newest history of an election of which the directory has something, that of the live one first."""
        of_election = [each for each in self.logs() if each.election == election]
        live = [each for each in of_election if not each.rehearsal]
        return max(live or of_election, key=lambda each: each.history, default=None)

    def signed_of(self, election: str) -> int:
        """Return how many entries of the newest history of an election were signed. Raises SignDirUnusable."""
        newest = self.newest(election)
        return 0 if newest is None else self.state(newest).signed.size

    def keys(self, log: Origin) -> LogKeys:
        """Return the keys of a log; none if it has none. Raises SignDirUnusable."""
        signing: list[tuple[int, SigningKey]] = []
        retired: list[VerifierKey] = []
        with self._errors():
            for path in _listed(self._log(log)):
                if path.suffix == ".key":
                    key = self._read_key(path)
                    signing.append((path.stat().st_mtime_ns, key))
                    self._require_name(path, key.vkey, log)
                elif path.suffix == ".retired":
                    retired.append(self._read_vkey(path))
        return LogKeys([key for _, key in sorted(signing, key=lambda each: each[0])], retired)

    def state(self, log: Origin) -> SignedState:
        """Return what was signed last. Raises SignDirUnusable if it is not known."""
        path = self._log(log) / SIGNED
        with self._errors():
            try:
                content = _read(path)
            except FileNotFoundError:
                raise SignDirUnusable(
                    f"{path} is missing, so it is not known what was signed: restore it from a copy of this directory"
                    f" that is not older than the last checkpoint, or start a new history with"
                    f" `valgnatt sign --new-history {log.election}`"
                ) from None
        try:
            state = msgspec.json.decode(content, type=_State)
            root = b64decode(state.root, validate=True)
            if len(root) != len(EMPTY_ROOT) or state.size < 0:
                raise ValueError("not a size and a root")
        except ValueError as error:
            raise SignDirUnusable(
                f"{path} is damaged ({error}): restore it from a copy of this directory that is not older than the last"
                f" checkpoint, or start a new history with `valgnatt sign --new-history {log.election}`"
            ) from None
        if state.origin != str(log):
            raise SignDirUnusable(
                f"{path} is of the log {state.origin}, not of {log}: the name of a log never changes; set"
                " VALGNATT_LOG_NAME to what it was"
            )
        return SignedState(Signed(state.size, root), state.signed_at)

    def store(self, log: Origin, state: SignedState) -> None:
        """Replace what was signed last, durably. Raises SignDirUnusable."""
        encoded = self._encoded(log, state)
        with self._errors():
            _replace(self._log(log) / SIGNED, encoded)

    def require_usable(self, log: Origin) -> None:
        """Require that what is signed can be written, and that only the owner and a group can read the keys.

        Changes nothing. Raises SignDirUnusable.
        """
        state = self.state(log)
        with self._errors():
            _write_temporary(self._log(log) / SIGNED, self._encoded(log, state)).unlink()
            for path in _listed(self._log(log)):
                if path.suffix == ".key" and path.stat().st_mode & 0o007:
                    raise SignDirUnusable(
                        f"{path} can be read by every user of this machine: run `chmod 600` on it; if somebody may have"
                        " read it, add another key and retire this one"
                    )

    def create(self, log: Origin) -> SigningKey:
        """Create the first key of a log. Raises KeyRefused if it has one, or if something was signed already."""
        if self.keys(log).signing:
            raise KeyRefused(f"{log} has a key already; `valgnatt key add` adds another one")
        with self._errors():
            _make_directory(self.path, self._log(log))
            with suppress(FileExistsError):
                _create(self._log(log) / SIGNED, self._encoded(log, NOTHING_SIGNED))
        if self.state(log) != NOTHING_SIGNED:
            raise KeyRefused(
                f"{log} was signed with a key that is missing: restore it from a copy of {self._log(log)}"
            )
        return self._add(log)

    def add(self, log: Origin) -> SigningKey:
        """Add a key to a log that has one; from now on both sign. Raises KeyRefused."""
        self.state(log)
        if not self.keys(log).signing:
            raise KeyRefused(f"{log} has no key yet; `valgnatt key create` creates it")
        if len(self.keys(log).signing) >= KEYS_MAX:
            raise KeyRefused(f"{log} has {KEYS_MAX} keys; retire one first")
        return self._add(log)

    def retire(self, log: Origin, which: str) -> VerifierKey:
        """Remove a key, named by its ID, its vkey or its fingerprint; it signs no more. Raises KeyRefused."""
        keys = self.keys(log)
        digits = "".join(which.split()).lower()
        named = [
            each
            for each in keys.vkeys
            if digits == each.key_id.hex()
            or which.strip() == str(each)
            or (len(digits) >= 16 and each.fingerprint.replace(" ", "").startswith(digits))
        ]
        if len(named) != 1:
            known = ", ".join(each.key_id.hex() for each in keys.vkeys) or "none"
            raise KeyRefused(f"{log} has no key {which!r} that signs; its keys: {known}")
        if len(keys.signing) == 1:
            raise KeyRefused(f"{log} has no other key; add one with `valgnatt key add` first")
        (vkey,) = named
        path = self._log(log) / f"{vkey.key_id.hex()}.key"
        with self._errors():
            _replace(path.with_suffix(".retired"), f"{vkey}\n".encode())
            path.unlink()
            sync_directory(path.parent)
        return vkey

    def _add(self, log: Origin) -> SigningKey:
        key = generate(str(log))
        with self._errors():
            _create(self._log(log) / f"{key.vkey.key_id.hex()}.key", f"{key.skey()}\n".encode())
        return key

    def _log(self, log: Origin) -> Path:
        return self.path / _kind(log.rehearsal) / log.election / str(log.history)

    def _encoded(self, log: Origin, state: SignedState) -> bytes:
        signed = state.signed
        content = _State(str(log), signed.size, b64encode(signed.root).decode(), state.signed_at)
        return msgspec.json.encode(content) + b"\n"

    def _read_key(self, path: Path) -> SigningKey:
        try:
            return parse_skey(_read(path).decode("ascii"))
        except (MalformedKey, UnicodeDecodeError) as error:
            text = error if isinstance(error, MalformedKey) else "not a signing key"
            raise SignDirUnusable(f"{path}: {text}; restore it from a copy of this directory") from None

    def _read_vkey(self, path: Path) -> VerifierKey:
        try:
            return parse_vkey(_read(path).decode())
        except (MalformedKey, UnicodeDecodeError) as error:
            raise SignDirUnusable(f"{path}: {error}; restore it from a copy of this directory") from None

    def _require_name(self, path: Path, vkey: VerifierKey, log: Origin) -> None:
        if vkey.name != str(log):
            raise SignDirUnusable(
                f"{path} is a key of the log {vkey.name}, not of {log}: the name of a log never changes; set"
                " VALGNATT_LOG_NAME to what it was"
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SignDirUnusable(f"{error.filename or self.path}: {error.strerror}") from error


def _kind(rehearsal: bool) -> str:
    return "rehearsal" if rehearsal else "live"


def _listed(directory: Path) -> list[Path]:
    """Return what a directory has, by name; nothing if it is missing."""
    try:
        return sorted(path for path in directory.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return []


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(FILE_MAX)


def _make_directory(root: Path, directory: Path) -> None:
    """Create a directory below `root`, with those above it, durably."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    missing = [
        each for each in (directory, *directory.parents) if each.is_relative_to(root) and not each.exists()
    ]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
        sync_directory(each.parent)


def _create(path: Path, content: bytes) -> None:
    """Create a file, durably. Raises FileExistsError."""
    temporary = _write_temporary(path, content)
    try:
        os.link(temporary, path)  # unlike a rename, it replaces nothing
    finally:
        temporary.unlink()
    sync_directory(path.parent)


def _replace(path: Path, content: bytes) -> None:
    """Replace a file, durably: at every moment it has all of its old or all of its new content."""
    temporary = _write_temporary(path, content)
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def _write_temporary(path: Path, content: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary
