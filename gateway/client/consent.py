"""Decide whether the reports of a command are sent: ask the person at the terminal, and enforce red lines.

`--yes` answers the usual question. Red lines require the typed word `yes` after their list, or `--accept`. Both accept
only red lines that were listed, so a command with too many of them is not sent at all.
"""

import signal
import sys
from collections.abc import Callable, Sequence

from gateway.client.http_json import NoDocument
from gateway.client.preview import RED_LINES_MAX, holds, preview, red_lines, warnings
from gateway.count_files.comparison import Comparison
from gateway.count_files.findings import WITHOUT_REASON
from gateway.count_files.reports import Count, Mistakes
from gateway.election.report import REASONS
from gateway.errors import GatewayError
from gateway.humanize import counted
from gateway.terminal import Terminal

AGREEING = ("y", "yes", "j", "ja")
"""Answers that agree, in lower case."""


class RedLines(Mistakes):
    """Reports cross red lines that nobody accepted; `files` are those that have them. Nothing was sent."""

    code = "red_lines"


def check_red_lines(counts: Sequence[Count], comparisons: Sequence[Comparison], *, accept: bool) -> None:
    """Raise RedLines if reports cross red lines, unless they are accepted and all of them can be listed."""
    crossing = [each for each in comparisons if each.red_lines]
    if not crossing or (accept and len(crossing) <= RED_LINES_MAX):
        return
    files = frozenset[str]().union(
        *(count.version.files for count, each in zip(counts, comparisons, strict=True) if each.red_lines)
    )
    raise RedLines([*red_lines(comparisons), _advice(crossing)], files)


def _advice(crossing: Sequence[Comparison]) -> str:
    several = counted(len(crossing), "report")
    if len(crossing) > RED_LINES_MAX:
        return (
            f"{several} with red lines: more than {RED_LINES_MAX} cannot be accepted in one command; check whether"
            " this is the right file, or push the counts in smaller files"
        )
    return (
        f"{several} with red lines: correct the figures{_or_reasons(crossing)}; if they are right all the same,"
        " start the command again with --accept (--yes does not cover red lines)"
    )


def _or_reasons(crossing: Sequence[Comparison]) -> str:
    """Return the advice to enter a reason, if one of the red lines is crossed only without a reason."""
    needs_reason = any(finding.code in WITHOUT_REASON for each in crossing for finding in each.red_lines)
    return f", or enter the reason of a fall ({', '.join(REASONS)})" if needs_reason else ""


class Consent:
    """Asks the person at the terminal, if there is one, before reports are sent."""

    def __init__(self, console: Terminal, *, yes: bool, accept: bool) -> None:
        self._console = console
        self._yes = yes
        self._accept = accept

    def given(
        self,
        counts: Sequence[Count],
        comparisons: Sequence[Comparison],
        unanswered: GatewayError | None = None,
    ) -> bool:
        """Show what will be sent, warnings, what the gateway would hold, and red lines; return whether to send it.

        `unanswered` is the error because of which the reports can only be kept. Raises RedLines if there are red lines
        and no terminal to ask at, or too many to accept.
        """
        is_terminal = sys.stdin.isatty()
        for line in preview(comparisons):
            self._console.say(line)
        for line in warnings(comparisons):
            self._console.say(line, "yellow")
        for line in holds(comparisons):
            self._console.say(line, "yellow")
        crossing = [each for each in comparisons if each.red_lines]
        check_red_lines(counts, comparisons, accept=self._accept or is_terminal)
        for line in red_lines(comparisons):
            self._console.say(line, "bold red")
        if crossing and not self._accept:
            self._console.say(
                f"{counted(len(crossing), 'report')} with red lines. Check the figures{_or_reasons(crossing)}; if they"
                " are right all the same, type the word yes.",
                "bold",
            )
            return answer("Send all the same? [yes/N] ", ("yes", "ja"))
        if self._yes or not is_terminal:
            return True
        return answer(_question(len(counts), unanswered), AGREEING)


def _question(reports: int, unanswered: GatewayError | None) -> str:
    if unanswered is None:
        return "Send? [y/N] "
    passes = isinstance(unanswered, NoDocument) and not unanswered.failure.permanent
    then = "and send when the gateway answers" if passes else "to be sent when this is corrected"
    return f"Keep {counted(reports, 'report')} in the outbox, {then}? [y/N] "


def answer(question: str, agreeing: Sequence[str], read: Callable[[str], str] = input) -> bool:
    """Ask a question. Ctrl-C ends the command at once; asyncio's handler would not interrupt `input`."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return read(question).strip().lower() in agreeing
    except (EOFError, UnicodeDecodeError):
        return False
    finally:
        signal.signal(signal.SIGINT, before)
