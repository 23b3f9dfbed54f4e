"""A world in which a signer works: a primary and its standby, a table, directories, witnesses; everything can fail.

It performs the steps of rounds, and knows of every root which entries have it. Contents are compared as entries, so it
trusts nothing that the signer computes.
"""

from collections.abc import Generator, Sequence
from copy import deepcopy
from hashlib import sha256
from typing import Any

from gateway.election.record import CHAIN_START, next_chain
from gateway.signer.rounds import LogMemory, sign_round
from gateway.signer.steps import (
    AskWitnesses,
    Begin,
    Begun,
    Insert,
    Outcome,
    ReadEntries,
    ReadLog,
    ReadSigned,
    RecordRefused,
    Shown,
    Sign,
    Signed,
    Step,
    Store,
    Submit,
    Witnessed,
)
from gateway.transparency.merkle import EMPTY_ROOT
from gateway.transparency.tree import Tree

Content = tuple[bytes, ...]
"""The entries of a log, from the opening on."""
NOTHING = Signed(0, EMPTY_ROOT)


class Failed(Exception):
    """A step that could not be performed, so its round ends."""


class Server:
    """What one server has."""

    def __init__(self) -> None:
        self.reports: list[bytes] = []
        self.confirmed = 0
        """How many reports may be shown."""
        self.closing: bytes | None = None
        self.number = 0
        self.table: list[Signed] = []


def starts(part: Content, whole: Content) -> bool:
    """Whether a log begins with all entries of another one."""
    return whole[: len(part)] == part


class World:
    """Everything around a signer. The mutations of `broken` are mistakes that the test must find."""

    def __init__(self, signers: int, broken: str = "") -> None:
        self.broken = broken
        self.primary = Server()
        self.standby = Server()
        self.backup = Server()
        self.directories = [NOTHING] * signers
        self.witness: Signed = NOTHING
        self.witness_answers = True
        self.shows_newest = True
        self.contents: dict[Signed, Content] = {NOTHING: ()}
        self.shown: set[Signed] = set()
        """What anybody outside has seen."""
        self._restored = False
        self._next = 0
        self.learn()

    # What happens to the database

    def append(self, number: int, *, waits: bool = True) -> None:
        """Append reports, whose commit waits for the standby or was cut short."""
        if self.primary.closing is not None:
            return
        self._next += number
        self.primary.reports += [b"report %d" % each for each in range(self._next - number, self._next)]
        self.primary.confirmed = len(self.primary.reports)
        if waits:
            self.replicate()
        self.learn()

    def close(self) -> None:
        """Close the election, on both servers."""
        self.primary.confirmed = len(self.primary.reports)
        self.primary.closing = self.primary.closing or b"closing %d" % len(self.primary.reports)
        self.replicate()
        self.learn()

    def replicate(self) -> None:
        """Bring the standby up to the primary, as every commit does that waits for it."""
        self.standby = deepcopy(self.primary)

    def fail_over(self, unconfirmed: int) -> None:
        """Make the standby the primary; of its reports, some are not confirmed yet."""
        self.primary = deepcopy(self.standby)
        self.primary.confirmed = max(0, len(self.primary.reports) - unconfirmed)
        self.learn()

    def confirm(self) -> None:
        """Confirm all reports."""
        self.primary.confirmed = len(self.primary.reports)

    def restore(self) -> None:
        """Restore both servers from the backup."""
        self.primary, self.standby = deepcopy(self.backup), deepcopy(self.backup)
        self.confirm()
        self.learn()
        self._restored = True

    def back_up(self) -> None:
        """Make a backup of what both servers have."""
        self.backup = deepcopy(self.standby)

    def put_back(self) -> None:
        """Put back the longest record that was signed, as `record restore` does."""
        longest = max((self.contents[each] for each in self.promised()), key=len)
        if len(longest) > len(self.content()) and starts(self.content(), longest):
            reports = [each for each in longest[1:] if not each.startswith(b"closing")]
            self.primary.reports = reports
            self.primary.closing = longest[-1] if longest[-1].startswith(b"closing") else None
            self.confirm()
            self.replicate()
            self.learn()

    # What is known about it

    def content(self) -> Content:
        """The whole log on the primary, confirmed or not."""
        closing = () if self.primary.closing is None else (self.primary.closing,)
        return (b"opening", *self.primary.reports, *closing)

    def learn(self) -> None:
        """Note the root of every size of the present log."""
        tree, content = Tree(), self.content()
        for index, entry in enumerate(content, 1):
            tree.append(entry)
            self.contents.setdefault(Signed(index, tree.root()), content[:index])

    def promised(self) -> set[Signed]:
        """What was shown to anybody, or is to be: what the directories and the table have."""
        return {*self.shown, *self.directories, *self.primary.table}

    def contradicted(self) -> bool:
        """Whether the present record lacks something that was promised, or has something else instead."""
        return not all(starts(self.contents[each], self.content()) for each in self.promised())

    @property
    def lost(self) -> bool:
        """Whether a restore has lost something that was promised, so that a signer has to refuse."""
        return self._restored and self.contradicted()

    # What a signer does

    def perform(self, step: Step, signer: int) -> Any:
        """Perform a step; raise Failed if it cannot be."""
        match step:
            case ReadLog():
                return self._shown()
            case ReadEntries(after, most):
                return self.primary.reports[after : min(after + most, self.primary.confirmed)]
            case ReadSigned():
                return NOTHING if self.broken == "state only in the database" else self.directories[signer]
            case AskWitnesses():
                if not self.witness_answers:
                    return Witnessed()
                return Witnessed([self.witness]) if self.shows_newest else Witnessed([], self.witness.size)
            case Begin():
                self.primary.number += 1
                if self.broken != "no commit of its own":
                    self.replicate()
                return Begun(self.primary.number, self._shown())
            case Sign(signed):
                return f"{signed.size}"
            case _:
                return self._change(step, signer)

    def _change(self, step: Store | Submit | Insert, signer: int) -> None:
        match step:
            case Store(signed):
                if self.broken != "shown before written":
                    self._store(signed, signer)
            case Submit(signed, _):
                self._show(signed)
                if self.witness_answers and signed.size >= self.witness.size:
                    self.witness = signed
            case Insert(number, signed, _):
                self._insert(number, signed)
                if self.broken == "shown before written":
                    self._store(signed, signer)

    def _store(self, signed: Signed, signer: int) -> None:
        assert signed.size >= self.directories[signer].size, "the directory must not go back"
        self.directories[signer] = signed

    def _show(self, signed: Signed) -> None:
        assert signed in self.contents, "a root of entries that never existed together"
        content = self.contents[signed]
        for other in self.shown:
            known = self.contents[other]
            assert starts(known, content) or starts(content, known), (known, content)
        self.shown.add(signed)

    def _insert(self, number: int, signed: Signed) -> None:
        if number != self.primary.number and self.broken != "no number":
            raise Failed
        newest = self.primary.table[-1] if self.primary.table else NOTHING
        if signed != newest and (signed.size <= newest.size or signed.size > self.primary.confirmed + 2):
            raise Failed
        self._show(signed)
        if signed != newest:
            self.primary.table.append(signed)
        self.replicate()

    def _shown(self) -> Shown:
        server = self.primary
        public = server.reports[: server.confirmed]
        chain = CHAIN_START
        for report in public:
            chain = next_chain(chain, sha256(report).digest())
        closing = server.closing if server.confirmed == len(server.reports) else None
        newest = server.table[-1] if server.table else None
        return Shown(b"opening", closing, len(public), chain, len(server.reports), newest)


