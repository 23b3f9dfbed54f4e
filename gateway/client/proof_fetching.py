"""Fetch the missing proofs of an outbox, beside the sending of reports, which never waits for them.

A round is bounded in requests, bytes and time. Whatever fails ends a round and nothing else: reports, receipts and the
exit status do not depend on proofs.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import islice
from urllib.parse import quote

import aiohttp
import msgspec

from gateway.backoff import Backoff, with_jitter
from gateway.client.http_session import NotFollowed, bearer, environment_proxy, open_session
from gateway.client.log_door import LogDoor, NoLog, get_bounded, open_log
from gateway.client.outbox import Outbox
from gateway.client.outbox_file import OutboxUnavailable
from gateway.client.outbox_items import Destination, Item
from gateway.client.proof_check import WrongProof, canonical_report, check_proof
from gateway.client.push_answers import Answer, Results
from gateway.client.push_over_http import BYTES_MAX, REPORTS_MAX, post
from gateway.errors import GatewayError
from gateway.wire.transfers import OwnTransfers

PROOFS_MAX = 1000
"""Proofs that are fetched in one round."""
RESENT_MAX = 256
"""Reports that are sent again in one round, so that their receipts have a sequence."""
AT_ONCE = 4
"""Proofs that are requested at the same time."""
STORED_AT_ONCE = 64
"""Proofs that are stored in one transaction."""
ROUND_S = 60.0
"""How long a round may take, in seconds."""
ROUND_BYTES_MAX = 64 << 20
"""Bytes of proofs that are fetched in one round."""
PROOF_OVERHEAD_MAX = 64 << 10
"""Bytes of a proof besides the report in it: hashes, and a checkpoint with its signatures."""
AREAS_BYTES_MAX = 16 << 20
"""Bytes of the document with the areas of a token: some 300 per municipality."""
FIRST_S, MOST_S = 5.0, 300.0
"""Seconds between rounds in a watched directory: at first, or after reports were sent, and while nothing is new."""
WRONG_MAX = 3
"""Wrong proofs that are reported in one round."""


class ProofSource(msgspec.Struct, frozen=True):
    """Where proofs come from, and for which reports."""

    feed_url: str
    push_url: str
    to: Destination
    token: str
    """Empty if there is none: then only reports whose sequence is known get proofs."""


class Round(msgspec.Struct):
    """What a round did."""

    stored: int = 0
    bytes: int = 0
    """Bytes of the proofs that were read."""
    failure: NoLog | None = None
    wrong: list[str] = []
    """Sentences about proofs that are not for the report that they were requested for."""


class ProofFetching:
    """Fetches the proofs of one destination. Invariants:

    * A proof is stored only if it leads from the stored report to the root of the checkpoint in it.
    * It sends no report that has no receipt.
    """

    def __init__(self, source: ProofSource, outbox: Outbox) -> None:
        self._source = source
        self._outbox = outbox
        self._without_position: dict[int, int] = {}
        """By key, how often a report was sent again and had no position: it is held, for example."""
        self._rounds = 0
        self._after_key = 0
        self._sent = asyncio.Event()

    async def round(self) -> Round:
        """Fetch what is missing and can be had now. Raises only OutboxUnavailable and BadProxy."""
        done = Round()
        self._rounds += 1
        try:
            async with (
                asyncio.timeout(ROUND_S),
                open_log(self._source.feed_url, self._source.to.election) as log,
            ):
                size = (await log.checkpoint()).size
                await self._note_areas()
                if size > 1:
                    lacking = self._next_lacking()
                    learnt = await self._learn_sequences(lacking)
                    covered = [
                        (item, sequence)
                        for item in lacking
                        if 0 < (sequence := learnt.get(item.key) or _sequence(item)) < size
                    ]
                    await self._fetch(log, covered, done)
        except NoLog as error:
            done.failure = error
        except TimeoutError:
            done.failure = NoLog(f"the proofs took longer than {ROUND_S:.0f} s")
        return done

    def reports_sent(self) -> None:
        """Let `keep_fetching` look soon: there are new receipts, whose reports a checkpoint covers in some seconds."""
        self._sent.set()

    async def keep_fetching(self, said: Callable[[Round], Awaitable[None]]) -> None:
        """Fetch in rounds until cancelled: FIRST_S after reports were sent, and ever more rarely while nothing is new.

        Raises what `said` raises.
        """
        backoff = Backoff(FIRST_S, MOST_S)
        while True:
            done = Round()
            with suppress(OutboxUnavailable):  # the sending reports it
                done = await self.round()
                await said(done)
            if done.stored:
                backoff.reset()
            with suppress(TimeoutError):
                async with asyncio.timeout(with_jitter(backoff.next())):
                    await self._sent.wait()
            if self._sent.is_set():
                self._sent.clear()
                backoff.reset()
                await asyncio.sleep(backoff.next())

    async def _note_areas(self) -> None:
        """Store the areas of the token at its first use; an older gateway does not give them."""
        source, proofs = self._source, self._outbox.proofs
        if not source.token or proofs.knows_token(source.to, source.token):
            return
        path = f"/v1/elections/{quote(source.to.election, safe='')}/transfers"
        try:
            async with open_session(environment_proxy(source.push_url), decompress=False) as http:
                url = source.push_url.rstrip("/") + path
                status, body = await get_bounded(http, url, AREAS_BYTES_MAX, bearer(source.token))
            areas = msgspec.json.decode(body, type=OwnTransfers).areas if status == 200 else []
        except (GatewayError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if areas:
            proofs.note_areas(source.to, source.token, areas)

    def _next_lacking(self) -> list[Item]:
        """Return the next PROOFS_MAX reports without a proof, from the first again once all were returned."""
        found = list(islice(self._outbox.proofs.missing(self._source.to, self._after_key), PROOFS_MAX))
        self._after_key = found[-1].key if len(found) == PROOFS_MAX else 0
        return found

    async def _learn_sequences(self, lacking: Sequence[Item]) -> dict[int, int]:
        """Send reports again whose receipts have no sequence, since they were not public; return those they have now.

        Sending a report again is always safe; see section 3 of the contract. A report that has a receipt and no
        position is tried again ever more rarely.
        """
        learnt: dict[int, int] = {}
        due = [item for item in lacking if not _sequence(item) and self._is_due(item)][:RESENT_MAX]
        if not due or not self._source.token:
            return learnt
        async with open_session(environment_proxy(self._source.push_url), total_s=ROUND_S) as http:
            for batch in _batches(due):
                answers = await self._resend(http, batch)
                if answers is None:
                    break
                answered = list(zip(batch, answers, strict=True))
                self._outbox.proofs.note_receipts(answered)
                for item, answer in answered:
                    if answer.has_receipt and answer.sequence is not None:
                        learnt[item.key] = answer.sequence
                    else:
                        self._without_position[item.key] = self._without_position.get(item.key, 0) + 1
        return learnt

    def _is_due(self, item: Item) -> bool:
        return self._rounds % (1 << min(self._without_position.get(item.key, 0), 6)) == 0

    async def _resend(self, http: aiohttp.ClientSession, batch: Sequence[Item]) -> list[Answer] | None:
        """Return the answers to reports that are sent again; None if there are none now."""
        url = f"{self._source.push_url.rstrip('/')}/v1/elections/{quote(self._source.to.election, safe='')}/reports"
        headers = {**bearer(self._source.token), "Content-Type": "application/x-ndjson"}
        try:
            lines = [canonical_report(item.body) or b"{}" for item in batch]
            answer = await post(http, url, b"\n".join(lines), headers)
            results = msgspec.json.decode(answer.body, type=Results).results if answer.status == 200 else []
        except (aiohttp.ClientError, OSError, NotFollowed, ValueError, RecursionError):
            return None
        return results if len(results) == len(batch) else None

    async def _fetch(self, log: LogDoor, covered: Sequence[tuple[Item, int]], done: Round) -> None:
        """Fetch and store the proofs of reports by their sequences. Raises NoLog; what was fetched before is stored."""
        waiting = list(reversed(covered))
        found: list[tuple[Item, bytes]] = []

        def store() -> None:
            batch, found[:] = found[:], []
            if batch:
                self._outbox.proofs.store(batch)
                done.stored += len(batch)

        async def fetch() -> None:
            while waiting:
                item, sequence = waiting.pop()
                file = await log.proof(sequence, proof_max(item.body))
                if file is None:
                    continue
                done.bytes += len(file)
                if done.bytes > ROUND_BYTES_MAX:
                    waiting.clear()
                try:
                    check_proof(file, item.body, sequence)
                except WrongProof as error:
                    done.wrong.append(f"unit {item.unit}, revision {item.revision}: {error}")
                    if len(done.wrong) >= WRONG_MAX:
                        waiting.clear()
                    continue
                found.append((item, file))
                if len(found) >= STORED_AT_ONCE:
                    store()

        fetching = [
            asyncio.create_task(fetch(), name="fetching proofs") for _ in range(min(AT_ONCE, len(waiting)))
        ]
        try:
            await asyncio.gather(*fetching)
        finally:
            for each in fetching:
                each.cancel()
            await asyncio.gather(*fetching, return_exceptions=True)
            store()


def _sequence(item: Item) -> int:
    """Return the position in the receipt of a report; 0 if it has none."""
    return (item.answer.sequence if item.answer is not None else None) or 0


def proof_max(body: bytes) -> int:
    """Return the bytes of the largest proof of a report that is read."""
    return PROOF_OVERHEAD_MAX + 2 * len(body)


def _batches(items: Sequence[Item]) -> list[list[Item]]:
    """Return reports in requests of bounded size."""
    batches: list[list[Item]] = []
    size = 0
    for item in items:
        size += len(item.body) + 1
        if not batches or len(batches[-1]) >= REPORTS_MAX or size > BYTES_MAX:
            batches.append([])
            size = len(item.body) + 1
        batches[-1].append(item)
    return batches
