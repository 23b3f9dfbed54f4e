"""Simulated sockets behave as the kernel's do; and what can happen to links.

Each test of the contract runs on real sockets, with asyncio's transports and with those of uvloop, which production
uses; and for several seeds on simulated ones.
"""

import asyncio
import functools
import inspect
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import aiohttp
import pytest
import uvloop
from aiohttp import web

from gateway.config import Config
from gateway.telemetry.metrics import DoorMetrics
from gateway.web.accepting import accepting
from gateway.web.aiohttp_connection import door_handlers
from gateway.web.connections import Connections
from tests.simulation.network import ANY, CONNECT_S, GIVE_UP_S
from tests.simulation.processes import Process, Simulation

T = TypeVar("T")

LARGE = bytes(range(256)) * 65_536
"""16 MiB: more than the buffers of a kernel take."""
LARGE_SIMULATED = LARGE[: 1 << 20]
"""More than the buffers of a simulated kernel take."""
SEEDS = range(12)
WAIT_S = 60.0
"""How long a test waits for what must happen."""


class Recorder(asyncio.Protocol):
    """Records the calls of a transport."""

    def __init__(self, *, half_open: bool = False) -> None:
        self.transport: asyncio.Transport
        self.calls: list[str] = []
        """What happened, apart from data."""
        self.data = bytearray()
        self.error: Exception | None = None
        self._half_open = half_open
        self._changed = asyncio.Event()

    def _note(self, what: str) -> None:
        self.calls.append(what)
        self._changed.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._note("made")

    def data_received(self, data: bytes) -> None:
        assert data
        assert "eof" not in self.calls
        self.data += data
        self._changed.set()

    def eof_received(self) -> bool:
        self._note("eof")
        return self._half_open

    def pause_writing(self) -> None:
        self._note("pause")

    def resume_writing(self) -> None:
        self._note("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self._note("lost")

    async def wait_until(self, fact: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not fact():
                self._changed.clear()
                await self._changed.wait()

    async def wait_called(self, what: str) -> None:
        await self.wait_until(lambda: what in self.calls)

    async def wait_data(self, size: int) -> None:
        await self.wait_until(lambda: len(self.data) >= size)


class World(Protocol):
    """Where connections can be opened: the kernel of this machine, or a simulation."""

    large: bytes
    """More bytes than its buffers take."""

    async def open(self, near: Recorder, far: Recorder) -> None:
        """Connect two protocols."""

    async def open_to_nobody(self, near: Recorder) -> None:
        """Connect to an address where nobody listens."""


class RealWorld:
    """TCP on loopback."""

    large = LARGE

    async def open(self, near: Recorder, far: Recorder) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: far, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        await loop.create_connection(lambda: near, host, port)
        await far.wait_called("made")
        server.close()

    async def open_to_nobody(self, near: Recorder) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            host, port = unused.getsockname()
        await asyncio.get_running_loop().create_connection(lambda: near, host, port)


class SimulatedWorld:
    """The simulated network."""

    large = LARGE_SIMULATED

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.client = simulation.process("client")
        self.door = simulation.process("door")

    async def open(self, near: Recorder, far: Recorder) -> None:
        network = self.simulation.network
        listener = network.listen(self.door, "door:80", lambda: far)
        await network.connect(self.client, "door:80", lambda: near)
        await far.wait_called("made")
        listener.close()

    async def open_to_nobody(self, near: Recorder) -> None:
        await self.simulation.network.connect(self.client, "door:80", lambda: near)


async def opened(
    world: World, *, half_open: bool = False, near: Recorder | None = None
) -> tuple[Recorder, Recorder]:
    """Return two connected protocols."""
    near = near if near is not None else Recorder(half_open=half_open)
    far = Recorder(half_open=half_open)
    await world.open(near, far)
    return near, far


async def closed(*sides: Recorder) -> None:
    """Close what a test has left open."""
    for each in sides:
        each.transport.abort()
    for each in sides:
        await each.wait_called("lost")


Check = Callable[[World], Awaitable[None]]


def in_both_worlds(check: Check) -> Callable[..., None]:
    """Run a check on real and on simulated sockets."""

    @functools.wraps(check)
    def test(kind: str) -> None:
        if kind != "simulated":
            with asyncio.Runner(loop_factory=uvloop.new_event_loop if kind == "uvloop" else None) as runner:
                runner.run(check(RealWorld()))  # type: ignore[arg-type]
            return
        for seed in SEEDS:
            with Simulation(seed) as simulation:
                simulation.run(check(SimulatedWorld(simulation)))  # type: ignore[arg-type]

    test.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter("kind", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    )
    del test.__wrapped__  # type: ignore[attr-defined]
    return pytest.mark.parametrize("kind", ["asyncio", "uvloop", "simulated"])(test)


@in_both_worlds
async def test_bytes_arrive_in_order_in_both_directions(world: World) -> None:
    """In pieces of any sizes; and then the end."""
    near, far = await opened(world)
    for number in range(200):
        near.transport.write(f"{number}, ".encode())
        far.transport.write(f"-{number}, ".encode())
    await far.wait_data(len("".join(f"{number}, " for number in range(200))))
    await near.wait_data(len("".join(f"-{number}, " for number in range(200))))
    assert far.data.decode() == "".join(f"{number}, " for number in range(200))
    assert near.data.decode() == "".join(f"-{number}, " for number in range(200))
    near.transport.close()
    await far.wait_called("lost")
    await near.wait_called("lost")
    assert (near.calls, far.calls) == (["made", "lost"], ["made", "eof", "lost"])
    assert (near.error, far.error) == (None, None)


@in_both_worlds
async def test_a_writer_is_paused_while_its_peer_does_not_read(world: World) -> None:
    """And continues when everything is taken, if its low-water mark is 0; only then is its buffer empty."""
    near, far = await opened(world)
    far.transport.pause_reading()
    near.transport.set_write_buffer_limits(high=0)
    near.transport.write(world.large)
    assert near.calls == ["made", "pause"]
    before = near.transport.get_write_buffer_size()
    assert before
    near.transport.write(b"more")
    assert near.transport.get_write_buffer_size() == before + 4
    await asyncio.sleep(0.2)
    assert not far.data
    assert near.transport.get_write_buffer_size() > 0
    assert near.calls == ["made", "pause"]
    far.transport.resume_reading()
    await near.wait_called("resume")
    assert near.transport.get_write_buffer_size() == 0
    await far.wait_data(len(world.large) + 4)
    assert far.data == world.large + b"more"
    await closed(near, far)


@in_both_worlds
async def test_a_closed_transport_sends_its_buffer(world: World) -> None:
    """And only then is lost; nothing can be written any more."""
    near, far = await opened(world)
    near.transport.write(world.large)
    near.transport.close()
    assert near.transport.is_closing()
    near.transport.close()
    await far.wait_called("lost")
    assert far.data == world.large
    await near.wait_called("lost")
    assert (near.error, far.error) == (None, None)


@in_both_worlds
async def test_an_aborted_transport_drops_its_buffer(world: World) -> None:
    """The peer gets what was sent before, and the end."""
    near, far = await opened(world)
    far.transport.pause_reading()
    near.transport.write(world.large)
    near.transport.abort()
    assert near.transport.is_closing()
    assert "lost" not in near.calls
    await near.wait_called("lost")
    far.transport.resume_reading()
    await far.wait_called("lost")
    assert world.large.startswith(far.data)
    assert len(far.data) < len(world.large)
    assert far.error is None


@in_both_worlds
async def test_a_half_closed_connection_goes_on_in_the_other_direction(world: World) -> None:
    """If the protocol of the peer keeps it open."""
    near, far = await opened(world, half_open=True)
    near.transport.write(b"request")
    near.transport.write_eof()
    await far.wait_called("eof")
    assert far.data == b"request"
    far.transport.write(world.large)
    far.transport.close()
    await near.wait_called("eof")
    assert near.data == world.large
    await far.wait_called("lost")
    await closed(near)
    assert (near.error, far.error) == (None, None)


@in_both_worlds
async def test_a_connection_closed_with_unread_bytes_is_reset(world: World) -> None:
    """So the peer learns that they were not read."""
    near, far = await opened(world)
    far.transport.pause_reading()
    near.transport.write(b"never read")
    await asyncio.sleep(0.2)  # until they have arrived
    far.transport.close()
    await near.wait_called("lost")
    assert isinstance(near.error, ConnectionResetError)


@in_both_worlds
async def test_what_arrived_before_a_reset_is_read(world: World) -> None:
    """The error comes after it."""
    near, far = await opened(world)
    near.transport.pause_reading()
    far.transport.pause_reading()
    far.transport.write(b"answer")
    near.transport.write(b"never read")
    await asyncio.sleep(0.2)
    far.transport.close()
    await asyncio.sleep(0.2)
    near.transport.resume_reading()
    await near.wait_called("lost")
    assert near.data == b"answer"
    assert isinstance(near.error, ConnectionResetError)


@in_both_worlds
async def test_who_writes_to_a_closed_peer_loses_the_connection(world: World) -> None:
    """With the second write at the latest: the first one is answered by a reset."""
    near, far = await opened(world, half_open=True)
    far.transport.close()
    await near.wait_called("eof")
    async with asyncio.timeout(WAIT_S):
        while "lost" not in near.calls:
            near.transport.write(b"anybody there?")
            await asyncio.sleep(0.01)
    assert isinstance(near.error, ConnectionResetError | BrokenPipeError)


@in_both_worlds
async def test_a_paused_reader_does_not_notice_the_end(world: World) -> None:
    """It is in order behind the bytes."""
    near, far = await opened(world)
    far.transport.pause_reading()
    near.transport.write(b"last words")
    near.transport.close()
    await near.wait_called("lost")
    await asyncio.sleep(0.2)
    assert far.calls == ["made"]
    assert not far.data
    far.transport.resume_reading()
    await far.wait_called("lost")
    assert (far.data, far.calls) == (b"last words", ["made", "eof", "lost"])


@in_both_worlds
async def test_a_protocol_may_be_replaced_between_two_reads(world: World) -> None:
    """As for an event stream."""
    near, far = await opened(world)
    near.transport.write(b"request")
    await far.wait_data(7)
    stream = Recorder()
    stream.transport = far.transport
    far.transport.set_protocol(stream)
    near.transport.write(b"more")
    await stream.wait_data(4)
    assert (far.data, stream.data) == (b"request", b"more")
    assert far.transport.get_protocol() is stream
    near.transport.close()
    await stream.wait_called("lost")
    assert far.calls == ["made"]


@in_both_worlds
async def test_both_sides_know_their_addresses(world: World) -> None:
    """The door counts connections by the address of the peer."""
    near, far = await opened(world)
    assert near.transport.get_extra_info("peername") == far.transport.get_extra_info("sockname")
    assert far.transport.get_extra_info("peername") == near.transport.get_extra_info("sockname")
    host, port = far.transport.get_extra_info("peername")
    assert host.count(".") == 3
    assert port > 0
    sock = near.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
    assert sock.family == socket.AF_INET
    assert near.transport.get_extra_info("sslcontext") is None
    await closed(near, far)


@in_both_worlds
async def test_connecting_to_nobody_is_refused(world: World) -> None:
    """At once."""
    near = Recorder()
    with pytest.raises(ConnectionRefusedError):
        await world.open_to_nobody(near)
    assert near.calls == []


# What only a simulated network can do.


def simulated(check: Callable[[SimulatedWorld], Awaitable[None]], seeds: range = SEEDS) -> None:
    for seed in seeds:
        with Simulation(seed) as simulation:
            simulation.run(check(SimulatedWorld(simulation)))  # type: ignore[arg-type]


def test_bytes_arrive_in_pieces_and_after_a_delay() -> None:
    """Some seeds split what others deliver at once; and a delay of the link is kept."""
    pieces = set()

    async def check(world: SimulatedWorld) -> None:
        near, far = await opened(world)  # type: ignore[arg-type]
        world.simulation.network.delay("client", "door", 0.5, 0.6)
        began = asyncio.get_running_loop().time()
        near.transport.write(b"x" * 1000)
        await far.wait_until(lambda: bool(far.data))
        pieces.add(len(far.data))
        assert 0.5 <= asyncio.get_running_loop().time() - began < 0.61
        await far.wait_data(1000)

    simulated(check, range(40))
    assert len(pieces) > 2
    assert 1000 in pieces


def test_a_cut_is_noticed_by_nobody_and_heals() -> None:
    """What was sent meanwhile arrives afterwards, also the end."""

    async def check(world: SimulatedWorld) -> None:
        near, far = await opened(world)  # type: ignore[arg-type]
        network = world.simulation.network
        network.cut("door", "client")
        near.transport.write(b"one")
        far.transport.write(b"answer")
        await asyncio.sleep(300)
        near.transport.write(b", two")
        near.transport.write_eof()
        await asyncio.sleep(300)
        assert (far.data, far.calls, near.data) == (b"", ["made"], b"")
        network.heal("client", "door")
        await far.wait_called("lost")
        await near.wait_called("lost")
        assert (far.data, near.data) == (b"one, two", b"answer")

    simulated(check)


def test_only_the_link_between_the_named_ends_is_cut() -> None:
    """By names of processes, by address, or all links of a process."""

    async def check(world: SimulatedWorld, a: str, b: str, expected: bool) -> None:
        near, far = await opened(world)  # type: ignore[arg-type]
        world.simulation.network.cut(a, b)
        near.transport.write(b"x")
        await asyncio.sleep(5)
        assert bool(far.data) == expected

    for a, b, expected in (
        ("client", "door", False),
        ("door", "client", False),
        ("client", "door:80", False),
        (ANY, "door", False),
        ("client", ANY, False),
        ("client", "door:81", True),
        ("another", "door", True),
    ):
        simulated(functools.partial(check, a=a, b=b, expected=expected), range(2))


def test_a_stall_ends_by_itself() -> None:
    """Overlapping ones when the last one ends."""

    async def check(world: SimulatedWorld) -> None:
        near, far = await opened(world)  # type: ignore[arg-type]
        network = world.simulation.network
        network.stall("client", "door", 10)
        network.stall("client", "door", 20)
        near.transport.write(b"x")
        await asyncio.sleep(19)
        assert not far.data
        await far.wait_data(1)
        assert asyncio.get_running_loop().time() - world.simulation.started_s < 22

    simulated(check)


def test_a_cut_that_lasts_breaks_a_connection_with_unacknowledged_bytes() -> None:
    """After the time of TCP, or the one that was set; the silent side never notices."""

    async def check(world: SimulatedWorld, own_s: float | None) -> None:
        near, far = await opened(world)  # type: ignore[arg-type]
        if own_s is not None:
            sock = near.transport.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(own_s * 1000))
        world.simulation.network.cut("client", "door")
        near.transport.write(b"x")
        await asyncio.sleep((own_s or GIVE_UP_S) - 1)
        assert near.calls == ["made"]
        await near.wait_called("lost")
        assert isinstance(near.error, TimeoutError)
        await asyncio.sleep(3600)
        assert far.calls == ["made"]

    simulated(functools.partial(check, own_s=None), range(3))
    simulated(functools.partial(check, own_s=30.0), range(3))


def test_connections_are_reset_on_both_sides() -> None:
    """Those of a process, or of an address."""

    async def check(world: SimulatedWorld, name: str) -> None:
        near, far = await opened(world)  # type: ignore[arg-type]
        assert world.simulation.network.reset_all("nobody") == 0
        assert world.simulation.network.reset_all(name) == 1
        await near.wait_called("lost")
        await far.wait_called("lost")
        assert isinstance(near.error, ConnectionResetError)
        assert isinstance(far.error, ConnectionResetError)

    for name in ("door", "door:80", "client"):
        simulated(functools.partial(check, name=name), range(3))


class _Starts(Recorder):
    """Starts a task when it is connected, as the protocols of aiohttp do."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        super().connection_made(transport)
        self.task = asyncio.get_running_loop().create_task(self._run())
        self.seen: list[str] = []

    async def _run(self) -> None:
        self.seen.append("started")

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio."""
        self.seen.append("lost")
        super().connection_lost(error)


def test_a_task_that_a_new_connection_starts_begins_before_the_connection_is_lost() -> None:
    """Even if it was reset before it was accepted: asyncio looks at sockets after it has run what is ready."""

    async def check(world: SimulatedWorld) -> None:
        network = world.simulation.network
        far = _Starts()
        network.listen(world.door, "door:80", lambda: far)
        world.door.suspend(0.1)
        await network.connect(world.client, "door:80", Recorder)
        network.reset_all("door")
        await far.wait_called("lost")
        assert far.seen == ["started", "lost"]

    simulated(check, range(40))


def test_opening_a_connection_waits_for_a_cut_or_fails() -> None:
    """It is refused by a process that is dead, and fails after the time of TCP if nobody answers."""

    async def check(world: SimulatedWorld) -> None:
        network, loop = world.simulation.network, asyncio.get_running_loop()
        network.listen(world.door, "door:80", Recorder)
        network.stall("client", "door", 5)
        began = loop.time()
        await network.connect(world.client, "door:80", Recorder)
        assert 5 <= loop.time() - began < 7
        network.cut("client", "door")
        began = loop.time()
        with pytest.raises(TimeoutError):
            await network.connect(world.client, "door:80", Recorder)
        assert CONNECT_S <= loop.time() - began < CONNECT_S + 1
        network.heal("client", "door")
        world.door.kill()
        with pytest.raises(ConnectionRefusedError):
            await network.connect(world.client, "door:80", Recorder)

    simulated(check)


def test_opening_a_connection_may_be_cancelled_at_any_time() -> None:
    """Then it is closed if it was opened."""

    async def check(world: SimulatedWorld, delay: float) -> None:
        network = world.simulation.network
        accepted: list[Recorder] = []
        network.listen(world.door, "door:80", lambda: accepted.append(Recorder()) or accepted[-1])
        opening = world.client.spawn(network.connect(world.client, "door:80", Recorder), "opening")
        await asyncio.sleep(delay)
        opening.cancel()
        await asyncio.wait([opening])
        await asyncio.sleep(1)
        if opening.cancelled():
            assert all("lost" in each.calls for each in accepted)
            assert len(network._sockets) == 0
        else:
            await accepted[0].wait_called("made")

    for delay in (0.0, 0.0005, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.005):
        simulated(functools.partial(check, delay=delay), range(4))


def test_the_peers_of_a_killed_process_learn_it_from_its_kernel() -> None:
    """It sends what was written and the end, or a reset if something was not read."""

    async def check(world: SimulatedWorld, unread: bool) -> None:
        near, far = await opened(world)  # type: ignore[arg-type]
        far.transport.write(b"last words")
        if unread:
            far.transport.pause_reading()
            near.transport.write(b"never read")
        await asyncio.sleep(0.05)
        world.door.kill()
        await near.wait_called("lost")
        assert near.data == b"last words"
        assert isinstance(near.error, ConnectionResetError) == unread
        await asyncio.sleep(100)
        assert "lost" not in far.calls

    simulated(functools.partial(check, unread=False))
    simulated(functools.partial(check, unread=True))


@pytest.mark.parametrize("unread", [False, True])
async def test_the_kernel_of_this_machine_does_the_same(unread: bool) -> None:
    """For a real process that is killed."""
    near = Recorder()
    server = await asyncio.get_running_loop().create_server(lambda: near, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    code = (
        "import socket, time;"
        f" s = socket.create_connection(('127.0.0.1', {port})); s.sendall(b'last words'); time.sleep(60)"
    )
    victim = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    await near.wait_data(10)
    if unread:
        near.transport.write(b"never read")
        await asyncio.sleep(0.05)  # until it has arrived
    victim.kill()
    await victim.wait()
    await near.wait_called("lost")
    assert near.data == b"last words"
    assert isinstance(near.error, ConnectionResetError) == unread
    server.close()
    await server.wait_closed()


def test_the_peers_of_a_machine_without_power_notice_nothing_until_it_is_back() -> None:
    """Then what they send is answered by a reset."""

    async def check(world: SimulatedWorld) -> None:
        near, _ = await opened(world)  # type: ignore[arg-type]
        world.door.kill(power=True)
        near.transport.write(b"x")
        await asyncio.sleep(100)
        with pytest.raises(TimeoutError):
            await world.simulation.network.connect(world.client, "door:80", Recorder)
        assert near.calls == ["made"]
        world.simulation.process("door")
        await near.wait_called("lost")
        assert isinstance(near.error, ConnectionResetError)

    simulated(check)


def test_a_suspended_process_accepts_later() -> None:
    """Its kernel answers, so its clients wait for it."""

    async def check(world: SimulatedWorld) -> None:
        network = world.simulation.network
        far = Recorder()
        network.listen(world.door, "door:80", lambda: far)
        world.door.suspend(10)
        _, near = await network.connect(world.client, "door:80", Recorder)
        near.transport.write(b"early")
        await asyncio.sleep(5)
        assert far.calls == []
        await far.wait_data(5)
        assert far.calls == ["made"]

    simulated(check)


def test_the_door_of_production_accepts_simulated_connections() -> None:
    """Its listener, its connections and its protocol run unchanged."""

    async def serve(world: SimulatedWorld, stop: asyncio.Event) -> None:
        connections = Connections(Config(), DoorMetrics(), clock=world.door.clock, chance=world.door.chance)

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            return web.Response(body=LARGE_SIMULATED if request.path == "/large" else b"hello")

        handlers = door_handlers(connections, web.Server(answer))
        sock: Any = world.simulation.network.listener(world.door, "door:80")
        async with accepting(sock, connections, handlers):
            await stop.wait()
            assert len(connections) == 1

    async def use(world: SimulatedWorld) -> None:
        async with aiohttp.ClientSession() as http:
            for path, expected in (("hello", b"hello"), ("large", LARGE_SIMULATED), ("hello", b"hello")):
                async with http.get(f"http://door/{path}") as answer:
                    assert await answer.read() == expected

    async def check(world: SimulatedWorld) -> None:
        stop = asyncio.Event()
        serving = world.door.spawn(serve(world, stop), "serving")
        await world.client.spawn(use(world), "using")
        stop.set()
        await serving

    simulated(check, range(4))


def test_a_client_of_a_killed_door_gets_an_error_of_aiohttp() -> None:
    """As with real sockets."""

    async def serve(world: SimulatedWorld, door: Process) -> None:
        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            await asyncio.sleep(3600)
            return web.Response()

        world.simulation.network.listen(door, "door:80", web.Server(answer))

    async def use() -> None:
        async with aiohttp.ClientSession() as http:
            with pytest.raises(aiohttp.ServerDisconnectedError):
                await http.post("http://door/")
            with pytest.raises(aiohttp.ClientConnectorError):
                await http.post("http://door/")

    async def check(world: SimulatedWorld) -> None:
        await world.door.spawn(serve(world, world.door), "serving")
        using = world.client.spawn(use(), "using")
        await asyncio.sleep(1)
        world.door.kill()
        await using

    simulated(check)


def test_streams_of_asyncio_connect_over_the_simulated_network() -> None:
    """A client asks in this way whether a port expects TLS; none does here."""

    async def use() -> None:
        reader, writer = await asyncio.open_connection("door", 80)
        writer.write(b"hello")
        writer.write_eof()
        assert await reader.read() == b"hello"
        writer.close()
        await writer.wait_closed()
        with pytest.raises(ssl.SSLError):
            await asyncio.open_connection("door", 80, ssl=ssl.create_default_context())
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("door", 81)

    class Echo(Recorder):
        def data_received(self, data: bytes) -> None:
            self.transport.write(data)

    async def check(world: SimulatedWorld) -> None:
        world.simulation.network.listen(world.door, "door:80", lambda: Echo(half_open=False))
        await world.client.spawn(use(), "using")

    simulated(check)
