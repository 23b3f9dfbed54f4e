"""The process that reads one file with counts for the push door: `python -m gateway.web.count_reader`.

Reading a file may take many seconds of computing, depending on its content, and Python runs nothing else in the same
process meanwhile. So a separate process reads each file, with limits on memory and computing time, at a lower priority
than the door. It opens no file and no connection; its input arrives on standard input (`count_task`).
"""

import os
import resource
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec
import orjson

from gateway.count_files.preview import FileToPreview, mistakes_of_file
from gateway.count_files.reports import Mistakes
from gateway.election.registry_reading import read_registry
from gateway.election.validation import Scope
from gateway.inspection import forbid_inspection
from gateway.web.count_task import CPU_S, LENGTH, MEMORY_MAX, Current, Done, Failed, Reply, Task, Wanted

NICENESS = 10
OOM_SCORE = "1000"
"""If memory runs out, the kernel ends a reader first. Source: Linux, proc(5), /proc/pid/oom_score_adj."""
NAME = "file"
"""Used as the name of the file, before its extension; the real name is not needed."""


def main() -> None:
    """Read one file."""
    os.nice(NICENESS)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    forbid_inspection()  # the file may have counts before their time
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
    inlet, outlet = sys.stdin.buffer, sys.stdout.buffer
    try:
        _send(outlet, _read(inlet, outlet))
    except MemoryError:
        _send(outlet, Failed(too_large=True, trace=[]))
    except Exception as error:  # its text may repeat figures of the file, which do not belong in a log
        trace = [f"{each.filename}:{each.lineno}" for each in traceback.extract_tb(error.__traceback__)]
        _send(outlet, Failed(too_large=False, trace=[*trace, type(error).__name__]))


def _read(inlet: BinaryIO, outlet: BinaryIO) -> Done:
    task = msgspec.msgpack.decode(_receive(inlet), type=Task)
    name = NAME + task.extension
    try:
        registry = read_registry(orjson.loads(task.registry), stored=True)
        file = FileToPreview(name, task.content, registry, Scope(registry, task.areas))
        _send(outlet, Wanted(file.units))
        current = msgspec.msgpack.decode(_receive(inlet), type=Current)
        document, valid = msgspec.json.encode(file.preview(current, task.now)), True
    except Mistakes as error:
        document, valid = msgspec.json.encode(mistakes_of_file(name, error)), False
    return Done(document, valid, _cpu_s())


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _receive(inlet: BinaryIO) -> bytes:
    (length,) = LENGTH.unpack(inlet.read(LENGTH.size))
    return inlet.read(length)


def _send(outlet: BinaryIO, reply: Reply) -> None:
    message = msgspec.msgpack.encode(reply)
    outlet.write(LENGTH.pack(len(message)) + message)
    outlet.flush()


if __name__ == "__main__":
    main()
