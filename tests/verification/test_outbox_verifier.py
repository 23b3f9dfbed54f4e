"""`valgnatt verify outbox`: a record agrees with what was sent, and each fault alone gives its code."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from gateway.client.outbox import Outbox
from gateway.client.outbox_items import Destination
from gateway.client.push_answers import Answer
from gateway.election.hold_list import next_hold_chain
from gateway.election.report import digest_of
from gateway.verification import outbox_verifier
from gateway.verification.failures import VerificationFailed
from gateway.verification.feed_record import open_record
from gateway.verification.outbox_checks import HoldState, Placed, Sent, compare
from gateway.verification.outbox_report import SHOWN_MAX, document_of, failings, lines_of
from gateway.verification.outbox_verifier import OutboxResult, UnusableOutbox, verify
from gateway.verification.receipts import verify_receipt
from gateway.wire.events import hold_line
from tests.election.makers import Record, a_report, compact, some_counts
from tests.fork_server import Command
from tests.transparency.records import LOG_KEY, OTHER_KEY, STARTED, Fault, Night, a_night, policy, policy_text
from tests.verification.feed import serving

HERE = Destination("https://push.example.org", "made-up-1")
MINE = "a"
"""My area: a county with the units a-1-1, a-1-2 and a-2."""
NOW = STARTED + timedelta(hours=3, minutes=1)


def of_mine(unit: str = "a-2", revision: int = 1, votes: int = 7) -> dict[str, Any]:
    return a_report(unit, revision, counts={"advance": some_counts(P=votes)})


FIRST, SECOND, OTHER = of_mine(), of_mine(revision=2, votes=9), of_mine("a-1-1", votes=3)
OF_OTHERS = a_report("b-2", 1, counts={"advance": some_counts(P=1)})


def night_of(*reports: dict[str, Any]) -> Night:
    """A signed record of these reports."""
    whole = a_night(reports=1)
    record = Record()
    for report in reports:
        record.write(report)
    entries = (whole.entries[0], *(each.body for each in record.publications))
    return replace(whole, entries=entries, publications=tuple(record.publications))


GOOD = night_of(FIRST, OF_OTHERS, OTHER, SECOND)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    opened = Outbox(tmp_path / "outbox.db")
    yield opened
    opened.close()


def add(outbox: Outbox, report: dict[str, Any], answer: Answer | None, to: Destination = HERE) -> None:
    """Add a report as `push` does, with its answer if it has one."""
    body = json.dumps(report).encode()
    outbox.add(to, [(report["unit"], report["revision"], body)])
    if answer is not None:
        item = [each for each in outbox.waiting(to) if each.body == body][-1]
        outbox.record([(item, answer)])


def receipt(sequence: int | None, state: str = "published") -> Answer:
    return Answer("accepted", state=state, sequence=sequence, accepted_at=STARTED)


def fill(outbox: Outbox) -> None:
    """Everything that GOOD has of mine."""
    for report, sequence in ((FIRST, 1), (OTHER, 3), (SECOND, 4)):
        add(outbox, report, receipt(sequence))
    outbox.proofs.note_areas(HERE, "secret", [MINE])


async def verified(
    outbox: Outbox,
    night: Night,
    tmp_path: Path,
    *,
    areas: Sequence[str] = (),
    forgets: bool = True,
    **options: Any,
) -> OutboxResult:
    """Verify an outbox against a copy, without the proofs that an earlier verification has stored."""
    if forgets:
        outbox._file.rows("DELETE FROM proof")
    async with open_record(str(night.write(tmp_path / "copy"))) as record:
        return await verify(record, policy(), outbox, areas=list(areas), **options)


async def at_door(outbox: Outbox, night: Night, holds: Sequence[bytes] = ()) -> OutboxResult:
    """Verify an outbox against a feed door."""
    async with serving(night) as feed:
        feed.holds = list(holds)
        async with open_record(feed.url) as record:
            return await verify(record, policy(), outbox, areas=[], clock=lambda: NOW)


def codes(result: OutboxResult) -> list[str]:
    return [each.code for each in failings(result)]


def hold_lines(*ends: tuple[str, int, str], first: int = 1) -> list[bytes]:
    """The list of holds: of each unit and revision its beginning, and its end unless it is still held."""
    lines, chain = [], bytes(32)
    for unit, revision, state in ends:
        for each in ("held", state) if state != "held" else ("held",):
            line = compact(
                {
                    "at": "2025-09-08T20:00:00Z",
                    "digest": None,
                    "number": len(lines) + first,
                    "reason": "duplicate" if each == "rejected" else None,
                    "revision": revision,
                    "rules": ["fell"],
                    "state": each,
                    "unit": unit,
                }
            )
            chain = next_hold_chain(chain, line)
            lines.append(hold_line(line, chain))
    return lines


async def test_an_outbox_that_agrees_gets_the_proofs_that_it_lacks(outbox: Outbox, tmp_path: Path) -> None:
    """They are those that the feed door gives, and `verify receipt` accepts them."""
    fill(outbox)
    result = await verified(outbox, GOOD, tmp_path)
    assert codes(result) == []
    assert (result.receipts, result.new_proofs, result.proofs) == (3, 3, 3)
    stored = {(each.unit, each.revision): each.file for each in outbox.proofs.stored(HERE)}
    assert stored["a-2", 2] == GOOD.proof(4).encode()
    assert verify_receipt(stored["a-1-1", 1], policy(), compact(OTHER)).sequence == 3
    assert (await verified(outbox, GOOD, tmp_path, forgets=False)).new_proofs == 0
    first, *_ = lines_of(result)
    assert first == (
        "verified: all your 3 reports with a receipt are in the record, unchanged; no other report of your areas is in"
        " it"
    )


async def test_somebody_elses_report_under_my_token_is_not_mine(outbox: Outbox, tmp_path: Path) -> None:
    fill(outbox)
    stolen = of_mine("a-1-2", 5, votes=900)
    result = await verified(outbox, night_of(FIRST, OF_OTHERS, OTHER, SECOND, stolen), tmp_path)
    (failing,) = failings(result)
    assert failing.code == "not_mine"
    assert (
        failing.reports == ["unit a-1-2 Nørdre, revision 5, entry 5; you sent none"]
        or "a-1-2" in failing.reports[0]
    )
    assert "call the operator of the election now" in " ".join(failing.advice)
    assert "above 5" in failing.advice[-1]
    foreign = [structs.replace(each, newest_sent=9) for each in result.agreement.not_mine]
    higher = structs.replace(result, agreement=structs.replace(result.agreement, not_mine=foreign))
    assert "above 9" in failings(higher)[0].advice[-1], "the unit has a higher revision of mine"
    assert result.new_proofs == 3, "my own reports are in the record"


async def test_a_later_revision_of_my_unit_by_somebody_else_is_not_mine(
    outbox: Outbox, tmp_path: Path
) -> None:
    fill(outbox)
    stolen = of_mine(revision=3)
    result = await verified(outbox, night_of(FIRST, OF_OTHERS, OTHER, SECOND, stolen), tmp_path)
    assert codes(result) == ["not_mine"]
    assert failings(result)[0].reports[0].endswith("; the newest that you sent is revision 2")


async def test_a_report_with_a_receipt_that_the_record_does_not_have_is_missing(
    outbox: Outbox, tmp_path: Path
) -> None:
    """Whether its receipt had a position or not."""
    fill(outbox)
    add(outbox, of_mine("a-1-2"), receipt(None, "embargoed"))
    result = await verified(outbox, GOOD, tmp_path)
    (failing,) = failings(result)
    assert (failing.code, [each.why for each in result.agreement.missing]) == ("missing", ["absent"])
    assert "receipt of 2025-09-08 19:00:00 UTC: it is not in the record" in failing.reports[0]
    result = await verified(outbox, night_of(FIRST, OF_OTHERS), tmp_path)
    assert [each.why for each in result.agreement.missing] == ["not_covered", "not_covered", "absent"]
    assert codes(result) == ["missing"]


async def test_a_report_that_was_changed_is_missing_and_what_is_there_is_not_mine(
    outbox: Outbox, tmp_path: Path
) -> None:
    """The comparison is of bytes, however small the difference."""
    fill(outbox)
    changed = json.loads(json.dumps(SECOND))
    changed["counts"]["advance"]["rejected"] = 0
    result = await verified(outbox, night_of(FIRST, OF_OTHERS, OTHER, changed), tmp_path)
    assert codes(result) == ["not_mine", "missing"]
    assert [each.why for each in result.agreement.missing] == ["other_bytes"]
    assert result.agreement.not_mine[0].placed.sequence == 4


async def test_rejected_and_superseded_reports_are_listed_and_no_failure(outbox: Outbox) -> None:
    """As the public list of holds says, for that revision. Neither one that is still held nor one that was released."""
    fill(outbox)
    gone = {3: "rejected", 4: "superseded", 5: "held", 6: "released"}
    for revision in gone:
        add(outbox, of_mine(revision=revision), receipt(None, "held"))
    result = await at_door(outbox, GOOD, hold_lines(*(("a-2", *each) for each in gone.items())))
    assert [each.sent.revision for each in result.agreement.excepted] == [3, 4]
    assert [(each.sent.revision, each.why) for each in result.agreement.missing] == [
        (5, "held"),
        (6, "absent"),
    ]
    text = "\n".join(lines_of(result))
    assert "revision 3: rejected by an operator, 2025-09-08 20:00:00 UTC: duplicate" in text
    assert "revision 4: replaced by a newer revision while it was held" in text
    assert "Held reports: ask the operator" in text


async def test_a_copy_needs_a_list_of_holds_for_rejected_reports(outbox: Outbox, tmp_path: Path) -> None:
    fill(outbox)
    add(outbox, of_mine(revision=3), receipt(None, "held"))
    result = await verified(outbox, GOOD, tmp_path)
    assert codes(result) == ["missing"]
    assert "no list of holds" in failings(result)[0].advice[-1]
    (tmp_path / "copy" / "holds.ndjson").write_bytes(b"".join(hold_lines(("a-2", 3, "rejected"))))
    assert codes(await verified(outbox, GOOD, tmp_path)) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines[1:],
        lambda lines: [lines[0], lines[2], lines[1], lines[3]],
        lambda lines: [lines[0].replace(b"a-2", b"a-1"), *lines[1:]],
        lambda lines: [lines[0], b"not JSON\n"],
        lambda lines: [b'{"number":1,' + lines[0][1:]],
        lambda _: hold_lines(("a-2", 3, "rejected"), first=2),
    ],
)
async def test_a_list_of_holds_that_was_altered_is_noticed(
    outbox: Outbox, change: Callable[[list[bytes]], list[bytes]]
) -> None:
    fill(outbox)
    lines = hold_lines(("a-2", 3, "rejected"), ("a-2", 4, "rejected"))
    with pytest.raises(VerificationFailed, match="list of holds") as raised:
        await at_door(outbox, GOOD, change(lines))
    assert raised.value.code == "chain_mismatch"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.OTHER_KEY, "bad_signature"),
        (Fault.STRANGER, "too_few_witnesses"),
        (Fault.FLIPPED_BIT, "root_mismatch"),
        (Fault.LAST_LEFT_OUT, "root_mismatch"),
        (Fault.PARTIES_EXCHANGED, "registry_mismatch"),
        (Fault.AFTER_CLOSING, "after_closing"),
        (Fault.NOT_A_SUM, "bad_report"),
        (Fault.TOO_OLD, "stale"),
    ],
)
async def test_the_record_is_verified_before_it_is_compared(outbox: Outbox, fault: Fault, code: str) -> None:
    fill(outbox)
    with pytest.raises(VerificationFailed) as raised:
        await at_door(outbox, a_night(fault, reports=8))
    assert raised.value.code == code


async def test_before_the_release_nothing_can_be_compared(outbox: Outbox, tmp_path: Path) -> None:
    fill(outbox)
    result = await verified(outbox, night_of(), tmp_path)
    (failing,) = failings(result)
    assert failing.sentence == "no report is published yet, so nothing can be compared"
    assert failing.advice == ["Run this command again after the results are released."]


async def test_a_report_without_a_known_answer_may_be_in_the_record(outbox: Outbox, tmp_path: Path) -> None:
    """The process was killed before it had the answer; the report is mine, and gets no proof before its receipt."""
    for report, sequence in ((FIRST, 1), (OTHER, 3)):
        add(outbox, report, receipt(sequence))
    add(outbox, SECOND, None)
    result = await verified(outbox, GOOD, tmp_path, areas=[MINE])
    assert (codes(result), result.receipts, result.new_proofs) == ([], 2, 2)


async def with_checkpoints(
    outbox: Outbox, night: Night, read: Callable[[], bytes], tmp_path: Path
) -> OutboxResult:
    """Verify against a record whose checkpoint is what `read` returns, as if it were read from a door."""
    async with open_record(str(night.write(tmp_path / "copy"))) as record:
        record.is_door = True

        async def checkpoint() -> bytes:
            return read()

        record.checkpoint = checkpoint  # type: ignore[method-assign]
        return await verify(record, policy(), outbox, areas=[], clock=lambda: NOW)


async def test_what_is_sent_while_the_record_is_read_causes_no_alarm(outbox: Outbox, tmp_path: Path) -> None:
    """A report is in the outbox before it is sent: the outbox is read again after the record."""
    fill(outbox)
    late = of_mine("a-1-2")
    night = night_of(FIRST, OF_OTHERS, OTHER, SECOND, late)

    def read() -> bytes:
        add(outbox, late, None)
        return night.note()

    assert codes(await with_checkpoints(outbox, night, read, tmp_path)) == []


async def test_a_checkpoint_that_covers_the_newest_receipt_is_waited_for(
    outbox: Outbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is some seconds behind the receipts. The wait ends, whatever the door shows."""
    monkeypatch.setattr(outbox_verifier, "POLL_S", 0.01)
    fill(outbox)
    notes = [GOOD.note(), GOOD.note(4), GOOD.note(3)]
    result = await with_checkpoints(outbox, GOOD, lambda: notes.pop(), tmp_path)
    assert (codes(result), notes) == ([], [])
    monkeypatch.setattr(outbox_verifier, "COVER_S", 0.05)
    outbox._file.rows("DELETE FROM proof")
    shorter = night_of(FIRST, OF_OTHERS, OTHER)
    behind = await with_checkpoints(outbox, shorter, shorter.note, tmp_path)
    assert [each.why for each in behind.agreement.missing] == ["not_covered"]


