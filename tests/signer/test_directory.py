"""The directory of a signer: keys, what was signed, and what is refused instead of being repaired."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.signer.directory import (
    KEYS_MAX,
    NOTHING_SIGNED,
    SIGNED,
    KeyRefused,
    SignDirectory,
    SignDirInUse,
    SignDirUnusable,
    SignedState,
)
from gateway.signer.steps import Signed
from gateway.transparency.ed25519 import parse_skey
from gateway.transparency.origins import MalformedOrigin, Origin

NAME = "results.example.no"
STATE = SignedState(Signed(7, bytes(range(32))), datetime(2025, 9, 8, 20, 0, tzinfo=UTC))


@pytest.fixture
def directory(tmp_path: Path) -> SignDirectory:
    return SignDirectory(tmp_path / "sign", NAME)


@pytest.fixture
def log(directory: SignDirectory) -> Origin:
    return directory.origin("e", 1, rehearsal=False)


def files(directory: SignDirectory) -> Path:
    return directory.path / "live" / "e" / "1"


def test_a_key_is_only_readable_by_its_owner(directory: SignDirectory, log: Origin) -> None:
    """In the notation of Go's note package; its name is the origin of the log."""
    key = directory.create(log)
    (path,) = files(directory).glob("*.key")
    assert path.name == f"{key.vkey.key_id.hex()}.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert files(directory).stat().st_mode & 0o777 == 0o700
    assert parse_skey(path.read_text()).vkey == key.vkey
    assert key.vkey.name == f"{NAME}/live/e"
    assert directory.keys(log).vkeys == [key.vkey]
    assert directory.logs() == [log]
    assert not [each for each in files(directory).iterdir() if each.name.startswith(".")]


@pytest.mark.parametrize("election", ["../e", "live/e", "E", "", "e\n"])
def test_only_an_identifier_of_an_election_names_a_log(directory: SignDirectory, election: str) -> None:
    """Nothing is created elsewhere; and a directory of another name is none of a log."""
    with pytest.raises(MalformedOrigin, match="not"):
        directory.origin(election, 1, rehearsal=False)
    (directory.path / "live/Copy of e/1").mkdir(parents=True)
    assert directory.logs() == []


def test_a_key_that_every_user_can_read_is_named(directory: SignDirectory, log: Origin) -> None:
    """By a check; a group may read it, as in a volume of Kubernetes. The check leaves nothing behind."""
    directory.create(log)
    (key,) = files(directory).glob("*.key")
    before = sorted(files(directory).iterdir())
    key.chmod(0o640)
    directory.require_usable(log)
    assert sorted(files(directory).iterdir()) == before
    key.chmod(0o644)
    with pytest.raises(SignDirUnusable, match=f"{key} can be read by every user .*chmod 600"):
        directory.require_usable(log)


def test_what_was_signed_is_read_again(directory: SignDirectory, log: Origin) -> None:
    """At first nothing was signed, which is not the same as not knowing it."""
    directory.create(log)
    assert directory.state(log) == NOTHING_SIGNED
    directory.store(log, STATE)
    assert directory.state(log) == STATE


def test_a_second_key_signs_too_until_the_first_is_retired(directory: SignDirectory, log: Origin) -> None:
    """A retired key is deleted; its public part is kept, to know the checkpoints that it signed."""
    first = directory.create(log).vkey
    second = directory.add(log).vkey
    assert directory.keys(log).vkeys == [first, second]
    assert directory.retire(log, first.key_id.hex()) == first
    keys = directory.keys(log)
    assert (keys.vkeys, list(keys.retired)) == ([second], [first])
    assert "PRIVATE" not in "".join(path.read_text() for path in files(directory).glob("*.retired"))
    with pytest.raises(KeyRefused, match="no other key"):
        directory.retire(log, str(second))


@pytest.mark.parametrize("form", ["id", "vkey", "fingerprint"])
def test_a_key_can_be_named_in_three_ways(directory: SignDirectory, log: Origin, form: str) -> None:
    key = directory.create(log).vkey
    directory.add(log)
    names = {"id": key.key_id.hex(), "vkey": f" {key}\n", "fingerprint": key.fingerprint}
    assert directory.retire(log, names[form]) == key


def test_keys_are_not_created_twice_nor_without_limit(directory: SignDirectory, log: Origin) -> None:
    with pytest.raises(SignDirUnusable):
        directory.add(log)
    directory.create(log)
    with pytest.raises(KeyRefused, match="has a key already"):
        directory.create(log)
    for _ in range(KEYS_MAX - 1):
        directory.add(log)
    with pytest.raises(KeyRefused, match="retire one first"):
        directory.add(log)
    with pytest.raises(KeyRefused, match="no key 'ffffffff'"):
        directory.retire(log, "ffffffff")


def test_a_lost_key_is_not_replaced_by_a_new_one(directory: SignDirectory, log: Origin) -> None:
    """Once something was signed; before that, an interrupted creation is completed."""
    key = directory.create(log)
    path = files(directory) / f"{key.vkey.key_id.hex()}.key"
    path.unlink()
    directory.create(log)
    directory.store(log, STATE)
    next(files(directory).glob("*.key")).unlink()
    with pytest.raises(KeyRefused, match="signed with a key that is missing"):
        directory.create(log)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b'{"origin":"results.example.no/live/e","size":7}', b"\x00" * 100, None],
    ids=["empty", "no members", "cut short", "zeros", "missing"],
)
def test_a_damaged_state_is_refused_and_left_as_it_is(
    directory: SignDirectory, log: Origin, content: bytes | None
) -> None:
    """The error says what to do."""
    directory.create(log)
    path = files(directory) / SIGNED
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SignDirUnusable, match=r"restore it from a copy .*--new-history"):
        directory.state(log)
    assert (path.read_bytes() if path.exists() else None) == content


def test_a_damaged_key_is_refused_without_being_shown(directory: SignDirectory, log: Origin) -> None:
    """A secret is in no error."""
    key = directory.create(log)
    path = files(directory) / f"{key.vkey.key_id.hex()}.key"
    path.write_text(path.read_text()[:-6])
    with pytest.raises(SignDirUnusable, match="restore it from a copy") as error:
        directory.keys(log)
    assert key.skey()[40:60] not in str(error.value)


def test_another_name_of_the_log_is_refused(directory: SignDirectory, log: Origin) -> None:
    """The origin is part of the key and of every checkpoint."""
    directory.create(log)
    other = SignDirectory(directory.path, "other.example.no")
    renamed = other.origin("e", 1, rehearsal=False)
    for read in (other.keys, other.state):
        with pytest.raises(SignDirUnusable, match="VALGNATT_LOG_NAME"):
            read(renamed)


def test_a_directory_has_one_signer(directory: SignDirectory) -> None:
    """The lock ends with the process, also when it is killed."""
    code = (
        "import sys, time; from pathlib import Path; from gateway.signer.directory import SignDirectory\n"
        "with SignDirectory(Path(sys.argv[1]), 'n').locked(): print('locked', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(directory.path)], stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "locked\n"
    with pytest.raises(SignDirInUse, match=f"process {other.pid}"), directory.locked():
        pass
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    other.stdout.close()
    with directory.locked():
        pass


def test_errors_of_the_disk_are_named(directory: SignDirectory, log: Origin) -> None:
    """With the path."""
    directory.path.parent.mkdir(exist_ok=True)
    directory.path.write_text("not a directory")
    with pytest.raises(SignDirUnusable, match="sign"):
        directory.create(log)
