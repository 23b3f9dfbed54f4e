"""Proofs are fetched from whatever feed door there is, in bounded bytes and time; nothing of it harms the sender."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.client import log_door, proof_fetching
from gateway.client.outbox import Outbox
from gateway.client.outbox_items import Destination
from gateway.client.outbox_proofs import StoredProof
from gateway.client.proof_check import WrongProof, check_proof
from gateway.client.proof_fetching import PROOF_OVERHEAD_MAX, ProofFetching, ProofSource, Round
from gateway.client.push_answers import Answer
from gateway.transparency.note import parse_note
from gateway.transparency.proof_file import parse_proof
from tests.client.scripted import Open, Request, Script, Scripted, answer, scripted, web_page
from tests.client.scripted_log import SmallLog, problem

HERE = Destination("http://here", "e")


def a_report(unit: str, revision: int = 1) -> dict[str, Any]:
    return {"unit": unit, "revision": revision, "counts": {}}


REPORTS = [a_report("1-1"), a_report("1-2"), a_report("1-1", 2), a_report("9-9")]
LOG = SmallLog(REPORTS)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    opened = Outbox(tmp_path / "outbox.db")
    yield opened
    opened.close()


def fill(outbox: Outbox, sequences: dict[int, int | None]) -> None:
    """Add reports by their place in REPORTS, with receipts that have a sequence or None."""
    for place, sequence in sequences.items():
        report = REPORTS[place]
        body = json.dumps(report, indent=1).encode()
        outbox.add(HERE, [(report["unit"], report["revision"], body)])
        state = "published" if sequence else "embargoed"
        (item,) = outbox.waiting(HERE)
        outbox.record([(item, Answer("accepted", state=state, sequence=sequence))])


def source(feed: Scripted, push: Scripted | None = None, token: str = "") -> ProofSource:
    return ProofSource(feed.url, push.url if push is not None else "http://127.0.0.1:1", HERE, token)


async def fetched(outbox: Outbox, script: Script) -> Round:
    async with scripted(script) as feed:
        return await ProofFetching(source(feed), outbox).round()


def stored(outbox: Outbox) -> list[tuple[str, int]]:
    return [(each.unit, each.revision) for each in outbox.proofs.stored(HERE)]


async def test_the_proofs_of_all_covered_reports_are_stored_once(outbox: Outbox) -> None:
    """One that no checkpoint covers yet is not even requested."""
    fill(outbox, {0: 1, 1: 2, 2: 7})
    async with scripted(LOG.answer) as feed:
        fetching = ProofFetching(source(feed), outbox)
        assert (await fetching.round()).stored == 2
        assert list(outbox.proofs.stored(HERE)) == [
            StoredProof("1-1", 1, LOG.proof(1)),
            StoredProof("1-2", 1, LOG.proof(2)),
        ]
        assert (await fetching.round()).stored == 0
    targets = [request.target for request in feed.requests]
    assert targets.count("/v1/elections/e/log/checkpoint") == 2
    assert sorted(targets)[2:] == ["/v1/elections/e/log/proof/1", "/v1/elections/e/log/proof/2"]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (lambda _: problem(404, "not_signed"), "404 not_signed"),
        (lambda _: answer(404, "{}", kind="application/problem+json"), "404"),
        (lambda _: web_page(503), "503"),
        (lambda _: answer(302, Location="http://elsewhere.example/"), "302"),
        (lambda _: answer(200, "<html>", kind="text/html"), "note"),
        (lambda _: answer(200, b"x" * 400_000), "an answer of more than"),
        (lambda _: answer(200, b"\x1f\x8b" + b"x" * 99, Content_Encoding="gzip"), "UTF-8"),
        (lambda _: b"no HTTP at all\r\n\r\n", ""),
        (lambda _: b"", ""),
    ],
)
async def test_a_door_without_a_log_ends_the_round_and_nothing_else(
    outbox: Outbox, script: Script, words: str
) -> None:
    """One of an older gateway, one behind a proxy, and one that is no feed door at all."""
    fill(outbox, {0: 1})
    done = await fetched(outbox, script)
    assert (done.stored, done.wrong, stored(outbox)) == (0, [], [])
    assert done.failure is not None
    assert words in str(done.failure)


async def test_a_door_that_cannot_be_reached_ends_the_round(outbox: Outbox) -> None:
    fill(outbox, {0: 1})
    fetching = ProofFetching(ProofSource("http://127.0.0.1:1", "http://127.0.0.1:1", HERE, ""), outbox)
    done = await fetching.round()
    assert done.failure is not None


async def test_a_slow_door_is_left_within_the_limit(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that keeps sending: the limit is for the whole answer."""
    fill(outbox, {0: 1})
    monkeypatch.setattr(log_door, "REQUEST_S", 0.05)
    for script in (lambda _: None, lambda _: Open(answer(200, b"c2sp", length=9999))):
        done = await fetched(outbox, script)
        assert done.failure is not None
    monkeypatch.setattr(log_door, "REQUEST_S", 30.0)
    monkeypatch.setattr(proof_fetching, "ROUND_S", 0.05)
    done = await fetched(outbox, lambda _: None)
    assert "longer than" in str(done.failure)