def keep_proof(outbox: Outbox, night: Night, sequence: int, size: int | None = None) -> None:
    """Store the proof of a report in the record of a night."""
    entry = night.entries[sequence]
    (item,) = [each for each in outbox.answers(HERE) if compact(json.loads(each.body)) == entry]
    outbox.proofs.store([(item, night.proof(sequence, size).encode())])


async def test_a_record_that_contradicts_a_proof_in_the_outbox_is_forked(
    outbox: Outbox, tmp_path: Path
) -> None:
    """Signed by the same key and by all witnesses, with all my reports in it; a stranger's signature shows nothing."""
    fill(outbox)
    other = night_of(FIRST, a_report("b-2", 1, counts={"advance": some_counts(P=2)}), OTHER, SECOND)
    keep_proof(outbox, other, 3)
    with pytest.raises(VerificationFailed, match="that the record contradicts") as raised:
        await verified(outbox, GOOD, tmp_path, forgets=False)
    assert raised.value.code == "forked"
    assert raised.value.evidence == {"checkpoint": GOOD.note(), "checkpoint-before": other.note()}
    keep_proof(outbox, replace(other, log_key=OTHER_KEY), 3)
    result = await verified(outbox, GOOD, tmp_path, forgets=False)
    assert (codes(result), result.new_proofs) == ([], 2), "what contradicts the record is kept"


