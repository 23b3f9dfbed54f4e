"""Every answer of a witness is that of C2SP tlog-witness."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.transparency.checkpoint import Checkpoint
from gateway.transparency.cosignature import cosign, verify_cosignature
from gateway.transparency.ed25519 import SigningKey
from gateway.transparency.note import COSIGNATURE, ED25519, Note, parse_note, parse_signature
from gateway.witness.decision import Kept
from gateway.witness.logs import Log
from gateway.witness.state import EVIDENCE_MAX
from gateway.witness.submission import BODY_MAX, BadSubmission, parse_submission
from gateway.witness.witness import TEXT, Answer, ClockBehind
from tests.witness.logs import NAME, GrowingLog, Running

NAME_OF_LOG = "example.com/behind-the-sofa"
EXAMPLE = f"""\
old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

{NAME_OF_LOG}
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— {NAME_OF_LOG} Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— {NAME_OF_LOG} opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
"""
"""The request in the specification."""


@pytest.fixture
def log() -> GrowingLog:
    return GrowingLog()


@pytest.fixture
def running(tmp_path: Path, log: GrowingLog) -> Iterator[Running]:
    with Running(tmp_path / "w", log) as running:
        yield running


def cosigned(running: Running, answer: Answer, note: bytes) -> int:
    """Check the cosignature in an answer with the key of the witness; return its time."""
    assert (answer.status, answer.content_type) == (200, TEXT)
    signature = parse_signature(answer.body.removesuffix("\n"))
    assert answer.body == signature.line
    return verify_cosignature(running.witness.vkey, parse_note(note).text, signature)


def newest_size(running: Running, log: GrowingLog) -> int:
    newest = running.state.newest(log.origin)
    return newest.size if newest is not None else 0


def test_request_of_the_specification_is_read() -> None:
    """Old size, four hashes, and the note with two signatures."""
    submission = parse_submission(EXAMPLE.encode())
    assert (submission.old_size, len(submission.proof)) == (20852014, 4)
    assert submission.origin == b"example.com/behind-the-sofa"
    assert len(parse_note(submission.note).signatures) == 2


def test_consistent_checkpoints_are_cosigned(running: Running, log: GrowingLog) -> None:
    """The first from size 0 without a proof, later ones with one; each at the time of the clock."""
    old = 0
    for size in (1, 2, 7, 256, 300):
        running.clock.now += 5
        assert cosigned(running, running.ask(log.body(old, size)), log.note(size)) == running.clock.now
        old = size
    newest = running.witness.newest_note(log.origin)
    assert newest is not None
    note = parse_note(newest)
    assert note.text == log.checkpoint(300).text()
    assert verify_cosignature(running.witness.vkey, note.text, note.signatures[-1]) == running.clock.now


def test_newest_checkpoint_is_cosigned_again_with_a_new_time(running: Running, log: GrowingLog) -> None:
    """A signer asks for that when nothing changes, so that readers see fresh cosignatures."""
    running.ask(log.body(0, 9))
    running.clock.now += 60
    assert cosigned(running, running.ask(log.body(9, 9)), log.note(9)) == running.clock.now
    newest = running.state.newest(log.origin)
    assert newest is not None
    assert newest.at == running.clock.now


def test_empty_log_is_cosigned(running: Running, log: GrowingLog) -> None:
    """With the root of the empty tree only."""
    assert running.ask(log.body(0, 0)).status == 200
    assert running.ask(log.body(0, 3)).status == 200


def test_root_of_an_empty_log_is_checked(running: Running, log: GrowingLog) -> None:
    """A tree without entries has one root hash."""
    note = Checkpoint(log.origin, 0, b"\1" * 32).signed_by(log.key).encode()
    assert running.ask(log.body(0, 0, note=note)).status == 422


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n\n",
        b"old 1",
        b"old \n\n{note}",
        b"old 01\n\n{note}",
        b"old -1\n\n{note}",
        b"old 1 \n\n{note}",
        b"Old 1\n\n{note}",
        b"old 99999999999999999999\n\n{note}",
        b"old 0\r\n\r\n{note}",
        b"old 0\nAAAA\n\n{note}",
        b"old 0\n" + b"A" * 44 + b"\n\n{note}",
        b"old 0\n" + b"A" * 42 + b"B=\n\n{note}",  # unused bits are set
        b"old 0\n\xff\n\n{note}",
        b"old 0\n" + (b"A" * 43 + b"=\n") * 64 + b"\n{note}",
        b"old 0\n{note}",
    ],
)
def test_malformed_body_is_a_bad_request(running: Running, log: GrowingLog, body: bytes) -> None:
    """Each differs in one respect from the format, and nothing is stored."""
    answer = running.ask(body.replace(b"{note}", log.note(3)))
    assert answer.status == 400
    assert answer.body.endswith("\n")
    assert running.state.is_empty()


def test_63_hashes_are_read_and_64_are_not(log: GrowingLog) -> None:
    """Those are the most that a client may send."""
    assert len(parse_submission(log.body(0, 1, [b"x" * 32] * 63)).proof) == 63
    with pytest.raises(BadSubmission):
        parse_submission(log.body(0, 1, [b"x" * 32] * 64))


def test_malformed_checkpoint_of_a_known_log_is_a_bad_request(running: Running, log: GrowingLog) -> None:
    """A note without a signature, a signed text that is no checkpoint, and a note that is cut off."""
    signed = Note(f"{log.origin}\nmany\n", (log.key.sign(f"{log.origin}\nmany\n"),)).encode()
    for note in (log.checkpoint(3).text().encode(), signed, log.note(3)[:-1]):
        assert running.ask(log.body(0, 3, note=note)).status == 400


def test_unknown_log_is_not_found(running: Running) -> None:
    """Also if it is well signed."""
    assert running.ask(GrowingLog("results.example.no/live/other").body(0, 3)).status == 404


def test_checkpoint_without_a_trusted_signature_is_forbidden(running: Running, log: GrowingLog) -> None:
    """A stranger's key with the name of the log, and the log's key as that of a witness."""
    stranger = SigningKey(log.origin, ED25519, b"s" * 32)
    assert running.ask(log.body(0, 3, note=log.note(3, stranger))).status == 403
    text = log.checkpoint(3).text()
    cosignature = cosign(SigningKey(log.origin, COSIGNATURE, b"\1" * 32), text, 5)
    assert running.ask(log.body(0, 3, note=Note(text, (cosignature,)).encode())).status == 403
    assert running.state.is_empty()


def test_false_signature_of_a_trusted_key_is_forbidden(running: Running, log: GrowingLog) -> None:
    """Alone, and beside a true one: signed-note says that the whole note is to be rejected."""
    text = log.checkpoint(3).text()
    true, false = log.key.sign(text), log.key.sign("something else\n")
    for signatures in ((false,), (true, false), (false, true)):
        assert running.ask(log.body(0, 3, note=Note(text, signatures).encode())).status == 403


def test_signatures_of_unknown_keys_are_ignored_and_not_kept(running: Running, log: GrowingLog) -> None:
    """So nobody can make the witness store much."""
    text = log.checkpoint(3).text()
    strangers = [SigningKey(f"stranger{number}", ED25519, bytes([number]) * 32) for number in range(2, 20)]
    note = Note(text, (*(key.sign(text) for key in strangers), log.key.sign(text))).encode()
    cosigned(running, running.ask(log.body(0, 3, note=note)), note)
    newest = running.state.newest(log.origin)
    assert newest is not None
    assert newest.note == log.note(3)


def test_either_of_two_trusted_keys_suffices(running: Running, log: GrowingLog) -> None:
    """As while the key of a log is exchanged."""
    second = SigningKey(log.origin, ED25519, b"2" * 32)
    running.follow(Log(log.origin, (log.key.vkey, second.vkey)))
    assert running.ask(log.body(0, 3)).status == 200
    assert running.ask(log.body(3, 5, note=log.note(5, second))).status == 200
    assert running.ask(log.body(5, 8, note=log.note(8, log.key, second))).status == 200
    newest = running.state.newest(log.origin)
    assert newest is not None
    assert newest.note == log.note(8, log.key, second)


def test_larger_old_size_is_a_bad_request(running: Running, log: GrowingLog) -> None:
    """Whatever was cosigned."""
    running.ask(log.body(0, 5))
    assert running.ask(log.body(5, 3)).status == 400


def test_other_old_size_conflicts_and_the_answer_is_the_size(running: Running, log: GrowingLog) -> None:
    """0 if nothing was cosigned; so a client learns the size with a request from 0."""
    answer = running.ask(log.body(2, 5))
    assert answer == Answer(409, "0\n", "text/x.tlog.size")
    running.ask(log.body(0, 5))
    for old, size in ((0, 5), (0, 9), (4, 9), (6, 9), (0, 4)):
        assert running.ask(log.body(old, size)) == Answer(409, "5\n", "text/x.tlog.size")


def test_proof_that_does_not_verify_is_unprocessable(running: Running, log: GrowingLog) -> None:
    """One hash missing, one too many, another one, one where there must be none; and the right one still works."""
    assert running.ask(log.body(0, 5, [b"x" * 32])).status == 422
    running.ask(log.body(0, 5))
    proof = [*log.proof(5, 9)]
    for wrong in (proof[:-1], [*proof, b"x" * 32], [b"x" * 32, *proof[1:]], []):
        assert running.ask(log.body(5, 9, wrong)).status == 422
    assert running.ask(log.body(5, 5, [b"x" * 32])).status == 422
    cosigned(running, running.ask(log.body(5, 9)), log.note(9))


def test_second_root_for_a_size_conflicts_and_is_kept(running: Running, log: GrowingLog) -> None:
    """With the cosigned one it proves the fork to everybody; once, however often it comes, and whatever old size."""
    fork = GrowingLog(shared=3)
    running.ask(log.body(0, 5))
    answer = running.ask(fork.body(5, 5))
    assert (answer.status, answer.content_type) == (409, TEXT)
    for old in (0, 5, 9):
        running.ask(fork.body(old, 5))
    (evidence,) = running.state.evidence()
    assert [evidence] == running.seen.evidence
    assert (evidence.kind, evidence.size, evidence.note) == (Kept.FORK, 5, fork.note(5))
    assert evidence.cosigned_note == log.note(5)
    assert running.ask(log.body(5, 9)).status == 200


def test_fork_below_the_newest_size_is_noticed(running: Running, log: GrowingLog) -> None:
    """Since the witness remembers what it cosigned."""
    fork = GrowingLog(shared=3)
    for old, size in ((0, 5), (5, 9)):
        running.ask(log.body(old, size))
    assert running.ask(fork.body(0, 5)) == Answer(409, "9\n", "text/x.tlog.size")
    (evidence,) = running.state.evidence()
    assert (evidence.kind, evidence.size, evidence.cosigned_note) == (Kept.FORK, 5, log.note(5))


def test_growing_fork_is_unprocessable_and_kept(running: Running, log: GrowingLog) -> None:
    """As unproven: anybody can send a true checkpoint with a wrong proof."""
    running.ask(log.body(0, 5))
    fork = GrowingLog(shared=3)
    assert running.ask(fork.body(5, 9)).status == 422
    (evidence,) = running.state.evidence()
    assert (evidence.kind, evidence.size, evidence.note) == (Kept.UNPROVEN, 9, fork.note(9))


def test_true_checkpoint_with_a_wrong_proof_is_no_evidence_once_it_is_cosigned(
    running: Running, log: GrowingLog
) -> None:
    """So a stranger cannot fill the room for evidence with what is none."""
    running.ask(log.body(0, 5))
    assert running.ask(log.body(5, 9, [])).status == 422
    assert len(running.state.evidence()) == 1
    running.ask(log.body(5, 9))
    assert running.state.evidence() == []


def test_evidence_is_bounded_and_never_replaced(running: Running, log: GrowingLog) -> None:
    """Unproven checkpoints take no room from forks."""
    running.ask(log.body(0, 2))
    for number in range(EVIDENCE_MAX + 3):
        note = Checkpoint(log.origin, 3 + number, bytes([number]) * 32).signed_by(log.key).encode()
        assert running.ask(log.body(2, 3 + number, [], note)).status == 422
    assert [each.size for each in running.state.evidence()] == [*range(3, 3 + EVIDENCE_MAX)]
    running.ask(GrowingLog(shared=1).body(2, 2))
    assert [each.kind for each in running.state.evidence()] == [Kept.FORK] + [Kept.UNPROVEN] * EVIDENCE_MAX


def test_cosignatures_never_go_back_in_time(running: Running, log: GrowingLog) -> None:
    """A clock that is a little behind is waited for; if it is far behind, nothing is cosigned."""
    running.ask(log.body(0, 5))
    first = running.clock.now
    running.clock.now = first - 3
    assert cosigned(running, running.ask(log.body(5, 9)), log.note(9)) == first
    running.clock.now = first - 60
    with pytest.raises(ClockBehind):
        running.ask(log.body(9, 12))
    assert newest_size(running, log) == 9


def test_witness_whose_state_is_older_than_its_cosignature_stops(tmp_path: Path, log: GrowingLog) -> None:
    """Such as after a restore from a backup: for that log it cosigns nothing any more, also after a restart."""
    directory, older = tmp_path / "w", tmp_path / "older"
    with Running(directory, log) as running:
        running.ask(log.body(0, 5))
    older.write_bytes((directory / "state.sqlite").read_bytes())
    with Running(directory, log) as running:
        running.ask(log.body(5, 9))
        newest = running.witness.newest_note(log.origin)
    older.rename(directory / "state.sqlite")
    with Running(directory, log) as running:
        assert running.ask(log.body(5, 9, note=newest)).status == 500
        assert running.seen.lost == [log.origin]
        assert running.ask(log.body(5, 7)).status == 500
    with Running(directory, log) as running:
        assert running.ask(log.body(5, 7)).status == 500


def test_false_cosignature_of_the_witness_stops_nothing(running: Running, log: GrowingLog) -> None:
    """Anybody can write such a line."""
    running.ask(log.body(0, 5))
    text = log.checkpoint(9).text()
    stranger = SigningKey(NAME, COSIGNATURE, b"f" * 32)
    false = cosign(stranger, text, 5)._replace(key_id=running.witness.vkey.key_id)
    note = Note(text, (log.key.sign(text), false)).encode()
    cosigned(running, running.ask(log.body(5, 9, note=note)), note)
    assert running.seen.lost == []


def test_body_with_16_signatures_of_any_kind_fits() -> None:
    """Source: C2SP signed-note: at least 16 signatures are accepted, each of nearly 5 kB."""
    assert BODY_MAX > 16 * 5000 * 4 / 3 + 63 * 45 + 1000
