"""`python -m gateway.worker NAME FD`: one push or feed process of a machine, which the supervisor starts.

It does not import the command line: when a worker is replaced, its clients wait until the next one has started.
"""

import gc
import sys


def main() -> None:
    """Run the worker whose control line is the inherited descriptor FD; NAME is for process lists."""
    gc.set_threshold(20_000, 20, 50)  # imports create many objects and hardly any cycles
    from gateway.telemetry.structlog_import import import_structlog

    import_structlog()
    from gateway.commands.running import fail, run
    from gateway.errors import GatewayError
    from gateway.service import work

    _, _, fd = sys.argv
    try:
        sys.exit(run(work(int(fd))))
    except GatewayError as error:
        fail(str(error))


if __name__ == "__main__":
    from gateway.commands.running import end_process_after

    end_process_after(main)
