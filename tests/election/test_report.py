"""The bytes, digest and chain of a report, compared with independent computations; and its warnings."""

import hashlib
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.election.record import CHAIN_START, next_chain
from gateway.election.registry_reading import read_registry
from gateway.election.report import (
    FIXED_VALUES,
    PARTIES_MAX,
    REASONS,
    STATUSES,
    NewerReport,
    Votes,
    canonical,
    canonical_report,
    decode_report,
    decode_stored,
    digest_of,
    figures_fell,
    places_off,
    report_decoder,
    same_counts,
    same_votes,
    status_went_back,
    warnings_of,
)
from gateway.rehearsal.dataset import DataSet
from tests.counts import examples
from tests.election import makers
from tests.election.makers import BEYOND_BMP, PRIVATE_USE, a_report, compact, reports, some_counts

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
documents = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**64 - 1) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=20,
)


def read(**members: Any) -> Any:
    return decode_report(compact(a_report(**members)))


# Bytes, digest, chain ------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=examples(200))
@given(documents)
def test_canonical_bytes_are_those_of_any_json_library(document: Any) -> None:
    """Keys sorted by code point, no white space, UTF-8: any implementation of this gets the same bytes."""
    assert canonical(document) == compact(document)


def test_keys_beyond_the_bmp_are_sorted_by_code_point() -> None:
    """Sorting by UTF-16 units, as some languages do, would put U+1D51B before U+E000."""
    assert BEYOND_BMP.encode("utf-16-be") < PRIVATE_USE.encode("utf-16-be")
    votes = {BEYOND_BMP: 1, PRIVATE_USE: 2, "é": 3, "z": 4, "Z": 5, "e\u0301": 6}
    expected = '{"Z":5,"é":6,"z":4,"é":3,"\ue000":2,"\U0001d51b":1}'.replace('"é":6', '"e\u0301":6')
    assert canonical(votes) == expected.encode()


def test_only_necessary_escapes_are_used() -> None:
    """Only the quote, the backslash and characters below U+0020 are escaped, in the short form if there is one."""
    bare = "/é\x7f\u0080\u2028\u2029\ufeff\ufffd\uffff" + BEYOND_BMP
    assert canonical([bare]) == f'["{bare}"]'.encode()
    assert canonical(['"\\\b\f\n\r\t\x00\x0b\x1f']) == rb'["\"\\\b\f\n\r\t\u0000\u000b\u001f"]'


def test_an_omitted_party_is_not_a_party_with_0() -> None:
    """The result is the same, but the reports are different."""
    told, left_out = a_report(), a_report()
    told["counts"]["advance"]["votes"][BEYOND_BMP] = 0
    digests = {digest_of(canonical(report)) for report in (told, left_out, {**left_out, "reason": "other"})}
    assert len(digests) == 3


def test_texts_are_not_normalised() -> None:
    """Two encodings of one letter stay two texts."""
    assert digest_of(canonical("é")) != digest_of(canonical("e\u0301"))


@settings(deadline=None, max_examples=examples(100))
@given(reports())
def test_a_digest_equals_an_independent_computation(report: dict[str, Any]) -> None:
    """Everybody can compute it from the published report."""
    text = json.dumps(report, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert digest_of(canonical(report)) == hashlib.sha256(text.encode()).digest()


def test_one_digest_is_a_constant() -> None:
    """If the bytes ever changed, every earlier record and receipt would be wrong."""
    body = canonical({"z": 0, "å": "\u2028/", "a": {"b": [1, True]}})
    assert body.decode() == '{"a":{"b":[1,true]},"z":0,"å":"\u2028/"}'
    assert digest_of(body).hex() == "2315eea3c17e961704a04317fe0129f5b91e8d485a949d5b5dcb84fb91d4f302"
    chain = next_chain(CHAIN_START, bytes.fromhex("aa" * 32))
    assert chain.hex() == "9ef814b42fa0be12d197c44d3e8e03441a4b1118237658368ba1351090e556ed"


@settings(deadline=None, max_examples=examples(100))
@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=8), st.data())
def test_a_chain_depends_on_every_digest_before_it(digests: list[bytes], data: st.DataObject) -> None:
    """It is the SHA-256 of the previous chain and the digest; a different digest changes all later values."""
    assert bytes(32) == CHAIN_START
    chains = [CHAIN_START]
    for digest in digests:
        chains.append(next_chain(chains[-1], digest))
        assert chains[-1] == hashlib.sha256(chains[-2] + digest).digest()
    place = data.draw(st.integers(0, len(digests) - 1))
    others = [*digests[:place], bytes(each ^ 1 for each in digests[place]), *digests[place + 1 :]]
    for number in range(len(digests) + 1):
        assert (makers.chained(CHAIN_START, *others[:number]) == chains[number]) == (number <= place)


