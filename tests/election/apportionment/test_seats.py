"""Seats by every method, beside the definition applied to every quotient, and the votes to win or lose a seat."""

from collections.abc import Sequence
from itertools import pairwise
from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.election.apportionment import (
    Apportionment,
    Counted,
    District,
    DistrictSeats,
    Divisors,
    LargestRemainder,
    Threshold,
    district,
    house,
)
from tests.counts import examples
from tests.election.apportionment import brute

SAINTE_LAGUE, MODIFIED, D_HONDT = Divisors((1, 3)), Divisors((14, 30, 50)), Divisors((1, 2, 3))
SWEDISH, ODD, HARE = Divisors((12, 30, 50)), Divisors((1, 2, 40, 41)), LargestRemainder()

methods = st.sampled_from([SAINTE_LAGUE, MODIFIED, D_HONDT, SWEDISH, ODD, HARE])
thresholds = st.builds(
    Threshold,
    st.sampled_from([1, 4_000, 10_000, 20_000, 33_333, 50_000]),
    st.sampled_from(["country", "district"]),
)


def votes_of(parties: st.SearchStrategy[int], most: int = 40) -> st.SearchStrategy[list[int]]:
    return parties.flatmap(lambda number: st.lists(st.integers(0, most), min_size=number, max_size=number))


votes = votes_of(st.integers(1, 5))
seats = st.integers(1, 9)


def one_district(
    method: Divisors | LargestRemainder, number: int, threshold: Threshold | None = None
) -> Apportionment:
    return Apportionment(method, "country", (District(0, number),), threshold)


rules = st.builds(one_district, methods, seats, st.none() | thresholds)


def seats_of(
    rule: Apportionment, votes: Sequence[int], country: Sequence[int] | None = None
) -> DistrictSeats:
    return district(rule, votes, rule.districts[0].seats, country)


@given(rules, votes)
@settings(max_examples=examples(600), deadline=None)
def test_seats_go_to_the_largest_quotients(rule: Apportionment, votes: list[int]) -> None:
    number = rule.districts[0].seats
    found = seats_of(rule, votes)
    assert list(found.seats) == brute.ordinary(rule, votes, number, votes)
    taking = brute.eligible(rule, votes, votes)
    assert sum(found.seats) == (number if taking else 0)
    assert {party for party, own in enumerate(found.seats) if own} <= set(taking)


@given(methods, st.lists(st.integers(0, 10**12), min_size=1, max_size=30), st.integers(1, 10_000))
@settings(max_examples=examples(300), deadline=None)
@example(ODD, [10**12] * 30, 10_000)
@example(D_HONDT, [1] * 29 + [2**53 - 1], 10_000)
def test_no_seat_has_a_smaller_quotient_than_one_not_given(
    method: Divisors | LargestRemainder, votes: list[int], number: int
) -> None:
    """Also with many seats, where the estimate has to be corrected."""
    found = seats_of(one_district(method, number), votes)
    assert sum(found.seats) == (number if any(votes) else 0)
    if found.last is None or found.next is None:
        return
    total = sum(votes)

    def quotient(party: int, before: int) -> tuple[int, int]:
        if isinstance(method, Divisors):
            return votes[party], method.divisor(before)
        return votes[party] * number - before * total, 1

    given_last = [quotient(party, own - 1) for party, own in enumerate(found.seats) if own]
    not_given = [quotient(party, own) for party, own in enumerate(found.seats) if votes[party]]
    assert all(a * d >= c * b for a, b in given_last for c, d in not_given)


@given(st.lists(st.integers(1, 500), min_size=1, max_size=8, unique=True), st.integers(1, 40))
@settings(max_examples=examples(500), deadline=None)
def test_largest_remainder_gives_whole_quotas_and_then_the_largest_remainders(
    votes: list[int], number: int
) -> None:
    assert list(seats_of(one_district(HARE, number), votes).seats) == brute.largest_remainder(votes, number)


@given(st.sampled_from([SAINTE_LAGUE, MODIFIED, D_HONDT, SWEDISH, ODD]), votes_of(st.integers(1, 12), 10**6))
@settings(max_examples=examples(200), deadline=None)
def test_with_divisors_no_party_loses_a_seat_when_there_is_one_more(
    method: Divisors, votes: list[int]
) -> None:
    """House monotony; the largest remainder does not have it (Alabama paradox)."""
    found = [seats_of(one_district(method, number), votes).seats for number in range(1, 40)]
    assert all(
        before <= after for one, other in pairwise(found) for before, after in zip(one, other, strict=True)
    )


def test_largest_remainder_can_take_a_seat_when_there_is_one_more() -> None:
    """The Alabama paradox, with the votes of a textbook."""
    votes = [6, 6, 2]
    assert seats_of(one_district(HARE, 10), votes).seats == (4, 4, 2)
    assert seats_of(one_district(HARE, 11), votes).seats == (5, 5, 1)


