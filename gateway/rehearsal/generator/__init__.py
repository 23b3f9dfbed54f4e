"""Generate elections of realistic shape and any size, for demos, rehearsals and load tests.

The same seed and scale give the same election, byte for byte. Its shape (the number of units of each kind, the times of
reports, how often and how figures change) was measured in the Norwegian parliamentary election of 2025; its places,
parties and votes are invented.

    geography ─► counting ─► reports (lives: when; corrections: what changes) ─► official

Its reports are kept as JSON (lines): there are a million in a hundred times Norway.
"""

from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from gateway.rehearsal import dataset
from gateway.rehearsal.generator import geography
from gateway.rehearsal.generator.lines import Lines
from gateway.rehearsal.generator.official import official_lines
from gateway.rehearsal.generator.reports import report_lines

SCALES = (0.001, 100.0)
"""Range in which identifiers keep their form; a hundred times Norway is larger than India."""


@dataclass(frozen=True, slots=True)
class GeneratedElection:
    """An election, as the parts of a data set."""

    registry: dict[str, Any]
    reports: Lines
    """The lines of `reports.ndjson.gz`, in the order of `counted_at`."""
    official: list[dict[str, Any]]
    """The lines of `official.ndjson.gz`, in the order of `generated_at`."""


def generate(seed: int = 1, scale: float = 1.0) -> GeneratedElection:
    """Generate the election of a seed with about `scale` × 3 486 units. Raises ValueError outside SCALES."""
    if not SCALES[0] <= scale <= SCALES[1]:
        raise ValueError(f"scale is {scale:g}, not between {SCALES[0]:g} and {SCALES[1]:g}")
    rng = Random(seed)  # noqa: S311 (repeatable, not secret)
    country = geography.build(rng, scale)
    lines = report_lines(rng, country)
    return GeneratedElection(geography.registry(country, seed), lines, official_lines(rng, country, lines))


def write_election(directory: str | Path, seed: int = 1, scale: float = 1.0) -> GeneratedElection:
    """Generate an election and write it as a data set into `directory`, which is created if missing.

    Raises ValueError outside SCALES, DataSetError if the directory has anything in it, and OSError; then nothing was
    written.
    """
    dataset.require_empty(directory)
    election = generate(seed, scale)
    dataset.write(directory, election.registry, election.reports, election.official)
    return election
