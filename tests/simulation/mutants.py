"""Plausible bugs: a few lines of production code replaced, each with the seed of a plan that shows it.

    python -m tests.simulation --mutant "credit is not returned" --seed 17

A mutant exists in an interpreter of its own, in which its module is compiled from the changed source. The old text has
to occur exactly once, so that a change of the code cannot silently turn a mutant into none.
"""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

import msgspec

ROOT = Path(__file__).parents[2]


class MutantInvalid(Exception):
    """The text that a mutant replaces is not in its module exactly once, or the module is imported already."""


class Mutant(msgspec.Struct, frozen=True):
    """One bug in one module, such as `gateway.journal.writer`."""

    name: str
    module: str
    old: str
    new: str
    seed: int
    """A seed of the fixed list that shows it."""
    guarantee: str = ""
    """What it breaks at that seed, among others."""

    @property
    def path(self) -> Path:
        """The file of its module."""
        return ROOT / (self.module.replace(".", "/") + ".py")

    def source(self) -> str:
        """Return the changed source of the module. Raises MutantInvalid."""
        text = self.path.read_text()
        if (found := text.count(self.old)) != 1:
            raise MutantInvalid(f"{self.name}: its old text occurs {found} times in {self.module}")
        return text.replace(self.old, self.new)


class _Loader(SourceFileLoader):
    """Compiles a module from the source of a mutant; no bytecode is read or written."""

    def __init__(self, mutant: Mutant) -> None:
        super().__init__(mutant.module, str(mutant.path))
        self._source = mutant.source()

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, self.path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    """Finds the module of a mutant."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self._loader = _Loader(mutant)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of the changed module."""
        if fullname != self._mutant.module:
            return None
        return importlib.util.spec_from_file_location(fullname, self._mutant.path, loader=self._loader)


def apply(mutant: Mutant) -> None:
    """Have the module of a mutant imported with its bug. Raises MutantInvalid."""
    if mutant.module in sys.modules:
        raise MutantInvalid(f"{mutant.module} is imported already")
    sys.meta_path.insert(0, _Finder(mutant))


MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "a failed commit is answered with receipts",
        "gateway.journal.writer",
        """        self._retry_batch(batch, JournalUnavailable.code, self.room.delay_s(), self.unavailable_reason)
        backoff""",
        """        self._unanswered.remove(batch)
        for pending in batch:
            valid = pending.valid
            receipt = Receipt.of(valid.report, valid.digest, None, self._clock.now(), None, ())
            pending.receiver.resolve(pending.key, receipt)
            pending.receiver.flush()
        backoff""",
        seed=1,
        guarantee="receipt means durable",
    ),
    Mutant(
        "a batch is answered twice",
        "gateway.journal.writer",
        """        self._unanswered.remove(batch)
        now, accepted""",
        """        now, accepted""",
        seed=1,
        guarantee="no process fails",
    ),
    Mutant(
        "a wake-up of the writer is lost",
        "gateway.journal.writer",
        """            decided = await self._commit(batch)
            if before""",
        """            decided = await self._commit(batch)
            self._wakeup.clear()
            if before""",
        seed=1,
        guarantee="no report waits for long",
    ),
    Mutant(
        "a stale version is not checked again",
        "gateway.journal.writer",
        "            if pending.election is not self._election:\n",
        "            if False:\n",
        seed=172,
        guarantee="a revoked token is not accepted",
    ),
    Mutant(
        "a draining process has a writer that nothing ends",
        "gateway.journal.intake",
        """        self._draining = True
        for election in self._open.values():
            election.writer.close()
""",
        """        self._draining = True
""",
        seed=1,
        guarantee="a process in good health stops in time",
    ),
    Mutant(
        "a draining process starts a writer",
        "gateway.journal.intake",
        "        elif not self._draining:\n",
        "        else:\n",
        seed=77,
        guarantee="no process fails",
    ),
    Mutant(
        "a receipt comes before the commit",
        "gateway.journal.appending",
        """        await self._connection.execute("COMMIT")
        return row""",
        """        return row""",
        seed=2,
        guarantee="receipt means durable",
    ),
    Mutant(
        "a commit whose wait for the standby was cut short has a receipt",
        "gateway.journal.appending",
        "    local.rule_out()\n",
        "",
        seed=3,
        guarantee="receipt means durable",
    ),
    Mutant(
        "a reader is admitted between head and block",
        "gateway.feed.stream",
        """            if applied:  # more than one page: a state between two heads must not be shown
                self._settled = False
            page = await self._page(head, self.state.sequence)
""",
        """            if applied:
                await asyncio.sleep(PAUSE_MAX_S)
            page = (await self._page(head, self.state.sequence))[:1]
""",
        seed=2,
        guarantee="figures are exact at every block",
    ),
    Mutant(
        "credit is not returned",
        "gateway.web.push_socket",
        "                self._bank.answered(self, self._resolved)\n",
        "",
        seed=1,
        guarantee="no process fails",
    ),
    Mutant(
        "reports are sent again in another order",
        "gateway.client.push_queue",
        "deque(sorted((*self.sent.values(), *self.unsent), key=lambda push: push.key))",
        "deque((*self.unsent, *self.sent.values()))",
        seed=9,
        guarantee="reports are decided in the order sent",
    ),
    Mutant(
        "the end of an embargo is taken from the clock of the process",
        "gateway.journal.writer",
        "            self.released = appended.released_at is not None\n            return [",
        """            if appended.released_at is None and self._clock.now() >= self._election.publish_from:
                appended = msgspec.structs.replace(appended, released_at=self._clock.now())
            self.released = appended.released_at is not None
            return [""",
        seed=32,
        guarantee="nothing before its time",
    ),
    Mutant(
        "a cursor of another history is accepted",
        "gateway.feed.stream",
        "if cursor is not None and cursor.sequence > 0 and self.state.contains(cursor)",
        "if cursor is not None and 0 < cursor.sequence <= self.state.sequence",
        seed=5,
        guarantee="figures are exact at every block",
    ),
    Mutant(
        "an append does not say what its rules have seen",
        "gateway.journal.appending",
        """        evaluated.chain if evaluated is not None else None,
        evaluated.hold_chain if evaluated is not None else None,
""",
        """        None,
        None,
""",
        seed=42,
        guarantee="rules see every report before",
    ),
    Mutant(
        "the second half of a batch that is split is appended first",
        "gateway.journal.writer",
        "return await self._append(batch[:middle]) + await self._append(batch[middle:])",
        "return await self._append(batch[middle:]) + await self._append(batch[:middle])",
        seed=53,
        guarantee="reports are decided in the order sent",
    ),
    Mutant(
        "a connection that has left returns its credit twice",
        "gateway.journal.admission",
        "self.given -= self._credit.pop(connection) - self._unanswered.get(connection, 0)",
        "self.given -= self._credit.pop(connection)",
        seed=26,
        guarantee="nothing is kept of clients that have left",
    ),
    Mutant(
        "a publication stream that breaks off is counted for ever",
        "gateway.web.feed_streams",
        """        finally:
            self._limits.remove_reader(client)
        return response""",
        """        else:
            self._limits.remove_reader(client)
        return response""",
        seed=1,
        guarantee="nothing is kept of clients that have left",
    ),
    Mutant(
        "lines of an older range of the record are off by one",
        "gateway.feed.archive",
        "whole[first - 1 - number * RANGE_SIZE : last - number * RANGE_SIZE]",
        "whole[first - number * RANGE_SIZE : last + 1 - number * RANGE_SIZE]",
        seed=2,
        guarantee="the last value arrives",
    ),
    Mutant(
        "a reader that joins moves its channel to the present",
        "gateway.feed.channel",
        """        self.wrote_at = self.wrote_at or now
        self._skip_unchanged()
""",
        """        self.wrote_at = self.wrote_at or now
        self.position = self._maker.position
""",
        seed=202,
        guarantee="figures are exact at every block",
    ),
    Mutant(
        "a connection that was released no longer notices commits that skip the standby",
        "gateway.journal.connection",
        """        The statements here leave nothing else to reset.
        \"\"\"
        self.add_log_listener(self.local_commits.on_message)
""",
        """        The statements here leave nothing else to reset.
        \"\"\"
""",
        seed=3,
        guarantee="receipt means durable",
    ),
)
"""Every mutant, each with the first seed that shows it."""


def mutant(name: str) -> Mutant:
    """Return the mutant with a name. Raises KeyError."""
    return {each.name: each for each in MUTANTS}[name]
