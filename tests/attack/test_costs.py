"""Hostile input costs little more than honest input: CPU and memory per byte sent, and the latency of other clients."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.journal.embedded import EmbeddedPostgres
from gateway.rehearsal.generator import generate
from tests.attack import hostile
from tests.attack.cost import Cost, cost_of, workers
from tests.attack.hostile import Route, Target
from tests.counts import EXTENT
from tests.election.naive_seats import with_seats
from tests.measured import note
from tests.running import Gateway, served
from tests.signer.signing import signing
from tests.web.conftest import make_database
from tests.web.doors import COUNTRY, a_registry, shown, units_of, until

DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"
MEMORY_FLOOR = 32 << 20
"""Bytes of growth allowed in any case, for buffers and caches with bounds of their own."""
STALL_FLOOR_S = 0.05
"""CPU time that may pass while an honest request waits, in any case."""


class Bounds(NamedTuple):
    """How many times more hostile input may cost than honest input: CPU and memory per byte, and the longest wait."""

    honest: str
    cpu: float
    memory: float
    stall: float


def read_bounds() -> dict[str, Bounds]:
    """Return the table of the document by kind of hostile input."""
    section = DOCUMENT.read_text().partition("## What hostile input costs")[2].partition("\n##")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line[:1] == "|"
    ]
    return {row[0]: Bounds(row[1], *(float(cell.split()[0]) for cell in row[2:5])) for row in rows[2:]}


class Case(NamedTuple):
    """A hostile client, the port that it attacks, and the row of the table that bounds its cost."""

    name: str
    row: str
    port: str
    run: Callable[[Target], Awaitable[None]]
    route: str = ""
    frame: int | None = None


def routes() -> Iterator[tuple[str, str, str]]:
    """Return port, method and path of every route of the applications."""
    from tests.attack.applications import all_routes

    yield from all_routes()


PARAMETERS = "parameters of "
COMPRESSED = (
    "a hundred violations per report",
    "one report repeated",
    "deep JSON",
    "empty lines",
    "many gzip members",
    "compressed EML",
    "spreadsheet bomb",
    "packed decisions",
    "packed rules",
)


def cases() -> Iterator[Case]:
    """Return every case: bodies, frames, readers, and every route, with its parameters, and port."""
    for name, (route, run) in hostile.OF_BODIES.items():
        row = "compressed bodies" if name in COMPRESSED else "other bodies"
        yield Case(name, row, "push", run, route)
    for name, (opcode, run) in hostile.OF_FRAMES.items():
        yield Case(name, "frames", "push", run, f"GET {hostile.PUSH}", opcode)
    yield Case("WebSockets that open and close", "connections", "push", hostile.open_and_close_websockets)
    for name, (path, run) in hostile.OF_READERS.items():
        yield Case(name, "readers", "feed", run, f"GET {path}")
    for port in ("push", "feed", "admin"):
        for name, run in hostile.ANY_PORT.items():
            yield Case(f"{name}, {port}", "connections", port, run)
    for port, method, path in routes():
        if method == "HEAD":  # the handler of GET
            continue
        abused = Route(method, path)
        yield Case(f"{method} {path}, {port}", "requests", port, abused.abused, f"{method} {path}")
        if abused.queries():
            yield Case(f"{PARAMETERS}{path}", "readers", port, abused.queried, f"{method} {path}")


CASES = list(cases())
TOGETHER = 10
"""Routes that are measured as one client in `make test`."""


def measured(cases: list[Case]) -> Iterator[Case]:
    """Yield what is measured: in `make test`, routes together, a kind of frame once, and clients of any port on one."""
    if EXTENT == "full":
        yield from cases
        return
    ports = ("push", "feed", "admin")
    left_out = {
        f"{name}, {port}"
        for number, name in enumerate(hostile.ANY_PORT)
        for port in ports
        if port != ports[number % len(ports)]
    }
    first_of_frames = {case.frame: case for case in reversed(cases)}
    grouped = [case for case in cases if case.row == "requests" or case.name.startswith(PARAMETERS)]
    for case in cases:
        repeated = case.frame is not None and case is not first_of_frames[case.frame]
        if case not in grouped and case.name not in left_out and not repeated:
            yield case
    for row, port in itertools.product(("requests", "readers"), ports):
        alike = [case for case in grouped if (case.row, case.port) == (row, port)]
        for number in range(0, len(alike), TOGETHER):
            group = alike[number : number + TOGETHER]
            yield Case(f"{group[0].name} to {group[-1].name}", row, port, in_turn(group))


def in_turn(group: list[Case]) -> Callable[[Target], Awaitable[None]]:
    """Return a client that is some clients one after the other."""

    async def run(target: Target) -> None:
        for case in group:
            await case.run(target)

    return run


MEASURED = list(measured(CASES))
HONEST: dict[str, dict[str, Callable[[Target], Awaitable[None]]]] = {
    "push": {
        "one report per request": hostile.single_reports,
        "thousands of reports per request": hostile.full_requests,
        "one report per frame": hostile.frames_of_reports,
        "one request per connection": hostile.requests_on_new_connections,
        "many connections at once": hostile.many_at_once,
    },
    "feed": {
        "requests": hostile.read_areas,
        "one request per connection": hostile.requests_on_new_connections,
        "many connections at once": hostile.many_at_once,
    },
    "admin": {
        "requests": hostile.read_health,
        "one request per connection": hostile.requests_on_new_connections,
        "many connections at once": hostile.many_at_once,
    },
}
IDLE_S = 1.0
ATTACKED = "attacked"
"""The election that the hostile clients are for."""


async def idle(_: Target) -> None:
    """Send nothing."""
    await asyncio.sleep(IDLE_S)


class Attacked(NamedTuple):
    """A gateway, its processes and doors, and the cost of honest clients."""

    gateway: Gateway
    pids: dict[str, int]
    targets: dict[str, Target]
    honest: dict[str, dict[str, Cost]]
    idle: dict[str, float]
    others: dict[str, Target]
    """The same doors, for an honest sender and reader of another election."""


@pytest.fixture(scope="module")
def attacked(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    """One worker per door and an election of some hundreds of units, measured with honest clients first.

    What they have reported is in a signed log.
    """
    keys = tmp_path_factory.mktemp("keys") / "sign"
    made = generate(seed=7, scale=0.15)
    with served(make_database(postgres), usual_start=True, valgresultat=ATTACKED) as gateway:

        async def prepare() -> Attacked:
            election = await gateway.load(with_seats(a_registry(made, id=ATTACKED)))
            sender = await gateway.issue(election, [COUNTRY])
            await shown(gateway, election)
            units = units_of(made)
            areas = [each["id"] for each in made.registry["areas"] if each["id"] not in set(units)]
            urls = {"push": gateway.push_url, "feed": gateway.feed_url, "admin": gateway.admin_url}
            targets = {
                name: Target(int(url.rpartition(":")[2]), sender, units, areas) for name, url in urls.items()
            }
            other = await gateway.issue(await gateway.load(a_registry(made)), [COUNTRY])
            await shown(gateway, other.election)
            others = {name: Target(target.port, other, units, areas) for name, target in targets.items()}
            attacked = Attacked(gateway, workers(gateway), targets, {}, {}, others)
            for port, clients in HONEST.items():
                cost = await cost_of(attacked.pids[port], targets[port], idle)
                attacked.idle[port] = cost.cpu_s / IDLE_S
                for name, run in clients.items():
                    await run(targets[port])  # warm up: imports and caches are not the cost of a request
                    cost = await cost_of(attacked.pids[port], targets[port], run, attacked.idle[port])
                    attacked.honest.setdefault(port, {})[name] = cost
                    note("attack", figure(f"honest, {port}: {name}", cost))
            async with signing(gateway.database, keys, live=[ATTACKED]) as signed:
                await signed.wait_covered(ATTACKED)
                await shown_signed(gateway, ATTACKED)
            return attacked

        yield asyncio.run(prepare())


async def shown_signed(gateway: Gateway, election: str) -> None:
    """Wait until the feed process shows a checkpoint that covers the reports."""
    name = f'valgnatt_log_size{{process="feed-0",election="{election}"}}'

    async def covered() -> bool:
        return (await gateway.metrics()).get(name, 0) > 512

    await until(covered)


def figure(name: str, cost: Cost) -> str:
    """Return a line of figures."""
    return (
        f"{name:<70.70} {cost.sent:>10} B {cost.cpu_s:>7.3f} s CPU {cost.cpu_us_per_kb:>9.0f} us/kB"
        f" {cost.memory >> 10:>8} KiB memory {cost.memory_per_byte:>7.1f} B/B {1000 * cost.stall_s:>7.1f} ms waited"
    )


async def statuses_until(ended: asyncio.Future[Cost], other: Target, port: str) -> set[int]:
    """Send requests of another client on new connections until the attack ends; return the statuses."""
    statuses: set[int] = set()
    while not ended.done():
        body = hostile.as_line(other.report()) if port == "push" else b""
        request = {
            "push": other.request("POST", other.path(hostile.REPORTS), body, Content_Type="application/json"),
            "feed": other.request("GET", other.path(hostile.AREA)),
            "admin": other.request("GET", "/health/ready"),
        }[port]
        statuses.update(await hostile.ask_on_new_connections(other, [request]) or [0])
        await asyncio.wait({ended}, timeout=0.1)
    return statuses


@pytest.mark.long
@pytest.mark.parametrize("case", MEASURED, ids=[case.name for case in MEASURED])
async def test_hostile_input_costs_little_more_than_honest_input(attacked: Attacked, case: Case) -> None:
    """Per byte sent, in CPU and memory, and in the CPU time that passes while an honest request waits.

    Other clients that push or read meanwhile are served.
    """
    pid, target = attacked.pids[case.port], attacked.targets[case.port]
    running = asyncio.ensure_future(cost_of(pid, target, case.run, attacked.idle[case.port]))
    statuses = await statuses_until(running, attacked.others[case.port], case.port)
    cost = await running
    note("attack", figure(case.name, cost))
    assert cost.sent > 0
    assert statuses == {201 if case.port == "push" else 200}  # 0: no answer
    bounds = read_bounds()[case.row]
    honest = [
        clients[bounds.honest].cpu_us_per_kb
        for clients in attacked.honest.values()
        if bounds.honest in clients
    ]
    longest_s = max(each.stall_s for clients in attacked.honest.values() for each in clients.values())
    assert cost.cpu_us_per_kb <= bounds.cpu * max(honest)
    assert cost.memory <= max(MEMORY_FLOOR, bounds.memory * cost.sent)
    assert cost.stall_s <= max(STALL_FLOOR_S, bounds.stall * longest_s)
    assert not attacked.gateway.logged_errors()
