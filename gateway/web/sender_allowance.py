"""PURE: how much work other than accepting reports a sender may cause.

Reports are bounded by credit and by the turns of the waiting room. Control frames, tiny fragments, and reports that are
refused before they reach the waiting room are not, so each sender has an allowance for them, shared by its WebSockets.
"""

from gateway.web.token_bucket import TokenBucket

CONTROL_RATE, CONTROL_BURST = 10.0, 100.0
"""Control frames and small fragments of one connection: per second, and at once."""
SENDER_CONTROL_RATE, SENDER_CONTROL_BURST = 50.0, 500.0
"""The same for all connections of one token, in one process."""
WORK_SHARE, WORK_BURST_S = 0.1, 0.5
"""The share of its time that a process spends on refused reports of one token, and seconds at once."""


class SenderAllowance:
    """What one sender may spend, on all its WebSockets in this process."""

    __slots__ = ("control", "sockets", "work")

    def __init__(self) -> None:
        self.sockets = 0
        self.control = TokenBucket(SENDER_CONTROL_RATE, SENDER_CONTROL_BURST)
        self.work = TokenBucket(WORK_SHARE, WORK_BURST_S)


class Allowances:
    """The allowances of all senders; a debt is kept after a sender's last WebSocket has closed."""

    def __init__(self) -> None:
        self._of: dict[int, SenderAllowance] = {}

    def __len__(self) -> int:
        return len(self._of)

    def enter(self, sender: int) -> SenderAllowance:
        """Add a WebSocket of a sender and return the sender's allowance."""
        allowance = self._of.setdefault(sender, SenderAllowance())
        allowance.sockets += 1
        return allowance

    def leave(self, sender: int) -> None:
        """Remove a WebSocket."""
        self._of[sender].sockets -= 1

    def prune(self, now: float) -> None:
        """Drop the senders that have no WebSocket and no debt."""
        for sender, each in list(self._of.items()):
            if not each.sockets and each.control.full(now) and each.work.full(now):
                del self._of[sender]
