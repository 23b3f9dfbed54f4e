"""Sides that take turns: A B C A B C …, because a machine is never as quiet as it was a minute ago."""

from collections.abc import Awaitable, Callable, Mapping

from bench.figures import Series

Turn = Callable[[], Awaitable[object]]


class Rounds:
    """What every side showed in each of its turns, by name."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[str, list[float]]] = {}

    def add(self, name: str, unit: str, value: float) -> None:
        """Note a figure of a turn."""
        self._held.setdefault(name, (unit, []))[1].append(value)

    def add_cpu(self, side: str, cpu_s: Mapping[str, float], things: int, per: int, what: str) -> None:
        """Note the CPU seconds that processes took for some things, as so many for each `per` of them."""
        for process, seconds in cpu_s.items():
            self.add(
                f"{side}: CPU of {process}", f"s per {per:,} {what}".replace(",", " "), seconds * per / things
            )

    def __contains__(self, name: str) -> bool:
        return name in self._held

    def __getitem__(self, name: str) -> Series:
        unit, values = self._held[name]
        return Series(name, unit, tuple(values))

    def best(self, prefix: str) -> Series:
        """Return the side with the highest median of those whose names begin so."""
        return max(
            (self[name] for name in self._held if name.startswith(prefix)), key=lambda each: each.median
        )

    def rest(self, *shown: Series) -> list[Series]:
        """Return what is not among those."""
        names = {each.name for each in shown}
        return [self[name] for name in self._held if name not in names]


async def take_turns(rounds: int, sides: Mapping[str, Turn]) -> None:
    """Give each side its turn, so many times."""
    for _ in range(rounds):
        for turn in sides.values():
            await turn()
