"""PURE: percentages in integers, so that everybody who computes one gets the same."""


def hundredths(part: int, whole: int) -> int:
    """Return hundredths of a percent, rounded half up: 10000 for a part that is the whole."""
    return (20_000 * part + whole) // (2 * whole)
