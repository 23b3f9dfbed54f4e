"""PURE: how much work a process does for a single address, and for all such addresses together: token buckets.

Work that several clients share is not charged to any of them, so clients that read the same are never refused here.
"""

from collections.abc import Callable

from gateway.web.token_bucket import TokenBucket

BURST_S = 16.0
"""The burst, in seconds of the rate: enough for many readers behind one address that return with unusual selections."""
ALL = 16
"""The rate of all addresses together, as a multiple of that of one."""
ADDRESSES_MAX = 10_000
"""Addresses that are tracked; above that, those that have used up least are dropped."""


class Allowance:
    """What each address, and all of them together, have used up, in units that are regained at a rate.

    Invariants: an address that has used up less than the burst may continue, whatever the next item costs; the cost is
    known afterwards and becomes debt. `rate` None is no limit.
    """

    def __init__(self, rate: float | None, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._used: dict[str, TokenBucket] = {}
        self._all = _bucket(rate, ALL)

    def wait_s(self, address: str) -> float:
        """Return the seconds until work for an address is allowed; 0 if it is allowed now."""
        bucket = self._used.get(address)
        return bucket.owed_s(self._clock()) if bucket is not None else 0.0

    def wait_all_s(self) -> float:
        """Return the seconds until work for any address is allowed; 0 if it is allowed now."""
        return self._all.owed_s(self._clock()) if self._all is not None else 0.0

    def use(self, address: str, units: float) -> None:
        """Charge work that was done for an address alone."""
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
        """Drop the half of the addresses that have used up least."""
        most = sorted(self._used, key=lambda address: self._used[address].left(now))[: ADDRESSES_MAX // 2]
        self._used = {address: self._used[address] for address in most}


def _bucket(rate: float | None, times: int) -> TokenBucket | None:
    return TokenBucket(rate * times, rate * times * BURST_S) if rate is not None else None
