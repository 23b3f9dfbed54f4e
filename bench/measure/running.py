"""Run measurements one after the other, each in a new event loop, and store the results after each."""

import asyncio
import importlib
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import uvloop

from bench.figures import Result, Skipped, Unavailable
from bench.load.environment import machine
from gateway.output import say


def about(module: ModuleType) -> str:
    """Return in one line what a module measures: its docstring after `name: `."""
    return (module.__doc__ or "").strip().splitlines()[0].partition(": ")[2]


def module(package: str, name: str) -> ModuleType:
    """Return the module of a measurement."""
    return importlib.import_module(f"{package}.{name}")


def run_all(
    modules: Sequence[tuple[str, ModuleType]],
    options: Any,
    command: str,
    store: Callable[[Sequence[Result]], object],
) -> list[Result]:
    """Run each module's `measure(options)`, as in `measured`."""
    results: list[Result] = []
    for name, each in modules:
        say(f"measuring {name} …", end=" ", err=True)
        results.append(_run(name, each, options, f"{command} {name}"))
        say(f"{results[-1].seconds:.1f} s", err=True)
        store(results)
    return results


def _run(name: str, each: ModuleType, options: Any, command: str) -> Result:
    started = time.monotonic()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(measured(name, each, options))
    result.seconds = time.monotonic() - started
    result.command = result.command or command
    return result


async def measured(name: str, each: ModuleType, options: Any) -> Result:
    """Run a module's `measure(options)`.

    What is unavailable on this machine is reported as skipped. Any other error makes the result invalid, so that what
    remains is measured nevertheless.
    """
    try:
        result: Result = await each.measure(options)
    except Unavailable as error:
        return Result(name, skipped=[Skipped.of(error)])
    except Exception as error:
        traceback.print_exc()
        return Result(name, invalid=[f"{type(error).__name__}: {error}"])
    return result


def store(path: Path, key: str, documents: Sequence[dict[str, object]], options: Any) -> None:
    """Write results as JSON, with the machine, the time and the options they were measured with."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "machine": machine(),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "options": msgspec.to_builtins(options, enc_hook=str),
        key: documents,
    }
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content)))
