"""PURE: how much work may be done for one address alone, and for all such: token buckets.

What is shared costs nobody anything, however many ask for it; so a crowd that reads the same is never refused here.
"""

from collections.abc import Callable

BURST_S = 16.0
"""What may be used at once, as so many seconds of the rate: a crowd behind one address that comes back with selections
of its own."""
ALL = 16
"""The rate of all addresses together, as so many of one."""
ADDRESSES_MAX = 10_000
"""Addresses of whom something is kept; beyond it those that have used up least are forgotten."""


class Allowance:
    """What each address, and all together, have used up lately, in units that come back at a rate.

    Invariants: who has used up less than the burst may go on, whatever the next thing costs; what it costs is known
    afterwards, and is owed. `rate` None is no limit.
    """

    def __init__(self, rate: float | None, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._used: dict[str, tuple[float, float]] = {}
        """By address, what it has used up, and when that was so."""
        self._all = (0.0, clock())

    def wait_s(self, address: str) -> float:
        """Return in how many seconds an address may have something made for it alone; 0: now."""
        return self._over(self._used.get(address), 1)

    def wait_all_s(self) -> float:
        """Return the same for all addresses together."""
        return self._over(self._all, ALL)

    def use(self, address: str, units: float) -> None:
        """Note what was made for an address alone."""
        if self._rate is None or units <= 0:
            return
        now = self._clock()
        self._all = (self._left(self._all, ALL) + units, now)
        self._used[address] = (self._left(self._used.get(address), 1) + units, now)
        if len(self._used) > ADDRESSES_MAX:
            self._forget()

    def _left(self, used: tuple[float, float] | None, times: int) -> float:
        """Return what is still used up now."""
        if used is None or self._rate is None:
            return 0.0
        amount, at = used
        return max(0.0, amount - max(0.0, self._clock() - at) * self._rate * times)

    def _over(self, used: tuple[float, float] | None, times: int) -> float:
        if self._rate is None:
            return 0.0
        return max(0.0, self._left(used, times) / (self._rate * times) - BURST_S)

    def _forget(self) -> None:
        """Forget the half of the addresses that have used up least."""
        left = {address: self._left(used, 1) for address, used in self._used.items()}
        most = sorted(left, key=left.__getitem__, reverse=True)[: ADDRESSES_MAX // 2]
        self._used = {address: self._used[address] for address in most}
