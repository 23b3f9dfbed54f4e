"""Whatever is submitted, in whatever order, with crashes and restarts between: what was cosigned is one history."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.transparency.cosignature import verify_cosignature
from gateway.transparency.note import parse_signature
from gateway.witness.state import State
from tests.counts import count
from tests.in_memory import directory_in_memory
from tests.witness.logs import Clock, GrowingLog, Running

SIZE_MAX = 12
LOGS = (GrowingLog(), GrowingLog(shared=3), GrowingLog(shared=7))
"""A log, and two forks of it, all signed with its key."""
IN_MEMORY = directory_in_memory()
"""Where files are not written to a disk: nothing here depends on a loss of power."""

sizes = st.integers(0, SIZE_MAX)
logs = st.sampled_from(LOGS)


class Histories(RuleBasedStateMachine):
    """A witness, and every cosignature that has left it."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(dir=IN_MEMORY))
        self.number = 0
        self.clock = Clock()
        self.left: list[tuple[GrowingLog, int, int]] = []
        """Log, size and time of every cosignature, in the order in which they left."""
        self.running = self.start()

    def start(self) -> Running:
        return Running(self.root / str(self.number), LOGS[0], clock=self.clock)

    def teardown(self) -> None:
        self.running.close()
        shutil.rmtree(self.root)

    def submit(self, log: GrowingLog, old: int, size: int) -> int:
        """Submit a checkpoint, and note the cosignature if one leaves; return the status."""
        answer = self.running.ask(log.body(old, size))
        if answer.status == 200:
            signature = parse_signature(answer.body.removesuffix("\n"))
            text = log.checkpoint(size).text()
            self.left.append((log, size, verify_cosignature(self.running.witness.vkey, text, signature)))
        return answer.status

    @rule(log=logs, old=sizes, size=sizes)
    def any_submission(self, log: GrowingLog, old: int, size: int) -> None:
        """As a stranger, or a faulty signer, makes it."""
        self.submit(log, old, size)

    @rule(log=logs, more=st.integers(0, 4))
    def next_submission(self, log: GrowingLog, more: int) -> None:
        """As the signer of a log or of its fork makes it, from the size that the witness names."""
        newest = self.running.state.newest(log.origin)
        old = newest.size if newest is not None else 0
        status = self.submit(log, old, min(old + more, SIZE_MAX))
        if newest is None or log.checkpoint(old).root == newest.root:
            assert status == 200  # what is consistent is never refused

    @rule(seconds=st.integers(-2, 60))
    def pass_time(self, seconds: int) -> None:
        """Also backwards, a little."""
        self.clock.now += seconds

    @rule()
    def restart(self) -> None:
        """As on SIGTERM."""
        self.running.close()
        self.running = self.start()

    @rule()
    def kill(self) -> None:
        """Go on with the files as they are while the process runs."""
        self.continue_with_copy()

    @rule(log=logs, more=st.integers(0, 4), committed=st.booleans())
    def kill_within(self, log: GrowingLog, more: int, committed: bool) -> None:
        """Kill it just before or just after the commit of a cosignature, which does not leave."""
        state = self.running.state
        newest = state.newest(log.origin)
        old = newest.size if newest is not None else 0

        class Killed(BaseException):
            pass

        def copy_and_die(*_: Any) -> None:
            self.copy_files()
            raise Killed

        if committed:
            self.running.witness._observer = _After(copy_and_die)
        else:
            add = state.add_cosigned

            def add_and_die(cosigned: Any) -> None:
                add(cosigned)
                copy_and_die()

            state.add_cosigned = add_and_die  # type: ignore[method-assign]
        try:
            self.running.ask(log.body(old, min(old + more, SIZE_MAX)))
        except Killed:
            self.running.close()
            self.number += 1
            self.running = self.start()
        else:
            self.restart()

    def copy_files(self) -> None:
        """Copy the directory as it is on the disk in this moment."""
        shutil.copytree(self.root / str(self.number), self.root / str(self.number + 1))

    def continue_with_copy(self) -> None:
        self.copy_files()
        self.running.close()
        self.number += 1
        self.running = self.start()

    @invariant()
    def one_history(self) -> None:
        """Cosigned checkpoints are consistent, and a later one has no smaller size and no earlier time."""
        for (log, size, at), (later, larger, after) in zip(self.left, self.left[1:], strict=False):
            assert size <= larger
            assert at <= after
            assert log.checkpoint(size).root == later.checkpoint(size).root

    @invariant()
    def state_is_not_behind(self) -> None:
        """What has left is in the state."""
        if self.left:
            log, size, _ = self.left[-1]
            newest = self.running.state.newest(log.origin)
            assert newest is not None
            assert newest.size >= size


class _After:
    """An observer that acts once a cosignature is committed."""

    def __init__(self, act: Any) -> None:
        self.cosigned = act

    def refused(self, *_: Any) -> None:
        """Do nothing."""

    kept = behind = refused


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=count(12, full=200), stateful_step_count=25, deadline=None)


def test_machine_notices_a_witness_that_does_not_compare(monkeypatch: Any) -> None:
    """So the invariants above are able to fail."""
    monkeypatch.setattr(State, "of_size", lambda *_: None)
    monkeypatch.setattr("gateway.witness.decision.verify_consistency", lambda *_: None)
    machine = Histories()
    try:
        machine.submit(LOGS[0], 0, 9)
        machine.submit(LOGS[1], 9, 12)
        try:
            machine.one_history()
        except AssertionError:
            return
        raise AssertionError("a fork was cosigned and not noticed")
    finally:
        machine.teardown()