@settings(deadline=None, max_examples=examples(100))
@given(reports())
def test_no_member_of_a_report_is_lost(report: dict[str, Any]) -> None:
    """No member is lost or added between the bytes and the value."""
    read = decode_report(canonical(report))
    assert msgspec.to_builtins(read) == report
    assert read.ballots == sum(counts["ballots"] for counts in report["counts"].values())


def test_statuses_and_reasons_are_those_of_the_contract() -> None:
    """Programs of others depend on them."""
    assert STATUSES == makers.STATUSES
    assert REASONS == makers.REASONS


# The record of a newer version --------------------------------------------------------------------------


@settings(deadline=None, max_examples=examples(100))
@given(reports())
def test_a_stored_report_is_read_like_one_that_was_sent(report: dict[str, Any]) -> None:
    """For known content, both decoders return the same value."""
    assert decode_stored(canonical(report)) == decode_report(canonical(report))


NEWER: list[tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = [
    ({"source": {"system": "x"}}, {}, ("member $.source",)),
    ({"status": "audited"}, {"status": "audited"}, ("status audited",)),
    ({"reason": "audit"}, {"reason": "audit"}, ("reason audit",)),
    (
        {"counts": {"advance": {**some_counts(P=7), "spoilt": [1]}}},
        {"counts": {"advance": some_counts(P=7)}},
        ("member $.counts.advance.spoilt",),
    ),
    ({"counts": {"postal": some_counts(Z=7)}}, {"counts": {"postal": some_counts(Z=7)}}, ()),
]
"""Members that a newer version may have written, what is read of them, and what of that is unknown."""


@pytest.mark.parametrize(("members", "known", "unknown"), NEWER)
def test_a_stored_report_of_a_newer_version_is_read_as_far_as_it_is_known(
    members: dict[str, Any], known: dict[str, Any], unknown: tuple[str, ...]
) -> None:
    """Unknown members are left out and named; an unknown status or reason stays as sent. The door refuses both."""
    body = canonical(a_report(**members))
    stored = decode_stored(body)
    found = msgspec.to_builtins(stored)
    assert tuple(found.pop("unknown", ())) == unknown
    assert found == a_report() | known
    if unknown:
        with pytest.raises(msgspec.ValidationError):
            decode_report(body)


@pytest.mark.parametrize("name", FIXED_VALUES)
def test_a_value_that_a_newer_version_added_is_read(name: str) -> None:
    """Of every member with fixed values: otherwise a feed would end at the first report that has the value."""
    stored = decode_stored(canonical(a_report(**{name: "added_later"})))
    assert getattr(stored, name) == "added_later"
    assert isinstance(stored, NewerReport)
    assert stored.unknown == (f"{name} added_later",)


def test_members_with_fixed_values_are_found_in_the_struct() -> None:
    """Whether they are optional or not."""
    assert FIXED_VALUES == {"status": STATUSES, "reason": REASONS}


@pytest.mark.parametrize(
    "members",
    [{"revision": 0}, {"counts": []}, {"counts": {"advance": 7}}, {"status": 5}, {"counted_at": None}],
)
def test_a_stored_report_that_violates_the_contract_is_refused(members: dict[str, Any]) -> None:
    """A newer version may add to a report; it may not change what version 1 of the contract requires."""
    with pytest.raises(msgspec.ValidationError):
        decode_stored(canonical(a_report(extra=1, **members)))
    with pytest.raises(msgspec.ValidationError):
        decode_stored(b"[1]")


@pytest.mark.parametrize(("members", "_known", "_unknown"), NEWER)
def test_a_report_is_compared_with_one_of_a_newer_version(
    members: dict[str, Any], _known: object, _unknown: object
) -> None:
    """The warnings are those for the content that both have in common."""
    before = decode_stored(canonical(a_report(**members)))
    fewer = read(revision=2, counts={"advance": some_counts(P=6)}, status="counting")
    warnings = warnings_of(fewer, before, None)
    assert "figures_fell" in warnings
    assert ("status_back" in warnings) is (before.status == "preliminary")
    assert ("unchanged" in warnings_of(read(revision=2), before, None)) is (
        (before.status, before.counts) == ("preliminary", read().counts)
    )


# Warnings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "fell"),
    [
        ({}, {}, False),
        ({}, {"advance": some_counts(P=3)}, False),
        ({"advance": some_counts(P=3)}, {"advance": some_counts(P=3)}, False),
        ({"advance": some_counts(P=3)}, {"advance": some_counts(P=4)}, False),
        ({"advance": some_counts(P=3)}, {"advance": some_counts(P=2)}, True),
        ({"advance": some_counts(P=3)}, {"advance": some_counts(P=2, Q=1)}, True),
        ({"advance": some_counts(P=3)}, {"advance": some_counts(Q=9)}, True),
        ({"advance": some_counts(P=0)}, {"advance": some_counts(Q=9)}, False),
        ({"advance": some_counts(blank=3)}, {"advance": some_counts(blank=2)}, True),
        ({"advance": some_counts(blank=3)}, {"advance": some_counts(blank=2, P=1)}, False),
        ({"advance": some_counts(rejected=3)}, {"advance": some_counts(rejected=0)}, False),
        ({"advance": some_counts(P=3)}, {}, True),
        ({"advance": some_counts(blank=0)}, {}, False),
        ({"advance": some_counts(P=3)}, {"election_day": some_counts(P=9)}, True),
    ],
)
def test_a_fall_is_fewer_ballots_or_votes_in_a_category(
    before: dict[str, Any], after: dict[str, Any], fell: bool
) -> None:
    """Blank and rejected ballots alone may decrease; an omitted party or category has 0."""
    assert figures_fell(read(counts=before), read(counts=after)) is fell


