"""A directory as the target of a mirror."""

import asyncio
import errno
import gzip
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.mirror import directory as directory_module
from gateway.mirror.directory import BATCH_FILES, Directory, batches
from gateway.mirror.directory_files import OWN
from gateway.mirror.encoding import NotGzip, compressed, uncompressed
from gateway.mirror.files import StoredFile
from gateway.mirror.target import TargetInUse, TargetUnavailable
from gateway.mirror.targets import open_target
from tests.counts import count
from tests.mirror import killed_writer
from tests.mirror.killed_writer import DOCUMENTS, LIVE

DELTA = "v1/elections/e/live/h/default/1_2.ndjson"


def a_file(path: str, body: bytes, max_age_s: int | None = None) -> StoredFile:
    return StoredFile(path, body, "application/json", max_age_s)


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[Directory]:
    opened = Directory(tmp_path / "mirror")
    await opened.open()
    yield opened
    await opened.close()


async def opened(root: Path) -> None:
    """Open a directory and close it."""
    target = Directory(root)
    await target.open()
    await target.close()


def content(root: Path) -> set[str]:
    """Return the paths of all files of a mirror."""
    found = (each for each in root.rglob("*") if each.is_file())
    return {str(each.relative_to(root)) for each in found if OWN not in each.parts}


async def test_every_file_exists_plain_and_as_gz(target: Directory, tmp_path: Path) -> None:
    """With the same modification time, readable by everyone."""
    await target.write([a_file(DELTA, b"{}\n" * 100), a_file("v1/elections.json", b"[]", 2)])
    root = tmp_path / "mirror"
    assert content(root) == {DELTA, f"{DELTA}.gz", "v1/elections.json", "v1/elections.json.gz"}
    assert (
        (root / DELTA).read_bytes() == b"{}\n" * 100 == gzip.decompress((root / f"{DELTA}.gz").read_bytes())
    )
    plain, packed = (root / DELTA).stat(), (root / f"{DELTA}.gz").stat()
    assert plain.st_mtime_ns == packed.st_mtime_ns
    assert plain.st_mtime_ns % 10**9 == 0
    assert plain.st_mode & 0o777 == packed.st_mode & 0o777 == 0o644
    assert target.puts == 2
    assert target.written_bytes == sum((root / each).stat().st_size for each in content(root))


async def test_files_are_readable_by_a_web_server_whatever_the_umask(tmp_path: Path) -> None:
    """Everything in a mirror is public; services often run with a umask of 0077."""
    before = os.umask(0o077)
    try:
        target = Directory(tmp_path / "mirror")
        await target.open()
        await target.write([a_file(DELTA, b"x")])
        await target.close()
    finally:
        os.umask(before)
    file = tmp_path / "mirror" / DELTA
    assert file.stat().st_mode & 0o777 == 0o644
    directories = [each for each in file.parents if each.is_relative_to(tmp_path / "mirror")]
    assert {each.stat().st_mode & 0o777 for each in directories} == {0o755}
    assert (tmp_path / "mirror" / OWN).stat().st_mode & 0o777 == 0o700


async def test_a_file_that_is_rewritten_has_a_later_modification_time(
    target: Directory, tmp_path: Path
) -> None:
    """By whole seconds, since web servers derive the ETag from them and the size."""
    times = []
    for number in range(4):
        await target.write_live(a_file(LIVE, b"%d" % number, 2))
        times.append(int((tmp_path / "mirror" / LIVE).stat().st_mtime))
        assert await target.read(LIVE, 100) == b"%d" % number
    assert times == sorted(set(times))
    os.utime(tmp_path / "mirror" / LIVE, (time.time() + 5000, time.time() + 5000))
    future = int((tmp_path / "mirror" / LIVE).stat().st_mtime)
    await target.write_live(a_file(LIVE, b"later", 2))
    assert int((tmp_path / "mirror" / LIVE).stat().st_mtime) == future + 1
    assert await target.read(LIVE, 100) == b"later"


