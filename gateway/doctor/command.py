"""The command `valgnatt doctor`: gather facts, check them, show the findings."""

from collections.abc import Sequence

import orjson
from rich.text import Text

from gateway.characters import printable
from gateway.config import Config
from gateway.doctor.checks import findings_of
from gateway.doctor.doors import Addresses
from gateway.doctor.findings import Finding, document
from gateway.doctor.gather import gather
from gateway.humanize import counted
from gateway.output import say_json
from gateway.redaction import without_passwords
from gateway.terminal import Terminal

_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


async def doctor(config: Config, addresses: Addresses, *, as_json: bool) -> int:
    """Check everything and show the findings; return 1 if there is an error, else 0."""
    findings = findings_of(await gather(config, addresses))
    if as_json:
        say_json(orjson.loads(without_passwords(orjson.dumps(document(findings)).decode())))
    else:
        _show(findings)
    return 1 if any(each.level == "error" for each in findings) else 0


def _show(findings: Sequence[Finding]) -> None:
    console = Terminal(soft_wrap=True)
    for finding in findings:
        line = Text(f"{finding.level:<8}", style=_STYLES[finding.level])
        seen = printable(without_passwords(f"{finding.check}: {finding.seen}"))
        console.print(line + Text(seen, style="default"))
        if finding.do:
            console.say(f"         → {without_passwords(finding.do)}")
    totals = document(findings)
    summary = f"{counted(totals['errors'], 'error')}, {counted(totals['warnings'], 'warning')}"
    console.print(summary, style="bold")
