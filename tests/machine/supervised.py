"""A supervised machine for tests, whose workers only report their names.

    python tests/machine/supervised.py supervise CONFIG MODE    runs `supervise`, prints the ports as a line of JSON
    python tests/machine/supervised.py MODE NAME FD             a worker

A worker listens on the port of its door, and on one of its own, which it reports. It obeys a line and then
answers its name: `name` at once, `ready` and `unready` after reporting it, `door` and `no door` when its door
is that, `stop` on the command to drain; `environ` and `config` after sending that, as JSON.

Modes: `good`; `broken` ends at its start, `mad` says nonsense to its supervisor, `stubborn` never ends by
itself.
"""

import asyncio
import os
import sys
from collections.abc import Callable

import msgspec
import uvloop

from gateway.config import Config
from gateway.config_values import decode_path
from gateway.machine import control
from gateway.machine.control import Control, supervised
from gateway.machine.ports import listen_socket
from gateway.telemetry import logs

METRICS = b"# HELP answers_total Told.\n# TYPE answers_total counter\nanswers_total 7\n"


async def until(fact: Callable[[], bool]) -> None:
    while not fact():  # noqa: ASYNC110 - of a fact that nobody announces
        await asyncio.sleep(0.002)


class Worker:
    def __init__(self, line: Control) -> None:
        self.line = line
        self.answering = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, word = self.line, (await reader.readline()).strip()
        self.answering += 1
        writer.write(b"heard\n")
        if word in (b"ready", b"unready"):
            line.set_ready(word == b"ready")
        elif word in (b"door", b"no door"):
            await until(lambda: line.door_ready == (word == b"door"))
        elif word == b"stop":
            await line.stop.wait()
        elif word == b"environ":
            writer.write(msgspec.json.encode(dict(os.environ)) + b"\n")
        elif word == b"config":
            writer.write(msgspec.json.encode(line.config, enc_hook=str) + b"\n")
        writer.write(f"{line.name}\n".encode())
        writer.close()
        await writer.wait_closed()
        self.answering -= 1


async def work(mode: str, fd: int) -> None:
    if mode == "mad":
        os.write(fd, b"nonsense\n")
    if mode == "stubborn":
        control.OVERDUE_S = 0.1
    async with supervised(fd) as line:
        worker = Worker(line)
        port = getattr(line.config, f"{line.role}_port")
        own = listen_socket("127.0.0.1", 0)
        for sock in (listen_socket(line.config.host, port), own):
            await asyncio.start_server(worker.answer, sock=sock)
        line.metrics = lambda: METRICS
        line.set_port(own.getsockname()[1])
        line.set_ready(True)
        await line.stop.wait()
        line.set_ready(False)
        await until(lambda: worker.answering == 0 and mode != "stubborn")


async def supervise(config: Config, mode: str) -> int:
    from gateway.machine.supervisor import Ports, supervise

    def started(ports: Ports) -> None:
        sys.stdout.write(msgspec.json.encode(ports).decode() + "\n")
        sys.stdout.flush()

    return await supervise(config, worker_command=[sys.executable, __file__, mode], on_started=started)


def main(first: str, *others: str) -> int | None:
    if first == "broken":
        return 3
    logs.configure(first, format="json")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if first == "supervise":
            config = msgspec.json.decode(others[0], type=Config, dec_hook=decode_path)
            return runner.run(supervise(config, mode=others[1]))
        runner.run(work(first, int(others[1])))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
