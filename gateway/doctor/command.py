"""What `valgnatt doctor` shows."""

import sys
from collections.abc import Sequence

import orjson
from rich.console import Console
from rich.text import Text

from gateway.config import Config, without_passwords
from gateway.doctor.checks import findings_of
from gateway.doctor.findings import Finding, document
from gateway.doctor.gather import Addresses, gather

_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


async def doctor(config: Config, addresses: Addresses, *, as_json: bool) -> int:
    """Look at everything and show it; return 1 where an error was found."""
    findings = findings_of(await gather(config, addresses))
    if as_json:
        sys.stdout.write(without_passwords(orjson.dumps(document(findings)).decode()) + "\n")
    else:
        _show(findings)
    return 1 if any(each.level == "error" for each in findings) else 0


def _show(findings: Sequence[Finding]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    for finding in findings:
        line = Text(f"{finding.level:<8}", style=_STYLES[finding.level])
        console.print(line + Text(without_passwords(f"{finding.check}: {finding.seen}"), style="default"))
        if finding.do:
            console.print(Text(f"         → {without_passwords(finding.do)}"))
    told = document(findings)
    console.print(f"{told['errors']} errors, {told['warnings']} warnings", style="bold")