@given(rules, votes, st.randoms(use_true_random=False))
@settings(max_examples=examples(500), deadline=None)
def test_without_a_lot_the_order_of_the_parties_does_not_matter(
    rule: Apportionment,
    votes: list[int],
    random: Random,
) -> None:
    found = seats_of(rule, votes)
    order = list(range(len(votes)))
    random.shuffle(order)
    permuted = seats_of(rule, [votes[party] for party in order])
    assert sorted(order[place] for place in permuted.tied) == list(found.tied)
    if not found.tied:
        assert [found.seats[party] for party in order] == list(permuted.seats)
        assert found.last is None or permuted.last is None or found.last.spare == permuted.last.spare


@given(rules, votes_of(st.integers(2, 5), 6))
@settings(max_examples=examples(400), deadline=None)
def test_tied_are_the_parties_whose_seats_depend_on_a_lot(rule: Apportionment, votes: list[int]) -> None:
    number = rule.districts[0].seats
    depending = [
        party
        for party in range(len(votes))
        if brute.ordinary(rule, votes, number, votes, {party: 1})[party]
        != brute.ordinary(rule, votes, number, votes, {party: -1})[party]
    ]
    assert list(seats_of(rule, votes).tied) == depending


@given(rules, votes, st.none() | votes_of(st.just(5), 60))
@settings(max_examples=examples(600), deadline=None)
def test_last_seat_is_lost_after_its_spare_votes(
    rule: Apportionment, votes: list[int], elsewhere: list[int] | None
) -> None:
    """With so many votes fewer the party still has the seat, if only by a lot; with one more vote less, it has not."""
    number = rule.districts[0].seats
    country = _country(votes, elsewhere)
    found = seats_of(rule, votes, country)
    if found.last is None:
        assert not any(found.seats)
        return
    last, spare = found.last
    had = found.seats[last]
    for lost in range(votes[last] + 1):
        changed = brute.ordinary(
            rule, _with(votes, last, -lost), number, _with(country, last, -lost), {last: 1}
        )
        assert (changed[last] >= had) is (lost <= spare), lost
        if lost > spare:
            break


