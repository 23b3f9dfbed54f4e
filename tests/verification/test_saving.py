"""Copies: kept while a record is verified, continued after interruptions, and never with anything unverified."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.transparency.tiles import bundles_of, tiles_of
from gateway.verification.copies import Copy
from gateway.verification.failures import VerificationFailed
from gateway.verification.feed_record import open_record
from gateway.verification.record_verifier import RecordVerifier
from gateway.verification.saved_state import BadState
from gateway.verification.saving import SavingRecord
from tests.transparency.records import STARTED, Fault, Night, a_night, policy
from tests.verification.feed import Feed, serving

NOW = STARTED + timedelta(hours=3, seconds=30)


async def save(feed: Feed, directory: Path) -> None:
    """Verify the record that a door serves, and keep a copy."""
    async with open_record(feed.url) as record:
        saving = SavingRecord(record, Copy(directory))
        verifier = RecordVerifier(saving, policy(), saved=await saving.begin(policy()), clock=lambda: NOW)
        try:
            await verifier.verify(await verifier.checkpoint())
        except VerificationFailed:
            saving.discard_unverified()
            raise
        assert verifier.saved is not None
        await saving.save(verifier.saved, policy())


def files_of(directory: Path) -> dict[str, bytes]:
    """Return the files of a directory by their paths."""
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


async def test_a_copy_is_what_the_record_is(tmp_path: Path) -> None:
    """File by file: the layout that the test writes independently. Only the order of members may differ."""
    night = replace(a_night(), history=(1, 100, 200))
    async with serving(night) as feed:
        await save(feed, tmp_path / "saved")
    saved, written = files_of(tmp_path / "saved"), files_of(night.write(tmp_path / "written"))
    for name in ("log/checkpoints.ndjson", "publications.ndjson"):
        assert len(saved.pop(name).splitlines()) == len(written.pop(name).splitlines())
    assert saved == written


async def test_a_copy_is_continued(tmp_path: Path) -> None:
    """Every bundle is read once when it is full, and incomplete tiles of before are gone."""
    async with serving(a_night(reports=280)) as feed:
        await save(feed, tmp_path)
        feed.night = a_night(reports=600)
        feed.requests.clear()
        await save(feed, tmp_path)
    assert [path for path in feed.requests if "entries" in path] == [
        "log/tile/entries/001",
        "log/tile/entries/002.p/89",
    ]
    paths = {f"log/{tile.path}" for tile in [*tiles_of(601), *bundles_of(601)]}
    assert {path for path in files_of(tmp_path) if "/tile/" in path} == paths
    copy = Copy(tmp_path)
    found = [line.sequence async for lines in copy.publications(0, 1000) for line in lines]
    assert found == list(range(1, 601))
    assert [line.size async for line in copy.checkpoints()] == [281, 601]


async def test_a_copy_in_which_a_line_was_cut_off_is_continued(tmp_path: Path) -> None:
    """By a crash while it was appended."""
    async with serving(a_night(reports=280)) as feed:
        await save(feed, tmp_path)
        path = tmp_path / "publications.ndjson"
        path.write_bytes(path.read_bytes()[:-30])
        feed.night = a_night(reports=290)
        await save(feed, tmp_path)
    found = [line.sequence async for lines in Copy(tmp_path).publications(0, 1000) for line in lines]
    assert found == list(range(1, 291))


async def test_nothing_unverified_remains(tmp_path: Path) -> None:
    """A wrong bundle is not kept, so a later run reads it again."""
    wrong = a_night(Fault.FLIPPED_BIT, reports=257)
    async with serving(wrong) as feed:
        with pytest.raises(VerificationFailed):
            await save(feed, tmp_path)
        assert "log/checkpoint" not in files_of(tmp_path)
        feed.night = a_night(reports=257)
        await save(feed, tmp_path)


async def test_an_interrupted_copy_is_continued(tmp_path: Path) -> None:
    """Bundles that were read before the interruption are not read again."""
    night = a_night(reports=600)
    async with serving(night) as feed:
        await save(feed, tmp_path)
        (tmp_path / "log/checkpoint").unlink()
        (tmp_path / "log/tile/entries/001").unlink()
        feed.requests.clear()
        await save(feed, tmp_path)
    assert [path for path in feed.requests if "entries" in path] == [
        "log/tile/entries/001",
        "log/tile/entries/002.p/89",
    ]


async def test_a_damaged_copy_is_not_continued(tmp_path: Path) -> None:
    """It says so, and is left as it is."""
    async with serving(a_night()) as feed:
        await save(feed, tmp_path)
        path = tmp_path / "log/tile/entries/000"
        path.write_bytes(path.read_bytes().replace(b"preliminary", b"preliminarY", 1))
        before = files_of(tmp_path)
        with pytest.raises(BadState, match="damaged"):
            await save(feed, tmp_path)
    assert files_of(tmp_path) == before


async def test_an_earlier_checkpoint_that_contradicts_the_newest_is_a_fork(tmp_path: Path) -> None:
    """Also if no reader was shown it before: it is in the list, and signed."""
    night = Forked(**{**vars(a_night()), "history": (200,)})
    async with serving(night) as feed:
        with pytest.raises(VerificationFailed) as raised:
            await save(feed, tmp_path)
    assert raised.value.code == "forked"
    assert raised.value.evidence["checkpoint-200"] == night.note(200)


class Forked(Night):
    """A record whose earlier checkpoints are of other entries."""

    def note(self, size: int | None = None) -> bytes:
        """The checkpoint of a size."""
        if size is None:
            return super().note()
        return replace(a_night(), entries=(*self.entries[:3], *self.entries[4:])).note(size)


async def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """As a file is in its place."""
    (tmp_path / "copy").write_text("")
    async with serving(a_night()) as feed:
        with pytest.raises(BadState, match="copy"):
            await save(feed, tmp_path / "copy")
