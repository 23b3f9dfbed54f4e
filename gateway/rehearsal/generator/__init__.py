"""Generate elections of realistic shape and any size, for demos, rehearsals and load tests.

The same seed and scale give the same election, byte for byte. Its shape (the number of units of each kind, the times of
reports, how often and how figures change) was measured in the Norwegian parliamentary election of 2025; its places,
parties and votes are invented.

    geography ─► counting ─► reports (lives: when; corrections: what changes) ─► errors ─► official

No report of it is held by the recommended rules, unless errors are asked for.

Its reports are kept as JSON (lines): there are a million in a hundred times Norway.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from gateway.rehearsal import dataset
from gateway.rehearsal.generator import geography
from gateway.rehearsal.generator.errors import add_errors, usual
from gateway.rehearsal.generator.lines import Lines
from gateway.rehearsal.generator.official import official_lines
from gateway.rehearsal.generator.reports import report_lines
from gateway.rehearsal.known_errors import KnownError, document

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
    errors: Sequence[KnownError] = ()
    """Errors among the reports, in the order of time."""


def generate(
    seed: int = 1, scale: float = 1.0, errors: Mapping[str, int] | bool = False
) -> GeneratedElection:
    """Generate the election of a seed with about `scale` × 3 486 units. Raises ValueError outside SCALES.

    With `errors`, it has about as many as a real one, or so many of each kind; see `generator.errors`. Areas, parties
    and the last figures of the municipalities are the same as without.
    """
    if not SCALES[0] <= scale <= SCALES[1]:
        raise ValueError(f"scale is {scale:g}, not between {SCALES[0]:g} and {SCALES[1]:g}")
    rng = Random(seed)  # noqa: S311 (repeatable, not secret)
    country = geography.build(rng, scale)
    lines = report_lines(rng, country)
    added: Sequence[KnownError] = ()
    if errors:
        wanted = usual(country) if errors is True else errors
        lines, added = add_errors(Random(f"errors of {seed}"), country, lines, wanted)  # noqa: S311 (as above)
    official = official_lines(rng, country, lines)
    return GeneratedElection(geography.registry(country, seed), lines, official, added)


def write_election(
    directory: str | Path, seed: int = 1, scale: float = 1.0, errors: Mapping[str, int] | bool = False
) -> GeneratedElection:
    """Generate an election and write it as a data set into `directory`, which is created if missing.

    Raises ValueError outside SCALES, DataSetError if the directory has anything in it, and OSError; then nothing was
    written.
    """
    dataset.require_empty(directory)
    election = generate(seed, scale, errors)
    listed = document(election.errors) if errors else None
    dataset.write(directory, election.registry, election.reports, election.official, listed)
    return election
