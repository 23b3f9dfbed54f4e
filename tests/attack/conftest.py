"""The figures of a run, at its end."""

import pytest

from tests.attack.test_costs import FIGURES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what each kind of input cost."""
    if FIGURES:
        terminalreporter.section("attack: what was measured")
        terminalreporter.write_line("\n".join(FIGURES))
