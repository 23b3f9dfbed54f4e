"""PURE: what a person is shown while reports wait: why nothing is sent, at growing intervals, and when it is again.

Time comes in, in seconds of any clock. Independent of terminals.
"""

from gateway.client.failures import Failure
from gateway.client.push_events import Connected, Event, Postponed, Working
from gateway.humanize import counted

FIRST_S = 1.0
"""How long a failure may last before it is shown: a restart of the gateway takes less."""
SILENT_S = 3.0
"""How long reports may wait without any answer, or any failure, before that is shown."""
AGAIN_FIRST_S, AGAIN_MOST_S = 10.0, 60.0
"""After how many seconds the same is shown again: at first, and at most."""
CHANGED_S = 5.0
"""How long after a line another failure is shown."""


class PushNotices:
    """Decides when to show what. Invariants:

    * A reason why reports wait is shown within SILENT_S, and again after AGAIN_MOST_S at most.
    * That reports are answered again is shown once, and only if something else was shown before.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._failure: Failure | None = None
        self._postponed = ""
        self._over_http: Failure | None = None
        self._over_http_shown = False
        self._recovered = False
        self._waiting = 0
        self._stalled_since: float | None = None
        self._shown: Failure | None = None
        self._shown_at: float | None = None
        self._again_s = AGAIN_FIRST_S

    def on_event(self, event: Event) -> None:
        """Take note of what the publisher reports."""
        match event:
            case Failure():
                self._failure = event
            case Connected():
                self._failure, self._postponed = None, ""
            case Postponed():
                self._failure, self._postponed = None, event.code
            case Working():
                self._failure, self._postponed = None, ""
                self._over_http = event.without_websocket
                self._recovered = self._shown_at is not None

    @property
    def is_stalled(self) -> bool:
        """Whether it was shown that reports wait, and not yet that they are answered again."""
        return self._shown_at is not None

    def due(self, now: float, waiting: int) -> str | None:
        """Return the line to show now, if there is one; `waiting` is the number of reports without an answer."""
        if self._over_http is not None and not self._over_http_shown:
            self._over_http_shown = True
            self._restart(now, waiting)
            return f"No WebSocket ({self._over_http.text}); the reports are sent over HTTP instead."
        if waiting < self._waiting or waiting == 0 or self._recovered:
            recovered = self._recovered and waiting > 0
            self._restart(now, waiting)
            return f"Reports are answered again; {counted(waiting, 'report')} waiting." if recovered else None
        self._waiting = waiting
        if self._stalled_since is None:
            self._stalled_since = now
        stalled_s = now - self._stalled_since
        if stalled_s < (FIRST_S if self._failure is not None else SILENT_S) or not self._is_due(now):
            return None
        if self._shown_at is not None and self._failure == self._shown:
            self._again_s = min(2 * self._again_s, AGAIN_MOST_S)
        self._shown, self._shown_at = self._failure, now
        return f"{self._reason(stalled_s)}; {counted(waiting, 'report')} waiting, trying again"

    def _is_due(self, now: float) -> bool:
        if self._shown_at is None:
            return True
        changed = self._code(self._failure) != self._code(self._shown)
        return now - self._shown_at >= (CHANGED_S if changed else self._again_s)

    def _reason(self, stalled_s: float) -> str:
        if self._failure is not None:
            return self._failure.text
        if self._postponed:
            return f"{self._url}: the gateway asks to send again later ({self._postponed.replace('_', ' ')})"
        return f"{self._url}: no answer for {stalled_s:.0f} s"

    def _restart(self, now: float, waiting: int) -> None:
        """Begin anew after progress."""
        self._stalled_since = now if waiting else None
        self._waiting = waiting
        self._recovered = False
        self._failure = None
        self._shown = self._shown_at = None
        self._again_s = AGAIN_FIRST_S

    @staticmethod
    def _code(failure: Failure | None) -> tuple[str, str | None, int | None]:
        return (failure.code, failure.problem, failure.status) if failure is not None else ("", None, None)