class SimulatedSigner:
    """A signer process in a world: it performs one step at a time, and can be killed between any two."""

    def __init__(self, world: World, index: int) -> None:
        self.world = world
        self.index = index
        self.memory = LogMemory()
        self.outcomes: list[Outcome] = []
        self._steps: Generator[Step, Any, Outcome] | None = None
        self._answer: Any = None
        self._step: Step | None = None
        self._lost = False
        self._repeats = False
        """Whether the round can only repeat what the last full read found."""

    def kill(self) -> None:
        """End the process; what it remembers is lost."""
        self.abandon()
        self.memory = LogMemory()

    def abandon(self) -> None:
        """End the round, as an error or a cancelled wait does."""
        if self._steps is not None:
            self._steps.close()
        self._steps = self._step = None

    def step(self, *, full: bool = False) -> None:
        """Perform the next step of the round, or begin one."""
        if self._steps is None:
            self._steps = sign_round(self.memory, full=full)
            self._answer, self._lost = None, False
            self._repeats = self.memory.changed is not None and not full
        self._lost |= self.world.lost
        try:
            step = self._steps.send(self._answer)
        except StopIteration as end:
            self._steps = None
            outcome: Outcome = end.value
            if isinstance(outcome, RecordRefused):
                assert self._lost or self._repeats, f"needless refusal: {outcome.reason}"
            self.outcomes.append(outcome)
            return
        self._step = step
        try:
            self._answer = self.world.perform(step, self.index)
        except Failed:
            self.abandon()

    def perform_up_to(self, kind: type[Step]) -> None:
        """Perform the steps of a round up to the first one of a kind."""
        while not isinstance(self._step, kind):
            self.step()

    def round(self, *, full: bool = False) -> Outcome:
        """Perform a whole round."""
        self.abandon()
        before: Sequence[Outcome] = list(self.outcomes)
        self.step(full=full)
        while self._steps is not None:
            self.step()
        assert len(self.outcomes) == len(before) + 1, "the round failed"
        return self.outcomes[-1]
