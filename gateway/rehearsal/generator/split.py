"""Split a whole number in given proportions; all distributions of the generator use it."""

from collections.abc import Iterable
from itertools import accumulate


def split(total: int, weights: Iterable[float], offset: float = 0.5) -> list[int]:
    """Split `total` by weight: the parts add up to it exactly, each is within one of its exact share.

    `offset`, from 0 up to 1, is where in the row the rounding begins; a random one makes it fair. Weights
    are not negative. Raises ValueError if all of them are 0 and something is to be dealt out.
    """
    running = list(accumulate(weights))
    whole = running[-1] if running else 0.0
    if not total:
        return [0] * len(running)
    if not whole:
        raise ValueError(f"nobody to take {total}")
    ends = [int(total * (upto / whole) + offset) for upto in running]
    return [end - begin for begin, end in zip([0, *ends[:-1]], ends, strict=True)]
