"""The pure parts of reading a mirror: its age by wrong clocks, the header that names it, and what people are shown."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from gateway.client.feed_notices import mirror_age, source_line
from gateway.client.mirror_age import MirrorAge, server_now
from gateway.client.mirror_discovery import MirrorDiscovery
from gateway.client.stream_reader import alternate
from gateway.wire.mirror import is_behind

NOW = datetime(2025, 9, 8, 20, tzinfo=UTC)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def test_the_age_is_by_the_clock_of_the_server_and_the_time_since() -> None:
    age = MirrorAge()
    assert age.age_s(50.0) is None
    age.observe(NOW, NOW + seconds(2), 100.0)
    assert age.age_s(100.0) == 2
    assert age.age_s(110.0) == 12
    age.observe(NOW, NOW + seconds(12), 110.0)
    assert age.age_s(110.0) == 12, "an unchanged file does not become younger"
    age.observe(NOW + seconds(11), NOW + seconds(13), 111.0)
    assert age.age_s(111.0) == 1, "it was written since the request before"


@pytest.mark.parametrize("wrong_s", [-7200, 7200])
def test_a_wrong_clock_does_not_make_a_mirror_that_keeps_writing_look_old(wrong_s: float) -> None:
    """From the second state on; until then, there is nothing else to go by."""
    age = MirrorAge()
    for number in range(10):
        age.observe(NOW + seconds(2 * number), NOW + seconds(2 * number + wrong_s), 100.0 + 2 * number)
        if number:
            found = age.age_s(100.0 + 2 * number)
            assert found is not None
            assert found <= 2
    stopped = age.age_s(200.0)
    assert stopped is not None
    assert is_behind(2, stopped)


@pytest.mark.parametrize(
    ("headers", "expected_s"),
    [
        ({}, -5),
        ({"Date": format_datetime(NOW, usegmt=True)}, 0),
        ({"Date": format_datetime(NOW, usegmt=True), "Age": "30"}, 30),
        ({"Date": format_datetime(NOW, usegmt=True), "Age": "-3"}, 0),
        ({"Date": format_datetime(NOW, usegmt=True), "Age": "9" * 5000}, 0),
        ({"Date": format_datetime(NOW, usegmt=True), "Age": "99999999"}, 86_400),
        ({"Date": "yesterday", "Age": "30"}, -5),
        ({"Date": "Mon, 99 Sep 2025 20:00:00 GMT"}, -5),
    ],
)
def test_the_time_of_an_answer_is_that_of_its_server_and_the_cache(
    headers: dict[str, str], expected_s: float
) -> None:
    assert server_now(headers, NOW - seconds(5)) == NOW + seconds(expected_s)


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ([], None),
        (['<https://cdn.example/r>; rel="alternate"'], "https://cdn.example/r"),
        (["<https://cdn.example/r>; rel=alternate"], "https://cdn.example/r"),
        (['<https://a.example>; rel="next", <https://b.example>; rel="alternate"'], "https://b.example"),
        (['<https://a.example>; title="x, y"; rel="alternate"'], "https://a.example"),
        (['<https://a.example>; rel="next"', "<https://b.example>;rel=alternate;x=1"], "https://b.example"),
        (["<file:///etc/passwd>; rel=alternate"], None),
        (['<https://a.example>; rel="alternates"'], None),
        ([f"<https://a.example/{'x' * 600}>; rel=alternate"], None),
        (["<" * 100_000], None),
        ([f"<https://a.example>; {'a;' * 20_000}"], None),
    ],
)
def test_the_header_of_a_gateway_names_its_mirror(values: list[str], url: str | None) -> None:
    assert alternate(values) == url


@pytest.mark.parametrize(
    ("feed", "named", "given", "known"),
    [
        ("https://g.example", "https://m.example", None, "https://m.example"),
        ("https://g.example", "http://m.example", None, None),
        ("http://g.example", "http://m.example", None, "http://m.example"),
        ("https://g.example", "http://m.example", "http://own.example/", "http://own.example"),
        ("https://g.example", None, None, None),
    ],
)
def test_a_gateway_with_tls_names_no_mirror_without(
    feed: str, named: str | None, given: str | None, known: str | None
) -> None:
    """Whoever starts a subscriber may."""
    found = MirrorDiscovery(feed, "e", {}, session=None, mirror_url=given, enabled=True)
    assert found.known(named) == known
    if known is not None:
        found.give_up(known)
        assert found.known(named) is None


def test_what_is_read_is_shown_without_passwords() -> None:
    assert source_line("stream", "https://g.example", None) is None
    assert (
        source_line("mirror", "https://u:s3cret@m.example/r", "stream")
        == "Reading the mirror https://m.example/r."
    )
    assert source_line("stream", "https://g.example", "mirror") == "Reading the stream of the gateway again."
    assert (
        mirror_age("https://u:p@m.example", 3.4, behind=False) == "from the mirror https://m.example, 3 s old"
    )
    assert (
        mirror_age("https://m.example", 40, behind=True)
        == "from the mirror https://m.example, which is behind: 40 s old"
    )
