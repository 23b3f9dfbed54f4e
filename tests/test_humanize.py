"""Numbers with their nouns, as people read them."""

from gateway.humanize import counted, duration, milliseconds, size, spaced


def test_a_noun_agrees_with_its_number() -> None:
    """Only one of something is singular."""
    assert [counted(number, "report") for number in (0, 1, 2)] == ["0 reports", "1 report", "2 reports"]
    assert counted(1, "municipality", "municipalities") == "1 municipality"
    assert counted(2, "municipality", "municipalities") == "2 municipalities"


def test_digits_are_grouped_for_people_only() -> None:
    assert counted(12_345, "report") == "12 345 reports"
    assert counted(12_345, "report", grouped=False) == "12345 reports"
    assert [spaced(number) for number in (0, 999, 1_000, 1_234_567)] == ["0", "999", "1 000", "1 234 567"]


def test_times_and_sizes_are_shown_in_a_fitting_unit() -> None:
    """With a tenth where it matters."""
    assert [duration(seconds) for seconds in (0.02, 3.14, 42.0, -7_200.0, 200_000.0)] == [
        "20 ms", "3.1 s", "42 s", "2 h", "2 days",
    ]  # fmt: skip
    assert [size(count) for count in (12, 2_048, 3 << 20, 5 << 30)] == [
        "12 bytes",
        "2.0 KiB",
        "3.0 MiB",
        "5.0 GiB",
    ]
    assert (milliseconds(0.0471), milliseconds(None)) == ("47 ms", "")
