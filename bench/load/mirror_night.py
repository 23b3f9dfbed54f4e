"""A recorded election as a mirror writes it, in simulated time: every step, its files, and what readers request.

State and ledger are those of a mirror. The clock is that of the recording, and nothing takes time. So counts and sizes
are the same on every machine.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from bench.load.record import publications
from gateway.election.record import Publication
from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry
from gateway.election.state import ElectionState
from gateway.mirror.encoding import compressed
from gateway.mirror.history import REFRESH_S
from gateway.mirror.ledger import Ledger, Step
from gateway.mirror.profiles import profiles_of
from gateway.mirror.state import ShownArea, View
from gateway.rehearsal.dataset import DataSet
from gateway.wire.areas import area_json
from gateway.wire.cursors import format_cursor
from gateway.wire.mirror import Live, encode_live

NIGHT = timedelta(hours=6)
"""What is simulated, from the end of the embargo."""


class Moment(NamedTuple):
    """A step of the mirror, and everything until the next one."""

    at_s: float
    """Since 1970."""
    until_s: float
    """When the next step is, or the night ends."""
    view: View
    step: Step
    live: Live

    def refreshes(self, every_s: int) -> int:
        """Return how often `live.json` is written again before the next step, because time passes."""
        interval_s = max(REFRESH_S, every_s)
        return max(0, -int(-(self.until_s - self.at_s) // interval_s) - 1)


class MirrorNight:
    """One pass over the night of an election: iterate once over `moments`."""

    def __init__(self, dataset: DataSet, every_s: int, length: timedelta = NIGHT) -> None:
        self.registry: Registry = read_registry(dataset.registry)
        self.every_s = every_s
        self.profiles: Mapping[str, Sequence[str]] = profiles_of(self.registry)
        self.began_s = self.registry.publish_from.timestamp()
        self.ends_s = self.began_s + length.total_seconds()
        self.state = ElectionState(self.registry)
        self._publications: Sequence[Publication] = list(publications(dataset, self.registry))
        self._shown: dict[str, ShownArea] = {}
        history = f"{self.registry.publish_from.astimezone(UTC):%Y%m%dT%H%M%SZ}-01234567"
        self.ledger = Ledger(self.registry.id, history, every_s, self.profiles, now_s=self.began_s - every_s)

    def moments(self) -> Iterator[Moment]:
        """Yield the step before the end of the embargo, and then one for each interval in which something changed."""
        groups = [(self.began_s - self.every_s, list[Publication]()), *self._intervals()]
        for place, (at_s, group) in enumerate(groups):
            until_s = groups[place + 1][0] if place + 1 < len(groups) else self.ends_s
            before = self.state.sequence
            for each in group:
                self.state.apply(each)
            view = self._view(before, at_s)
            step = self.ledger.prepare(view, at_s)
            self.ledger.commit(step, at_s)
            written_at = datetime.fromtimestamp(at_s, UTC)
            live = self.ledger.live(view, None, written_at=written_at, documents=view.sequence, ranges=0)
            yield Moment(at_s, until_s, view, step, live)

    def _intervals(self) -> Iterator[tuple[float, list[Publication]]]:
        """Yield when the stream sends a block, at full intervals as it does, and what is published in it."""

        def sent_at_s(each: Publication) -> float:
            assert each.published_at is not None
            return -(-each.published_at.timestamp() // self.every_s) * self.every_s

        for at_s, group in groupby(self._publications, sent_at_s):
            if at_s < self.ends_s:
                yield at_s, list(group)

    def _view(self, before: int, at_s: float) -> View:
        state, areas = self.state, self.registry.areas
        indexes = state.changed_since(before, range(len(areas))) if self._shown else range(len(areas))
        changed = {
            areas[index].id: ShownArea(area_json(state, index), state.areas[index].sequence)
            for index in indexes
        }
        self._shown = self._shown | changed
        return View(
            state.sequence,
            state.chain.hex(),
            format_cursor(state.cursor()),
            state.published_at,
            0,
            datetime.fromtimestamp(at_s, UTC),
            self._shown,
        )


class Sizes:
    """Sizes of files as they are stored and served: compressed; each is compressed once."""

    def __init__(self) -> None:
        self._of: dict[str, int] = {}
        self.stored = 0
        """Bytes of the immutable files that are stored at the moment, and at most so far."""
        self.most_stored = 0
        self.written = 0
        """Bytes of all immutable files so far."""

    def note(self, moment: Moment, removed: Sequence[str]) -> None:
        """Take note of the files of a step, and of those that are removed after it."""
        for file in moment.step.files:
            size = self._of[file.path] = len(compressed(file.body))
            self.written += size
            self.stored += size
        for path in removed:
            self.stored -= self._of.pop(path, 0)
        self.most_stored = max(self.most_stored, self.stored)

    def of(self, path: str) -> int:
        """Return the bytes of a file that is stored."""
        return self._of[path]


def live_size(live: Live) -> int:
    """Return the compressed bytes of a `live.json`."""
    return len(compressed(encode_live(live)))
