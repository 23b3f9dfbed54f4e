"""The limits on what one `valgnatt push` reads, and what is said where they are exceeded."""

import json
import os
import socket
from pathlib import Path

import pytest

from gateway.client.regular_files import UnreadableFile, read_named
from gateway.count_files.parts import REPORTS_MAX
from gateway.count_files.reports import FILES_MAX, Mistakes, TooManyReports, read_files
from gateway.count_files.versions import VERSIONS_MAX
from gateway.election.registry_reading import read_registry
from gateway.rehearsal.generator import GeneratedElection
from tests.count_files.count_parts import a_part, at


def lines(*reports: object) -> bytes:
    return b"\n".join(json.dumps(report).encode() for report in reports)


def test_at_most_a_hundred_mistakes_against_the_registry_are_listed_per_file(
    small: GeneratedElection,
) -> None:
    content = lines(*(a_part(unit=f"unknown-{number}").document for number in range(150)))
    with pytest.raises(Mistakes) as found:
        read_files({"a.ndjson": content, "b.ndjson": content}, read_registry(small.registry))
    *first, more, other = (found.value.mistakes[place] for place in (*range(101), 101))
    assert all(text.startswith("a.ndjson, line") for text in first)
    assert more == "a.ndjson: more than 100 mistakes; the rest of the file was not checked"
    assert other.startswith("b.ndjson, line 1:")
    assert len(found.value.mistakes) == 202


def test_at_most_a_hundred_units_whose_counts_contradict_are_listed_and_all_files_are_named() -> None:
    def content(status: str) -> bytes:
        return lines(*(a_part(unit=f"u{number}").document | {"status": status} for number in range(150)))

    with pytest.raises(Mistakes) as found:
        read_files({"a.ndjson": content("final"), "b.ndjson": content("counting")}, None)
    assert len(found.value.mistakes) == 101
    assert found.value.mistakes[-1] == "… and 50 more units whose counts contradict"
    assert found.value.files == {"a.ndjson", "b.ndjson"}


def test_a_unit_has_at_most_a_thousand_counts_in_one_command() -> None:
    document = a_part().document
    counts = [
        document | {"counted_at": at(number % 60).replace("T22:", f"T{5 + number // 60:02}:")}
        for number in range(VERSIONS_MAX + 1)
    ]
    assert len(read_files({"a.ndjson": lines(*counts[:-1])}, None).versions) == VERSIONS_MAX
    with pytest.raises(Mistakes, match="has 1001 reports in these files; at most 1000"):
        read_files({"a.ndjson": lines(*counts)}, None)


def test_the_reports_and_the_bytes_of_all_files_together_are_limited() -> None:
    """Each file may be right alone, so none is named."""
    half = lines(*(a_part(unit=f"u{number}").document for number in range(REPORTS_MAX // 2 + 1)))
    files = {"a.ndjson": half, "b.ndjson": half}
    with pytest.raises(TooManyReports, match="more than 20000 reports") as found:
        read_files(files, None)
    assert not found.value.files
    with pytest.raises(TooManyReports, match="more than 40 MiB in all files"):
        read_files({"a.csv": b"", "b.csv": b" " * (FILES_MAX + 1)}, None)


def test_only_regular_files_are_read_and_nothing_is_waited_for(tmp_path: Path) -> None:
    fifo, file = tmp_path / "pipe.csv", tmp_path / "a.csv"
    os.mkfifo(fifo)
    file.write_bytes(b"x")
    (tmp_path / "link.csv").symlink_to(file)
    assert read_named(file) == read_named(tmp_path / "link.csv") == b"x"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket.csv"))
        for path, words in (
            (fifo, "a named pipe, not a regular file"),
            (tmp_path / "socket.csv", "a socket, not a regular file"),
            (Path("/dev/zero"), "a device, not a regular file"),
            (tmp_path, "a directory, not a regular file"),
            (tmp_path / "none.csv", "No such file"),
        ):
            with pytest.raises(UnreadableFile, match=words):
                read_named(path)
