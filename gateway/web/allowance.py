"""PURE: how much work may be done for one address alone, and for all such: token buckets.

What is shared costs nobody anything, however many ask for it; so a crowd that reads the same is never refused here.
"""

from collections.abc import Callable

from gateway.web.token_bucket import TokenBucket

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
        self._used: dict[str, TokenBucket] = {}
        self._all = _bucket(rate, ALL)

    def wait_s(self, address: str) -> float:
        """Return in how many seconds an address may have something made for it alone; 0: now."""
        bucket = self._used.get(address)
        return bucket.owed_s(self._clock()) if bucket is not None else 0.0

    def wait_all_s(self) -> float:
        """Return the same for all addresses together."""
        return self._all.owed_s(self._clock()) if self._all is not None else 0.0

    def use(self, address: str, units: float) -> None:
        """Note what was made for an address alone."""
        own = self._used.get(address) or _bucket(self._rate, 1)
        if own is None or self._all is None or units <= 0:
            return
        now = self._clock()
        self._all.spend(units, now)
        own.spend(units, now)
        self._used[address] = own
        if len(self._used) > ADDRESSES_MAX:
            self._forget(now)

    def _forget(self, now: float) -> None:
        """Forget the half of the addresses that have used up least."""
        most = sorted(self._used, key=lambda address: self._used[address].left(now))[: ADDRESSES_MAX // 2]
        self._used = {address: self._used[address] for address in most}


def _bucket(rate: float | None, times: int) -> TokenBucket | None:
    return TokenBucket(rate * times, rate * times * BURST_S) if rate is not None else None
