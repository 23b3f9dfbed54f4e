"""`valgnatt rules`: which reports are held, and what rules would have done in a past election."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.characters import printable
from gateway.commands.arguments import (
    OF_THIS_MACHINE,
    AsJsonLines,
    ElectionOption,
    FeedUrl,
    OperatorTokenFile,
    PushUrl,
)
from gateway.commands.holds import operator_options
from gateway.commands.running import fail, run
from gateway.output import say, say_json

RECOMMENDED = "recommended"
FILE_MAX = 64 << 10
"""Bytes of a file with rules."""


def show(
    election: ElectionOption = None,
    push_url: PushUrl = OF_THIS_MACHINE,
    feed_url: FeedUrl = OF_THIS_MACHINE,
    token_file: OperatorTokenFile = None,
    as_json: AsJsonLines = False,
) -> None:
    """Show the rules of an election as they are applied now."""
    from gateway.client.rules_command import show_rules

    run(show_rules(operator_options(push_url, feed_url, election, token_file), as_json=as_json))


def set_(
    rules: Annotated[
        str,
        typer.Argument(metavar="FILE|recommended", help="JSON as in the registry member `election.rules`"),
    ],
    election: ElectionOption = None,
    push_url: PushUrl = OF_THIS_MACHINE,
    feed_url: FeedUrl = OF_THIS_MACHINE,
    token_file: OperatorTokenFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask before changing the rules")] = False,
) -> None:
    """Change the rules of an election; needs an operator's token for the whole election.

    They apply to reports that arrive from now on. Reports that are held stay held until somebody decides. A rule that
    FILE does not name only warns. "rules try" shows what rules would have done in a past election.
    """
    from gateway.client.hold_command import NothingDecided
    from gateway.client.rules_command import set_rules

    document = read_rules(rules)
    options = operator_options(push_url, feed_url, election, token_file)
    try:
        run(set_rules(options, document, yes=yes))
    except NothingDecided as error:
        fail(f"{error}; nothing was changed", 2 if error.misused else 1)


def try_(
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="directory with registry.json and reports.ndjson or reports.ndjson.gz"
        ),
    ],
    rules: Annotated[
        str,
        typer.Option(
            metavar="FILE|recommended",
            help="the rules to try (default: those of the registry, or else recommended)",
            show_default=False,
        ),
    ] = "",
    as_json: AsJsonLines = False,
) -> None:
    """Replay a past election in memory, and show which reports rules would have held.

    Each report becomes the current one at once, as nobody decides. A report counts as corrected later if a later one of
    its unit took back what it had changed. Thresholds for another country come from such trials.
    """
    from gateway.election.registry_reading import read_registry
    from gateway.errors import MalformedPolicy, MalformedRegistry
    from gateway.rehearsal.dataset import REPORTS, DataSet, DataSetError
    from gateway.rehearsal.rules_trial import Trial, finding_document

    try:
        data = DataSet.open(directory, [REPORTS])
        registry = read_registry(data.registry)
        named = bool(data.registry["election"].get("rules"))
        chosen = read_rules(rules) if rules else None
        if chosen is not None:
            policy, origin = registry.read_policy(chosen), rules
        elif named:
            policy, origin = registry.policy, "those of the registry"
        else:
            policy, origin = registry.read_policy(RECOMMENDED), RECOMMENDED
        trial = Trial(registry, policy)
        trial.run(data.placed_reports())
    except (DataSetError, MalformedRegistry) as error:
        fail(printable(str(error)))
    except MalformedPolicy as error:
        for problem in error.problems:
            say(printable(problem), err=True)
        fail("correct the rules", 2)
    if as_json:
        for each in trial.findings:
            say_json(finding_document(each))
        return
    from gateway.rehearsal.rules_trial_report import finding_lines, rules_table, summary_of
    from gateway.terminal import Terminal

    console = Terminal()
    for line in summary_of(trial, origin):
        console.say(line)
    console.print(rules_table(trial))
    for line in finding_lines(trial, [each for each in trial.findings if each.holds]):
        console.say(line)


def read_rules(text: str) -> Any:
    """Return "recommended", or the document in a file; exit with status 2 if it cannot be read.

    The file may also be what `rules show --json` prints.
    """
    if text == RECOMMENDED:
        return text
    import json

    import orjson

    try:
        with Path(text).open("rb") as file:
            content = file.read(FILE_MAX + 1)
    except (OSError, ValueError) as error:
        fail(f"{printable(text)}: {getattr(error, 'strerror', None) or error}", 2)
    if len(content) > FILE_MAX:
        fail(f"{printable(text)}: larger than {FILE_MAX >> 10} KiB", 2)
    try:
        document = orjson.loads(content)  # strict
        json.loads(content, object_pairs_hook=_unrepeated)
    except orjson.JSONDecodeError as error:
        fail(f"{printable(text)}: not JSON: {error}", 2)
    except ValueError as error:
        fail(f"{printable(text)}: {error}", 2)
    shown = isinstance(document, dict) and {"election", "rules"} <= document.keys()
    return document["rules"] if shown else document


def _unrepeated(members: list[tuple[str, object]]) -> None:
    """Raise ValueError for a member that an object has twice: only one of them would be applied."""
    names = [name for name, _ in members]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the member {printable(name)} is repeated")
