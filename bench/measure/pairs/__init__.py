"""The gateway and its peers: each pair side by side in one run on loopback, in alternating rounds."""

from collections.abc import Sequence

from bench.figures import Result, compared_document
from bench.measure import running
from bench.measure.pairs.options import Options

PAIRS = ("ingest", "http", "receipts", "fanout", "follow", "tls")
OF_GOALS = ("ingest", "http", "receipts", "fanout", "tls")
"""The pairs that have rows of goals."""
RESULTS = "peers.json"


def about(name: str) -> str:
    """Return in one line what a pair measures."""
    return running.about(running.module(__name__, name))


def measure_pairs(names: Sequence[str], options: Options) -> list[Result]:
    """Measure pairs one after the other; results are on disk after each."""
    modules = [(name, running.module(__name__, name)) for name in names]
    return running.run_all(modules, options, "python -m bench peers", lambda results: write(results, options))


def write(results: Sequence[Result], options: Options) -> None:
    """Write results into the output directory."""
    documents = [compared_document(each) for each in results]
    running.store(options.out / RESULTS, "pairs", documents, options)