@given(rules, votes, st.none() | votes_of(st.just(5), 60))
@settings(max_examples=examples(600), deadline=None)
def test_next_seat_is_won_with_the_votes_that_are_lacking(
    rule: Apportionment, votes: list[int], elsewhere: list[int] | None
) -> None:
    """With so many more votes the party has it whatever a lot says; with one fewer, it has not."""
    number, country = rule.districts[0].seats, _country(votes, elsewhere)
    found = seats_of(rule, votes, country)
    taking = brute.eligible(rule, votes, country)
    if found.next is None:
        assert len(taking) < 2
        return
    party, lacks = found.next
    assert found.last is not None
    assert party != found.last.party
    had = found.seats[party]
    assert lacks >= 1
    fewer = range(1, lacks) if lacks <= 50 else (1, lacks // 2, lacks - 2, lacks - 1)
    for more, won in (*((each, False) for each in fewer), (lacks, True)):
        changed = brute.ordinary(
            rule, _with(votes, party, more), number, _with(country, party, more), {party: -9}
        )
        assert (changed[party] > had) is won, more


@given(rules, votes)
@settings(max_examples=examples(300), deadline=None)
def test_next_would_have_the_seat_if_last_had_no_votes_beyond_its_spare_ones(
    rule: Apportionment, votes: list[int]
) -> None:
    if rule.threshold is not None or isinstance(rule.method, LargestRemainder):
        return
    found = seats_of(rule, votes)
    if found.last is None or found.next is None:
        return
    changed = seats_of(rule, _with(votes, found.last.party, -found.last.spare - 1))
    assert changed.seats[found.next.party] > found.seats[found.next.party]


@given(thresholds, votes)
@settings(max_examples=examples(500), deadline=None)
def test_threshold_margins_are_exact(threshold: Threshold, votes: list[int]) -> None:
    total = sum(votes)
    margins = {each.party: each for each in threshold.margins(votes)}
    near = [
        party
        for party, own in enumerate(votes)
        if own and threshold.parts * total <= 2 * own * 100_000 <= 4 * threshold.parts * total
    ]
    assert list(margins) == near
    reaching = threshold.eligible(votes)
    for party, margin in margins.items():
        assert margin.above is (party in reaching)
        sign = -1 if margin.above else 1
        changed = _with(votes, party, sign * margin.votes)
        assert party in threshold.eligible(changed)
        beyond = (
            _with(votes, party, -margin.votes - 1) if margin.above else _with(votes, party, margin.votes - 1)
        )
        assert party not in threshold.eligible(beyond)


def test_a_party_with_exactly_the_threshold_reaches_it() -> None:
    four = Threshold(4_000, "district")
    assert four.eligible([96, 4]) == [0, 1]
    assert four.eligible([961, 39]) == [0]
    assert seats_of(one_district(D_HONDT, 30, four), [96, 4]).seats == (29, 1)
    assert seats_of(one_district(D_HONDT, 30, four), [961, 39]).seats == (30, 0)


def test_a_threshold_of_the_country_applies_to_all_seats_of_a_district_without_levelling() -> None:
    rule = Apportionment(D_HONDT, "county", (District(1, 5), District(2, 5)), Threshold(10_000, "country"))
    assert rule.by_country
    assert district(rule, [60, 40], 5, [600, 60]).seats == (5, 0)
    assert district(rule, [60, 40], 5, [600, 70]).seats == (3, 2)
    assert not rule._replace(levelling=1).by_country
    assert not rule._replace(districts=(District(0, 5),)).by_country


def test_a_district_without_votes_has_no_seats_yet() -> None:
    found = seats_of(one_district(MODIFIED, 5), [0, 0, 0])
    assert found == DistrictSeats(5, (0, 0, 0), None, None, ())


def test_a_party_alone_has_all_seats_and_nobody_is_next() -> None:
    found = seats_of(one_district(MODIFIED, 5), [0, 7, 0])
    assert (found.seats, found.next) == ((0, 5, 0), None)
    assert found.last is not None
    assert found.last == (1, 6)


def test_of_equal_quotients_the_one_with_more_votes_comes_first() -> None:
    """30 ÷ 3 = 10 ÷ 1: the larger party has the second seat, and no lot is needed."""
    found = seats_of(one_district(SAINTE_LAGUE, 2), [10, 30])
    assert (found.seats, found.tied) == ((0, 2), ())
    assert found.last is not None
    assert found.next is not None
    assert (found.last.spare, found.next.lacks) == (0, 1)


def test_equal_votes_are_decided_by_the_order_of_the_registry_and_reported() -> None:
    found = seats_of(one_district(SAINTE_LAGUE, 1), [5, 10, 10])
    assert (found.seats, found.tied) == ((0, 1, 0), (1, 2))
    assert found.last == (1, 0)
    assert found.next == (2, 1)


levelling_rules = st.builds(
    lambda method, numbers, per_district, parts: Apportionment(
        method,
        "county",
        tuple(District(place + 1, number + per_district) for place, number in enumerate(numbers)),
        Threshold(parts, "country") if parts else None,
        per_district,
    ),
    st.sampled_from([SAINTE_LAGUE, MODIFIED, D_HONDT, HARE]),
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.integers(1, 2),
    st.sampled_from([0, 4_000, 15_000, 50_000]),
)


@given(levelling_rules, st.data())
@settings(max_examples=examples(400), deadline=None)
def test_levelling_seats_are_given_as_documented(rule: Apportionment, data: st.DataObject) -> None:
    parties = data.draw(st.integers(1, 5))
    votes = [
        data.draw(st.lists(st.integers(0, 60), min_size=parties, max_size=parties)) for _ in rule.districts
    ]
    districts = [
        Counted(own, district(rule, own, each.seats)) for own, each in zip(votes, rule.districts, strict=True)
    ]
    found = house(rule, districts)
    had, order = brute.levelled(rule, votes)
    assert [list(each.seats.seats) for each in districts] == had
    if not all(map(any, votes)):
        assert (found.given, sum(found.levelling)) == (None, 0)
        return
    assert found.given is not None
    assert [(each.district, each.party) for each in found.given] == order
    assert sum(found.seats) == sum(map(sum, had)) + len(order)
    assert sum(found.seats) <= rule.seats
    assert list(found.levelling) == [
        sum(each.party == party for each in found.given) for party in range(parties)
    ]


def test_levelling_seats_that_a_lot_would_decide_are_reported() -> None:
    """Two districts that mirror each other: each of two parties could have its levelling seat in either."""
    rule = Apportionment(D_HONDT, "county", (District(1, 2), District(2, 2)), None, 1)
    votes = [[30, 20, 20], [30, 20, 20]]
    districts = [Counted(own, district(rule, own, 2)) for own in votes]
    found = house(rule, districts)
    assert found.given is not None
    assert [(each.district, each.party) for each in found.given] == [(0, 1), (1, 2)]
    assert found.tied == (1, 2)


def _country(votes: list[int], elsewhere: list[int] | None) -> list[int]:
    others = elsewhere or [0] * 5
    return [own + other for own, other in zip(votes, others[: len(votes)], strict=True)]


def _with(votes: Sequence[int], party: int, more: int) -> list[int]:
    return [own + more * (place == party) for place, own in enumerate(votes)]
