"""What every target promises: a directory and an object store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.mirror.files import StoredFile
from gateway.mirror.target import Target, TargetUnavailable
from gateway.mirror.targets import open_target

LIVE = "v1/elections/e/live.json"
PATHS = ("v1/one/1_2.ndjson", "v1/one/2_3.ndjson", "v1/other/at_1.ndjson", "v1/z.json")


@pytest.fixture(params=["directory", "object store"])
async def text(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the name of a target that is empty."""
    return str(tmp_path / "mirror" if request.param == "directory" else request.getfixturevalue("url"))


@pytest.fixture
async def target(text: str) -> AsyncIterator[Target]:
    opened = open_target(text)
    await opened.open()
    yield opened
    await opened.close()


def a_file(path: str, body: bytes, max_age_s: int | None = None) -> StoredFile:
    return StoredFile(path, body, "application/json", max_age_s)


async def test_what_was_written_is_read(target: Target) -> None:
    """Whatever its size; it replaces what was there."""
    large = b"".join(b"%d\n" % number for number in range(50_000))
    for body in (b"", b"{}", large, b"again"):
        await target.write([a_file(PATHS[3], body, 2)])
        await target.write_live(a_file(LIVE, body, 2))
        assert await target.read(PATHS[3], len(body)) == await target.read(LIVE, len(body)) == body
    assert await target.read("v1/nothing", 10) is None
    with pytest.raises(TargetUnavailable, match="more than 4 bytes"):
        await target.read(LIVE, 4)


async def test_files_are_listed_by_prefix_and_removed(target: Target) -> None:
    """What does not exist is no error; nothing of the target itself is listed."""
    await target.write(a_file(each, b"x") for each in PATHS)
    assert sorted([each async for each in target.list("")]) == list(PATHS)
    assert sorted([each async for each in target.list("v1/o")]) == list(PATHS[:3])
    assert [each async for each in target.list("v1/one/2")] == ["v1/one/2_3.ndjson"]
    assert [each async for each in target.list("v2/")] == []
    await target.delete([*PATHS[:3], "v1/never.json"])
    assert [each async for each in target.list("")] == ["v1/z.json"]
    await target.delete([])
    await target.write([a_file(PATHS[0], b"again")])
    assert await target.read(PATHS[0], 10) == b"again"


async def test_files_are_counted_with_their_bytes(target: Target) -> None:
    """As they were stored."""
    puts, written_bytes = target.puts, target.written_bytes
    await target.write(a_file(each, b"0" * 100_000) for each in PATHS)
    assert target.puts - puts == len(PATHS)
    assert target.written_bytes - written_bytes > 4 * 100
    assert target.written_bytes - written_bytes < 4 * 101_000


async def test_a_target_is_continued_after_it_was_closed(text: str) -> None:
    """As often as wanted; closing again does nothing."""
    for number in range(3):
        target = open_target(text)
        await target.open()
        found = await target.read(LIVE, 10)
        assert found == (b"%d" % (number - 1) if number else None)
        await target.write_live(a_file(LIVE, b"%d" % number, 2))
        await target.close()
        await target.close()


async def test_what_a_reader_of_a_target_reads_needs_no_lock(target: Target, text: str) -> None:
    """So that a mirror can be checked while it runs."""
    await target.write_live(a_file(LIVE, b"{}", 2))
    other = open_target(text)
    assert await other.read(LIVE, 10) == b"{}"
    assert [each async for each in other.list("v1/")] == [LIVE]
    await other.close()
    await target.write_live(a_file(LIVE, b"[]", 2))
    assert await target.read(LIVE, 10) == b"[]"
