"""The signed record of a rehearsal: a signer and a witness for the demo, and its verification at the end."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from gateway.client.http_json import open_door
from gateway.config import Config
from gateway.errors import GatewayError
from gateway.rehearsal.results import RecordCheck
from gateway.signer.directory import SignDirectory
from gateway.transparency.note import VerifierKey, parse_vkey
from gateway.transparency.policy import Policy, TrustedWitness
from gateway.verification.failures import NotThere, VerificationFailed
from gateway.verification.feed_record import open_record
from gateway.verification.record_verifier import RecordVerifier
from gateway.witness.directory import open_directory
from gateway.witness.logs import Log
from gateway.witness.service import WitnessOptions, serve

LOG_NAME, WITNESS = "demo.example", "witness.demo.example"
"""Names of the keys of a demo."""
EVERY_S = 1
"""Interval of the checkpoints of a demo, so that they can be seen to follow the record."""
COVERED_S = 15.0
"""How long the last publication may take to be covered by a checkpoint and its cosignatures, in seconds."""
POLL_S = 0.1
"""Seconds between two looks for what is awaited."""


class SigningDemo:
    """The keys of a demo, in a directory: a signer, which `serve` supervises, and a witness in this process."""

    def __init__(self, directory: Path, port: int) -> None:
        """`port` is one that is free for the witness."""
        self._directory = SignDirectory(directory / "signer", LOG_NAME)
        self._witness_dir = directory / "witness"
        self._port = port
        key, state, _ = open_directory(self._witness_dir, WITNESS)
        state.close()
        self._witness = key.vkey
        self._key: asyncio.Future[VerifierKey] = asyncio.get_running_loop().create_future()
        self._listening = asyncio.Event()

    def configured(self, config: Config) -> Config:
        """Return a configuration with the signer and its witness."""
        witness = f"{self._witness}=http://{config.host}:{self._port}"
        return msgspec.structs.replace(
            config,
            log_name=LOG_NAME,
            sign_dir=self._directory.path,
            checkpoint_every_s=EVERY_S,
            witnesses=(witness,),
        )

    @asynccontextmanager
    async def witnessing(self, config: Config) -> AsyncIterator[None]:
        """Run the witness from `prepare` on until the block ends. Raises GatewayError if it failed."""
        running = asyncio.create_task(self._run_witness(config), name="witness")
        running.add_done_callback(lambda _: self._listening.set())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.wait({running})
            with suppress(asyncio.CancelledError):
                running.result()

    async def prepare(self, election: str) -> None:
        """Make the key of the log before the signer needs it, and wait until the witness follows that log."""
        self._key.set_result(self._directory.create(self._directory.origin(election, 1, rehearsal=True)).vkey)
        await self._listening.wait()

    async def _run_witness(self, config: Config) -> None:
        key = await self._key
        options = WitnessOptions(WITNESS, self._witness_dir, (Log(key.name, (key,)),), self._port)
        alone = msgspec.structs.replace(config, admin_port=None)
        await serve(alone, options, lambda *_: self._listening.set(), asyncio.Event())

    async def verify(self, feed_url: str, election: str, publications: int) -> RecordCheck:
        """Verify the record with the keys of the signer and of the witness, which has to agree."""
        witness = TrustedWitness(WITNESS, self._witness)
        policy = Policy.of_keys([await self._key])._replace(witnesses={WITNESS: witness}, quorum=WITNESS)
        return await check_record(feed_url, election, policy, publications)


async def check_record(
    feed_url: str, election: str, policy: Policy, publications: int, *, key_of_door: bool = False
) -> RecordCheck:
    """Verify a record as soon as a checkpoint covers all publications and enough witnesses agree."""
    try:
        async with open_record(feed_url, election) as record:
            verifier = RecordVerifier(record, policy)
            await _wait_covered(verifier, publications)
            return RecordCheck(await verifier.verify(await verifier.checkpoint()), key_of_door=key_of_door)
    except VerificationFailed as failure:
        return RecordCheck(None, f"{failure.code}: {failure}")


async def _wait_covered(verifier: RecordVerifier, publications: int) -> None:
    """Wait for the checkpoint that covers all publications. Raises VerificationFailed if there is none."""
    ends = time.monotonic() + COVERED_S
    while True:
        try:
            signed = await verifier.checkpoint()
        except NotThere:
            size, met = 0, False
        else:
            size, met = signed.checkpoint.size, signed.agreement.met
        if size > publications and met:
            return
        if time.monotonic() > ends:
            if size > publications:
                return  # which fails with what the witnesses lack
            covered = max(0, size - 1)
            text = f"the newest checkpoint covers {covered} of {publications} reports after {COVERED_S:.0f} s"
            raise VerificationFailed("missing", text)
        await asyncio.sleep(POLL_S)


async def check_signed_record(
    feed_url: str, election: str, publications: int, config: Config
) -> RecordCheck | None:
    """Verify the record of an election at a running gateway; None if it is not signed.

    The key is that of the signer's directory if it is on this machine; otherwise that which the feed door shows.
    """
    async with open_door("feed", feed_url) as door:
        document = await door.get("/v1/elections")
    log = next((each.get("log") for each in document["elections"] if each["id"] == election), None)
    if log is None:
        return None
    keys = _own_keys(config, log["origin"])
    policy = Policy.of_keys(keys or [parse_vkey(each) for each in log["vkeys"]])
    return await check_record(feed_url, election, policy, publications, key_of_door=not keys)


def _own_keys(config: Config, origin: str) -> list[VerifierKey]:
    if config.sign_dir is None or config.log_name is None:
        return []
    directory = SignDirectory(config.sign_dir, config.log_name)
    with suppress(GatewayError):
        return [key for log in directory.logs() if str(log) == origin for key in directory.keys(log).vkeys]
    return []
