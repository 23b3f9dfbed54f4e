"""The rules of apportionment and the blocs of an election, as its registry has them (`reading` reads them)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gateway.election.apportionment.methods import AnyMethod
from gateway.election.apportionment.threshold import Threshold


class District(NamedTuple):
    """An area that elects members."""

    area: int
    """Index in `Registry.areas`."""
    seats: int
    """Levelling seats included."""


class Apportionment(NamedTuple):
    """The rules by which the seats of an election follow from the votes."""

    method: AnyMethod
    level: str
    """Level of the districts."""
    districts: tuple[District, ...]
    """In the order of the registry."""
    threshold: Threshold | None = None
    """With levelling, for levelling seats only; otherwise for all seats."""
    levelling: int | None = None
    """Levelling seats of each district; None if there are none."""

    @property
    def seats(self) -> int:
        """Seats of the house."""
        return sum(district.seats for district in self.districts)

    @property
    def majority(self) -> int:
        """The least seats that are more than half."""
        return self.seats // 2 + 1

    @property
    def by_country(self) -> bool:
        """Whether the seats of a district depend on votes elsewhere.

        This is so with a threshold of the country that applies to all seats. The seats of a district then change
        without a publication in it, so its event has none.
        """
        threshold = None if self.levelling else self.threshold
        return threshold is not None and threshold.of == "country" and len(self.districts) > 1

    def ordinary(self, seats: int) -> int:
        """Return the ordinary seats of a district with so many seats."""
        return seats - (self.levelling or 0)


class Bloc(NamedTuple):
    """Parties that readers add up."""

    name: str
    names: Mapping[str, str]
    """Names by language tag (BCP 47)."""
    parties: tuple[int, ...]
    """Places in the registry."""
