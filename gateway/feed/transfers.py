"""PURE: the transfers of each municipality: how many reports are accepted and published, and their lag.

Also the age of the oldest report that is not published yet, and the last contact of the sender.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from gateway.election.record import Publication
from gateway.election.registry import Registry
from gateway.wire.transfers import Lag, Percentiles, Transfer, age_of_oldest

_GROWTH = 1.25
_FIRST_S = 0.0005
_BUCKETS = 75
"""0.5 ms to about 2 h in steps of 25 %, so a percentile is at most 25 % too high."""

_BOUNDS = tuple(_FIRST_S * _GROWTH**step for step in range(_BUCKETS))
_INNER_BOUNDS = _BOUNDS[:-1]
"""Those between two buckets: the last bucket has everything above."""


class LagHistogram:
    """Counts durations in geometric buckets; only non-empty buckets take memory."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        """Count a duration; one below the first bound, or a negative one (two clocks), counts as that bound."""
        bucket = bisect_left(_INNER_BOUNDS, seconds)
        counts = self._counts
        counts[bucket] = counts.get(bucket, 0) + 1

    def percentile(self, part: float) -> float | None:
        """Return the duration in seconds that a fraction `part` of all does not exceed; None if there are none."""
        total = sum(self._counts.values())
        wanted = part * total
        seen = 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= wanted:
                return round(_BOUNDS[bucket], 4)
        return None


class Backlog(NamedTuple):
    """The reports of one municipality in the journal, where some of them are not applied here yet."""

    accepted: int
    """All reports of the municipality, including those that are applied."""
    oldest_published_at: datetime
    last_accepted_at: datetime


class _Tally:
    __slots__ = ("applied", "last_accepted_at", "published", "receipt", "reported", "units", "written")

    def __init__(self) -> None:
        self.units = 0
        self.reported = 0
        self.published = 0
        self.last_accepted_at: datetime | None = None
        self.receipt = LagHistogram()
        self.applied = LagHistogram()
        self.written = LagHistogram()


class Transfers:
    """The transfers of one election by municipality, as seen by one feed process."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._units = registry.units
        self._by_area: dict[str, _Tally] = {}
        self._tallies: list[_Tally | None] = [None] * len(registry.areas)
        """By index of a unit, that of its municipality."""
        self._reported = bytearray(len(registry.areas))
        """By index of a unit, 1 if it has reported."""
        for unit in registry.units.values():
            municipality = registry.municipality(unit).id
            tally = self._by_area.get(municipality)
            if tally is None:
                tally = self._by_area[municipality] = _Tally()
            tally.units += 1
            self._tallies[unit.index] = tally

    def __contains__(self, municipality: str) -> bool:
        return municipality in self._by_area

    def municipality_of(self, unit: str) -> str:
        """Return the municipality of a unit."""
        return self._registry.municipality(self._units[unit]).id

    def published(self) -> dict[str, int]:
        """Return the number of applied publications per municipality."""
        return {municipality: transfer.published for municipality, transfer in self._by_area.items()}

    def applied(
        self, publications: Sequence[Publication], indexes: Sequence[int], lags_s: Sequence[float | None]
    ) -> None:
        """Record that publications were applied, and how long after they were published; None: they are history.

        `indexes` are those of their units.
        """
        tallies, reported = self._tallies, self._reported
        for publication, index, lag_s in zip(publications, indexes, lags_s, strict=True):
            tally = tallies[index]
            assert tally is not None
            tally.published += 1
            if not reported[index]:
                reported[index] = 1
                tally.reported += 1
            tally.last_accepted_at = accepted_at = publication.accepted_at
            if publication.held_since is None:  # otherwise it was placed long after its receipt
                tally.receipt.add((accepted_at - publication.received_at).total_seconds())
            if lag_s is not None:
                tally.applied.add(lag_s)

    def written(self, publications: Iterable[Publication], now: datetime) -> None:
        """Record that publications were written to the readers in step."""
        for publication in publications:
            transfer = self._tallies[self._units[publication.unit].index]
            assert transfer is not None
            transfer.written.add((now - publication.published_at).total_seconds())

    def unpublished(self, backlog: Mapping[str, Backlog], now: datetime) -> tuple[int, float]:
        """Return the number of reports that are public and not applied here, and the age of the oldest in seconds."""
        late = [
            (each.accepted - self._by_area[municipality].published, each.oldest_published_at)
            for municipality, each in backlog.items()
            if each.accepted > self._by_area[municipality].published
        ]
        if not late:
            return 0, 0.0
        oldest_at = min(published_at for _, published_at in late)
        return sum(count for count, _ in late), max(0.0, (now - oldest_at).total_seconds())

    def documents(
        self,
        backlog: Mapping[str, Backlog],
        contacts: Mapping[str, datetime],
        held: Mapping[str, datetime],
        now: datetime,
        only: str | None = None,
    ) -> list[Transfer]:
        """Return the transfer of each municipality (or of `only` one), in the order of the registry.

        `held` are the held units, and since when each has been held.
        """
        found = [only] if only is not None else list(self._by_area)
        times: dict[str, list[datetime]] = {}
        for unit, since in held.items():
            times.setdefault(self.municipality_of(unit), []).append(since)
        return [self._document(each, backlog.get(each), contacts, times.get(each, ()), now) for each in found]

    def _document(
        self,
        municipality: str,
        backlog: Backlog | None,
        contacts: Mapping[str, datetime],
        held: Sequence[datetime],
        now: datetime,
    ) -> Transfer:
        transfer = self._by_area[municipality]
        if backlog is not None and backlog.accepted <= transfer.published:
            backlog = None  # applied meanwhile
        last_accepted_at = backlog.last_accepted_at if backlog is not None else transfer.last_accepted_at
        waited = (
            max(0.0, (now - backlog.oldest_published_at).total_seconds()) if backlog is not None else None
        )
        return Transfer(
            municipality=municipality,
            name=self._registry.by_id[municipality].name,
            units=transfer.units,
            reported=transfer.reported,
            accepted=backlog.accepted if backlog is not None else transfer.published,
            published=transfer.published,
            embargoed=0,
            held=len(held),
            oldest_held_s=age_of_oldest(held, now),
            oldest_unpublished_s=waited,
            last_accepted_at=last_accepted_at,
            last_contact_at=contacts.get(municipality),
            lag_s=Lag(
                **{
                    stage: Percentiles(lag.percentile(0.5), lag.percentile(0.99))
                    for stage in Lag.__struct_fields__
                    for lag in [getattr(transfer, stage)]
                }
            ),
        )
