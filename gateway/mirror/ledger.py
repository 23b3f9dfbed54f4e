"""Which immutable files each step writes, which of them `live.json` names, and which may be removed. PURE.

A step leads every profile in which something has changed to a new state: by a delta from the step before it, for
readers that are connected, by a delta from ANCHOR_S ago, for those that were away for a moment, and by a delta from the
newest snapshot, or else a new snapshot, for all others. So a reader needs three files at most.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from math import inf
from typing import NamedTuple

from gateway.mirror.files import NDJSON, StoredFile
from gateway.mirror.state import ShownArea, View
from gateway.wire.events import block_json
from gateway.wire.mirror import (
    AREA_PROFILES_WITH_STEPS_MAX,
    COUNTRY,
    DEFAULT,
    FORMAT,
    STEPS_MAX,
    Live,
    Profile,
    delta_path,
    snapshot_path,
)

ANCHOR_S = 90.0
"""Seconds since the moment from which the second delta leads; a browser runs timers of hidden pages once a minute. It
leads from the first of the steps instead if that is earlier, or if it would be larger than half of a snapshot."""
SNAPSHOT_MOST_S, SNAPSHOT_LEAST_S = 600.0, 30.0
"""A change makes a new snapshot when the newest one is SNAPSHOT_MOST_S old, or its delta is larger than half of it and
it is SNAPSHOT_LEAST_S old."""
KEPT_S = 600.0
"""For how many seconds a file is kept that is no longer named: readers and caches may have an old `live.json`."""
RETIRED_MAX = 100_000
"""Files remembered for removal: more than all profiles write in KEPT_S. Above that, the oldest are removed at once."""


class _Files(NamedTuple):
    """What was written of one profile."""

    at: int
    snapshot: int
    snapshot_at_s: float
    snapshot_bytes: int
    since: tuple[int, ...]
    steps: tuple[int, ...]
    reached: tuple[tuple[float, int], ...]
    """When the profile reached its states of the last ANCHOR_S seconds, and the one before."""


class Step(NamedTuple):
    """A new state of all profiles, prepared but not committed."""

    view: View
    files: tuple[StoredFile, ...]
    """To be stored before the `live.json` that names them."""
    profiles: Mapping[str, _Files]
    recent: tuple[str, ...]


class Ledger:
    """The immutable files of one history of one election. Invariants:

    * `live` names only files that were written by committed steps, or by the step that it is made for.
    * A file that is named, or was within KEPT_S, is never due for removal.
    * The files of a state are the same bytes however often the step is prepared.
    """

    def __init__(
        self,
        election: str,
        history: str,
        every_s: int,
        profiles: Mapping[str, Sequence[str]],
        *,
        rehearsal: bool = False,
        continued: Live | None = None,
        now_s: float = 0.0,
    ) -> None:
        """Begin a history, or continue at `now_s` of a steady clock that of `continued`, as it was read."""
        self._election = election
        self._history = history
        self._every_s = every_s
        self._areas = profiles
        self._rehearsal = rehearsal
        self._with_steps = len(profiles) <= AREA_PROFILES_WITH_STEPS_MAX + len((COUNTRY, DEFAULT))
        self._profiles: Mapping[str, _Files] = {}
        self._recent: tuple[str, ...] = ()
        self._prepared: Step | None = None
        self._retired: dict[str, float] = {}
        self.sequence = -1
        """Sequence of the last committed step; -1 before the first."""
        if continued is not None:
            self.sequence = continued.sequence
            self._recent = continued.recent
            self._profiles = {
                name: _continued(profile, now_s)
                for name, profile in continued.profiles.items()
                if name in profiles
            }

    def is_due(self, view: View) -> bool:
        """Whether a view is a new state: ahead of the last step, or the first one of a history."""
        return view.sequence > self.sequence

    def prepare(self, view: View, now_s: float) -> Step:
        """Return the step to a view that is due, at `now_s` of a steady clock. It counts once it is committed."""
        if self._prepared is not None:
            if self._prepared.view.sequence == view.sequence:
                return self._prepared
            self.retire((file.path for file in self._prepared.files), now_s)
        profiles, files = dict(self._profiles), dict[str, StoredFile]()
        for name, areas in self._areas.items():
            before = self._profiles.get(name)
            if before is None or view.areas[areas[0]].sequence > before.at:
                profiles[name] = self._advance(name, before, view, now_s, files)
        for path in files:
            self._retired.pop(path, None)
        # The cursor before the first publication is that of every record, so it identifies none.
        recent = (*self._recent, view.cursor)[-STEPS_MAX:] if view.sequence else ()
        self._prepared = Step(view, tuple(files.values()), profiles, recent)
        return self._prepared

    def commit(self, step: Step, now_s: float) -> None:
        """Take note that a step and its `live.json` were written."""
        before = set(self._named(self._profiles))
        self._profiles, self._recent = step.profiles, step.recent
        self.sequence = step.view.sequence
        self._prepared = None
        self.retire(before - self.named(), now_s)

    def live(
        self,
        view: View,
        step: Step | None,
        *,
        written_at: datetime,
        documents: int,
        ranges: int,
        closed_at: datetime | None = None,
    ) -> Live:
        """Return the `live.json` after `step`, or after the last one again. `view` is the newest state."""
        newest = view if step is None else step.view
        assert step is not None or view.sequence == self.sequence
        return Live(
            format=FORMAT,
            election=self._election,
            history=self._history,
            sequence=newest.sequence,
            chain=newest.chain,
            cursor=newest.cursor,
            published_at=newest.published_at,
            written_at=written_at,
            every_s=self._every_s,
            recent=self._recent if step is None else step.recent,
            documents=min(documents, newest.sequence),
            ranges=ranges,
            holds=view.holds,
            profiles={
                name: _shown(files)
                for name, files in (self._profiles if step is None else step.profiles).items()
            },
            closed_at=closed_at,
        )

    def named(self) -> set[str]:
        """Return the paths of all immutable files that the last `live.json` names."""
        return set(self._named(self._profiles))

    def retire(self, paths: Iterable[str], now_s: float) -> None:
        """Take note of files that no `live.json` names, or none does any longer."""
        for path in paths:
            self._retired.pop(path, None)
            self._retired[path] = now_s + KEPT_S

    def take_removable(self, now_s: float) -> list[str]:
        """Return the files that may be removed now, each once."""
        above = len(self._retired) - RETIRED_MAX
        found: list[str] = []
        for path, due_s in self._retired.items():  # in the order in which they are due
            if due_s > now_s and len(found) >= above:
                break
            found.append(path)
        for path in found:
            del self._retired[path]
        kept = self.named() | {file.path for file in (self._prepared.files if self._prepared else ())}
        return [path for path in found if path not in kept]

    def _named(self, profiles: Mapping[str, _Files]) -> Iterator[str]:
        for name, files in profiles.items():
            yield snapshot_path(self._election, self._history, name, files.snapshot)
            for one, other in (*pairwise(files.steps), *((each, files.at) for each in files.since)):
                yield delta_path(self._election, self._history, name, one, other)

    def _advance(
        self, name: str, before: _Files | None, view: View, now_s: float, files: dict[str, StoredFile]
    ) -> _Files:
        """Return what is written of a profile that has changed, and add its files."""
        areas = [view.areas[area] for area in self._areas[name]]
        at = view.sequence

        def add(path: str, shown: Sequence[ShownArea], *, snapshot: bool) -> None:
            files.setdefault(path, self._file(path, shown, view, snapshot=snapshot))

        if before is None or self._wants_snapshot(before, areas, now_s):
            add(snapshot_path(self._election, self._history, name, at), areas, snapshot=True)
            snapshot, snapshot_at_s, snapshot_bytes = at, now_s, _size(areas)
        else:
            snapshot, snapshot_at_s, snapshot_bytes = before[1:4]
        if before is None:
            return _Files(at, snapshot, snapshot_at_s, snapshot_bytes, (), (), ((now_s, at),))
        reached = _since_anchor((*before.reached, (now_s, at)), now_s)
        steps = (*(before.steps or (before.at,)), at)[-STEPS_MAX:] if self._with_steps else ()
        anchor = reached[0][1]
        if steps and (
            steps[0] < anchor or 2 * _size(area for area in areas if area.sequence > anchor) > snapshot_bytes
        ):
            anchor = steps[0]
        since = (anchor,) if snapshot in (anchor, at) else (anchor, snapshot)
        for first in {*since, *steps[-2:-1]}:
            path = delta_path(self._election, self._history, name, first, at)
            add(path, [area for area in areas if area.sequence > first], snapshot=False)
        return _Files(at, snapshot, snapshot_at_s, snapshot_bytes, since, steps, reached)

    def _wants_snapshot(self, before: _Files, areas: Sequence[ShownArea], now_s: float) -> bool:
        age_s = now_s - before.snapshot_at_s
        if age_s >= SNAPSHOT_MOST_S:
            return True
        changed = _size(area for area in areas if area.sequence > before.snapshot)
        return age_s >= SNAPSHOT_LEAST_S and 2 * changed > before.snapshot_bytes

    def _file(self, path: str, shown: Sequence[ShownArea], view: View, *, snapshot: bool) -> StoredFile:
        last = block_json(
            view.sequence,
            view.chain,
            view.published_at,
            snapshot=snapshot,
            areas=len(shown),
            rehearsal=self._rehearsal,
            holds=view.holds,
            server_time=view.server_time,
        )
        return StoredFile(path, b"\n".join([*(area.raw for area in shown), last, b""]), NDJSON, None)


def _size(areas: Iterable[ShownArea]) -> int:
    return sum(len(area.raw) for area in areas)


def _since_anchor(reached: Sequence[tuple[float, int]], now_s: float) -> tuple[tuple[float, int], ...]:
    """Return the states from the last one that was reached ANCHOR_S ago, or from the first one known."""
    old = sum(1 for at_s, _ in reached if at_s <= now_s - ANCHOR_S)
    return tuple(reached[max(0, old - 1) :])


def _shown(files: _Files) -> Profile:
    return Profile(files.at, files.snapshot, files.since, files.steps)


def _continued(profile: Profile, now_s: float) -> _Files:
    """Return what an earlier process wrote of a profile. Its times are not known, so a change makes a new snapshot."""
    earlier = ((-inf, profile.since[0]),) if profile.since else ()
    return _Files(
        profile.at, profile.snapshot, -inf, 0, profile.since, profile.steps, (*earlier, (now_s, profile.at))
    )
