"""Figures that tests measure, shown at the end of a run; parallel workers attach them to the reports of their tests.

note("faults", "a primary that is killed: 0.4 s without receipts")
add("simulation", nights=1, steps=9210)
"""

from collections import Counter
from collections.abc import Iterable

PROPERTY = "measured"
SUM = "added"
_noted: list[tuple[str, str]] = []
_added: dict[str, Counter[str]] = {}


def note(section: str, line: str) -> None:
    """Show a line in a section at the end of the run. To be called while a test runs."""
    _noted.append((section, line))


def add(section: str, **figures: float) -> None:
    """Add to the figures of a section, whose sums over all tests are shown at the end of the run."""
    sums = _added.setdefault(section, Counter())
    for name, figure in figures.items():
        sums[name] += figure  # type: ignore[assignment]  # a Counter also counts in fractions


def sums_of(added: Iterable[tuple[str, dict[str, float]]]) -> dict[str, str]:
    """Return the sums of figures that were added, one line for each section."""
    sums: dict[str, dict[str, float]] = {}
    for section, figures in added:
        so_far = sums.setdefault(section, {})
        for name, figure in figures.items():
            so_far[name] = so_far.get(name, 0) + figure
    return {
        section: ", ".join(f"{figure:.0f} {name.replace('_', ' ')}" for name, figure in figures.items())
        for section, figures in sums.items()
    }


def take() -> list[tuple[str, object]]:
    """Return what was noted since the last call, as properties of a test's report."""
    taken: list[tuple[str, object]] = [(PROPERTY, each) for each in _noted]
    taken += [(SUM, (section, dict(figures))) for section, figures in _added.items()]
    _noted.clear()
    _added.clear()
    return taken