async def test_files_are_on_the_disk_before_they_have_their_names(
    target: Directory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And their names before the next write, so that a crash of the machine does not change the order."""
    events: list[tuple[str, str]] = []
    usual_sync, usual_rename = os.fsync, os.rename

    def sync(descriptor: int) -> None:
        usual_sync(descriptor)
        events.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}")))

    def rename(source: Path, path: Path) -> None:
        usual_rename(source, path)
        events.append(("rename", str(source)))

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "rename", rename)
    root = tmp_path / "mirror"
    await target.write([a_file(DELTA, b"x")])
    renamed = [path for what, path in events if what == "rename"]
    assert len(renamed) == 2
    first = events.index(("rename", renamed[0]))
    assert {path for _, path in events[:first]} == set(renamed)
    changed = [each for each in (root / DELTA).parents if each.is_relative_to(root)]
    assert {path for what, path in events[first:] if what == "sync"} == {str(each) for each in changed}
    events.clear()
    await target.write_live(a_file(LIVE, b"x", 2))
    assert events[-1] == ("sync", str((root / LIVE).parent))


async def test_of_two_variants_that_differ_the_newer_one_is_read(target: Directory, tmp_path: Path) -> None:
    """A crash can come between them. The next write makes them equal."""
    await target.write_live(a_file(LIVE, b"old", 2))
    old = (tmp_path / "mirror" / LIVE).read_bytes(), (tmp_path / "mirror" / LIVE).stat()
    await target.write_live(a_file(LIVE, b"new", 2))
    (tmp_path / "mirror" / LIVE).write_bytes(old[0])
    os.utime(tmp_path / "mirror" / LIVE, ns=(old[1].st_mtime_ns, old[1].st_mtime_ns))
    assert await target.read(LIVE, 100) == b"new"
    await target.write_live(a_file(LIVE, b"newest", 2))
    assert (tmp_path / "mirror" / LIVE).read_bytes() == b"newest"
    (tmp_path / "mirror" / f"{LIVE}.gz").unlink()
    assert await target.read(LIVE, 100) == b"newest"


async def test_reads_are_bounded_and_name_what_is_not_a_file_of_the_mirror(
    target: Directory, tmp_path: Path
) -> None:
    """Also if few compressed bytes are many."""
    assert await target.read(LIVE, 100) is None
    await target.write_live(a_file(LIVE, b"0" * 100, 2))
    assert await target.read(LIVE, 100) == b"0" * 100
    with pytest.raises(TargetUnavailable, match="more than 99 bytes"):
        await target.read(LIVE, 99)
    bomb = tmp_path / "mirror" / f"{LIVE}.gz"
    (tmp_path / "mirror" / LIVE).unlink()
    bomb.write_bytes(gzip.compress(bytes(1 << 20)))
    with pytest.raises(TargetUnavailable, match="more than 5000 bytes"):
        await target.read(LIVE, 5000)
    bomb.write_bytes(b"nothing")
    with pytest.raises(TargetUnavailable, match=r"live.json.gz: not gzip"):
        await target.read(LIVE, 5000)


async def test_only_directories_that_are_empty_are_removed(target: Directory, tmp_path: Path) -> None:
    """And no file that was not named."""
    paths = ["a/one/1_2.ndjson", "a/other/at_1.ndjson"]
    await target.write([a_file(each, b"x") for each in paths])
    foreign = tmp_path / "mirror" / "a" / "one" / ".foreign"
    foreign.write_text("kept")
    await target.delete(paths)
    assert content(tmp_path / "mirror") == {"a/one/.foreign"}
    assert not (tmp_path / "mirror" / "a" / "other").exists()
    await target.write([a_file(paths[1], b"again")])


async def test_directory_that_is_removed_during_a_write_is_created_again(
    target: Directory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are removed and written by different threads."""
    usual = os.fsync
    removed = False

    def removing(descriptor: int) -> None:
        nonlocal removed
        if not removed:
            removed = True
            (tmp_path / "mirror" / DELTA).parent.rmdir()
        usual(descriptor)

    monkeypatch.setattr(os, "fsync", removing)
    await target.write([a_file(DELTA, b"x")])
    assert removed
    assert content(tmp_path / "mirror") == {DELTA, f"{DELTA}.gz"}


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", "a//b", "a/../b", ".hidden", "a/.valgnatt-mirror/lock", "", "a\0"]
)
async def test_no_path_leads_out_of_the_directory(target: Directory, path: str) -> None:
    """Whatever an identifier contains."""
    for step in (target.write([a_file(path, b"x")]), target.read(path, 9), target.delete([path])):
        with pytest.raises(ValueError, match="not the path of a file"):
            await step


