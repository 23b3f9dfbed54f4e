"""The other side of the doors: push reports, follow results, replay a night. Speaks only what the contract promises.

    from gateway.client import Publisher, Subscriber

`Publisher` hands reports in until each has its answer, `Subscriber` keeps a copy of the results; both come back by
themselves after every interruption. `push_http` does with one request what a Publisher does with a connection.
"""

from gateway.client.publisher import Answer, Publisher, PushRefused, push_http
from gateway.client.subscriber import Block, FeedRefused, Subscriber

__all__ = ["Answer", "Block", "FeedRefused", "Publisher", "PushRefused", "Subscriber", "push_http"]
