"""A small election night with known counts of reports, played through a real gateway, and its metrics.

The gateway has everything that is monitored: an embedded Postgres, whose disk it can measure, TLS on the feed door, and
a signer.
"""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import trustme
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from gateway.journal.embedded import find
from gateway.rehearsal.generator import GeneratedElection
from tests.running import Gateway, Sender, served
from tests.signer.signing import LOG_NAME, create_key
from tests.web.doors import (
    COUNTRY,
    EVERYTHING,
    FOREIGN_UNIT,
    HERE,
    UNIT,
    a_registry,
    a_report,
    ask,
    connected,
    push,
    push_lines,
    pushed,
    streaming,
    until,
)

LATER = datetime.now(UTC) + timedelta(hours=2)


class Embedded:
    """The database of a gateway with an embedded Postgres, available while it runs."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    @property
    def url(self) -> str:
        running = find(self._data_dir)
        return running.url if running is not None else ""

    @property
    def feed_url(self) -> str:
        running = find(self._data_dir)
        return running.feed_url if running is not None else ""

    @property
    def signer_url(self) -> str:
        running = find(self._data_dir)
        return running.signer_url if running is not None else ""


@dataclass
class SmallNight:
    """The gateway and its elections, and the text of a scrape after the night."""

    gateway: Gateway
    open: str
    embargoed: str
    secrets: list[str]
    text: str

    ACCEPTED = 42
    """Reports of the open election: 1 over HTTP, 40 as NDJSON, 1 over a WebSocket."""
    DUPLICATES = 3
    EMBARGOED = 5
    """Reports of the election under embargo."""

    @property
    def samples(self) -> list[Sample]:
        return [each for family in text_string_to_metric_families(self.text) for each in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """Return the value of the only sample with this name and at least these labels."""
        found = [
            each.value
            for each in self.samples
            if each.name == name and all(each.labels.get(key) == value for key, value in labels.items())
        ]
        assert len(found) == 1, (name, labels, found)
        return found[0]


@contextmanager
def a_monitored_gateway(directory: Path) -> Iterator[tuple[Gateway, ssl.SSLContext]]:
    """Run the gateway; yield it with a TLS context that trusts the feed door."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", not_after=datetime.now(UTC) + timedelta(days=5))
    chain = directory / "feed.pem"
    issued.private_key_and_cert_chain_pem.write_to_path(str(chain))
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    data_dir = directory / "data"
    signer = {"sign_dir": directory / "sign", "log_name": LOG_NAME, "checkpoint_every_s": 1}
    with served(
        Embedded(data_dir), data_dir=data_dir, feed_tls_certificate=chain, log_level="debug", **signer
    ) as gateway:
        yield gateway, trust


async def play(
    gateway: Gateway, trust: ssl.SSLContext, small: GeneratedElection, directory: Path
) -> SmallNight:
    """Push accepted, refused and embargoed reports and read the feed; return the night with its metrics."""
    registry = a_registry(small)
    election = await gateway.load(registry)
    later = a_registry(small, publish_from=LATER.isoformat())
    embargoed = await gateway.load(later)
    whole_country = await gateway.issue(election, [COUNTRY])
    one_municipality = await gateway.issue(election, [HERE])
    under_embargo = await gateway.issue(embargoed, [COUNTRY])
    connector = aiohttp.TCPConnector(ssl=trust)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as http:

        async def known() -> bool:
            answer = await ask(http, "GET", f"{_feed(gateway)}/v1/elections/{election}/areas/{HERE}")
            return answer.status == 200

        await until(known)
        url = f"{_feed(gateway)}/v1/elections/{election}/feed"
        async with streaming(http, url, levels=EVERYTHING) as stream:
            await stream.block()
            await _push_all(http, whole_country, one_municipality)
            await pushed(http, under_embargo, *(a_report(revision=number) for number in range(1, 6)))
            await stream.blocks_until(SmallNight.ACCEPTED)

            async def embargoed_counted() -> bool:
                name = f'valgnatt_embargoed_reports{{process="push-0",election="{embargoed}"}}'
                return (await gateway.metrics()).get(name) == SmallNight.EMBARGOED

            await until(embargoed_counted)
            create_key(directory / "sign", election)
            name = f'valgnatt_log_size{{process="feed-0",election="{election}"}}'

            async def signed() -> bool:
                return (await gateway.metrics()).get(name) == SmallNight.ACCEPTED + 1

            await until(signed)
            text = (await ask(http, "GET", f"{gateway.admin_url}/metrics")).body.decode()

    async def no_readers() -> bool:
        return (await gateway.metrics())['valgnatt_readers{process="feed-0"}'] == 0

    await until(no_readers)
    secrets = [whole_country.secret, one_municipality.secret, under_embargo.secret]
    return SmallNight(gateway, election, embargoed, secrets, text)


def _feed(gateway: Gateway) -> str:
    return gateway.feed_url.replace("http:", "https:")


async def _push_all(http: aiohttp.ClientSession, whole_country: Sender, one_municipality: Sender) -> None:
    """Push over every transport, and get every kind of answer."""
    assert (await push(http, whole_country, a_report(revision=1))).status == 201
    await pushed(http, whole_country, *(a_report(revision=number) for number in range(2, 42)))
    async with connected(http, whole_country) as socket:
        await socket.send(1, a_report(revision=42))
        (result,) = await socket.results(1)
        assert result["outcome"] == "accepted"
    again = await push_lines(http, whole_country, [a_report(revision=number) for number in (1, 2, 42)])
    assert {each["outcome"] for each in again.results} == {"duplicate"}
    wrong: list[tuple[Sender, Any, int]] = [
        (whole_country, a_report(revision=43, votes=-1), 422),
        (whole_country, a_report(revision=42, votes=11), 409),
        (one_municipality, a_report(FOREIGN_UNIT), 403),
    ]
    for sender, report, status in wrong:
        assert (await push(http, sender, report)).status == status
    stranger = {"Authorization": "Bearer vg_nobody"}
    assert (await push(http, whole_country, a_report(UNIT), headers=stranger)).status == 401


@contextmanager
def a_small_night(directory: Path, small: GeneratedElection) -> Iterator[SmallNight]:
    """Play a small night for the tests that share it; the gateway keeps running."""
    directory.chmod(0o755)
    with a_monitored_gateway(directory) as (gateway, trust):
        yield asyncio.run(play(gateway, trust, small, directory))
