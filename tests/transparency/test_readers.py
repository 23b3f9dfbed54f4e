"""Implementations of other projects read and verify a signed record, and refuse one with a fault."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import web

from gateway.transparency.proof_file import ProofFile
from tests.client.doors import a_door
from tests.counts import variants
from tests.transparency.readers import read_log, readers
from tests.transparency.records import LOG_KEY, Fault, Night, a_night, base64_of
from tests.verification.feed import PREFIX, Feed

READERS = readers()
OF_ENTRIES = [Fault.FLIPPED_BIT, Fault.TWO_SWAPPED, Fault.LAST_LEFT_OUT, Fault.SIZE_ABOVE, Fault.SIZE_BELOW]
OF_SIGNATURES = [Fault.OTHER_KEY, Fault.SIZE_CHANGED]


@asynccontextmanager
async def serving(night: Night) -> AsyncIterator[str]:
    """Serve a record with its proofs; yield the URL of its log."""

    async def proof(request: web.Request) -> web.Response:
        index = int(request.match_info["sequence"])
        signed = night.proof(index)
        return web.Response(body=ProofFile(index, signed.hashes, signed.note, night.entries[index]).encode())

    routes = [*Feed(night).routes(), web.get(f"{PREFIX}/log/proof/{{sequence}}", proof)]
    async with a_door(*routes) as url:
        yield f"{url}{PREFIX}/log"


@pytest.mark.parametrize("name", READERS)
async def test_another_implementation_refuses_a_record_with_a_fault(name: str) -> None:
    """Each fault alone; those of entries by readers of entries, and by all others in a proof of that entry."""
    reader = READERS[name]
    if reader.missing:
        pytest.skip(f"{name}: {reader.missing}")
    for fault in variants([*OF_ENTRIES, *OF_SIGNATURES], Fault.FLIPPED_BIT, Fault.OTHER_KEY):
        if fault in OF_ENTRIES[2:] and not reader.reads_entries:
            continue
        night = a_night(fault)
        changed = [len(night.entries) - 3] if fault in OF_ENTRIES[:2] else [1]
        async with serving(night) as url:
            answer = await read_log(reader, url, str(LOG_KEY.vkey), changed)
        assert isinstance(answer, str), fault


@pytest.mark.parametrize("name", READERS)
async def test_another_implementation_verifies_a_record(name: str) -> None:
    """Checkpoint, proofs and earlier checkpoints; entries too, if it reads them."""
    reader = READERS[name]
    if reader.missing:
        pytest.skip(f"{name}: {reader.missing}")
    night = replace(a_night(closed=True), history=(1, 2, 200, 256, 299))
    sequences = [1, 2, 255, 256, 299, 300]
    async with serving(night) as url:
        answer = await read_log(reader, url, str(LOG_KEY.vkey), sequences)
    expected = {"size": night.size, "root": base64_of(night.tree().root()), "checkpoints": 6, "proofs": 6}
    assert answer == expected | ({"entries": night.size} if reader.reads_entries else {})