def of_proofs(change: Any) -> Script:
    """A door whose proofs are changed."""

    def script(request: Request) -> bytes:
        if "/proof/" not in request.target:
            return LOG.answer(request)
        return change(int(request.target.rpartition("/")[2]))  # type: ignore[no-any-return]

    return script


def with_a_hash_too_many(index: int) -> bytes:
    proof = parse_proof(LOG.proof(index))
    return type(proof)(proof.index, (*proof.hashes, b"\x00" * 32), proof.note, proof.extra).encode()


def without_the_report(index: int) -> bytes:
    proof = parse_proof(LOG.proof(index))
    return type(proof)(proof.index, proof.hashes, proof.note, None).encode()


def of_another_root(index: int) -> bytes:
    other = SmallLog(REPORTS[::-1])
    proof = parse_proof(LOG.proof(index))
    return type(proof)(proof.index, proof.hashes, parse_note(other.note()), proof.extra).encode()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda index: answer(200, LOG.proof(index + 1)), "for another report"),
        (lambda index: answer(200, SmallLog(REPORTS[::-1]).proof(4)), "for the position 4, not 1"),
        (lambda index: answer(200, with_a_hash_too_many(index)), "proof"),
        (lambda index: answer(200, without_the_report(index)), "for another report"),
        (lambda index: answer(200, of_another_root(index)), "root"),
        (lambda _: answer(200, "<html>"), "first line"),
        (lambda _: answer(200, b""), "first line"),
    ],
)
async def test_a_wrong_proof_is_named_and_not_stored(outbox: Outbox, change: Any, words: str) -> None:
    fill(outbox, {0: 1})
    done = await fetched(outbox, of_proofs(change))
    assert (done.stored, stored(outbox), done.failure) == (0, [], None)
    (wrong,) = done.wrong
    assert wrong.startswith("unit 1-1, revision 1: ")
    assert words in wrong


async def test_a_huge_proof_is_not_read_and_ends_the_round(outbox: Outbox) -> None:
    fill(outbox, {0: 1, 1: 2})
    huge = LOG.proof(1) + b"\xe2\x80\x94 a " + b"A" * PROOF_OVERHEAD_MAX + b"\n"
    done = await fetched(outbox, of_proofs(lambda _: answer(200, huge)))
    assert done.failure is not None
    assert "an answer of more than" in str(done.failure)
    assert stored(outbox) == []


