"""The process that reads one file with counts for the push door, and ends: `python -m gateway.web.count_reader`.

Files come from people, and reading one takes as long as the file wants: up to many seconds of computing, during which
Python runs nothing else in the same process. So each is read in a process of its own, with limits on its memory and its
computing time, at a lower priority than the door. It opens no file and no connection; what it needs arrives on its
standard input (`count_task`).
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
from gateway.election.registry import read_registry
from gateway.election.validation import Scope
from gateway.inspection import forbid_inspection
from gateway.web.count_task import CPU_S, LENGTH, MEMORY_MAX, Current, Done, Failed, Reply, Task, Wanted

NICENESS = 10
OOM_SCORE = "1000"
"""If memory runs out, the kernel ends a reader first. Source: Linux, proc(5), /proc/pid/oom_score_adj."""
NAME = "file"
"""The file's name without its extension; its own name is not needed to read it."""


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
