"""PURE: how much that carries no report a sender may make a push process do.

Reports are bounded by credit and by the turns of the waiting room. Control frames, tiny fragments, and what is refused
before it reaches the waiting room are not, so each sender has an allowance for them, shared by all its WebSockets.
"""

from gateway.web.token_bucket import TokenBucket

CONTROL_RATE, CONTROL_BURST = 10.0, 100.0
"""Control frames and small fragments of one connection: so many a second, and so many at once."""
SENDER_CONTROL_RATE, SENDER_CONTROL_BURST = 50.0, 500.0
"""The same of all connections of one token, in one process."""
WORK_SHARE, WORK_BURST_S = 0.1, 0.5
"""Seconds of a second that a process spends on what it refuses to one token, and seconds at once."""


class SenderAllowance:
    """What one sender may spend on all its WebSockets in this process."""

    __slots__ = ("control", "sockets", "work")

    def __init__(self) -> None:
        self.sockets = 0
        self.control = TokenBucket(SENDER_CONTROL_RATE, SENDER_CONTROL_BURST)
        self.work = TokenBucket(WORK_SHARE, WORK_BURST_S)


class Allowances:
    """The allowances of all senders; what a sender owes is remembered after its last WebSocket has closed."""

    def __init__(self) -> None:
        self._of: dict[int, SenderAllowance] = {}

    def __len__(self) -> int:
        return len(self._of)

    def enter(self, sender: int) -> SenderAllowance:
        """Count a WebSocket of a sender in and return the sender's allowance."""
        allowance = self._of.setdefault(sender, SenderAllowance())
        allowance.sockets += 1
        return allowance

    def leave(self, sender: int) -> None:
        """Count a WebSocket out."""
        self._of[sender].sockets -= 1

    def prune(self, now: float) -> None:
        """Forget the senders that have no WebSocket and owe nothing."""
        for sender, each in list(self._of.items()):
            if not each.sockets and each.control.full(now) and each.work.full(now):
                del self._of[sender]
