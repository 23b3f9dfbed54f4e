"""Content negotiation and conditional requests: tables from RFC 9110, properties, and hostile values."""

import re

import pytest
from aiohttp import hdrs
from aiohttp.test_utils import make_mocked_request
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.web.negotiation import ELEMENTS_MAX, accepts_gzip, combined, is_current, preferred

JSON, CSV, LINES = "application/json", "text/csv", "application/x-ndjson"
TAG = '"0123456789abcdef"'


@pytest.mark.parametrize(
    ("accept_encoding", "gzip"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("br, gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("gzip;q=1.000", True),
        ("gzip;q=0.001", True),
        ("gzip ; q=0.5", True),
        ("gzip; q = 0", False),
        ("gzip;q=0", False),
        ("gzip;Q=0", False),
        ("gzip;q=0.000", False),
        ("gzip;q=0, *", False),
        ("gzip;q=0, *, identity;q=0", False),
        ("gzip;q=", False),
        ("gzip;q=nonsense", False),
        ("gzip;q=.5", True),
        ("gzip;q=.", False),
        ("gzip;q=1.5", False),
        ("gzip;q=-1", False),
        ("gzip;q=2", False),
        ("gzip;q=0.0001", False),
        ("gzip;q=inf", False),
        ("gzip;q=nan", False),
        ("gzip;q=\u0661", False),
        ("identity", False),
        ("br", False),
        ("gzipped", False),
        ("deflate;gzip", False),
        ('deflate;x="gzip,gzip"', False),
        ('deflate;x="a\\",gzip', False),
        (",, gzip ,,", True),
        ("*", False),
        ("*;q=0", False),
        ("*, identity;q=0", True),
        ("*;q=0, identity;q=0", False),
        ("identity;q=0", False),
        ("identity;q=0, gzip", True),
        ("identity;q=1, gzip;q=0.5", False),
        ("identity;q=0.5, gzip;q=0.5", True),
        ("identity;q=0.5, gzip", True),
    ],
)
def test_gzip_is_sent_to_clients_that_accept_it(accept_encoding: str, gzip: bool) -> None:
    """Weight 0 excludes it, a higher weight for `identity` too, and a malformed weight selects nothing."""
    assert accepts_gzip(accept_encoding) is gzip


@pytest.mark.parametrize(
    ("accept", "csv"),
    [
        ("", False),
        ("*/*", False),
        ("text/html", False),
        ("text/csv", True),
        ("TEXT/CSV", True),
        ("text/*", True),
        ("text/csv;charset=utf-8", True),
        ("text/csv; charset=utf-8; q=0.3, application/json;q=0.2", True),
        ('text/csv;x="a,application/json"', True),
        ("text/csv, */*;q=0.1", True),
        ("text/csv, */*", True),
        ("text/csv, application/json", False),
        ("application/json, text/csv", False),
        ("application/json;q=0.2, text/csv; Q=0.9", True),
        ("application/json;q=0.9, text/csv;q=0.2", False),
        ("application/json, text/csv;q=0", False),
        ("text/csv;q=0", False),
        ("text/csv;q=0, text/*", False),
        ("text/csv;q=nonsense", False),
        ("text/csv;q=inf, application/json", False),
        ("text/csv;q=1e9, application/json;q=0.1", False),
        ("text/csv;q=0.5;q=0, application/json;q=0.4", True),
        ("text/*;q=0.5, application/*;q=0.4", True),
        ("text/*;q=0.5, */*;q=0.8", False),
        ("application/*, text/csv;q=0.9", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8", False),
        (",, text/csv ,,", True),
        ("*/*;q=0, text/csv", True),
    ],
)
def test_a_media_type_is_sent_to_clients_that_prefer_it(accept: str, csv: bool) -> None:
    """By weight; at equal weights a type that is listed by name comes before one that a range covers."""
    assert preferred(accept, JSON, CSV) == (CSV if csv else JSON)


def test_the_best_of_several_media_types_is_sent() -> None:
    """The first one if a client prefers none, or two others equally."""
    assert preferred("*/*", JSON, CSV, LINES) == JSON
    assert preferred("text/csv;q=0.5, application/x-ndjson;q=0.6, */*;q=0.1", JSON, CSV, LINES) == LINES
    assert preferred("text/csv, application/x-ndjson", JSON, LINES, CSV) == LINES
    assert preferred("application/*;q=0.4", JSON, CSV, LINES) == JSON
    assert preferred("text/*", JSON) == JSON


@pytest.mark.parametrize(
    ("if_none_match", "current"),
    [
        ("", False),
        (TAG, True),
        (f"W/{TAG}", True),
        (f"w/{TAG}", False),
        ("0123456789abcdef", False),
        ('"0123456789ABCDEF"', False),
        (f'"other", {TAG}', True),
        (f'W/"other" ,\t W/{TAG}', True),
        (f'"a,b", {TAG}', True),
        (f",, {TAG} ,,", True),
        (f"junk, {TAG}", True),
        (f"junk{TAG}", False),
        (f"{TAG}junk", False),
        ("*", True),
        (" * ", True),
        ('"*"', False),
        ('"other", *', False),
        ("**", False),
    ],
)
def test_a_client_that_has_the_representation_is_told_so(if_none_match: str, current: bool) -> None:
    """Tags are compared weakly; `*` is any representation, and only as the whole value."""
    assert is_current(if_none_match, TAG) is current


tags = st.text(
    st.characters(codec="latin-1", exclude_characters='"~', min_codepoint=33), min_size=1, max_size=8
).filter(lambda value: value.isprintable() and value != "*")


@given(st.lists(st.tuples(st.booleans(), tags), min_size=1, max_size=8), tags)
def test_well_formed_entity_tags_are_read_as_aiohttp_reads_them(
    listed: list[tuple[bool, str]], wanted: str
) -> None:
    """Apart from what it does not read: empty elements, empty tags, several lines, and the tag `"*"` beside `*`."""
    value = ", ".join(f'{"W/" if weak else ""}"{tag}"' for weak, tag in listed)
    request = make_mocked_request("GET", "/", headers={hdrs.IF_NONE_MATCH: value})
    assert request.if_none_match is not None
    assert is_current(value, f'"{wanted}"') is any(each.value == wanted for each in request.if_none_match)


weights = st.integers(0, 1000).map(lambda weight: f"{weight / 1000:.3f}")


@given(weights, weights)
def test_the_order_of_a_list_means_nothing(one: str, other: str) -> None:
    """Only weights count."""
    assert accepts_gzip(f"gzip;q={one}, identity;q={other}") is accepts_gzip(
        f"identity;q={other}, gzip;q={one}"
    )
    parts = (f"text/csv;q={one}", f"application/json;q={other}")
    chosen = preferred(", ".join(parts), JSON, CSV)
    assert chosen == preferred(", ".join(reversed(parts)), JSON, CSV)
    assert chosen == (CSV if float(one) > float(other) else JSON)


@given(st.text())
@example('"')
@example('"\\')
@example(";q=")
def test_any_text_has_an_answer(text: str) -> None:
    """Nothing that a client sends is an error; what it does not name is not chosen."""
    accepts_gzip(text)
    preferred(text, JSON, CSV)
    if not re.search(r"gzip|\*", text, re.IGNORECASE):
        assert not accepts_gzip(text)
    if TAG not in text and text.strip() != "*":
        assert not is_current(text, TAG)


@pytest.mark.parametrize(
    "piece",
    [",", '"', '"\\', ',"', ", ", ";", ";q=", "; ", ";q ", '"a",', ',W/"a', "\\", "a;q=0.1,", ' "', "W/"],
)
@pytest.mark.parametrize("prefix", ["", '"', ',"', "gzip;", "gzip;q", "a;q=0."])
def test_long_values_take_linear_time(prefix: str, piece: str) -> None:
    """What is hardest to parse; in quadratic time this would not end."""
    value = prefix + piece * ((1 << 18) // len(piece))
    assert preferred(value, JSON, CSV) == JSON
    assert not is_current(value, TAG)
    accepts_gzip(value)


def test_a_long_list_is_considered_up_to_its_bound() -> None:
    """What comes after it selects nothing, so the default representation is sent."""
    before, after = ["x"] * (ELEMENTS_MAX - 1), ["x"] * ELEMENTS_MAX
    assert accepts_gzip(",".join([*before, "gzip"]))
    assert not accepts_gzip(",".join([*after, "gzip"]))
    assert preferred(",".join([*before, "text/csv"]), JSON, CSV) == CSV
    assert preferred(",".join([*after, "text/csv"]), JSON, CSV) == JSON
    assert is_current(",".join(['"x"'] * (ELEMENTS_MAX - 1) + [TAG]), TAG)
    assert not is_current(",".join(['"x"'] * ELEMENTS_MAX + [TAG]), TAG)


def test_several_lines_of_a_field_are_one_list() -> None:
    """Whatever the case of its name."""
    headers = CIMultiDict([("Accept", "text/html"), ("accept", "text/csv"), ("Host", "door")])
    assert combined(headers, "ACCEPT") == "text/html, text/csv"
    assert combined(headers, "If-None-Match") == ""
