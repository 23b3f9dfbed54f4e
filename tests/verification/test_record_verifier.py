"""Each fault of a record alone is found under its own code, and the same record without it passes."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from gateway.election.record import CHAIN_START, next_chain
from gateway.transparency.checkpoint import parse_checkpoint
from gateway.transparency.cosignature import cosign
from gateway.transparency.note import parse_note
from gateway.verification.copies import Copy
from gateway.verification.failures import VerificationFailed
from gateway.verification.feed_record import open_record
from gateway.verification.record_verifier import RecordVerifier, Verified
from gateway.verification.saved_state import Saved, load_state, save_state
from tests.counts import count, variants
from tests.election.makers import compact
from tests.transparency.records import (
    EXPECTED,
    ONLY_AT_A_DOOR,
    REPORTS,
    STARTED,
    WITNESSES,
    Fault,
    Night,
    a_night,
    policy,
)
from tests.verification.feed import Feed, serving

IN_COPIES = [fault for fault in Fault if fault not in ONLY_AT_A_DOOR]
USUAL = (Fault.FLIPPED_BIT, Fault.OTHER_KEY, Fault.PARTIES_EXCHANGED, Fault.AFTER_CLOSING, Fault.OTHER_CHAIN)
"""Faults that a copy has in `make test`; a door has all of them."""
NOW = STARTED + timedelta(hours=3, seconds=30)
"""Half a minute after the witnesses have cosigned."""


async def verified(where: str, saved: Saved | None = None, quorum: int = 2) -> Verified:
    """Verify a record once, half a minute after it was cosigned."""
    async with open_record(where) as record:
        verifier = RecordVerifier(record, policy(quorum), saved=saved, clock=lambda: NOW)
        return await verifier.verify(await verifier.checkpoint())


async def code_of(where: str, saved: Saved | None = None) -> str:
    """Return the code of the failure."""
    with pytest.raises(VerificationFailed) as raised:
        await verified(where, saved)
    return raised.value.code


async def test_a_record_is_verified_at_a_door() -> None:
    """With everything that the command shows."""
    async with serving(a_night()) as feed:
        found = await verified(feed.url)
    assert (found.size, found.reports, found.publications, found.figures_at) == (REPORTS + 1, *(REPORTS,) * 3)
    assert (found.quorum, found.unsigned, found.closed_at) == ("witnesses 2 of 3", 0, None)
    assert [name for name, at in found.witnesses.items() if at is None] == ["w3"]


async def test_a_copy_is_verified(tmp_path: Path) -> None:
    """In a directory; it has no areas."""
    found = await verified(str(a_night().write(tmp_path)))
    assert (found.reports, found.publications, found.figures_at, found.max_age_s) == (
        REPORTS,
        REPORTS,
        None,
        None,
    )


@pytest.mark.parametrize("closed", [False, True])
async def test_records_of_any_size_are_verified(tmp_path: Path, closed: bool) -> None:
    """Also one with nothing but its opening entry, and full bundles without an incomplete one."""
    for reports in (0, 1, 254, 255, 256):
        found = await verified(str(a_night(reports=reports, closed=closed).write(tmp_path / str(reports))))
        assert (found.reports, found.closed_at is not None) == (reports, closed)


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
async def test_a_door_with_a_fault_fails_with_its_code(fault: Fault) -> None:
    """Whatever is wrong, the first failure is the cause."""
    async with serving(a_night(fault)) as feed:
        assert await code_of(feed.url) == EXPECTED[fault]


@pytest.mark.parametrize("fault", variants(IN_COPIES, *USUAL), ids=lambda fault: fault.name.lower())
async def test_a_copy_with_a_fault_fails_with_its_code(fault: Fault, tmp_path: Path) -> None:
    """As at a door."""
    assert await code_of(str(a_night(fault).write(tmp_path))) == EXPECTED[fault]


def test_every_condition_has_a_fault() -> None:
    """Those of a single run; the others are below."""
    later = {"unreachable", "rolled_back", "forked", "not_included", "not_that_report", "missing", "not_mine"}
    assert {*EXPECTED} == {*Fault}
    assert not later & {*EXPECTED.values()}


async def saved_from(night: Night, path: Path) -> Saved:
    """Return what an earlier run has saved of a record."""
    save_state(path, Saved(night.note(), parse_checkpoint(parse_note(night.note()).text), night.tree()))
    saved = load_state(path)
    assert saved is not None
    return saved


async def test_a_record_continues_the_saved_checkpoint(tmp_path: Path) -> None:
    """A smaller one, and the same."""
    for reports in (0, 100, REPORTS):
        saved = await saved_from(a_night(reports=reports), tmp_path / "state")
        async with serving(a_night()) as feed:
            assert (await verified(feed.url, saved)).continues == reports + 1


async def test_an_old_checkpoint_is_a_rollback(tmp_path: Path) -> None:
    """Also with fresh cosignatures; it is consistent, so no fork."""
    saved = await saved_from(a_night(), tmp_path / "state")
    async with serving(a_night(reports=REPORTS - 1)) as feed:
        assert await code_of(feed.url, saved) == "rolled_back"


def forked(reports: int) -> Night:
    """A record with another report in the middle, signed with the true key and by all witnesses."""
    night = a_night(reports=reports)
    entries = (*night.entries[:50], *night.entries[51:])
    return replace(night, entries=entries)


@pytest.mark.parametrize("reports", [REPORTS, REPORTS + 1, REPORTS + 20], ids=["behind", "beside", "ahead"])
async def test_a_fork_signed_with_the_true_key_is_found(reports: int, tmp_path: Path) -> None:
    """By whoever has seen the other one, whichever of them is longer; both notes are the evidence."""
    saved = await saved_from(a_night(), tmp_path / "state")
    fork = forked(reports)
    with pytest.raises(VerificationFailed) as raised:
        await verified(str(fork.write(tmp_path / "copy")), saved)
    assert raised.value.code == "forked"
    evidence = raised.value.evidence
    assert (evidence["checkpoint"], evidence["checkpoint-before"]) == (fork.note(), a_night().note())


def ahead(reports: int, age: timedelta) -> Night:
    """A record whose feed shows more reports than the checkpoint covers, since some time."""
    later = [
        msgspec.structs.replace(each, published_at=NOW - age) if each.sequence > REPORTS else each
        for each in a_night(reports=REPORTS + reports).publications
    ]
    return replace(a_night(), publications=tuple(later))


async def test_reports_that_no_checkpoint_covers_are_counted_in() -> None:
    """The figures are ahead of the checkpoint by up to some seconds."""
    async with serving(ahead(20, timedelta(seconds=6))) as feed:
        found = await verified(feed.url)
    assert (found.reports, found.figures_at, found.unsigned) == (REPORTS, REPORTS + 20, 20)


async def test_figures_that_are_not_signed_for_long_are_stale() -> None:
    """Otherwise a door could show anything beside one old checkpoint."""
    async with serving(ahead(1, timedelta(minutes=3))) as feed:
        assert await code_of(feed.url) == "stale"


async def test_figures_are_compared_again_without_a_new_checkpoint() -> None:
    """After a minute, while a record is followed."""
    now = NOW
    async with serving(a_night()) as feed, open_record(feed.url) as record:
        verifier = RecordVerifier(record, policy(), clock=lambda: now)
        signed = await verifier.checkpoint()
        await verifier.verify(signed)
        assert not verifier.is_new(signed)
        feed.night = a_night(Fault.FIGURE_CHANGED)
        await verifier.renew(signed)
        now += timedelta(seconds=61)
        with pytest.raises(VerificationFailed) as raised:
            await verifier.renew(signed)
    assert raised.value.code == "figures_differ"


async def test_a_process_that_is_behind_shows_older_figures() -> None:
    """They are the sums at their own sequence."""
    async with serving(a_night()) as feed:
        found = await verified_with_figures_of(feed, 200)
    assert (found.reports, found.figures_at, found.unsigned) == (REPORTS, 200, 0)


async def verified_with_figures_of(feed: Feed, sequence: int) -> Verified:
    """Verify while one process of the door shows less than the others."""
    async with open_record(feed.url) as record:
        verifier = RecordVerifier(record, policy(), clock=lambda: NOW)
        feed.published = sequence
        verifier_areas = record.areas

        async def areas_of_one_behind(*arguments: object) -> object:
            shown = await verifier_areas(*arguments)  # type: ignore[arg-type]
            feed.published = None
            return shown

        record.areas = areas_of_one_behind  # type: ignore[method-assign, assignment]
        return await verifier.verify(await verifier.checkpoint())


async def test_a_later_run_reads_only_what_is_new() -> None:
    """As checkpoints appear, entries before them are not read again."""
    async with serving(a_night(reports=280)) as feed, open_record(feed.url) as record:
        verifier = RecordVerifier(record, policy(), clock=lambda: NOW)
        await verifier.verify(await verifier.checkpoint())
        for reports in (290, 300, 520):
            feed.night = a_night(reports=reports)
            found = await verifier.verify(await verifier.checkpoint())
            assert (found.reports, found.figures_at) == (reports, reports)
        feed.night = forked(530)
        with pytest.raises(VerificationFailed) as raised:
            await verifier.verify(await verifier.checkpoint())
    assert raised.value.code == "root_mismatch"  # the entries that were read do not lead to its root


async def test_an_old_checkpoint_is_stale_for_who_never_saw_a_newer_one() -> None:
    """With its own cosignatures, which nobody renews, beside the figures of now."""
    old = replace(a_night(reports=200), publications=a_night().publications)
    async with serving(replace(old, cosigned_at=NOW - timedelta(minutes=30))) as feed:
        assert await code_of(feed.url) == "stale"


async def test_a_fork_for_one_reader_lacks_the_witnesses() -> None:
    """An honest one has cosigned the other record."""
    async with serving(replace(forked(REPORTS), cosigners=WITNESSES[:1])) as feed:
        assert await code_of(feed.url) == "too_few_witnesses"


async def test_a_witness_may_state_any_time(tmp_path: Path) -> None:
    """One far in the future is not fresh, and nothing breaks."""
    night = replace(a_night(), cosigned_at=datetime.max.replace(tzinfo=UTC))
    async with serving(night) as feed:
        assert await code_of(feed.url) == "stale"
    note = night.note().split(b"\n\n")[0] + b"\n"
    cosigned = cosign(WITNESSES[0], note.decode(), 2**63 - 1)
    directory = night.write(tmp_path)
    (directory / "log/checkpoint").write_bytes(night.note() + cosigned.line.encode())
    assert (await verified(str(directory))).witnesses["w1"] == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


async def test_a_closed_record_need_not_be_fresh() -> None:
    """Nor does a log without witnesses."""
    night = a_night(closed=True)
    async with serving(replace(night, cosigned_at=STARTED)) as feed:
        assert (await verified(feed.url)).max_age_s is None


async def test_no_change_of_a_copy_is_missed(tmp_path: Path) -> None:
    """Of any byte of what is signed; and nothing ends in another error."""
    sound = a_night(reports=30, closed=True).write(tmp_path / "sound")
    paths = ("log/checkpoint", "log/registry", "log/tile/entries/000.p/32", "log/tile/0/000.p/32")
    for number in range(count(20, full=2000)):
        random = Random(number)
        changed = sound / paths[number % len(paths)]
        content = changed.read_bytes()
        at, length = random.randrange(len(content)), random.randrange(1, 30)
        match random.randrange(4):
            case 0:
                other = content[:at] + bytes([content[at] ^ 1 << random.randrange(8)]) + content[at + 1 :]
            case 1:
                other = content[:at] + content[at + length :]
            case 2:
                other = content[:at] + random.randbytes(length) + content[at:]
            case _:
                other = content[:at] + content[at:][::-1]
        if other == content:
            continue
        changed.write_bytes(other)
        assert await code_of(str(sound)) != "unreachable", number
        changed.write_bytes(content)
    await verified(str(sound))


async def test_whatever_else_a_copy_has_is_compared(tmp_path: Path) -> None:
    """Its tiles, which other programs read, and its list of checkpoints."""
    night = replace(a_night(), history=(1, 200))
    directory = night.write(tmp_path / "sound")
    await verified(str(directory))
    tile = directory / "log/tile/0/000"
    content = tile.read_bytes()
    tile.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert await code_of(str(directory)) == "root_mismatch"
    tile.unlink()
    await verified(str(directory))
    other = replace(night, entries=(*night.entries[:3], *night.entries[4:]))
    (directory / "log/checkpoints.ndjson").write_bytes(b"".join(other.checkpoint_lines()))
    assert await code_of(str(directory)) == "forked"


def chained(publications: list[dict[str, Any]]) -> bytes:
    """Return publications as the lines of a copy, with the chain through them in this order."""
    chain, lines = CHAIN_START, []
    for each in publications:
        chain = next_chain(chain, bytes.fromhex(each["digest"]))
        lines.append(compact({**each, "chain": chain.hex()}) + b"\n")
    return b"".join(lines)


async def test_publications_of_a_copy_are_all_of_them_in_order(tmp_path: Path) -> None:
    """Whatever their chain is: it is that of other publications."""
    directory = a_night(reports=30).write(tmp_path)
    path = directory / "publications.ndjson"
    sound = path.read_bytes()
    first, second, *rest = [json.loads(line) for line in sound.splitlines()]
    for other in (
        [rest[-1]],
        [first, *rest],
        [second, first, *rest],
        [first, first, second, *rest],
        [first, second, *rest, rest[-1]],
    ):
        path.write_bytes(chained(other))
        assert await code_of(str(directory)) == "chain_mismatch"
    path.write_bytes(sound.replace(b'"sequence":7}', b'"sequence":7%s}' % (b"0" * 4000)))
    assert await code_of(str(directory)) == "chain_mismatch"
    path.write_bytes(chained([first, second, *rest]))
    await verified(str(directory))


async def test_a_directory_without_publications_is_verified(tmp_path: Path) -> None:
    """A mirror that another program has made has entries alone."""
    directory = a_night().write(tmp_path)
    (directory / "publications.ndjson").unlink()
    assert not Copy(directory).has_publications
    assert (await verified(str(directory))).publications is None
