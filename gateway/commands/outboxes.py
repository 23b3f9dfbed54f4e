"""`valgnatt push --list` and `--discard`: the reports waiting in the outbox."""

from pathlib import Path
from typing import NamedTuple

from gateway.commands.running import fail, run


class Asked(NamedTuple):
    """The options of `push` that these commands use."""

    outbox: Path
    feed_url: str | None
    election: str
    push_url: str
    token: str
    yes: bool


def list_or_discard(asked: Asked, *, units: str, as_list: bool, as_json: bool) -> None:
    """List the waiting reports, or remove those of `units`; exit with status 1 if none was removed."""
    from gateway.client.outbox_command import NotDiscarded, OutboxOptions, discard, list_outbox
    from gateway.client.push_files import destination

    if as_json and not as_list:
        fail("--json is for --list", 2)
    if as_list and units:
        fail("either --list or --discard", 2)
    options = OutboxOptions(asked.outbox, asked.feed_url)
    if as_list:
        run(list_outbox(options, asked.election or None, as_json=as_json))
        return
    if not asked.election:
        fail("no election given; use --election", 2)
    named = {unit.strip() for unit in units.split(",") if unit.strip()}
    to = destination(asked.push_url, asked.election)
    try:
        run(discard(options, to, named, asked.push_url, asked.token, yes=asked.yes))
    except NotDiscarded as error:
        fail(str(error))