FORWARD = ("counting", "preliminary", "final", "controlled", "settled")


@pytest.mark.parametrize("before", STATUSES)
@pytest.mark.parametrize("after", STATUSES)
def test_a_status_goes_back_if_less_is_counted(before: str, after: str) -> None:
    """The order is counting, preliminary, final, controlled, settled; all others are below these, in no order."""
    rank = {status: number for number, status in enumerate(FORWARD, 1)}
    back = rank.get(after, 0) < rank.get(before, 0)
    assert status_went_back(read(status=before), read(status=after)) is back


@pytest.mark.parametrize(
    ("before", "after", "eligible", "warnings"),
    [
        (None, {}, None, []),
        (None, {}, 8, []),
        (None, {}, 7, ["above_eligible"]),
        (None, {"counts": {}}, 0, []),
        ({}, {}, None, ["unchanged"]),
        ({}, {"reason": "recount", "counted_at": "2025-09-09T00:00:00Z"}, None, ["unchanged"]),
        ({}, {"status": "final"}, None, []),
        ({"status": "final"}, {"status": "counting"}, None, ["status_back"]),
        ({}, {"counts": {"advance": some_counts(P=6)}}, None, ["figures_fell"]),
        ({"status": "settled"}, {"status": "not_counted", "counts": {}}, 3, ["figures_fell", "status_back"]),
        ({}, {"counts": {"advance": {**some_counts(P=7), "voters": 0}}}, None, []),
    ],
)
def test_each_warning_is_given(
    before: dict[str, Any] | None, after: dict[str, Any], eligible: int | None, warnings: list[str]
) -> None:
    """None of them is an error: the receipt contains it, and the report is accepted."""
    previous = None if before is None else read(**before)
    assert warnings_of(read(**after), previous, eligible) == warnings


# The decoder of one election -----------------------------------------------------------------------------

decode_here = report_decoder(makers.REGISTRY.party_codes)
FEW = st.dictionaries(st.sampled_from(makers.REGISTRY.party_codes), st.integers(0, 2))


@st.composite
def few_counts(draw: st.DrawFn) -> dict[str, Any]:
    """A report with small counts, so that two of them often have equal ones."""
    categories = st.dictionaries(st.sampled_from(makers.CATEGORIES), FEW, max_size=2)
    counts = {name: some_counts(draw(st.integers(0, 1)), **votes) for name, votes in draw(categories).items()}
    for each in counts.values():
        each |= draw(st.sampled_from(({}, {}, {"voters": 0}, {"rejected": 0})))
    return a_report(status=draw(st.sampled_from(("counting", "final"))), counts=counts)


@settings(deadline=None, max_examples=examples(200))
@given(reports())
def test_the_decoder_of_an_election_reads_the_same_report(report: dict[str, Any]) -> None:
    here, anywhere = decode_here(compact(report)), decode_report(compact(report))
    assert canonical_report(here) == canonical_report(anywhere) == canonical(report)
    assert same_counts(here, anywhere)
    assert {name: dict(each.votes) for name, each in here.counts.items()} == {
        name: each["votes"] for name, each in report["counts"].items()
    }
    for name in ("unit", "revision", "counted_at", "status", "reason", "ballots"):
        assert getattr(here, name) == getattr(anywhere, name)


