"""Clients of both doors: push reports, follow results. Uses only what the contract promises.

    from gateway.client import Publisher, Subscriber

`Publisher` pushes reports until each has an answer, `Subscriber` keeps a copy of the results; both reconnect after
every interruption. While there is no stream, `Subscriber` reads a mirror; `Source` says what it reads. `push_http`
pushes reports in a single request, without a connection that stays open.
"""

from gateway.client.publisher import Answer, Publisher, PushRefused, push_http
from gateway.client.subscriber import Block, FeedRefused, Source, Subscriber

__all__ = ["Answer", "Block", "FeedRefused", "Publisher", "PushRefused", "Source", "Subscriber", "push_http"]
