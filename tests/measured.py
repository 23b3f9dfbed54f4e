"""Figures that tests measure, shown at the end of a run; parallel workers attach them to the reports of their tests.

note("faults", "a primary that is killed: 0.4 s without receipts")
"""

PROPERTY = "measured"
_noted: list[tuple[str, str]] = []


def note(section: str, line: str) -> None:
    """Show a line in a section at the end of the run. To be called while a test runs."""
    _noted.append((section, line))


def take() -> list[tuple[str, object]]:
    """Return what was noted since the last call, as properties of a test's report."""
    taken: list[tuple[str, object]] = [(PROPERTY, each) for each in _noted]
    _noted.clear()
    return taken
