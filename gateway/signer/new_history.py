"""Start a new history of an election: a restore lost entries that had been signed, and nobody has a copy of them.

The opening entry of the new history names the last checkpoint of the one before, so nobody can overlook it.
"""

from base64 import b64encode
from collections.abc import Callable, Sequence

from gateway.config import Config
from gateway.election.log_record import LogHead, SignedCheckpoint
from gateway.errors import ElectionUnknown, Refused
from gateway.journal.administration import administration
from gateway.journal.connection import open_pool
from gateway.journal.log import CHECKPOINTS_MAX
from gateway.journal.signing import SigningJournal
from gateway.signer.directory import NOTHING_SIGNED, SignDirectory, SignDirUnusable
from gateway.signer.log_signer import is_signed_by
from gateway.signer.rounds import PAGE
from gateway.signer.service import database_of, directory_of
from gateway.signer.steps import Signed
from gateway.transparency.ed25519 import SigningKey
from gateway.transparency.entries import Previous, parse_opening
from gateway.transparency.origins import Origin
from gateway.transparency.tree import Tree


async def start_history(
    config: Config, owner_url: str, author: str, election: str, reason: str, on_wait: Callable[[str], None]
) -> SigningKey:
    """Create the key of the next history, write its opening entry, and return the key. Idempotent until it is signed.

    Raises Refused if the record has everything that was signed, and what administrative acts raise.
    """
    directory = directory_of(config)
    with directory.locked():
        async with open_pool(database_of(config), signer=True, max_size=1) as pool:
            previous = await _previous(SigningJournal(pool), directory, election)
        rehearsal, history = previous[1], previous[2] + 1
        log = directory.origin(election, history, rehearsal=rehearsal)
        keys = directory.keys(log).signing
        unused = bool(keys) and directory.state(log) == NOTHING_SIGNED
        key = keys[0] if unused else directory.create(log)
        async with administration(
            owner_url, author, on_wait=on_wait, require_standby=config.require_standby
        ) as acts:
            await acts.start_history(election, previous[0], reason)
    return key


async def _previous(
    journal: SigningJournal, directory: SignDirectory, election: str
) -> tuple[Previous, bool, int]:
    """Return the last checkpoint of the newest history, whether it is a rehearsal, and its number."""
    logs = [head for head in await journal.logs.heads() if head.id == election]
    if not logs:
        raise ElectionUnknown(f"{election} is not opened")
    head = logs[-1]
    rehearsal = parse_opening(head.opening).rehearsal
    log = directory.origin(election, head.history, rehearsal=rehearsal)
    tree, stored = await _tree(journal, head), await _checkpoints(journal, head)
    known = _known(directory, log, stored)
    checkpoints = [Signed(each.size, each.root) for each in stored]
    last = max(
        [*checkpoints, *([known] if known is not None else [])], key=lambda each: each.size, default=None
    )
    if last is None or last.size == 0:
        raise Refused(f"nothing of {election} was signed, so its history can go on")
    if known is not None and last.size <= tree.size and tree.root(last.size) == last.root:
        raise Refused(f"the record of {election} has everything that was signed, so its history can go on")
    shared = [
        each.size for each in checkpoints if each.size <= tree.size and tree.root(each.size) == each.root
    ]
    reports = tree.size - 1 - (head.closing is not None)
    previous = Previous(
        origin=head.origin or str(log),
        root=b64encode(last.root).decode(),
        shared=min(max(shared, default=1) - 1, reports),
        size=last.size,
    )
    return previous, rehearsal, head.history


def _known(directory: SignDirectory, log: Origin, stored: Sequence[SignedCheckpoint]) -> Signed | None:
    """Return what was signed last; None if the directory does not know, which is why a new history is needed."""
    try:
        keys, known = directory.keys(log), directory.state(log).signed
    except SignDirUnusable:
        return None
    if stored and not is_signed_by(keys, log, stored[-1]):
        return None  # not the directory that signed it, such as one with a key that was created in its place
    return known


async def _tree(journal: SigningJournal, head: LogHead) -> Tree:
    """Return the tree of the present record."""
    tree, sequence = Tree(), 0
    tree.append(head.opening)
    while page := await journal.record.publications(head.key, sequence, PAGE):
        for each in page:
            tree.append(each.body)
        sequence = page[-1].sequence
    if head.closing is not None:
        tree.append(head.closing)
    return tree


async def _checkpoints(journal: SigningJournal, head: LogHead) -> list[SignedCheckpoint]:
    found: list[SignedCheckpoint] = []
    while page := await journal.logs.checkpoints(head.key, head.history, found[-1].size if found else 0):
        found += page
        if len(page) < CHECKPOINTS_MAX:
            break
    return found
