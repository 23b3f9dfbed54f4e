"""What a mirror of one election has done so far, and what fails, for logs and metrics."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import structlog

log = structlog.get_logger()


class Progress:
    """The state of the mirror of one election."""

    def __init__(self, election: str) -> None:
        self.election = election
        self.sequence = 0
        """Sequence of `live.json`."""
        self.written_at: datetime | None = None
        """When the state of the newest `live.json` was known to be the newest; None before there is one."""
        self.shown_at: datetime | None = None
        """`written_at` of the newest `live.json` in the target, which is later if the clock was set back."""
        self.steps = 0
        self.histories = 0
        self.last_step_s = 0.0
        """Seconds from the block of the last step to its `live.json`."""
        self.failures: dict[str, str] = {}
        """What fails now, and why: "feed", "steps", "documents" or "removal"."""
        self.received = 0
        """Sequence of the last block of the stream."""
        self.documents = 0
        """`documents` of `live.json`."""
        self.closed_at: datetime | None = None
        """`closed_at` of `live.json`: the election is complete in the mirror."""
        self.document_failures: Mapping[str, str] = {}
        """Which kinds of rewritten files fail now, and why."""
        self.observe_step: Callable[[float], None] = lambda _: None
        """Called with `last_step_s` after each step."""

    def later_than_shown(self, now: datetime) -> datetime:
        """Return the time for `written_at`: now, or the least later one than before if the clock was set back.

        Readers take a `live.json` with an earlier time for one of a cache that is late.
        """
        return now if self.shown_at is None else max(now, self.shown_at + timedelta(microseconds=1))

    def note(self, what: str, failure: str | None) -> None:
        """Take note that something fails, or works again. The first failure is logged, and the end of all."""
        if failure is None:
            if self.failures.pop(what, None) is not None:
                log.info("part of a mirror works again", election=self.election, part=what)
            return
        if what not in self.failures:
            log.warning("part of a mirror fails", election=self.election, part=what, reason=failure)
        self.failures[what] = failure
