"""The order of a signer's steps, in a world where everything fails between any two of them.

PostgreSQL's part is simulated: commits that wait for the standby and those whose wait was cut short, failovers to a
standby that has only the former, restores from a backup. What is promised to readers: no two checkpoints of one origin
contradict each other, and the signer refuses only if the record contradicts something that was signed.
"""

from contextlib import nullcontext
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from gateway.election.record import CHAIN_START
from gateway.signer import rounds
from gateway.signer.rounds import LogMemory, check_round
from gateway.signer.steps import Covered, RecordRefused, Shown, Signed, Store, Submit, Witnessed
from gateway.transparency.merkle import EMPTY_ROOT
from tests.counts import EXTENT, count, examples
from tests.signer.world import SimulatedSigner, World

NUMBERS = st.integers(1, 3)
STEPS = st.integers(1, 8)


class SignerMachine(RuleBasedStateMachine):
    """One signer, whose directory survives everything, and a witness that may not answer."""

    signers: ClassVar[int] = 1
    broken: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.signers, self.broken)
        self.signing = [SimulatedSigner(self.world, index) for index in range(self.signers)]

    def _signer(self, number: int) -> SimulatedSigner:
        return self.signing[number % self.signers]

    @rule(number=NUMBERS)
    def append(self, number: int) -> None:
        """Reports are accepted."""
        self.world.append(number)

    @rule(number=NUMBERS)
    def append_locally(self, number: int) -> None:
        """Reports are committed on the primary, and the wait for the standby is cancelled."""
        self.world.append(number, waits=False)

    @rule(unconfirmed=st.integers(0, 3))
    def fail_over(self, unconfirmed: int) -> None:
        """The standby takes over, with all commits that have waited for it; some are confirmed later."""
        self.world.fail_over(unconfirmed)

    @rule()
    def confirm(self) -> None:
        """The new primary confirms what it has."""
        self.world.confirm()

    @rule(which=st.integers(0, 1), steps=STEPS, full=st.booleans())
    def sign(self, which: int, steps: int, full: bool) -> None:
        """A signer performs some steps."""
        for _ in range(steps):
            self._signer(which).step(full=full)

    @rule(which=st.integers(0, 1))
    def crash(self, which: int) -> None:
        """A signer is killed between two steps."""
        self._signer(which).kill()

    @rule(which=st.integers(0, 1))
    def cancel(self, which: int) -> None:
        """A wait of a signer is cancelled, and its round ends."""
        self._signer(which).abandon()

    @rule(answers=st.booleans(), shows_newest=st.booleans())
    @precondition(lambda self: self.signers == 1)
    def change_witness(self, answers: bool, shows_newest: bool) -> None:
        """The witness answers or not, and shows its newest checkpoint or only its size."""
        self.world.witness_answers, self.world.shows_newest = answers, shows_newest

    @rule()
    @precondition(lambda self: self.world.primary.reports)
    def close(self) -> None:
        """The election is closed."""
        if len(self.world.contents) % 3 == 0:  # rarely, because nothing can be appended afterwards
            self.world.close()

    @rule()
    @precondition(lambda self: self.signers == 1)
    def back_up(self) -> None:
        """A backup is made."""
        self.world.back_up()

    @rule()
    @precondition(lambda self: self.signers == 1)
    def restore(self) -> None:
        """The database is restored from the backup."""
        self.world.restore()

    @rule()
    @precondition(lambda self: self.signers == 1)
    def put_back(self) -> None:
        """What was signed is put back into a restored record."""
        self.world.put_back()

    @rule(which=st.integers(0, 1))
    def settle(self, which: int) -> None:
        """While nothing fails, everything is signed within a few rounds, unless the record contradicts what was."""
        self.world.confirm()
        if self.world.contradicted():
            return
        signer = self._signer(which)
        for _ in range(3):
            outcome = signer.round(full=True)
        assert isinstance(outcome, Covered), outcome
        assert outcome.signed.size == len(self.world.content())
        assert self.world.primary.table[-1] == outcome.signed == self.world.directories[signer.index]


class TwoSigners(SignerMachine):
    """Two signers, each with a directory of its own, and a witness that answers."""

    signers = 2


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few entries take several pages, and reading all of them again takes several rounds."""
    monkeypatch.setattr(rounds, "PAGE", 2)
    monkeypatch.setattr(rounds, "PAGES_AGAIN", 1)


def run(machine: type[SignerMachine], number: int, **options: Any) -> None:
    everything: Any = settings(
        max_examples=number,
        stateful_step_count=40,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        **options,
    )
    run_state_machine_as_test(machine, settings=everything)  # type: ignore[no-untyped-call]


@pytest.mark.timeout(count(120, full=1800))
@pytest.mark.parametrize("machine", [SignerMachine, TwoSigners])
def test_checkpoints_never_contradict_each_other_and_nothing_is_refused_without_need(
    machine: type[SignerMachine],
) -> None:
    """After any history of crashes, failovers, cancelled waits and restores, between any two steps."""
    run(machine, count(examples(400), full=5000))


def killed_before_the_insert(world: World) -> SimulatedSigner:
    """Sign something that a restore then loses, and lose the memory of it; return the signer."""
    signer = SimulatedSigner(world, 0)
    world.append(1)
    signer.round()
    world.back_up()
    world.append(1)
    signer.perform_up_to(Submit)
    signer.kill()
    world.witness_answers = False
    world.restore()
    world.append(2)
    return signer


WRONG = ("no commit of its own", "shown before written", "state only in the database")


@pytest.mark.parametrize("broken", ["", *WRONG])
def test_each_step_has_to_come_where_it_does(broken: str) -> None:
    """With its right place, a signer continues after a failover and refuses after a restore; without, it does not."""
    with pytest.raises(AssertionError) if broken else nullcontext():
        world = World(1, broken)
        signer = SimulatedSigner(world, 0)
        world.append(1, waits=False)
        signer.perform_up_to(Store)
        world.fail_over(0)
        world.append(1)
        assert isinstance(signer.round(full=True), Covered)
        world = World(1, broken)
        assert isinstance(killed_before_the_insert(world).round(full=True), RecordRefused)


@pytest.mark.timeout(600)
@pytest.mark.skipif(EXTENT != "full", reason="takes a minute; make long runs it")
@pytest.mark.parametrize("broken", WRONG)
def test_a_wrong_order_is_found(broken: str) -> None:
    """By the histories above, so that they can fail."""
    wrong: Any = type("Wrong", (SignerMachine,), {"broken": broken})
    with pytest.raises(AssertionError):
        run(wrong, 5000, phases=[Phase.generate], derandomize=True)


def test_a_witness_that_claims_more_without_proof_is_named() -> None:
    """The operator has to find out whether it is right, or leave it out."""
    steps = check_round(LogMemory())
    next(steps)
    steps.send(Signed(0, EMPTY_ROOT))
    steps.send(Witnessed((), 9, "witness.example/w1"))
    with pytest.raises(StopIteration) as ended:
        steps.send(Shown(b"opening", None, 0, CHAIN_START, 0, None))
    outcome = ended.value.value
    assert outcome.code == "record_behind"
    assert "the witness witness.example/w1 says without proof that it cosigned 9 entries" in outcome.reason
