"""What tests of faults measured is told at the end, also where all is well."""

import pytest

from tests.faults.night import told


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if told:
        terminalreporter.section("faults: what was measured")
        for line in told:
            terminalreporter.write_line(line)
