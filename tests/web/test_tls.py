"""TLS on both doors: renewed certificates, and client certificates."""

import asyncio
import signal
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from gateway.config import Config
from gateway.journal.embedded import EmbeddedPostgres
from gateway.rehearsal.generator import GeneratedElection
from gateway.web.tls import BadCertificate, check_certificates
from tests.running import Gateway, served
from tests.web.conftest import make_database
from tests.web.doors import COUNTRY, a_registry, a_report, until

HOST = "127.0.0.1"


class Files:
    """A directory with the files of both doors."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = trustme.CA()
        self.senders = trustme.CA()
        self.push = directory / "push.pem"
        self.feed = directory / "feed.pem"
        self.feed_key = directory / "feed.key"
        self.client_ca = directory / "senders.pem"
        self.issue()
        self.senders.cert_pem.write_to_path(str(self.client_ca))

    def issue(self) -> None:
        """Write new certificates."""
        push, feed = (self.authority.issue_cert(HOST) for _ in range(2))
        push.private_key_and_cert_chain_pem.write_to_path(str(self.push))
        feed.cert_chain_pems[0].write_to_path(str(self.feed))
        feed.private_key_pem.write_to_path(str(self.feed_key))

    @property
    def options(self) -> dict[str, Any]:
        """Return the options of the gateway."""
        return {
            "push_tls_certificate": self.push,
            "push_client_ca": self.client_ca,
            "feed_tls_certificate": self.feed,
            "feed_tls_key": self.feed_key,
        }

    def client(self, shown: trustme.CA | None = None) -> ssl.SSLContext:
        """Return the context of a client, with a certificate of `shown` if given."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if shown is not None:
            shown.issue_cert("sender@kommune.example").configure_cert(context)
        return context


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def gateway(postgres: EmbeddedPostgres, files: Files) -> Iterator[Gateway]:
    """A gateway with TLS on both doors."""
    with served(make_database(postgres), **files.options) as gateway:
        yield gateway


@pytest.fixture
async def election(gateway: Gateway, small: GeneratedElection) -> str:
    return await gateway.load(a_registry(small))


@asynccontextmanager
async def http(context: ssl.SSLContext) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=context, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as client:
        yield client
    await asyncio.sleep(0.05)  # aiohttp aborts TLS connections and does not wait for their end


def secure(url: str) -> str:
    return url.replace("http://", "https://")


async def read_up_to(stream: aiohttp.ClientResponse, mark: bytes) -> None:
    """Read a stream up to some bytes; fail if it ends before."""
    seen = b""
    async with asyncio.timeout(10):
        while mark not in seen:
            assert not stream.content.at_eof(), seen
            seen += await stream.content.readany()


async def serial(url: str, context: ssl.SSLContext) -> int:
    """Return the serial number of the certificate that a door presents."""
    port = int(url.rpartition(":")[2])
    _, writer = await asyncio.open_connection(HOST, port, ssl=context)
    try:
        return int(writer.get_extra_info("peercert")["serialNumber"], 16)
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


async def test_reports_are_pushed_and_read_over_tls(gateway: Gateway, files: Files, election: str) -> None:
    """Over HTTP and WebSocket, and as an event stream."""
    sender = await gateway.issue(election, [COUNTRY])
    async with http(files.client(files.senders)) as client:
        feed = f"{secure(gateway.feed_url)}/v1/elections/{election}/feed?levels=country"
        async with client.get(feed, headers={"Accept-Encoding": "identity"}) as stream:
            async with client.post(secure(sender.url()), json=a_report(), headers=sender.headers) as answer:
                assert answer.status == 201
            async with client.ws_connect(
                secure(sender.url("/push")), headers=sender.headers, protocols=("valgnatt.push.v1",)
            ) as socket:
                await socket.receive_json()
                await socket.send_json({"type": "report", "id": 1, "report": a_report(revision=2)})
                results = await socket.receive_json()
                assert results["results"][0]["sequence"] == 2
            await read_up_to(stream, b"\nid: 2-")


async def test_a_sender_without_a_certificate_is_refused_in_the_handshake(
    gateway: Gateway, files: Files, election: str
) -> None:
    """Or with one of another authority; readers need none."""
    for shown in (None, files.authority):
        async with http(files.client(shown)) as client:
            with pytest.raises(aiohttp.ClientError):
                await client.get(f"{secure(gateway.push_url)}/health/live")
            async with client.get(f"{secure(gateway.feed_url)}/v1/elections/{election}") as answer:
                assert answer.status == 200


async def test_plain_http_is_not_served_on_a_tls_port(gateway: Gateway, election: str) -> None:
    """A reader that uses http:// is disconnected."""
    async with aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.ClientError):
            await client.get(f"{gateway.feed_url}/v1/elections/{election}")


async def test_a_renewed_certificate_is_presented_after_sighup_and_no_connection_is_lost(
    gateway: Gateway, files: Files, election: str
) -> None:
    """An incomplete file is logged, and the old certificate stays in use."""
    context = files.client(files.senders)
    before = [await serial(url, context) for url in (gateway.push_url, gateway.feed_url)]
    sender = await gateway.issue(election, [COUNTRY])
    async with (
        http(context) as client,
        client.get(f"{secure(gateway.feed_url)}/v1/elections/{election}/feed") as stream,
    ):
        whole = files.push.read_bytes()
        files.push.write_bytes(whole[: len(whole) // 2])
        gateway.signal(signal.SIGHUP)
        await until(lambda: logged(gateway, "certificate not reloaded"))
        await until(lambda: logged(gateway, "certificate reloaded"))  # by the other door, from whole files
        assert await serial(gateway.push_url, context) == before[0]
        gateway.log.clear()  # this error was expected
        files.issue()
        gateway.signal(signal.SIGHUP)
        for url, number in zip((gateway.push_url, gateway.feed_url), before, strict=True):
            await until(lambda url=url, number=number: changed(url, context, number))
        async with client.post(secure(sender.url()), json=a_report(), headers=sender.headers) as answer:
            assert answer.status == 201
        await read_up_to(stream, b"\nid: 1-")


async def logged(gateway: Gateway, event: str) -> bool:
    return bool(gateway.logged(event))


async def changed(url: str, context: ssl.SSLContext, before: int) -> bool:
    return await serial(url, context) != before


def test_unusable_files_are_reported_before_anything_starts(tmp_path: Path) -> None:
    """Each with its reason."""
    good, other = Files(tmp_path), trustme.CA().issue_cert(HOST)
    missing, empty, foreign = tmp_path / "none.pem", tmp_path / "empty.pem", tmp_path / "other.key"
    empty.write_text("")
    other.private_key_pem.write_to_path(str(foreign))
    for options, words in (
        ({"push_tls_certificate": missing}, ("none.pem", "No such file")),
        ({"feed_tls_certificate": empty}, ("empty.pem",)),
        ({"feed_tls_certificate": good.feed, "feed_tls_key": foreign}, ("other.key", "does not match")),
        ({"push_tls_certificate": good.push, "push_client_ca": empty}, ("empty.pem", "no certificate")),
    ):
        with pytest.raises(BadCertificate) as refused:
            check_certificates(Config(**options))
        assert all(word in str(refused.value) for word in words), str(refused.value)
