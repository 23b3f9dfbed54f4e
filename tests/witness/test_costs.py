"""A stranger's requests cost a witness little more than a signer's, and keep no signer from its cosignature."""

import asyncio
import gzip
import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.signer.witness_client import Cosigned, WitnessClient
from gateway.transparency.ed25519 import SigningKey
from gateway.transparency.note import ED25519, Note, parse_note
from gateway.transparency.witness_protocol import origin_hash
from gateway.witness.submission import BODY_MAX
from tests.attack.cost import Cost, cost_of
from tests.attack.hostile import Target, ask, ask_on_new_connections
from tests.attack.test_costs import MEMORY_FLOOR, STALL_FLOOR_S, figure
from tests.counts import count, variants
from tests.measured import note as note_figures
from tests.running import Sender
from tests.witness.logs import GrowingLog
from tests.witness.processes import WitnessProcess

pytestmark = pytest.mark.long
DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"
REQUESTS = count(120, full=400)
SIZE = 300


class Attacked(NamedTuple):
    """A witness, and what honest submissions cost it."""

    process: WitnessProcess
    target: Target
    honest: Cost
    other: GrowingLog
    """A log that only an honest signer submits."""


LOG, OTHER = GrowingLog("results.example.no/live/attacked"), GrowingLog("results.example.no/live/other")
STRANGER = GrowingLog("results.example.no/live/unknown")
NOTE = LOG.note(SIZE)
TEXT = parse_note(NOTE).text
BAD_PROOF = [b"x" * 32] * 63


def many_signatures(number: int, *, own: bool) -> bytes:
    """Return the true note with further lines: of strangers, or the true one again and again."""
    signature = LOG.key.sign(TEXT)
    lines = [signature] * number if own else [each.sign(TEXT) for each in strangers(number)]
    return Note(TEXT, (signature, *lines)).encode()


def strangers(number: int) -> list[SigningKey]:
    return [SigningKey(f"stranger{each}", ED25519, each.to_bytes(32)) for each in range(1, number + 1)]


BODIES: Mapping[str, bytes] = {
    "an unknown log": STRANGER.body(0, 5),
    "nothing": b"",
    "a large body without meaning": b"old 0\n\n" + b"x" * (BODY_MAX - 10),
    "a large body of empty lines": b"\n" * BODY_MAX,
    "many hashes and an unknown log": STRANGER.body(1, 5, BAD_PROOF),
    "a true checkpoint with an old size that is not the newest": LOG.body(3, SIZE, ()),
    "the newest checkpoint again": LOG.body(SIZE, SIZE),
    "a true checkpoint with a wrong proof": LOG.body(SIZE, SIZE + 5, BAD_PROOF),
    "a false signature of the log": LOG.body(SIZE, SIZE, (), NOTE.replace(b"\n300\n", b"\n301\n")),
    "many signatures of strangers": LOG.body(3, SIZE, (), many_signatures(99, own=False)),
    "the true signature a hundred times": LOG.body(3, SIZE, (), many_signatures(99, own=True)),
    "compressed zeros": gzip.compress(bytes(4 << 20)),
}


def posted(target: Target, body: bytes) -> bytes:
    return target.request("POST", "/add-checkpoint", body, length=len(body))


def bounds() -> Mapping[str, float]:
    """Return the table of the document: CPU and memory per byte, and the longest wait."""
    section = DOCUMENT.read_text().partition("### A witness")[2].partition("\n## ")[0]
    (row,) = [line for line in section.splitlines() if line.startswith("| submissions")]
    cells = [cell.strip().split()[0] for cell in row.strip("|").split("|")]
    return dict(zip(("cpu", "memory", "stall"), map(float, cells[2:]), strict=True))


async def submit_honestly(target: Target) -> None:
    """Submit growing checkpoints one after the other, as a signer does."""
    numbers = range(SIZE - REQUESTS, SIZE)
    requests = [
        posted(target, LOG.body(number if number > numbers[0] else 0, number + 1)) for number in numbers
    ]
    assert await ask(target, requests, connections=1) == [200] * REQUESTS


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    with WitnessProcess(tmp_path_factory.mktemp("witness") / "w", LOG, OTHER) as process:
        sender = Sender.__new__(Sender)
        sender.secret = "none"
        target = Target(int(process.url.rpartition(":")[2]), sender, [], [])
        honest = asyncio.run(cost_of(process.process.pid, target, submit_honestly))
        note_figures("attack", figure("honest, witness: submissions", honest))
        yield Attacked(process, target, honest, OTHER)


def attack_with(body: bytes) -> Callable[[Target], Awaitable[None]]:
    async def attack(target: Target) -> None:
        request = posted(target, body)
        statuses = await ask(target, [request] * REQUESTS)
        statuses += await ask_on_new_connections(target, [request] * (REQUESTS // 4))
        assert statuses
        assert set(statuses) <= {200, 400, 403, 404, 409, 413, 422, 503}

    return attack


async def read_newest(target: Target) -> None:
    """Read the newest checkpoint of every log, and of one that is not followed."""
    paths = [f"/{origin_hash(origin)}/checkpoint" for origin in (LOG.origin, OTHER.origin, STRANGER.origin)]
    requests = [target.request("GET", path) for path in paths * REQUESTS]
    assert set(await ask(target, requests)) <= {200, 404}


ATTACKS = {**{name: attack_with(body) for name, body in BODIES.items()}, "reads": read_newest}
_sizes = itertools.count(1)


USUAL = ("an unknown log", "the newest checkpoint again")
"""Those that run in `make test`; the others are cheaper."""


@pytest.mark.parametrize("name", variants(ATTACKS, *USUAL))
async def test_strangers_cost_little_and_delay_no_signer(attacked: Attacked, name: str) -> None:
    """In CPU and memory per byte that they send; meanwhile every checkpoint of another log is cosigned."""
    pid, target, limits = attacked.process.process.pid, attacked.target, bounds()
    running = asyncio.ensure_future(cost_of(pid, target, ATTACKS[name]))
    client = WitnessClient(attacked.process.vkey, attacked.process.url, timeout_s=30)
    async with client:
        while not running.done():
            size = next(_sizes)
            answer = await client.submit(
                OTHER.origin, size - 1, OTHER.proof(size - 1, size), OTHER.note(size)
            )
            assert isinstance(answer, Cosigned)
            await asyncio.wait({running}, timeout=0.1)
    cost = await running
    note_figures("attack", figure(f"{name}, witness", cost))
    assert cost.cpu_us_per_kb <= limits["cpu"] * attacked.honest.cpu_us_per_kb
    assert cost.memory <= max(MEMORY_FLOOR, limits["memory"] * cost.sent)
    assert cost.stall_s <= max(STALL_FLOOR_S, limits["stall"] * attacked.honest.stall_s)