async def test_a_round_is_bounded_in_number_and_bytes(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next round goes on."""
    fill(outbox, {0: 1, 1: 2, 2: 3})
    monkeypatch.setattr(proof_fetching, "PROOFS_MAX", 2)
    async with scripted(LOG.answer) as feed:
        fetching = ProofFetching(source(feed), outbox)
        assert [(await fetching.round()).stored for _ in range(2)] == [2, 1]
    fill(outbox, {3: 4})
    monkeypatch.setattr(proof_fetching, "ROUND_BYTES_MAX", 100)
    done = await fetched(outbox, LOG.answer)
    assert done.bytes > 100, "the proof that exceeds the limit is the last one of the round"


async def test_a_door_that_gives_wrong_proofs_is_not_asked_for_all(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof_fetching, "AT_ONCE", 1)
    fill(outbox, {0: 1, 1: 2, 2: 3, 3: 4})
    async with scripted(of_proofs(lambda _: answer(200, "nonsense"))) as feed:
        fetching = ProofFetching(source(feed), outbox)
        done = await fetching.round()
    assert len(done.wrong) == proof_fetching.WRONG_MAX
    assert len(feed.requests) == 1 + proof_fetching.WRONG_MAX


def push_door(answers: dict[tuple[str, int], dict[str, Any]], areas: list[str] | None = None) -> Script:
    """A push door that answers reports which it knows, and gives the areas of its token, if it is a new one."""

    def script(request: Request) -> bytes:
        if request.method == "GET":
            members = {} if areas is None else {"areas": areas}
            document = {"election": "e", "rehearsal": False, "transfers": [], "hidden_until": None, **members}
            return answer(200, json.dumps(document))
        sent = [json.loads(line) for line in request.body.splitlines()]
        results = [answers[each["unit"], each["revision"]] for each in sent]
        return answer(200, json.dumps({"results": results}))

    return script


async def test_a_report_that_was_not_public_is_sent_again_and_gets_its_proof(outbox: Outbox) -> None:
    """That returns its receipt, now with a sequence. One that is still held is asked for less and less often."""
    fill(outbox, {0: None, 1: None, 2: 3})
    answers = {
        ("1-1", 1): {"outcome": "duplicate", "state": "published", "sequence": 1},
        ("1-2", 1): {"outcome": "duplicate", "state": "held", "sequence": None},
    }
    async with scripted(LOG.answer) as feed, scripted(push_door(answers)) as push:
        fetching = ProofFetching(source(feed, push, "secret"), outbox)
        assert (await fetching.round()).stored == 2
        for _ in range(8):
            assert (await fetching.round()).stored == 0
    assert stored(outbox) == [("1-1", 1), ("1-1", 2)]
    resent = [request.body for request in push.requests if request.method == "POST"]
    assert json.loads(resent[0].splitlines()[0]) == REPORTS[0]
    assert len(resent) == 4, "in the rounds 1, 2, 4 and 8"
    assert {item.answer.state for item in outbox.answers(HERE) if item.answer} == {"published", "held"}


async def test_no_report_is_sent_again_before_the_embargo_ends(outbox: Outbox) -> None:
    """The log has only its opening entry until then. Nor without a token, nor one that a gateway refuses by now."""
    fill(outbox, {0: None})
    refused = {("1-1", 1): {"outcome": "refused", "code": "stale_revision"}}
    async with (
        scripted(SmallLog([]).answer) as empty,
        scripted(LOG.answer) as feed,
        scripted(push_door(refused)) as push,
    ):
        await ProofFetching(source(empty, push, "secret"), outbox).round()
        await ProofFetching(source(feed, push), outbox).round()
        assert [request.method for request in push.requests] == ["GET"]
        await ProofFetching(source(feed, push, "secret"), outbox).round()
    (item,) = outbox.answers(HERE)
    assert item.answer == Answer("accepted", state="embargoed")
    assert outbox.waiting_count(HERE) == 0


@pytest.mark.parametrize(
    "script", [lambda _: web_page(500), lambda _: answer(200, '{"results": []}'), lambda _: b""]
)
async def test_a_push_door_that_does_not_answer_ends_nothing(outbox: Outbox, script: Script) -> None:
    fill(outbox, {0: None, 2: 3})
    async with scripted(LOG.answer) as feed, scripted(script) as push:
        done = await ProofFetching(source(feed, push, "secret"), outbox).round()
    assert (done.stored, stored(outbox)) == (1, [("1-1", 2)])
    assert outbox.proofs.areas(HERE) == []


async def test_the_areas_of_a_token_are_read_at_its_first_use(outbox: Outbox) -> None:
    """From a push door that gives them; an older one is asked again."""
    async with (
        scripted(LOG.answer) as feed,
        scripted(push_door({})) as old,
        scripted(push_door({}, ["4601", "0301"])) as push,
    ):
        for door, token in ((old, "1"), (push, "1"), (push, "1"), (push, "2")):
            await ProofFetching(source(feed, door, token), outbox).round()
    assert len(old.requests) == 1
    assert [request.headers["authorization"] for request in push.requests] == ["Bearer 1", "Bearer 2"]
    assert outbox.proofs.areas(HERE) == ["0301", "4601"]


async def test_an_older_gateway_is_asked_for_one_document(outbox: Outbox) -> None:
    fill(outbox, {0: 1, 1: None})
    async with scripted(lambda _: problem(404, "not_found")) as feed, scripted(push_door({})) as push:
        await ProofFetching(source(feed, push, "secret"), outbox).round()
    assert len(feed.requests) == 1
    assert push.requests == []


async def test_a_cancelled_round_keeps_what_it_has(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the end of a command that has sent its reports."""
    fill(outbox, {0: 1, 1: 2})
    monkeypatch.setattr(proof_fetching, "AT_ONCE", 1)
    second = asyncio.Event()

    def script(request: Request) -> bytes | None:
        if request.target.endswith("/proof/2"):
            second.set()
            return None
        return LOG.answer(request)

    async with scripted(script) as feed:
        fetching = asyncio.create_task(ProofFetching(source(feed), outbox).round())
        await second.wait()
        fetching.cancel()
        await asyncio.wait({fetching})
    assert stored(outbox) == [("1-1", 1)]


async def test_rounds_continue_after_any_failure(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a watched directory: a door that is back gives the proofs."""
    fill(outbox, {0: 1})
    monkeypatch.setattr(proof_fetching, "FIRST_S", 0.01)
    monkeypatch.setattr(proof_fetching, "MOST_S", 0.01)
    answers = iter([lambda _: web_page(500), lambda _: problem(404, "not_signed")])
    rounds: list[Round] = []
    done = asyncio.Event()

    async def said(each: Round) -> None:
        rounds.append(each)
        if each.stored:
            done.set()

    async with scripted(lambda request: next(answers, LOG.answer)(request)) as feed:
        fetching = asyncio.create_task(ProofFetching(source(feed), outbox).keep_fetching(said))
        await done.wait()
        fetching.cancel()
        await asyncio.wait({fetching})
    assert [each.failure is None for each in rounds] == [False, False, True]


async def test_new_receipts_bring_the_next_round_forward(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long nothing was new."""
    monkeypatch.setattr(proof_fetching, "FIRST_S", 0.01)
    monkeypatch.setattr(proof_fetching, "Backoff", lambda *_: Rare())
    first, stored_now = asyncio.Event(), asyncio.Event()

    async def said(each: Round) -> None:
        (stored_now if each.stored else first).set()

    async with scripted(LOG.answer) as feed:
        fetching = ProofFetching(source(feed), outbox)
        task = asyncio.create_task(fetching.keep_fetching(said))
        await first.wait()
        fill(outbox, {0: 1})
        fetching.reports_sent()
        await stored_now.wait()
        task.cancel()
        await asyncio.wait({task})
    assert stored(outbox) == [("1-1", 1)]


class Rare:
    """Delays that are long until they are reset."""

    def __init__(self) -> None:
        self._next_s = 1000.0

    def next(self) -> float:
        return self._next_s

    def reset(self) -> None:
        self._next_s = 0.01


def test_a_proof_is_for_a_report_in_any_form() -> None:
    """What counts are its canonical bytes."""
    assert check_proof(LOG.proof(2), json.dumps(REPORTS[1], indent=4).encode()).index == 2
    with pytest.raises(WrongProof, match="another report"):
        check_proof(LOG.proof(2), b"not JSON")
