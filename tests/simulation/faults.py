"""What each kind of fault of a plan does to the processes, the network, the database and the clients of a run."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import asyncpg

from gateway.errors import GatewayError
from gateway.journal.connection import ANSWER_S
from tests.simulation.clients import Client
from tests.simulation.database import SimulatedDatabase
from tests.simulation.gateway import Installation, Worker
from tests.simulation.network import DELAY_S
from tests.simulation.plan import ELECTION, Fault
from tests.simulation.processes import Simulation

ACT_AGAIN_S = 0.5
"""Seconds after which an administrative act that failed is tried again."""


class Faults:
    """Lets faults happen."""

    def __init__(
        self,
        simulation: Simulation,
        database: SimulatedDatabase,
        installation: Installation,
        clients: Mapping[str, Client],
        tokens: Mapping[str, int],
    ) -> None:
        """`tokens`: the keys of the tokens, by sender."""
        self.revoked_after: dict[str, int] = {}
        """The number of reports in the record when a sender's token was revoked, by sender."""
        self._simulation = simulation
        self._database = database
        self._installation = installation
        self._clients = clients
        self._tokens = tokens
        self._acts: list[asyncio.Task[None]] = []
        self._loses_answers = False

    async def heal(self, timeout_s: float) -> None:
        """Wait until every administrative act is done, and nothing waits for an answer that was lost."""
        if self._acts:
            await asyncio.wait(self._acts, timeout=timeout_s)
        if self._loses_answers:
            self._database.lose_answers(-self._database._answers_to_lose)
            await asyncio.sleep(ANSWER_S + 1.0)

    def happen(self, fault: Fault) -> None:
        """Let a fault happen."""
        self._simulation.trace(
            "fault", kind=fault.kind, of=fault.of, to=fault.to, seconds=fault.seconds, amount=fault.amount
        )
        getattr(self, f"_{fault.kind}")(fault)

    def _worker(self, name: str) -> Worker:
        return self._installation.workers[name]

    def _kill(self, fault: Fault) -> None:
        self._worker(fault.of).kill(fault.seconds, power=fault.amount > 0)

    def _drain(self, fault: Fault) -> None:
        self._worker(fault.of).drain(fault.seconds)

    def _suspend(self, fault: Fault) -> None:
        process = self._worker(fault.of).process
        if process is not None and process.alive:
            process.suspend(fault.seconds)

    def _cut(self, fault: Fault) -> None:
        if fault.to == "database":
            process = self._worker(fault.of).process
            if process is not None:
                self._database.cut(process, fault.seconds)
        else:
            self._simulation.network.stall(fault.of, fault.to, fault.seconds)

    def _delay(self, fault: Fault) -> None:
        network = self._simulation.network
        network.delay(fault.of, fault.to, 0.0, fault.amount)
        self._simulation.loop.call_world(fault.seconds, partial(network.delay, fault.of, fault.to, *DELAY_S))

    def _reset(self, fault: Fault) -> None:
        self._simulation.network.reset_all(fault.of)

    def _reset_sessions(self, fault: Fault) -> None:
        self._database.reset_sessions(self._worker(fault.of).process if fault.of else None)

    def _terminate_sessions(self, fault: Fault) -> None:
        self._database.terminate_sessions(self._worker(fault.of).process if fault.of else None)

    def _freeze(self, fault: Fault) -> None:
        self._database.freeze(fault.seconds)

    def _freeze_standby(self, fault: Fault) -> None:
        self._database.freeze_standby(fault.seconds)

    def _slow(self, fault: Fault) -> None:
        self._database.slow(fault.amount, fault.seconds)

    def _lose_answers(self, fault: Fault) -> None:
        self._loses_answers = True
        self._database.lose_answers(int(fault.amount))

    def _crash(self, fault: Fault) -> None:
        self._database.crash_and_restart(fault.seconds)

    def _failover(self, fault: Fault) -> None:
        self._database.failover(rejoin_s=fault.seconds, former_s=fault.amount)

    def _cut_standby(self, fault: Fault) -> None:
        self._database.cut_standby(fault.seconds)

    def _cancel_wait(self, fault: Fault) -> None:
        for _ in range(int(fault.amount)):
            self._database.cancel_wait()

    def _unsynchronous(self, fault: Fault) -> None:
        self._database.set_synchronous(False)
        self._simulation.loop.call_world(fault.seconds, partial(self._database.set_synchronous, True))

    def _clock(self, fault: Fault) -> None:
        if fault.of == "database":
            self._database.jump_clock(fault.amount)
        else:
            self._worker(fault.of).jump_clock(fault.amount)

    def _change_version(self, fault: Fault) -> None:
        self._act(partial(self._database.change_version, ELECTION, int(fault.amount)))

    def _close_election(self, _: Fault) -> None:
        self._act(partial(self._database.close, ELECTION))

    def _revoke_token(self, fault: Fault) -> None:
        async def revoke() -> None:  # counts only once it is acknowledged
            await self._database.revoke(ELECTION, self._tokens[fault.of])
            self.revoked_after[fault.of] = len(self._database.journal_reports(ELECTION))

        self._act(revoke)

    def _act(self, act: Callable[[], Awaitable[None]]) -> None:
        """Perform an administrative act, again until it succeeds, as an operator would."""

        async def insist() -> None:
            while True:
                try:
                    await act()
                except (asyncpg.PostgresError, GatewayError, OSError, TimeoutError) as error:
                    self._simulation.trace("act failed", error=repr(error))
                    await asyncio.sleep(ACT_AGAIN_S)
                else:
                    return

        self._acts.append(
            self._simulation.loop.create_task(insist(), name="act", context=self._simulation.server_side())
        )

    def _restart_sender(self, fault: Fault) -> None:
        self._clients[fault.of].restart(fault.seconds, silently=fault.amount > 0)

    def _restart_reader(self, fault: Fault) -> None:
        self._clients[fault.of].restart(fault.seconds, silently=fault.amount > 0)

    def _suspend_client(self, fault: Fault) -> None:
        process = self._clients[fault.of].process
        if process is not None and process.alive:
            process.suspend(fault.seconds)
