"""A gateway that signs, with two witnesses that are killed, stopped and started again, and a fork of its log."""

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from gateway.rehearsal.generator import GeneratedElection
from gateway.reserved_ports import reserved_ports
from gateway.transparency.checkpoint import Checkpoint
from gateway.transparency.ed25519 import SigningKey
from gateway.transparency.note import Note, parse_note
from gateway.transparency.policy import Policy
from gateway.verification.failures import VerificationFailed
from gateway.verification.feed_record import open_record
from gateway.verification.record_verifier import RecordVerifier
from tests.conftest import Database
from tests.fork_server import Ended, run_command
from tests.running import Gateway, Sender, served
from tests.signer.signing import LOG_NAME, create_key
from tests.web.doors import COUNTRY, a_registry, a_report, pushed, until
from tests.witness.logs import GrowingLog, read_state
from tests.witness.processes import WitnessProcess, exchange, post

pytestmark = pytest.mark.long
EVERY_S = 1


class Chain:
    """A gateway with an election, the key of its log, and its witnesses."""

    def __init__(
        self, gateway: Gateway, sender: Sender, key: SigningKey, witnesses: dict[str, WitnessProcess]
    ) -> None:
        self.gateway, self.sender, self.key, self.witnesses = gateway, sender, key, witnesses
        self.url = f"{gateway.feed_url}/v1/elections/{sender.election}"
        self.size = 1

    async def push(self, http: aiohttp.ClientSession, count: int = 3) -> None:
        """Push reports, which the next checkpoint covers."""
        await pushed(http, self.sender, *(a_report(revision=self.size + each) for each in range(count)))
        self.size += count

    async def checkpoint(self, http: aiohttp.ClientSession) -> Note | None:
        async with http.get(f"{self.url}/log/checkpoint") as answer:
            return parse_note(await answer.read()) if answer.status == 200 else None

    async def wait_cosigned(self, http: aiohttp.ClientSession, *names: str) -> None:
        """Wait until the newest checkpoint covers everything and is cosigned by these witnesses, at least."""

        async def cosigned() -> bool:
            note = await self.checkpoint(http)
            if note is None or int(note.text.split("\n")[1]) < self.size:
                return False
            return {*names} <= {each.name for each in note.signatures}

        await until(cosigned)

    async def cosigners(self, http: aiohttp.ClientSession) -> set[str]:
        note = await self.checkpoint(http)
        assert note is not None
        return {each.name for each in note.signatures} - {self.key.vkey.name}

    async def recorded(self, directory: Path) -> bool:
        """Whether the state of a witness has the newest size."""
        state = read_state(directory)
        try:
            newest = state.newest(self.key.vkey.name)
        finally:
            state.close()
        return newest is not None and newest.size == self.size

    async def verify(self, policy: Path, where: str | Path) -> Ended:
        arguments = ("verify", "record", where, "--policy", policy)
        return await asyncio.to_thread(run_command, *arguments, environ=os.environ)


async def test_witnesses_that_fail_delay_nothing_and_a_fork_is_refused(
    database: Database, small: GeneratedElection, tmp_path: Path
) -> None:
    """Killed, stopped and restarted, each witness cosigns again by itself, and what both cosigned is one record."""
    registry = a_registry(small)
    key = create_key(tmp_path / "sign", registry["election"]["id"])
    async with AsyncExitStack() as stack, aiohttp.ClientSession() as http:
        feed_port, *others = stack.enter_context(reserved_ports(3))
        ports = dict(zip(("first", "second"), others, strict=True))

        def witness(name: str) -> WitnessProcess:
            options = ("--mirror", tmp_path / "mirror") if name == "first" else ()
            log = f"{key.vkey}=http://127.0.0.1:{feed_port}"
            return WitnessProcess(tmp_path / name, log, name=name, port=ports[name], options=options)

        witnesses = {name: await asyncio.to_thread(witness, name) for name in ports}
        for each in witnesses.values():
            stack.enter_context(each)
        config = {
            "log_name": LOG_NAME,
            "sign_dir": tmp_path / "sign",
            "checkpoint_every_s": EVERY_S,
            "feed_port": feed_port,
            "signer_database_url": database.signer_url,
            "witnesses": ",".join(f"{each.vkey}={each.url}" for each in witnesses.values()),
        }
        serving = served(database, push_workers=1, feed_workers=1, **config)
        gateway = await asyncio.to_thread(stack.enter_context, serving)
        sender = await gateway.issue(await gateway.load(registry), [COUNTRY])
        chain = Chain(gateway, sender, key, witnesses)
        policy = tmp_path / "policy"
        lines = [f"log {key.vkey}", *(f"witness {name} {each.vkey}" for name, each in witnesses.items())]
        policy.write_text("\n".join([*lines, "group both all first second", "quorum both", ""]))

        await chain.push(http)
        await chain.wait_cosigned(http, "first", "second")
        verified = await chain.verify(policy, chain.url)
        assert verified.status == 0, verified
        assert "witnesses    2 of 2" in verified.out

        witnesses["second"].kill()
        await chain.push(http)
        await chain.wait_cosigned(http, "first")
        assert await chain.cosigners(http) == {"first"}
        failed = await chain.verify(policy, chain.url)
        assert failed.status == 1
        assert "too_few_witnesses" in failed.err

        witnesses["second"] = stack.enter_context(await asyncio.to_thread(witness, "second"))
        await chain.push(http)
        await chain.wait_cosigned(http, "first", "second")

        # An answer that is lost: the signer gives up before the witness goes on, and cosigns what it had received.
        known = len(gateway.logged("no cosignature"))
        witnesses["second"].process.send_signal(signal.SIGSTOP)
        await chain.push(http)
        await chain.wait_cosigned(http, "first")
        assert await chain.cosigners(http) == {"first"}

        async def given_up() -> bool:
            return any('"witness":"second"' in line for line in gateway.logged("no cosignature")[known:])

        await until(given_up)
        witnesses["second"].process.send_signal(signal.SIGCONT)
        await until(lambda: chain.recorded(tmp_path / "second"))
        assert await chain.cosigners(http) == {"first"}
        await chain.push(http)  # the signer learns the size from a conflict
        await chain.wait_cosigned(http, "first", "second")

        note = await chain.checkpoint(http)
        assert note is not None
        fork = Checkpoint(key.vkey.name, chain.size, b"\1" * 32).signed_by(key).encode()
        body = GrowingLog().body(chain.size, chain.size, (), fork)
        for each in witnesses.values():
            assert (await exchange(each.url, post(body))).startswith(b"HTTP/1.1 409 ")
        checked = await asyncio.to_thread(
            run_command, "witness", "--check", "--dir", tmp_path / "second", environ=os.environ
        )
        assert checked.status == 1
        assert f"FORK         {key.vkey.name}: size {chain.size}" in checked.out

        await chain.push(http)
        await chain.wait_cosigned(http, "first", "second")
        copy = tmp_path / "mirror" / key.vkey.name

        async def mirrored() -> bool:
            try:
                async with open_record(str(copy)) as record:
                    verifier = RecordVerifier(record, Policy.of_keys([key.vkey]))
                    return (await verifier.verify(await verifier.checkpoint())).size == chain.size
            except VerificationFailed:
                return False

        await until(mirrored)
        assert gateway.logged_errors() == []