async def test_second_mirror_is_refused_until_the_first_one_ends(target: Directory, tmp_path: Path) -> None:
    """The message names the process, and what to do."""
    second = Directory(tmp_path / "mirror")
    with pytest.raises(
        TargetInUse, match=f"process {os.getpid()} on .*: end it, or choose another directory"
    ):
        await second.open()
    await target.close()
    await second.open()
    await second.write([a_file(DELTA, b"x")])
    await second.close()


def test_lock_ends_with_its_process(tmp_path: Path) -> None:
    """However that ends, so that a restart is never refused."""
    root = tmp_path / "mirror"
    code = (
        "import asyncio, sys; from pathlib import Path; from gateway.mirror.directory import Directory;"
        " asyncio.run(Directory(Path(sys.argv[1])).open()); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(TargetInUse, match=f"process {other.pid}"):
            asyncio.run(opened(root))
        other.kill()
    asyncio.run(opened(root))


async def test_directory_that_was_replaced_is_not_written_to(target: Directory, tmp_path: Path) -> None:
    """Another mirror may have locked the new one."""
    os.rename(tmp_path / "mirror", tmp_path / "moved")
    with pytest.raises(TargetInUse, match="removed or replaced"):
        await target.write([a_file(DELTA, b"x")])
    other = Directory(tmp_path / "mirror")
    await other.open()
    with pytest.raises(TargetInUse, match="removed or replaced"):
        await target.write_live(a_file(LIVE, b"x", 2))
    assert content(tmp_path / "mirror") == set()
    await other.close()


async def test_content_of_others_is_not_replaced(tmp_path: Path) -> None:
    """A directory that was never a mirror has to be empty; names that begin with a dot do not count."""
    (tmp_path / ".well-known").mkdir()
    (tmp_path / "index.html").write_text("theirs")
    with pytest.raises(
        TargetUnavailable, match=r"contains 'index.html', and was never the directory of a mirror"
    ):
        await Directory(tmp_path).open()
    assert (tmp_path / "index.html").read_text() == "theirs"
    (tmp_path / "index.html").unlink()
    target = Directory(tmp_path)
    await target.open()
    await target.close()
    (tmp_path / "robots.txt").write_text("theirs")
    again = Directory(tmp_path)
    await again.open()
    await again.close()
    assert (tmp_path / "robots.txt").read_text() == "theirs"


async def test_what_is_no_directory_is_named(tmp_path: Path) -> None:
    """Neither a file nor a path whose parent is missing."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(TargetUnavailable, match="/file is not a directory"):
        await Directory(tmp_path / "file").open()
    with pytest.raises(TargetUnavailable, match=r"there is no directory .*/missing; create it first"):
        await Directory(tmp_path / "missing" / "mirror").open()


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "there is no space left"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EIO, "log of the kernel"),
        (errno.ELOOP, "symbolic links"),
    ],
)
@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
async def test_failed_write_is_named_and_leaves_the_old_files(
    target: Directory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, said: str
) -> None:
    """Nothing remains of it, and the next write succeeds."""
    await target.write([a_file(each, b"old", 2) for each in DOCUMENTS])
    usual = getattr(os, call)

    def failing(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, failing)
    with pytest.raises(TargetUnavailable, match=said):
        await target.write([a_file(each, b"new", 2) for each in DOCUMENTS])
    monkeypatch.setattr(os, call, usual)
    assert [await target.read(each, 9) for each in DOCUMENTS] == [b"old", b"old"]
    assert {each.name for each in (tmp_path / "mirror" / OWN).iterdir()} == {"lock"}
    await target.write([a_file(each, b"new", 2) for each in DOCUMENTS])
    assert [await target.read(each, 9) for each in DOCUMENTS] == [b"new", b"new"]


async def test_what_is_in_the_way_is_named(target: Directory, tmp_path: Path) -> None:
    """With its path; it is not removed."""
    (tmp_path / "mirror" / "v1").write_text("a file")
    with pytest.raises(TargetUnavailable, match=r"/mirror/v1/elections.json|/mirror/v1.*a file is where"):
        await target.write([a_file("v1/elections.json", b"x")])
    (tmp_path / "mirror" / "a.json" / "inside").mkdir(parents=True)
    with pytest.raises(TargetUnavailable, match=r"/a.json: a directory is where the mirror needs a file"):
        await target.write([a_file("a.json", b"x")])
    assert (tmp_path / "mirror" / "v1").read_text() == "a file"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["-t", "tmpfs", "-o", "size=1m", "tmpfs"]
    if subprocess.run(["mount", *options, str(disk)], capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


async def test_full_disk_is_named_and_the_mirror_continues(small_disk: Path) -> None:
    """When there is room again."""
    target = Directory(small_disk / "mirror")
    await target.open()
    await target.write([a_file(LIVE, b"old", 2)])
    with pytest.raises(TargetUnavailable, match="there is no space left"):
        await target.write([a_file(LIVE, os.urandom(1 << 20), 2)])
    assert await target.read(LIVE, 9) == b"old"
    await target.write([a_file(LIVE, b"new", 2)])
    assert await target.read(LIVE, 9) == b"new"
    await target.close()
    with suppress(OSError):
        (small_disk / "mirror" / OWN / "7.tmp").write_bytes(bytes(1 << 20))
    await target_again(small_disk / "mirror")


async def target_again(root: Path) -> None:
    """Open a directory whose disk is full of what a killed mirror left, and write to it."""
    target = Directory(root)
    await target.open()
    await target.write([a_file(LIVE, os.urandom(300_000), 2)])
    await target.close()


def test_read_only_file_system_is_named(small_disk: Path) -> None:
    """Before anything is written."""
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for root in (small_disk, small_disk / "mirror"):
        with pytest.raises(TargetUnavailable, match="the file system is read-only; mount it for writing"):
            asyncio.run(Directory(root).open())


async def test_file_system_that_does_not_answer_is_an_error_in_the_end(
    target: Directory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What was asked later is not done before it."""
    gate_open, gate = os.pipe()
    usual = os.rename

    def stalled(*arguments: Path) -> None:
        os.read(gate_open, 1)
        usual(*arguments)

    monkeypatch.setattr(os, "rename", stalled)
    monkeypatch.setattr(directory_module, "ANSWER_S", 0.05)
    for body in (b"first", b"second"):
        with pytest.raises(TargetUnavailable, match="did not answer"):
            await target.write([a_file(LIVE, body, 2)])
    monkeypatch.setattr(os, "rename", usual)
    monkeypatch.setattr(directory_module, "ANSWER_S", 60.0)
    os.close(gate)
    await target.write([a_file(LIVE, b"third", 2)])
    assert await target.read(LIVE, 100) == b"third"
    os.close(gate_open)


async def test_live_path_does_not_wait_for_rewritten_files(
    target: Directory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They are written beside it, however long they take; `close` waits for both."""
    gate_open, gate = os.pipe()
    usual = os.rename

    def stalled(*arguments: Path) -> None:
        if DOCUMENTS[0] in str(arguments[1]):
            os.read(gate_open, 1)
        usual(*arguments)

    monkeypatch.setattr(os, "rename", stalled)
    writing = asyncio.create_task(target.write([a_file(DOCUMENTS[0], b"area", 2)]))
    await asyncio.sleep(0)
    await target.write([a_file(DELTA, b"delta")])
    await target.write_live(a_file(LIVE, b"live", 2))
    assert not writing.done()
    assert {DELTA, LIVE} <= content(tmp_path / "mirror")
    assert DOCUMENTS[0] not in content(tmp_path / "mirror")
    os.close(gate)
    await target.close()
    await writing
    assert DOCUMENTS[0] in content(tmp_path / "mirror")
    os.close(gate_open)


def test_writer_killed_between_any_two_calls_leaves_whole_files_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mirror that is started again finds a state that was shown, and continues."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
    step = 3 - count(0, full=2)
    subprocess.run(
        [sys.executable, killed_writer.__file__, str(tmp_path), str(step)], check=True, timeout=100
    )
    rounds = sorted(tmp_path.iterdir(), key=lambda each: int(each.name))
    assert len(rounds) * step > 60
    seen = set()
    for root in rounds:
        seen.add(_state_after_crash(root))
    assert {live for live, _ in seen} == {1, 2}
    assert (2, (2, 2)) in seen


def _state_after_crash(root: Path) -> tuple[int, tuple[int, ...]]:
    """Check a directory; return the versions of live.json and of the rewritten files, as a restart reads them."""
    files = directory_module.DirectoryFiles(root)
    (root / OWN / "lock").touch()
    files.remove_unfinished()
    assert {each.name for each in (root / OWN).iterdir()} == {"lock"}
    for each in content(root):
        raw = (root / each).read_bytes()
        body = gzip.decompress(raw) if each.endswith(".gz") else raw
        number, _, digits = body.decode().partition(" ")
        assert len(digits) == 2 * (40 + int(number)), each
    versions = {}
    for each in (LIVE, *DOCUMENTS):
        body = files.read(each, 1000)
        assert body
        versions[each] = int(body.split()[0])
    live = versions[LIVE]
    for delta in killed_writer.deltas(live):
        assert {delta, f"{delta}.gz"} <= content(root), root.name
    assert all(versions[each] <= live for each in DOCUMENTS), "a rewritten file is ahead of live.json"
    killed_writer.write_version(files, 3)
    for each in (LIVE, *DOCUMENTS):
        assert (root / each).read_bytes() == gzip.decompress((root / f"{each}.gz").read_bytes())
        assert (root / each).read_bytes().startswith(b"3 ")
    files.close()
    return live, tuple(versions[each] for each in DOCUMENTS)


def test_files_are_taken_in_groups_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of whatever iterates over them, so that not all are in memory."""
    taken = 0

    def files() -> object:
        nonlocal taken
        for number in range(BATCH_FILES + 1):
            taken += 1
            yield a_file(f"{number}.json", b"x")

    groups = batches(files())  # type: ignore[arg-type]
    assert len(next(groups)) == BATCH_FILES == taken
    assert len(next(groups)) == 1
    monkeypatch.setattr(directory_module, "BATCH_BYTES", 10)
    assert [len(each) for each in batches(a_file("x", b"12345") for _ in range(5))] == [2, 2, 1]


def test_the_same_content_has_the_same_gzip_and_damage_is_noticed() -> None:
    """Without a time in it."""
    packed = compressed(b"same")
    assert packed == compressed(b"same")
    assert packed[4:8] == bytes(4)
    assert uncompressed(packed, 4) == b"same"
    assert uncompressed(packed, 3) is None
    for damaged in (packed[:-1], packed + b"x", b"", b"plain"):
        with pytest.raises(NotGzip):
            uncompressed(damaged, 10)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("/srv/mirror", "/srv/mirror"),
        ("file:///srv/mirror", "/srv/mirror"),
        ("file://localhost/srv/mirror", "/srv/mirror"),
        ("file:/srv/mirror", "/srv/mirror"),
    ],
)
def test_target_that_is_a_directory_can_be_written_in_several_ways(text: str, where: str) -> None:
    """A path, or a URL."""
    assert open_target(text).where == where


def test_relative_path_is_below_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with a colon in its name."""
    monkeypatch.chdir(tmp_path)
    assert open_target("mirror").where == str(tmp_path / "mirror")
    assert open_target("./night:2026").where == str(tmp_path / "night:2026")
