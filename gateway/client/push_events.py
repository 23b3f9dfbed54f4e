"""PURE: what a publisher reports about its connection, beside the answers to reports."""

import msgspec

from gateway.client.failures import Failure


class Connected(msgspec.Struct, frozen=True):
    """A WebSocket is open; no report has been answered on it yet."""


class Working(msgspec.Struct, frozen=True):
    """Reports are sent and answered."""

    without_websocket: Failure | None = None
    """Why they are sent over HTTP instead of a WebSocket, if they are."""


class Postponed(msgspec.Struct, frozen=True):
    """The gateway asks to send a report again later."""

    code: str
    """Why, as in the contract: `journal_unavailable` for example."""


Event = Failure | Connected | Working | Postponed


class Ended(msgspec.Struct, frozen=True):
    """How sending over one transport ended."""

    failure: Failure | None = None
    progress: bool = False
    """Whether a report was answered."""
    wait_s: float = 0.0
    """When the gateway wants this client to come back, in seconds."""
    websocket_unavailable: bool = False
    """Whether HTTP without a WebSocket may work where this failed."""
