"""The judge accepts a correct history, and finds each fault that is injected into one."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import orjson
import pytest

from gateway.client.publisher import Answer
from gateway.election.record import CHAIN_START, JournalHold, JournalReport, Publication, next_chain
from gateway.election.registry_reading import read_registry
from gateway.election.report import canonical, digest_of
from gateway.election.state import ElectionState
from gateway.rehearsal.generator import GeneratedElection
from gateway.rehearsal.judge import (
    History,
    ObservedBlock,
    Push,
    Read,
    ReaderHistory,
    figures,
    fingerprint,
    judge,
)
from gateway.wire.areas import area_document

OPENS = datetime(2025, 9, 8, 19, 0, tzinfo=UTC)
EMBARGOED = 10
"""Reports that were accepted before the release."""


def _publications(election: GeneratedElection) -> list[Publication]:
    found, chain = [], CHAIN_START
    for sequence, line in enumerate(election.reports, 1):
        report = line["report"]
        body = canonical(report)
        digest = digest_of(body)
        chain = next_chain(chain, digest)
        at = OPENS + timedelta(seconds=max(0, sequence - EMBARGOED))
        found.append(
            Publication(sequence, at, report["unit"], report["revision"], digest, chain, body, at, at)
        )
    return found


def _observe(state: ElectionState, areas: list[int], *, snapshot: bool) -> ObservedBlock:
    documents = [orjson.loads(orjson.dumps(area_document(state, index))) for index in areas]
    named = {document["area"]: fingerprint(figures(document)) for document in documents}
    at = OPENS.timestamp() + max(0, state.sequence - EMBARGOED) if state.sequence else OPENS.timestamp() - 60
    return ObservedBlock(at, state.sequence, state.chain.hex(), snapshot, named)


def _good(election: GeneratedElection) -> History:
    """A history such as the gateway makes: a reader from the start that skips, and one that comes back late."""
    registry = read_registry(election.registry)
    state = ElectionState(registry)
    publications = _publications(election)
    above = [area.index for area in registry.areas if not area.is_unit]
    observed = [_observe(state, above, snapshot=True)]
    late: list[ObservedBlock] = []
    sent = 0
    for publication in publications:
        state.apply(publication)
        if (
            publication.sequence >= EMBARGOED and publication.sequence % 3 == 1
        ) or publication is publications[-1]:
            observed.append(_observe(state, state.changed_since(sent, above), snapshot=False))
            sent = publication.sequence
        if publication.sequence == len(publications) - 5:
            late.append(_observe(state, above, snapshot=True))
    late.append(_observe(state, state.changed_since(len(publications) - 5, above), snapshot=False))
    selection = frozenset(registry.areas[index].id for index in above)
    return History(
        registry=election.registry,
        publish_from=OPENS.timestamp(),
        pushes=[_push(publication) for publication in publications],
        readings=[ReaderHistory("first", selection, observed), ReaderHistory("late", selection, late)],
        stored=[_stored(publication) for publication in publications],
        streams={
            "stream": [
                (each.published_at.timestamp(), each.sequence, each.digest.hex()) for each in publications
            ]
        },
    )


def _push(publication: Publication) -> Push:
    embargoed = publication.sequence < EMBARGOED
    answer = Answer(
        "accepted",
        sequence=None if embargoed else publication.sequence,
        digest=publication.digest.hex(),
        accepted_at=publication.accepted_at,
    )
    at = publication.published_at.timestamp() + (-1 if embargoed else 1)
    return Push(publication.unit, publication.revision, publication.digest.hex(), at, answer)


def _stored(publication: Publication) -> JournalReport:
    return JournalReport(
        publication.sequence,
        publication.unit,
        publication.revision,
        publication.digest,
        publication.chain,
        publication.body,
        publication.published_at,
    )


def _changed(value: Any, **members: Any) -> Any:
    return msgspec.structs.replace(value, **members)


def _chained(stored: list[JournalReport]) -> list[JournalReport]:
    """Renumber reports and recompute their chain, so that only the injected fault remains."""
    chain, found = bytes(32), []
    for place, each in enumerate(stored, 1):
        digest = hashlib.sha256(each.body).digest()
        chain = hashlib.sha256(chain + digest).digest()
        found.append(_changed(each, sequence=place, digest=digest, chain=chain))
    return found


def _with_stored(history: History, change: Callable[[list[JournalReport]], list[JournalReport]]) -> History:
    return _changed(history, stored=change(list(history.stored)), readings=[], streams={}, pushes=[])


def _with_hold(history: History, place: int, state: str, **members: Any) -> History:
    """Return a history in which a report of the record is said to be held."""
    stored = history.stored[place]
    sequence = stored.sequence if state == "released" else None
    hold = JournalHold(stored.unit, stored.revision, stored.digest, state, sequence)
    return _changed(history, holds=[_changed(hold, **members)])


def _with_held(history: History) -> History:
    """Return a history with one more report, which was held and then rejected."""
    digest = hashlib.sha256(b"held").digest()
    answer = _changed(history.pushes[-1].answer, digest=digest.hex(), sequence=None, state="held")
    push = _changed(history.pushes[-1], revision=10**6, digest=digest.hex(), answer=answer)
    hold = JournalHold(push.unit, push.revision, digest, "rejected", None)
    return _changed(history, pushes=[*history.pushes, push], holds=[hold])


def _with_glimpse(history: History, place: int, **members: Any) -> History:
    first = history.readings[0]
    observed = list(first.observed)
    observed[place] = _changed(observed[place], **members)
    return _changed(history, readings=[_changed(first, observed=observed)])


def _with_answer(history: History, place: int, **members: Any) -> History:
    pushes = list(history.pushes)
    pushes[place] = _changed(pushes[place], answer=_changed(pushes[place].answer, **members))
    return _changed(history, pushes=pushes)


def _with_reads(history: History) -> History:
    """Return a history in which each unit was read before each of its receipts, and at the end."""
    newest: dict[str, int] = {}
    reads = []
    for push in history.pushes:
        reads.append(Read(push.unit, push.answered_at, newest.get(push.unit)))
        newest[push.unit] = max(push.revision, newest.get(push.unit, 0))
    end = max(push.answered_at for push in history.pushes) + 1
    reads += [Read(unit, end, revision) for unit, revision in newest.items()]
    return _changed(history, reads=reads)


def _with_last_read(history: History, **members: Any) -> History:
    reads = list(_with_reads(history).reads)
    reads[-1] = _changed(reads[-1], **members)
    return _changed(history, reads=reads)


def _lost(history: History) -> History:
    ghost = _changed(history.pushes[0], unit="nowhere")
    return _changed(history, pushes=[ghost])


def _revision_back(stored: list[JournalReport]) -> list[JournalReport]:
    last = max(stored, key=lambda each: each.revision)
    earlier = next(each for each in stored if each.unit == last.unit and each.revision < last.revision)
    return _chained(
        [*stored, _changed(earlier, revision=earlier.revision, published_at=stored[-1].published_at)]
    )


def _no_figures(areas: Any) -> dict[str, bytes]:
    return {area: fingerprint({"advance ballots": 1}) for area in areas}


def _forgets(history: History) -> History:
    """A block that leaves out an area that changed."""
    areas = dict(history.readings[0].observed[5].areas)
    areas.popitem()
    return _with_glimpse(history, 5, areas=areas)


def _never_last(history: History) -> History:
    first = history.readings[0]
    return _changed(history, readings=[_changed(first, observed=first.observed[:-2])])


def _another_stream(history: History, change: Callable[[list[Any]], list[Any]]) -> History:
    return _changed(history, streams={"stream": change(list(history.streams["stream"]))})


FAULTS: dict[str, tuple[str, Callable[[History], History]]] = {
    "a receipt without a committed report": ("receipt means durable", _lost),
    "a report published twice": (
        "published once",
        lambda history: _with_stored(history, lambda stored: _chained([*stored, stored[-1]])),
    ),
    "a gap in the journal": (
        "sequence has no gap",
        lambda history: _with_stored(history, lambda stored: stored[:7] + stored[8:]),
    ),
    "a place given twice": (
        "sequence has no gap",
        lambda history: _with_stored(history, lambda stored: [*stored[:7], *stored[6:]]),
    ),
    "a chain that is not drawn through": (
        "chain",
        lambda history: _with_stored(
            history, lambda stored: [*stored[:7], _changed(stored[7], chain=bytes(32)), *stored[8:]]
        ),
    ),
    "a stored report that was changed": (
        "chain",
        lambda history: _with_stored(history, lambda stored: [_changed(stored[0], body=b"{}"), *stored[1:]]),
    ),
    "a publication before the embargo's end": (
        "nothing before its time",
        lambda history: _with_stored(
            history,
            lambda stored: [_changed(stored[0], published_at=OPENS - timedelta(seconds=1)), *stored[1:]],
        ),
    ),
    "a block before the embargo's end": (
        "nothing before its time",
        lambda history: _with_glimpse(history, 1, at=history.publish_from - 1),
    ),
    "a receipt with a sequence before the embargo's end": (
        "nothing before its time",
        lambda history: _with_answer(history, 0, sequence=1),
    ),
    "a streamed publication before the embargo's end": (
        "nothing before its time",
        lambda history: _another_stream(
            history, lambda seen: [(history.publish_from - 1, *seen[0][1:]), *seen[1:]]
        ),
    ),
    "a time that goes back": (
        "time does not go back",
        lambda history: _with_stored(
            history,
            lambda stored: [
                *stored[:-1],
                _changed(stored[-1], published_at=stored[-2].published_at - timedelta(seconds=0.5)),
            ],
        ),
    ),
    "a unit whose revision went back": (
        "revision rises",
        lambda history: _with_stored(history, _revision_back),
    ),
    "a copy that is not the sum": (
        "figures are exact at every block",
        lambda history: _with_glimpse(history, 4, areas=_no_figures(history.readings[0].observed[4].areas)),
    ),
    "a change that a block leaves out": ("figures are exact at every block", _forgets),
    "a snapshot that lacks an area": (
        "figures are exact at every block",
        lambda history: _with_glimpse(
            history, 0, areas=dict(list(history.readings[0].observed[0].areas.items())[1:])
        ),
    ),
    "a reader that goes back": (
        "readers go forward",
        lambda history: _with_glimpse(history, 5, sequence=history.readings[0].observed[3].sequence),
    ),
    "a last value that never arrives": ("the last value arrives", _never_last),
    "a block of another history": (
        "chain",
        lambda history: _with_glimpse(history, 3, chain="00" * 32),
    ),
    "a block of what is not stored": (
        "only what is stored is published",
        lambda history: _with_glimpse(history, -1, sequence=10**6),
    ),
    "a receipt whose digest is not in the chain": (
        "receipt's digest is in the chain",
        lambda history: _with_answer(history, 3, digest="00" * 32),
    ),
    "a receipt that is not of what was sent": (
        "receipt's digest is in the chain",
        lambda history: _changed(history, pushes=[_changed(history.pushes[3], digest="00" * 32)]),
    ),
    "a receipt with another's sequence": (
        "receipt's sequence",
        lambda history: _with_answer(history, 20, sequence=3),
    ),
    "a second receipt that is not the first again": (
        "first receipt again",
        lambda history: _changed(
            history,
            pushes=[
                history.pushes[20],
                _with_answer(history, 20, accepted_at=OPENS - timedelta(days=1)).pushes[20],
            ],
        ),
    ),
    "a receipt for a report that is neither stored nor held": (
        "receipt means durable",
        lambda history: _changed(_with_held(history), holds=[]),
    ),
    "a held report that is in the record": (
        "what is held is not published",
        lambda history: _with_hold(history, 7, "open"),
    ),
    "a rejected report that is in the record": (
        "what is held is not published",
        lambda history: _with_hold(history, 7, "rejected"),
    ),
    "a released report that is not in the record": (
        "what is released is published once",
        lambda history: _changed(
            _with_held(history), holds=[_changed(_with_held(history).holds[0], state="released", sequence=8)]
        ),
    ),
    "a released report with other figures": (
        "what is released is the held report",
        lambda history: _with_hold(history, 7, "released", digest=bytes(32)),
    ),
    "a held report with a sequence in its receipt": (
        "what is held has no sequence",
        lambda history: _with_answer(_with_held(history), -1, sequence=4),
    ),
    "a receipt of a held report with another digest": (
        "receipt's digest is in the chain",
        lambda history: _with_answer(_with_held(history), -1, digest="00" * 32),
    ),
    "a read without a report that had a receipt": (
        "a later read has it",
        lambda history: _with_last_read(history, revision=None),
    ),
    "a read of the revision before one that had a receipt": (
        "a later read has it",
        lambda history: _with_last_read(history, revision=_with_reads(history).reads[-1].revision - 1),
    ),
    "a publication left out of the stream": (
        "sequence has no gap",
        lambda history: _another_stream(history, lambda seen: seen[:5] + seen[6:]),
    ),
    "a publication streamed twice": (
        "sequence has no gap",
        lambda history: _another_stream(history, lambda seen: [*seen[:5], *seen[4:]]),
    ),
    "a streamed report that is not the stored one": (
        "only what is stored is published",
        lambda history: _another_stream(history, lambda seen: [(*seen[0][:2], "00" * 32), *seen[1:]]),
    ),
}


@pytest.fixture(scope="module")
def good(small: GeneratedElection) -> History:
    """A good history of a made-up election."""
    return _good(small)


def test_a_good_history_breaks_no_promise(good: History) -> None:
    """The judge does not cry wolf."""
    assert judge(good) == []


def test_a_held_report_is_accepted_and_not_public(good: History) -> None:
    """Whether it is still held, or was rejected or superseded; a released one is in the record."""
    held = _with_held(good)
    for state in ("open", "rejected", "superseded"):
        assert judge(_changed(held, holds=[_changed(held.holds[0], state=state)])) == []
    assert judge(_with_hold(good, 7, "released")) == []


def test_a_read_shows_what_had_a_receipt_before_it_began_or_more(good: History) -> None:
    """A read may miss a report whose receipt arrived after the read began, and may show one without a receipt."""
    assert judge(_with_reads(good)) == []
    last = _with_reads(good).reads[-1]
    received_at = max(push.answered_at for push in good.pushes if push.unit == last.unit)
    assert judge(_with_last_read(good, began_at=received_at, revision=last.revision - 1)) == []
    assert judge(_with_last_read(good, revision=last.revision + 1)) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found(good: History, fault: str) -> None:
    """A fault put in on purpose is named by the promise that it breaks, with an example."""
    promise, seed = FAULTS[fault]
    found = judge(seed(good))
    assert promise in {broken.guarantee for broken in found}, found
    assert all(broken.example for broken in found)


def test_the_example_of_wrong_figures_names_the_first_area(good: History) -> None:
    """Not any of a set: a simulated night that is run again is described in the same words."""
    areas = good.readings[0].observed[4].areas
    assert len(areas) > 1
    (broken,) = judge(FAULTS["a copy that is not the sum"][1](good))
    assert broken.example.endswith(f": {min(areas)}")
