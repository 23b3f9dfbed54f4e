"""PURE: numbers, durations and sizes as people read them."""


def counted(number: int, noun: str, plural: str | None = None, *, grouped: bool = True) -> str:
    """Return a number with its noun: `1 report`, `2 reports`, `12 345 reports`; `plural` if it is irregular.

    Without `grouped`, the digits are not separated, for output that programs may read.
    """
    digits = spaced(number) if grouped else str(number)
    return f"{digits} {noun if number == 1 else plural or f'{noun}s'}"


def spaced(number: int) -> str:
    """Return a number with its digits in groups of three."""
    return f"{number:,}".replace(",", " ")


def signed(number: int) -> str:
    """Return a number other than 0 with its sign, and its digits in groups of three."""
    return f"{'+' if number > 0 else '−'}{spaced(abs(number))}"


def milliseconds(seconds: float | None) -> str:
    """Return a short time in milliseconds, or nothing for None."""
    return f"{1000 * seconds:.0f} ms" if seconds is not None else ""


def duration(seconds: float) -> str:
    """Return a length of time, without its sign, in the largest unit of which there are at least two."""
    seconds = abs(seconds)
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    for unit, length in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def size(count: float) -> str:
    """Return a number of bytes in binary units."""
    for unit, length in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= length:
            return f"{count / length:.1f} {unit}"
    return f"{count:.0f} bytes"
