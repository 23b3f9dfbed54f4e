"""Generate elections of realistic shape and any size, for demos, rehearsals and load tests.

The same seed and scale give the same election, byte for byte. Its shape (the number of units of each kind, the times of
reports, how often and how figures change) was measured in the Norwegian parliamentary election of 2025; its places,
parties and votes are invented.

    geography ─► counting ─► reports (lives: when; corrections: what changes) ─► errors ─► official
                                 └─► past: the previous election

No report of it is held by the recommended rules, unless errors are asked for.

Its reports are kept as JSON (lines): there are a million in a hundred times Norway.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from gateway.election.registry_reading import read_registry
from gateway.election.report import Report
from gateway.rehearsal import dataset
from gateway.rehearsal.generator import geography
from gateway.rehearsal.generator.errors import add_errors, usual
from gateway.rehearsal.generator.lines import Lines
from gateway.rehearsal.generator.official import official_lines
from gateway.rehearsal.generator.past import PastElection, past_of
from gateway.rehearsal.generator.reports import report_lines
from gateway.rehearsal.known_errors import KnownError, document
from gateway.rehearsal.previous_mapping import map_election
from gateway.rehearsal.previous_table import COLUMNS, Identifiers, read_table

PAST, MAP = "previous", "map.csv"
"""The directory of the previous election, within that of the new one, and the table there."""
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
    past: PastElection | None = None
    """The previous election."""

    def previous(self) -> dict[str, Any]:
        """Return the document of the previous election."""
        assert self.past is not None
        before, after = read_registry(self.past.registry), read_registry(self.registry)
        known = [Identifiers(each.by_id, each.party_codes) for each in (before, after)]
        table = read_table(MAP, table_text(self.past.table), *known)
        reports = {
            line["report"]["unit"]: msgspec.convert(line["report"], Report) for line in self.past.reports
        }
        return map_election(before, reports, after, table, "generated").document


def generate(
    seed: int = 1,
    scale: float = 1.0,
    errors: Mapping[str, int] | bool = False,
    *,
    past: bool = False,
) -> GeneratedElection:
    """Generate the election of a seed with about `scale` × 3 486 units. Raises ValueError outside SCALES.

    With `errors`, it has about as many as a real one, or so many of each kind; see `generator.errors`. Areas, parties
    and the last figures of the municipalities are the same as without. With `past`, it has a previous election.
    """
    if not SCALES[0] <= scale <= SCALES[1]:
        raise ValueError(f"scale is {scale:g}, not between {SCALES[0]:g} and {SCALES[1]:g}")
    rng = Random(seed)  # noqa: S311 (repeatable, not secret)
    country = geography.build(rng, scale)
    lines = report_lines(rng, country)
    then = past_of(seed, country, lines) if past else None
    added: Sequence[KnownError] = ()
    if errors:
        wanted = usual(country) if errors is True else errors
        lines, added = add_errors(Random(f"errors of {seed}"), country, lines, wanted)  # noqa: S311 (as above)
    official = official_lines(rng, country, lines)
    return GeneratedElection(geography.registry(country, seed), lines, official, added, then)


def write_election(
    directory: str | Path,
    seed: int = 1,
    scale: float = 1.0,
    errors: Mapping[str, int] | bool = False,
    *,
    past: bool = False,
) -> GeneratedElection:
    """Generate an election and write it as a data set into `directory`, which is created if missing.

    With `past`, the previous election is the data set PAST within it, with the table MAP of what became of its areas
    and parties; mapped to the new registry, it is a file of the data set.
    Raises ValueError outside SCALES, DataSetError if the directory has anything in it, and OSError; then nothing was
    written.
    """
    dataset.require_empty(directory)
    election = generate(seed, scale, errors, past=past)
    listed = document(election.errors) if errors else None
    with _removed_after_failure(Path(directory)):
        if election.past is not None:
            before = Path(directory) / PAST
            then = election.past
            dataset.write(before, then.registry, then.reports, then.official)
            (before / MAP).write_bytes(table_text(then.table))
            dataset.write_document(Path(directory) / dataset.PREVIOUS, election.previous())
        dataset.write(directory, election.registry, election.reports, election.official, listed)
    return election


@contextmanager
def _removed_after_failure(directory: Path) -> Iterator[None]:
    """Remove the files of a previous election, and the directory if it was created, after a failure."""
    created = not directory.exists()
    try:
        yield
    except BaseException:
        shutil.rmtree(directory / PAST, ignore_errors=True)
        (directory / dataset.PREVIOUS).unlink(missing_ok=True)
        if created:
            with suppress(OSError):
                directory.rmdir()
        raise


def table_text(rows: Iterable[tuple[str, str, str]]) -> bytes:
    """Return the table of what became of areas and parties as CSV."""
    return "".join(f"{','.join(row)}\n" for row in (COLUMNS, *rows)).encode()