async def test_a_record_that_is_behind_a_proof_in_the_outbox_is_rolled_back(
    outbox: Outbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A feed door has some seconds to show a newer checkpoint."""
    fill(outbox)
    longer = night_of(FIRST, OF_OTHERS, OTHER, SECOND, a_report("b-2", 2))
    keep_proof(outbox, longer, 4)
    with pytest.raises(VerificationFailed, match="1 entry taken back") as raised:
        await verified(outbox, GOOD, tmp_path, forgets=False)
    assert raised.value.code == "rolled_back"
    monkeypatch.setattr(outbox_verifier, "POLL_S", 0.01)
    notes = [longer.note(), GOOD.note()]
    assert codes(await with_checkpoints(outbox, longer, lambda: notes.pop(), tmp_path)) == []


async def test_a_proof_that_too_few_have_signed_is_replaced(outbox: Outbox, tmp_path: Path) -> None:
    """One from before the witnesses had cosigned, or one whose signature is false; a good one stays as it is."""
    fill(outbox)
    keep_proof(outbox, replace(GOOD, cosigners=()), 1)
    keep_proof(outbox, replace(GOOD, log_key=OTHER_KEY), 3)
    keep_proof(outbox, GOOD, 4)
    (good,) = [each.file for each in outbox.proofs.stored(HERE) if each.revision == 2]
    result = await verified(outbox, GOOD, tmp_path, forgets=False)
    assert (codes(result), result.new_proofs) == ([], 2)
    stored = list(outbox.proofs.stored(HERE))
    assert [verify_receipt(each.file, policy()).unit for each in stored] == ["a-2", "a-1-1", "a-2"]
    assert good in [each.file for each in stored]


async def test_reports_of_other_areas_are_nobody_elses_business(outbox: Outbox, tmp_path: Path) -> None:
    """With --areas, only these are mine; the receipts are compared whatever their area."""
    fill(outbox)
    night = night_of(FIRST, OF_OTHERS, OTHER, SECOND, of_mine("a-1-2"))
    assert codes(await verified(outbox, night, tmp_path)) == ["not_mine"]
    assert codes(await verified(outbox, night, tmp_path, areas=["a-2"])) == []
    assert codes(await verified(outbox, night, tmp_path, areas=["b"])) == ["not_mine"]
    assert codes(await verified(outbox, night_of(FIRST), tmp_path, areas=["a-2"])) == ["missing"]


async def test_without_known_areas_those_of_the_reports_are_taken_and_named(
    outbox: Outbox, tmp_path: Path
) -> None:
    for report, sequence in ((FIRST, 1), (OTHER, 3), (SECOND, 4)):
        add(outbox, report, receipt(sequence))
    result = await verified(outbox, GOOD, tmp_path)
    assert not result.areas_known
    assert any("does not know those of your token" in line for line in lines_of(result))


async def test_what_cannot_be_compared_is_named(outbox: Outbox, tmp_path: Path) -> None:
    with pytest.raises(UnusableOutbox, match="no report of the election made-up-1"):
        await verified(outbox, GOOD, tmp_path)
    with pytest.raises(UnusableOutbox, match="does not know your areas"):
        await verified(outbox, GOOD, tmp_path, gateway=HERE.gateway)
    nothing_sent = await verified(outbox, GOOD, tmp_path, gateway=HERE.gateway, areas=[MINE])
    assert codes(nothing_sent) == ["not_mine"]
    fill(outbox)
    with pytest.raises(UnusableOutbox, match="no area 'nowhere'"):
        await verified(outbox, GOOD, tmp_path, areas=["nowhere"])
    elsewhere = Destination("https://former.example.org", "made-up-1")
    add(outbox, FIRST, receipt(1), elsewhere)
    with pytest.raises(UnusableOutbox, match=r"several gateways: https://former\.example\.org, https://push"):
        await verified(outbox, GOOD, tmp_path)
    assert codes(await verified(outbox, GOOD, tmp_path, gateway=HERE.gateway)) == []


def a_sent(revision: int, **members: Any) -> Sent:
    return Sent(revision, "u", revision, digest_of(b"%d" % revision), has_receipt=True, **members)


def placed(sequence: int, revision: int) -> Placed:
    return Placed(sequence, "u", revision, digest_of(b"%d" % revision))


def test_my_newest_report_has_to_be_the_newest_in_the_record() -> None:
    """An older revision of the unit after it would count as the current one."""
    sent = [a_sent(1), a_sent(2)]
    agreement = compare(sent, sent, [placed(1, 2), placed(2, 1)], {}, {"u"}, 3)
    assert [(each.sent.revision, each.why) for each in agreement.missing] == [(2, "not_newest")]
    assert compare(sent, sent, [placed(1, 1), placed(2, 2)], {}, {"u"}, 3).missing == []


def test_a_rejected_report_that_is_in_the_record_all_the_same_is_found() -> None:
    """What the list of holds says excuses only a report that is absent."""
    rejected = {("u", 1): HoldState("rejected", STARTED)}
    agreement = compare([a_sent(1)], [], [placed(1, 1)], rejected, {"u"}, 2)
    assert (agreement.excepted, len(agreement.found)) == ([], 1)
    other = Placed(1, "u", 1, digest_of(b"other"))
    agreement = compare([a_sent(1)], [], [other], rejected, {"u"}, 2)
    assert [each.why for each in agreement.missing] == ["other_bytes"]


async def test_a_long_list_is_shortened_in_text_alone(outbox: Outbox, tmp_path: Path) -> None:
    outbox.proofs.note_areas(HERE, "secret", [MINE])
    for revision in range(1, 31):
        add(outbox, of_mine(revision=revision), receipt(None))
    result = await verified(outbox, night_of(OF_OTHERS), tmp_path)
    lines = lines_of(result)
    assert sum("revision" in line for line in lines) == SHOWN_MAX
    assert "  … and 10 more reports; --json lists all" in lines
    assert len(document_of("copy", result)["missing"]) == 30


@contextmanager
def command(*arguments: object) -> Iterator[tuple[int, str, str]]:
    with Command("verify", "outbox", *arguments, environ=os.environ) as process:
        output, errors = process.communicate(timeout=30.0)
    assert "Traceback" not in errors
    yield process.returncode, output, errors


def test_the_command_says_first_what_is_wrong_and_what_to_do(outbox: Outbox, tmp_path: Path) -> None:
    fill(outbox)
    (tmp_path / "policy").write_bytes(policy_text())
    trust = ("--policy", tmp_path / "policy")
    good = GOOD.write(tmp_path / "good")
    bad = night_of(FIRST, OF_OTHERS, OTHER, SECOND, of_mine("a-1-2", 5)).write(tmp_path / "bad")
    with command(outbox.path, good, *trust) as (status, output, errors):
        assert (status, errors) == (0, "")
        assert output.startswith("verified: all your 3 reports with a receipt are in the record")
    with command(outbox.path, bad, *trust, "--evidence", tmp_path / "evidence") as (status, output, errors):
        assert (status, output) == (1, "")
        lines = errors.splitlines()
        assert (
            lines[0]
            == "valgnatt: not_mine: the record has 1 report of your areas that this outbox did not send"
        )
        assert lines[1].startswith("  unit a-1-2 ")
        assert lines[2].startswith("- Ask everybody who reports for you")
    (saved,) = (tmp_path / "evidence").iterdir()
    assert {path.name for path in saved.iterdir()} == {"checkpoint", "reports.json", "failure.json"}
    with command(outbox.path, bad, "--key", str(LOG_KEY.vkey), "--json") as (status, output, _):
        document = json.loads(output)
        assert (status, document["verified"], document["code"]) == (1, False, "not_mine")
        assert [each["unit"] for each in document["not_mine"]] == ["a-1-2"]
    with command(tmp_path / "none", good, *trust) as (status, _, errors):
        assert status == 2
        assert "no such outbox" in errors
        assert not (tmp_path / "none").exists()
    with command(outbox.path, good, *trust, "--areas", "zzz") as (status, _, errors):
        assert (status, "correct --areas" in errors) == (2, True)
    with command(outbox.path, tmp_path / "nowhere", *trust) as (status, _, errors):
        assert status == 1
        assert errors.startswith("valgnatt: unreachable: ")
