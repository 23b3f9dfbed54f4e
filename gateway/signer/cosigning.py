"""Cosignatures of one log: all witnesses are asked in parallel, and none can delay a checkpoint for long.

A witness has WAIT_S to cosign before the checkpoint is inserted without it; its answer is waited for up to LATE_S in
the background, and added afterwards. It is asked for one checkpoint at a time, so what waits is bounded.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import structlog

from gateway.election.log_record import Cosignature
from gateway.errors import GatewayError
from gateway.signer.steps import Signed, Witnessed
from gateway.signer.witness_client import Conflict, Cosigned, Newest, NotOffered, Unreachable, Witness
from gateway.transparency.checkpoint import open_checkpoint
from gateway.transparency.note import VerifierKey
from gateway.transparency.tree import Tree

WAIT_S = 1.0
"""How long a checkpoint waits for the witnesses, in seconds."""
LATE_S = 10.0
"""How long an answer of a witness is waited for in all, in seconds."""
_LAST_TIME = 253_402_300_799
"""The end of the year 9999, the last time that can be shown, in Unix time."""

log = structlog.get_logger()


class _Asked:
    """What is known of one witness about one log."""

    def __init__(self, witness: Witness) -> None:
        self.witness = witness
        self.size = 0
        """The size of the newest checkpoint that it is known to have cosigned."""
        self.cosigned: Cosignature | None = None
        self.task: asyncio.Task[None] | None = None
        self.problem = ""

    def report(self, origin: str, problem: str) -> None:
        """Log a problem when it begins, and when it ends."""
        if problem and problem != self.problem:
            log.warning("no cosignature", log=origin, witness=self.witness.vkey.name, reason=problem)
        elif self.problem and not problem:
            log.info("cosignatures again", log=origin, witness=self.witness.vkey.name)
        self.problem = problem


class Cosigning:
    """Asks the witnesses of one log. Invariants:

    * No method raises because of a witness, and none takes longer than about WAIT_S.
    * A cosignature is given to `add` only for a checkpoint that was inserted.
    """

    def __init__(
        self,
        origin: str,
        witnesses: Sequence[Witness],
        add: Callable[[Cosignature], Awaitable[None]],
        ahead: Callable[[], None],
    ) -> None:
        """`add` adds a cosignature to the table; `ahead` is called when a witness has a larger checkpoint than ours."""
        self._origin = origin
        self._asked = [_Asked(witness) for witness in witnesses]
        self._add = add
        self._ahead = ahead
        self._inserted = 0
        self._added: dict[str, tuple[int, datetime]] = {}

    @property
    def vkeys(self) -> list[VerifierKey]:
        """The keys of the witnesses."""
        return [asked.witness.vkey for asked in self._asked]

    def cosigned(self, size: int) -> list[datetime]:
        """Return the times of the newest cosignatures of the checkpoint of a size, one for each witness that has."""
        newest = (asked.cosigned for asked in self._asked)
        return [each.at for each in newest if each is not None and each.size == size]

    async def known(self, signed: Signed, note: bytes | None, keys: Sequence[VerifierKey]) -> Witnessed:
        """Ask for the newest checkpoints that the witnesses cosigned, within WAIT_S.

        One that does not offer it is asked to cosign again what was signed last: it answers with its size if it knows
        of more.
        """
        asking = [
            asyncio.create_task(self._ask_known(asked, signed, note, keys), name="ask witness")
            for asked in self._asked
        ]
        if not asking:
            return Witnessed()
        try:
            await asyncio.wait(asking, timeout=WAIT_S)
            answered = [
                (asked.witness.vkey.name, task.result())
                for asked, task in zip(self._asked, asking, strict=True)
                if task.done()
            ]
        finally:
            for task in asking:
                task.cancel()
        checkpoints = [each for _, each in answered if isinstance(each, Signed)]
        size, name = max([(each, name) for name, each in answered if isinstance(each, int)], default=(0, ""))
        return Witnessed(checkpoints, size, name)

    async def submit(self, signed: Signed, note: bytes, tree: Tree) -> None:
        """Ask all witnesses to cosign a checkpoint of a tree, and wait for them, but no longer than WAIT_S."""
        for asked in self._asked:
            if asked.task is None and asked.size <= signed.size:
                proof = tree.consistency_proof(asked.size, signed.size)
                asked.task = asyncio.create_task(
                    self._submit(asked, signed, note, tree, proof), name=f"witness {asked.witness.vkey.name}"
                )
        if waiting := [asked.task for asked in self._asked if asked.task is not None]:
            await asyncio.wait(waiting, timeout=WAIT_S)

    async def inserted(self, size: int) -> None:
        """Add the cosignatures that have arrived; the checkpoint of this size is in the table."""
        self._inserted = max(self._inserted, size)
        for asked in self._asked:
            await self._add_new(asked)

    async def close(self) -> None:
        """End all waits."""
        tasks = [asked.task for asked in self._asked if asked.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask_known(
        self, asked: _Asked, signed: Signed, note: bytes | None, keys: Sequence[VerifierKey]
    ) -> Signed | int | None:
        answer = await asked.witness.newest(self._origin)
        if isinstance(answer, Newest):
            try:
                checkpoint, _ = open_checkpoint(answer.note, keys)
            except GatewayError:  # not signed by this log: no reason to refuse anything
                return None
            asked.size = checkpoint.size
            return Signed(checkpoint.size, checkpoint.root)
        if isinstance(answer, NotOffered) and note is not None:
            again = await asked.witness.submit(self._origin, signed.size, (), note)
            if isinstance(again, Conflict):
                asked.size = min(again.size, signed.size)
                return again.size
            if isinstance(again, Cosigned):
                self._note(asked, signed.size, again)
        return None

    async def _submit(
        self, asked: _Asked, signed: Signed, note: bytes, tree: Tree, proof: Sequence[bytes]
    ) -> None:
        try:
            async with asyncio.timeout(LATE_S):
                answer = await asked.witness.submit(self._origin, asked.size, proof, note)
                if isinstance(answer, Conflict) and answer.size <= signed.size <= tree.size:
                    asked.size = answer.size
                    proof = tree.consistency_proof(answer.size, signed.size)
                    answer = await asked.witness.submit(self._origin, asked.size, proof, note)
        except TimeoutError:
            answer = Unreachable(f"no answer within {LATE_S:g} s")
        finally:
            asked.task = None
        if isinstance(answer, Cosigned):
            self._note(asked, signed.size, answer)
            asked.report(self._origin, "")
            await self._add_new(asked)
        elif isinstance(answer, Conflict):
            asked.report(self._origin, f"it has cosigned a checkpoint of size {answer.size}")
            if answer.size > signed.size:
                self._ahead()
        else:
            asked.report(self._origin, getattr(answer, "reason", "it does not cosign"))

    def _note(self, asked: _Asked, size: int, answer: Cosigned) -> None:
        asked.size = max(asked.size, size)
        at = datetime.fromtimestamp(min(answer.at, _LAST_TIME), UTC)
        asked.cosigned = Cosignature(size, str(asked.witness.vkey), at, answer.line.rstrip("\n"))

    async def _add_new(self, asked: _Asked) -> None:
        cosignature = asked.cosigned
        if cosignature is None or cosignature.size > self._inserted:
            return
        which = (cosignature.size, cosignature.at)
        if self._added.get(cosignature.witness) == which:
            return
        try:
            await self._add(cosignature)
        except GatewayError as error:
            log.warning(
                "cosignature not added", log=self._origin, witness=cosignature.witness, error=str(error)
            )
        else:
            self._added[cosignature.witness] = which
