"""tls: deliveries per CPU second under TLS, by the feed process and by proxies in front of it, beside in the clear."""

import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from bench.figures import Result, Row, Skipped, Target, Unavailable
from bench.load.certificates import create_certificate
from bench.load.delivery import one_at_a_time
from bench.load.hub import Hub, valgnatt
from bench.load.local import Local, gateway
from bench.measure.pairs.options import Options
from bench.measure.pairs.rounds import Round, Rounds, alternate
from bench.peers.posting import CHANGE_BYTES
from bench.peers.socket_loop import loop_of_sends
from bench.peers.terminators import Start, haproxy, nginx

READERS = 1_000
CLEAR, DOOR = "without TLS", "TLS by the feed process"
LOOP, TLS_LOOP = "`socket.send` in a loop", "`ssl.SSLSocket.send` in a loop"
PROXIES: dict[str, Start] = {"TLS by nginx": nginx, "TLS by HAProxy": haproxy}
UNIT = "deliveries per CPU s, that of the proxy included"


async def measure(options: Options) -> Result:
    """Measure the pair."""
    readers = options.readers or READERS
    pair = Result("tls")
    async with AsyncExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="valgnatt-peers-")))
        certificate = await create_certificate(scratch)
        clear = await stack.enter_async_context(gateway(readers_max=100_000))
        hubs = {CLEAR: await stack.enter_async_context(valgnatt(clear))}
        encrypted = await stack.enter_async_context(
            gateway(readers_max=100_000, push_tls_certificate=certificate, feed_tls_certificate=certificate)
        )
        hubs[DOOR] = await stack.enter_async_context(valgnatt(encrypted))
        for name, start in PROXIES.items():
            try:
                hubs[name] = await _behind(stack, clear, start, scratch, certificate, readers)
            except Unavailable as error:
                pair.skipped.append(Skipped.of(error))
        rounds = Rounds()
        for hub in hubs.values():
            await hub.crowd.connect(readers)
            await hub.crowd.wait(await hub.publish())
        hubs[LOOP] = await stack.enter_async_context(loop_of_sends(readers, CHANGE_BYTES))
        hubs[TLS_LOOP] = await stack.enter_async_context(loop_of_sends(readers, CHANGE_BYTES, certificate))
        sides: dict[str, Round] = {
            name: partial(_deliver, name, hub, options.seconds, rounds, pair) for name, hub in hubs.items()
        }
        await alternate(options.rounds, sides)
    _add_rows(pair, rounds, [name for name in hubs if name not in (CLEAR, LOOP, TLS_LOOP)], readers)
    return pair


async def _behind(
    stack: AsyncExitStack,
    local: Local,
    start: Start,
    scratch: Path,
    certificate: Path,
    readers: int,
) -> Hub:
    """Return our own hub, whose readers connect to a proxy. Raises Unavailable."""
    feed_port = urlsplit(local.feed_url).port or 0
    proxy = await stack.enter_async_context(start(scratch, feed_port, certificate, readers))
    through = msgspec.structs.replace(local, feed_url=proxy.feed_url, certificate=certificate)
    hub = await stack.enter_async_context(valgnatt(through))
    of_feed = hub.cpu_s
    return msgspec.structs.replace(hub, cpu_s=lambda: of_feed() + proxy.cpu_s())


async def _deliver(name: str, hub: Hub, seconds: float, rounds: Rounds, pair: Result) -> None:
    delivery = await one_at_a_time(hub, seconds)
    rounds.add(name, UNIT, delivery.per_cpu_s)
    rounds.add(f"{name}: from publication to a reader, p50", "ms", 1000 * delivery.seen.p50_s)
    rounds.add(f"{name}: bytes per receive", "bytes", delivery.seen.size / max(1, delivery.seen.receives))
    rounds.add_cpu(name, {"the readers": delivery.seen.cpu_s}, delivery.delivered or 1, 100_000, "deliveries")
    if shortfall := delivery.shortfall(name):
        pair.invalid.append(shortfall)


def _add_rows(pair: Result, rounds: Rounds, encrypted: Sequence[str], readers: int) -> None:
    """Add the goal, which the best of all ways to encrypt has to reach, and a row for each."""
    clear = rounds[CLEAR]
    sides = [rounds[name] for name in encrypted]
    best = max(sides, key=lambda side: side.median)
    what = f"deliveries per CPU second, one change at a time, {readers} readers"
    pair.rows = [
        Row.compared(f"{what}: the best, {best.name}", best, clear, Target(0.6), goal=11),
        *(Row.compared(f"{what}: {side.name}", side, clear) for side in sides),
    ]
    loop, tls_loop = rounds[LOOP], rounds[TLS_LOOP]
    pair.rows.append(Row.compared(f"{what}: the ceiling, {TLS_LOOP}", tls_loop, loop))
    pair.figures = rounds.others(clear, *sides, loop, tls_loop)
