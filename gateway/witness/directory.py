"""The directory of a witness: its key, its state, and the check that they belong together.

    DIR/witness.key     the private key, 0600
    DIR/witness.vkey    the public key, to give to others
    DIR/state.sqlite    what was cosigned

A witness whose state is lost must not use its key again: it could cosign another history than before. So a key without
its state, or a state with another key, is refused. Restoring either from a backup has the same effect unnoticed.
"""

import os
from pathlib import Path

from gateway.durable_files import sync_directory
from gateway.errors import GatewayError
from gateway.secret_files import read_secret
from gateway.transparency.ed25519 import SigningKey, generate, parse_skey
from gateway.transparency.note import COSIGNATURE
from gateway.witness.state import State, StateLost, create_state

KEY, VKEY, STATE = "witness.key", "witness.vkey", "state.sqlite"
_ADVICE = (
    "set up a new witness with a new key, in an empty directory, and give its key to the operator of the log"
)


class WitnessDirectoryUnusable(GatewayError):
    """The directory of a witness cannot be used; the message names the file, the reason and what to do."""

    code = "witness_directory_unusable"


def open_directory(directory: Path, name: str) -> tuple[SigningKey, State, bool]:
    """Return key and state, and whether both were created now, as the directory had neither.

    Raises WitnessDirectoryUnusable, StateLost, WitnessStateUnavailable, MalformedKey.
    """
    key_file, state_file = directory / KEY, directory / STATE
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        created = not key_file.exists() and _is_new(state_file)
        if created:
            _create(directory, name)
        elif not key_file.exists():
            raise WitnessDirectoryUnusable(
                f"{state_file} exists without its key {key_file}: restore the key, or {_ADVICE}"
            )
        elif not state_file.exists():
            raise StateLost(
                f"{key_file} exists without {state_file}: the state of this witness is lost, and with this key it could"
                f" cosign another history than before; {_ADVICE}"
            )
        key = _read_key(key_file)
    except OSError as error:
        raise WitnessDirectoryUnusable(f"{error.filename or directory}: {error.strerror}") from error
    if key.vkey.name != name:
        raise WitnessDirectoryUnusable(
            f"{key_file} is the key of {key.vkey.name}, not of {name}; a witness keeps its name"
        )
    state = State(state_file)
    if state.vkey != str(key.vkey):
        state.close()
        raise StateLost(f"{state_file} belongs to another key than {key_file}; {_ADVICE}")
    return key, state, created


def _is_new(state_file: Path) -> bool:
    """Return whether there is no state, or only one whose key was not written yet, as nothing was cosigned with it."""
    if not state_file.exists():
        return True
    state = State(state_file)
    try:
        return state.is_empty()
    finally:
        state.close()


def _create(directory: Path, name: str) -> None:
    """Create the state and then the key, so that a crash between the two leaves no key without state."""
    key = generate(name, COSIGNATURE)
    for leftover in directory.glob(f"{STATE}*"):
        leftover.unlink()
    create_state(directory / STATE, str(key.vkey))
    _write(directory / VKEY, f"{key.vkey}\n", 0o644)
    _write(directory / KEY, f"{key.skey()}\n", 0o600)
    sync_directory(directory)


def _write(path: Path, text: str, mode: int) -> None:
    """Write a file that exists completely or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


def _read_key(key_file: Path) -> SigningKey:
    if key_file.stat().st_mode & 0o077:
        raise WitnessDirectoryUnusable(
            f"{key_file} can be read by others than its owner; run chmod 600 {key_file}, and if others could log in"
            f" here, {_ADVICE}"
        )
    try:
        key = parse_skey(read_secret(key_file))
    except ValueError as error:
        raise WitnessDirectoryUnusable(f"{key_file}: {error}") from None
    if key.vkey.kind != COSIGNATURE:
        raise WitnessDirectoryUnusable(f"{key_file} is the key of a log, not of a witness")
    return key
