"""What `valgnatt doctor` shows."""

from collections.abc import Sequence

import orjson
from rich.text import Text

from gateway.characters import printable
from gateway.config import Config, without_passwords
from gateway.doctor.checks import findings_of
from gateway.doctor.findings import Finding, document
from gateway.doctor.gather import Addresses, gather
from gateway.output import say_json
from gateway.terminal import Terminal

_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


async def doctor(config: Config, addresses: Addresses, *, as_json: bool) -> int:
    """Look at everything and show it; return 1 where an error was found."""
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
    told = document(findings)
    console.print(f"{told['errors']} errors, {told['warnings']} warnings", style="bold")