@settings(deadline=None, max_examples=examples(500))
@given(few_counts(), few_counts(), st.none() | st.integers(0, 3))
def test_warnings_do_not_depend_on_how_reports_were_decoded(
    before: dict[str, Any], after: dict[str, Any], eligible: int | None
) -> None:
    both = (decode_here, decode_report)
    old, new = decode_report(compact(before)), decode_report(compact(after))
    for first in both:
        for second in both:
            previous, report = first(compact(before)), second(compact(after))
            assert warnings_of(report, previous, eligible) == warnings_of(new, old, eligible)
            assert same_counts(previous, report) == (before["counts"] == after["counts"])
            assert same_votes(previous, report) == same_votes(old, new)
            assert figures_fell(previous, report) == (
                _falls(before, after)[1]
                or any(
                    each["ballots"] > after["counts"].get(name, {"ballots": 0})["ballots"]
                    for name, each in before["counts"].items()
                )
            )


def test_votes_are_a_mapping_of_the_parties_that_have_a_count() -> None:
    codes = makers.REGISTRY.party_codes
    first, second, *_ = codes
    body = compact(a_report(counts={"advance": some_counts(**{first: 3, second: 0})}))
    votes = decode_here(body).counts["advance"].votes
    assert isinstance(votes, Votes)
    assert dict(votes) == dict(votes.items()) == dict(zip(votes.keys(), votes.values(), strict=True))
    assert dict(votes) == {first: 3, second: 0}
    assert len(votes) == 2
    assert (votes[first], votes.get(second), votes.get("no party"), votes.get("no party", 0)) == (
        3,
        0,
        None,
        0,
    )
    assert second in votes
    assert "no party" not in votes
    with pytest.raises(KeyError):
        votes["no party"]
    places = places_off({second}, codes)
    assert [votes.parties[place] for place in places] == [code for code in votes.parties if code != second]


def test_the_decoder_of_an_election_refuses_other_parties() -> None:
    body = compact(a_report(counts={"advance": some_counts(Nobody=3)}))
    with pytest.raises(msgspec.ValidationError):
        decode_here(body)


def test_an_election_with_many_parties_has_no_decoder_of_its_own() -> None:
    """It would search each party among all others."""
    assert report_decoder(tuple(map(str, range(PARTIES_MAX + 1)))) is decode_report
    assert report_decoder(tuple(map(str, range(PARTIES_MAX)))) is not decode_report


def test_the_recorded_election_has_the_known_warnings(recorded: Path) -> None:
    """In 550 revisions figures fall (ballots in 257, votes in 530, to 0 in 16); in 84 the status goes back."""
    data = DataSet.open(recorded)
    units = read_registry(data.registry).units
    by_unit: dict[str, list[dict[str, Any]]] = {}
    for line in data.reports():
        by_unit.setdefault(line.report["unit"], []).append(line.report)
    seen: Counter[str] = Counter()
    for unit, history in by_unit.items():
        decoded = [decode_report(compact(report)) for report in history]
        seen.update(warnings_of(decoded[0], None, units[unit].eligible))
        for (before, after), (old, new) in zip(pairwise(history), pairwise(decoded), strict=True):
            warnings = warnings_of(new, old, units[unit].eligible)
            seen.update(warnings)
            ballots, votes = _falls(before, after)
            assert ("figures_fell" in warnings) == (ballots or votes)
            seen.update({"ballots": ballots, "votes": votes, "revisions": 1})
            seen["to zero"] += new.ballots == 0 < old.ballots
    assert +seen == {
        "revisions": 9_203,
        "figures_fell": 550,
        "ballots": 257,
        "votes": 530,
        "to zero": 16,
        "status_back": 84,
        "above_eligible": 4_604,
    }


def _falls(before: dict[str, Any], after: dict[str, Any]) -> tuple[bool, bool]:
    """Whether the unit's ballots fell, and whether a party's votes fell in a category; computed independently."""

    def votes(report: dict[str, Any]) -> dict[tuple[str, str], int]:
        counts = report["counts"]
        return {(name, party): n for name in counts for party, n in counts[name]["votes"].items()}

    old, new = (sum(each["ballots"] for each in report["counts"].values()) for report in (before, after))
    later = votes(after)
    return new < old, any(later.get(key, 0) < count for key, count in votes(before).items())
