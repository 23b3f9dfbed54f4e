"""Overload as it comes: --rate and twice as much, the database as fast as it is. Choose --rate by what it takes.

On a machine of few cores the load tool and the refusals take their part of what the gateway could have used.
"""

from bench.rehearse.scenarios.overload import offer_each
from bench.rehearse.stage import Stage


async def play(stage: Stage) -> None:
    await offer_each(stage, (1, 2))
