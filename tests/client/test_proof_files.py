"""Proofs as files: names that every file system takes, whole files, and nothing else overwritten."""

import os
from pathlib import Path

import pytest

from gateway.client.proof_files import ProofsUnavailable, check_directory, file_names, write_proofs
from tests.client.scripted_log import SmallLog

LOG = SmallLog([{"unit": "1-1", "revision": 1}, {"unit": "1-1", "revision": 2}])
NAME = "1-1-1.tlog-proof"


@pytest.mark.parametrize(
    ("unit", "name"),
    [
        ("4651-0001", "4651-0001-7"),
        ("Kárášjohka", "K%C3%A1r%C3%A1%C5%A1johka-7"),
        ("../../etc/passwd", "%2E%2E%2F%2E%2E%2Fetc%2Fpasswd-7"),
        ("CON.a", "CON%2Ea-7"),
        ("a:b*c?", "a%3Ab%2Ac%3F-7"),
        ("a b\\c", "a%20b%5Cc-7"),
    ],
)
def test_the_name_of_a_file_has_no_character_that_a_file_system_refuses(unit: str, name: str) -> None:
    assert file_names([(unit, 7)]) == {(unit, 7): f"{name}.tlog-proof"}


def test_long_units_and_those_that_differ_by_case_alone_have_names_of_their_own() -> None:
    long = ["ø" * 64, "ø" * 63 + "å"]
    names = file_names([("A-1", 1), ("a-1", 1), ("b-1", 2), *((unit, 1) for unit in long)])
    assert len({name.casefold() for name in names.values()}) == 5
    assert names["b-1", 2] == "b-1-2.tlog-proof"
    assert all(len(name) <= 140 and name.isascii() for name in names.values())


def test_proofs_are_written_once(tmp_path: Path) -> None:
    """A later proof of the same report, with another checkpoint, replaces the earlier one."""
    assert write_proofs(tmp_path, {NAME: LOG.proof(1, 2)}) == 1
    assert write_proofs(tmp_path, {NAME: LOG.proof(1, 2)}) == 0
    assert write_proofs(tmp_path, {NAME: LOG.proof(1)}) == 1
    assert (tmp_path / NAME).read_bytes() == LOG.proof(1)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize("content", [b"my notes", LOG.proof(2)])
def test_nothing_else_is_overwritten(content: bytes, tmp_path: Path) -> None:
    """Not even the proof of another report; the other files are written all the same."""
    (tmp_path / NAME).write_bytes(content)
    other = "1-1-2.tlog-proof"
    with pytest.raises(
        ProofsUnavailable, match=r"1-1-1\.tlog-proof: exists and is not a proof of this report"
    ):
        write_proofs(tmp_path, {NAME: LOG.proof(1), other: LOG.proof(2)})
    assert (tmp_path / NAME).read_bytes() == content
    assert (tmp_path / other).read_bytes() == LOG.proof(2)


def test_a_directory_or_a_link_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    with pytest.raises(ProofsUnavailable, match="not a regular file"):
        write_proofs(tmp_path, {NAME: LOG.proof(1)})
    (tmp_path / NAME).rmdir()
    (tmp_path / NAME).symlink_to(tmp_path / "nowhere")
    with pytest.raises(ProofsUnavailable, match="not a regular file"):
        write_proofs(tmp_path, {NAME: LOG.proof(1)})


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_is_not_overwritten(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the file system has no hard links."""

    of_system = os.link

    def link(part: Path, path: Path) -> None:
        path.write_bytes(b"of another process")
        if not links:
            raise PermissionError(1, "Operation not permitted")
        of_system(part, path)

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(ProofsUnavailable, match="exists"):
        write_proofs(tmp_path, {NAME: LOG.proof(1)})
    assert (tmp_path / NAME).read_bytes() == b"of another process"
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_files_are_written_where_there_are_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    assert write_proofs(tmp_path, {NAME: LOG.proof(1)}) == 1
    assert (tmp_path / NAME).read_bytes() == LOG.proof(1)


def test_a_directory_is_made_or_refused_before_anything_is_sent(tmp_path: Path) -> None:
    check_directory(tmp_path / "proofs")
    assert list((tmp_path / "proofs").iterdir()) == []
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "none" / "proofs"):
        with pytest.raises(ProofsUnavailable, match="no file can be created"):
            check_directory(path)
