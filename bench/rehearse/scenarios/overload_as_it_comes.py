"""Overload as it comes: --rate and twice as much, with the database unlimited. Choose --rate near its capacity.

On a machine with few cores the load generator and the refusals use CPU that the gateway would need.
"""

from bench.rehearse.scenarios.overload import offer_each
from bench.rehearse.stage import Stage


async def play(stage: Stage) -> None:
    await offer_each(stage, (1, 2))
