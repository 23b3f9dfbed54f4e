"""A small run with much that can differ between runs: aiohttp on both sides, WebSockets, kills, sets of tasks."""

import asyncio
from typing import NamedTuple

import aiohttp
from aiohttp import web

from tests.simulation.processes import Process, Simulation


class Sample(NamedTuple):
    """What a run was like."""

    digest: str
    steps: int
    answers: int
    failures: int


def run_sample(seed: int) -> Sample:
    """Let five clients send requests and messages to a server that is killed and started again."""
    with Simulation(seed) as simulation:
        return simulation.run(_main(simulation))


async def _main(simulation: Simulation) -> Sample:
    chance = simulation.chance
    answers: list[str] = []
    failures: list[str] = []
    await _serve(simulation, simulation.process("door"))
    processes = [simulation.process(f"client-{number}") for number in range(5)]
    clients = {each.spawn(_use(simulation, each, answers, failures), each.name) for each in processes}
    await asyncio.sleep(chance.uniform(0.02, 0.1))
    simulation.processes["door"].kill()
    simulation.network.stall("client-1", "door", 0.05)
    await asyncio.sleep(chance.uniform(0.0, 0.02))
    await _serve(simulation, simulation.process("door"))
    done, _ = await asyncio.wait(clients)
    for each in done:  # in the order of the set
        simulation.trace("client", name=each.get_name(), result=each.result())
    return Sample(simulation.digest, simulation.steps, len(answers), len(failures))


async def _serve(simulation: Simulation, process: Process) -> None:
    async def count(request: web.Request) -> web.Response:
        body = await request.read()
        async with asyncio.timeout(1.0), asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(asyncio.sleep(process.chance.random() * 0.01))
        return web.Response(text=str(len(body)))

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    async def start() -> None:
        application = web.Application()
        application.router.add_post("/count", count)
        application.router.add_get("/echo", echo)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        assert runner.server is not None
        simulation.network.listen(process, "door:80", runner.server)

    await process.spawn(start(), "start")


async def _use(simulation: Simulation, process: Process, answers: list[str], failures: list[str]) -> int:
    async with aiohttp.ClientSession() as http:
        for number in range(8):
            try:
                async with http.post(
                    "http://door/count", data=b"x" * process.chance.randrange(5000)
                ) as answer:
                    answers.append(await answer.text())
                async with http.ws_connect("http://door/echo") as socket:
                    await socket.send_str(str(number))
                    answers.append(str((await socket.receive()).data))
            except aiohttp.ClientError as error:
                failures.append(type(error).__name__)
                await asyncio.sleep(0.01)
    return len(answers)
