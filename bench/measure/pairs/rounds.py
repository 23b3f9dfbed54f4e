"""Rounds of several sides in turn: A B C A B C …, because the load on a machine changes within minutes."""

from collections.abc import Awaitable, Callable, Mapping

from bench.figures import Series

Round = Callable[[], Awaitable[object]]


class Rounds:
    """The figures of every side in each of its rounds, by name."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[str, list[float]]] = {}

    def add(self, name: str, unit: str, value: float) -> None:
        """Add a figure of one round."""
        self._values.setdefault(name, (unit, []))[1].append(value)

    def add_cpu(self, side: str, cpu_s: Mapping[str, float], count: int, per: int, what: str) -> None:
        """Add the CPU seconds of processes for `count` units of work, scaled to `per` units."""
        for process, seconds in cpu_s.items():
            self.add(
                f"{side}: CPU of {process}", f"s per {per:,} {what}".replace(",", " "), seconds * per / count
            )

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def get(self, name: str) -> Series | None:
        """Return the series of a name; None if no round has it."""
        return self[name] if name in self._values else None

    def __getitem__(self, name: str) -> Series:
        unit, values = self._values[name]
        return Series(name, unit, tuple(values))

    def best(self, prefix: str) -> Series:
        """Return the series with the highest median among those whose names start with a prefix."""
        return max(
            (self[name] for name in self._values if name.startswith(prefix)), key=lambda each: each.median
        )

    def others(self, *shown: Series) -> list[Series]:
        """Return all other series."""
        names = {each.name for each in shown}
        return [self[name] for name in self._values if name not in names]


async def alternate(rounds: int, sides: Mapping[str, Round]) -> None:
    """Run the rounds of all sides in turn."""
    for _ in range(rounds):
        for run_round in sides.values():
            await run_round()
