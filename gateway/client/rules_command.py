"""The commands `valgnatt rules show` and `set`: the rules of an election at the push door."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from gateway.client.documents import read_document
from gateway.client.hold_command import OperatorOptions, confirm, operator_door
from gateway.client.holds_report import sender_name
from gateway.client.http_json import NoDocument
from gateway.humanize import counted
from gateway.output import say_json
from gateway.terminal import Terminal
from gateway.wire.holds import PolicyDocument

MOST_OPEN = "most_open"
VIOLATIONS_MAX = 20
"""Mistakes of a policy that are shown."""


async def show_rules(options: OperatorOptions, *, as_json: bool) -> None:
    """Show the rules as they are applied now. Raises GatewayError."""
    async with operator_door(options) as door:
        document = await door.get("/rules")
    if as_json:
        say_json(document)
        return
    policy = read_document(document, PolicyDocument, options.push_url)
    console = Terminal()
    console.say(origin_of(policy), "bold")
    console.print(rules_table(policy.rules))
    console.say(f"{policy.rules.get(MOST_OPEN)} reports are held at the same time at most.")


async def set_rules(options: OperatorOptions, rules: object, *, yes: bool) -> None:
    """Change the rules, after the person at the terminal has agreed. Raises GatewayError."""
    console = Terminal()
    async with operator_door(options) as door:
        before = read_document(await door.get("/rules"), PolicyDocument, options.push_url)
        console.say(f"{before.election}: {origin_of(before)}")
        if isinstance(rules, dict) and (unnamed := only_warning(before.rules, rules)):
            console.say(
                f"Not in the file, so that they only warn from now on: {', '.join(unnamed)}.", "yellow"
            )
        confirm("Change the rules?", yes=yes)
        try:
            document = await door.send("PUT", "/rules", {"rules": rules})
        except NoDocument as error:
            for line in violation_lines(error.document):
                console.say(line, "bold red")
            raise
    after = read_document(document, PolicyDocument, options.push_url)
    lines = changes(before.rules, after.rules)
    for line in lines or ["nothing changed"]:
        console.say(line)
    if lines:
        console.say("In force now, for reports that arrive from now on.")


def origin_of(policy: PolicyDocument) -> str:
    """Return where the rules come from, as a sentence."""
    if policy.changed_at is None or policy.changed_by is None:
        return "The rules are those of the registry."
    return f"The rules were set at {policy.changed_at:%Y-%m-%d %H:%M:%S} UTC by {sender_name(policy.changed_by)}."


def rules_table(rules: Mapping[str, Any]) -> Table:
    """Return a table of the rules, what each does, and its thresholds."""
    table = Table(box=None, header_style="dim")
    for name in ("rule", "does", "thresholds"):
        table.add_column(name)
    for code, setting in rules.items():
        if isinstance(setting, dict):
            thresholds = ", ".join(f"{name} {_value(each)}" for name, each in setting.items() if name != "do")
            table.add_row(code, str(setting.get("do")), thresholds)
    return table


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return what differs between two policies, a line each."""
    return [
        f"{code}: {_differing(before.get(code), after.get(code))}"
        for code in dict.fromkeys([*before, *after])
        if before.get(code) != after.get(code)
    ]


def only_warning(before: Mapping[str, Any], rules: Mapping[str, Any]) -> list[str]:
    """Return the rules that hold reports, and only warn once `rules` are set, which do not name them."""
    return [
        code
        for code, setting in before.items()
        if isinstance(setting, dict) and setting.get("do") == "hold" and code not in rules
    ]


def violation_lines(document: Mapping[str, Any] | None) -> list[str]:
    """Return the mistakes that an answer names."""
    found = (document or {}).get("violations")
    violations = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    lines = [f"{each.get('path')}: {each.get('detail')}" for each in violations[:VIOLATIONS_MAX]]
    more = len(violations) - VIOLATIONS_MAX
    return [*lines, f"… and {counted(more, 'more mistake')}"] if more > 0 else lines


def _differing(before: Any, after: Any) -> str:
    """Return two values of a policy; of two settings of a rule, the members that differ."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return f"{_value(before)} → {_value(after)}"
    return ", ".join(
        f"{'' if name == 'do' else f'{name} '}{_value(before.get(name))} → {_value(after.get(name))}"
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    )


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name} {_value(each)}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
