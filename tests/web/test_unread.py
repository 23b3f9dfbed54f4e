"""The account of bytes buffered for connections that do not read their answers."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.web.unread import STALLED_MIN_S, Fit, UnreadBytes

NOW = 1000.0
OLD = NOW - 2 * STALLED_MIN_S
BODIES = [bytes(size) for size in (100, 200, 300)]


def put(unread: UnreadBytes[str], member: str, address: str, size: int, since: float = OLD) -> None:
    unread.put(member, address, 0, bytes(size), since)


def test_a_shared_body_counts_once_in_total_and_once_per_address() -> None:
    """And no more once the last connection has read it."""
    unread: UnreadBytes[str] = UnreadBytes()
    body = bytes(1000)
    for member, address in (("a", "x"), ("b", "x"), ("c", "y")):
        unread.put(member, address, 1, body, NOW)
    assert (unread.total, unread.of("x"), unread.of("y")) == (1003, 1002, 1001)
    unread.drop("a")
    assert (unread.total, unread.of("x")) == (1002, 1001)
    unread.drop("b")
    unread.drop("c")
    assert (unread.total, unread.of("x"), len(unread)) == (0, 0, 0)


def test_an_address_above_its_limit_loses_its_stalled_connections_first() -> None:
    """The longest stalled first, and no more than needed; other addresses lose none."""
    unread: UnreadBytes[str] = UnreadBytes(1000, 300)
    put(unread, "first", "x", 100, OLD - 1)
    put(unread, "second", "x", 100, OLD)
    put(unread, "third", "x", 100, NOW)
    put(unread, "other", "y", 300, OLD - 9)
    assert unread.fit("x", 0, bytes(100), NOW) == (Fit.YES, ["first"])
    unread.progress("second", NOW)
    assert unread.fit("x", 0, bytes(200), NOW) == (Fit.ADDRESS_FULL, [])
    assert unread.of("y") == 300


def test_one_answer_always_fits_an_address_that_has_nothing_unread() -> None:
    """Whatever its size."""
    unread: UnreadBytes[str] = UnreadBytes(1000, 100)
    assert unread.fit("x", 0, bytes(900), NOW) == (Fit.YES, [])


def test_at_the_total_limit_connections_of_the_largest_address_are_closed_for_a_small_answer() -> None:
    """Even if they are not stalled; room is made for more than one answer."""
    unread: UnreadBytes[str] = UnreadBytes(800, 600)
    put(unread, "honest", "z", 50, OLD - 9)
    for number in range(3):
        put(unread, f"x{number}", "x", 200, NOW)
    put(unread, "y", "y", 150, NOW)
    assert unread.fit("h", 0, bytes(10), NOW) == (Fit.YES, ["x0"])
    assert unread.of("z") == 50


def test_at_the_total_limit_an_answer_is_refused_if_no_address_has_more() -> None:
    """Connections that read their answers are not closed for others of the same size."""
    unread: UnreadBytes[str] = UnreadBytes(800, 600)
    for number in range(8):
        put(unread, f"x{number}", f"x{number}", 100, NOW)
    assert unread.fit("h", 0, bytes(100), NOW) == (Fit.FULL, [])


def test_an_excess_found_by_measurement_is_removed() -> None:
    """From the largest address first."""
    unread: UnreadBytes[str] = UnreadBytes(1000, 1000)
    put(unread, "small", "x", 100)
    put(unread, "large", "y", 100)
    unread.resize("large", 900, NOW)
    unread.resize("small", 1, OLD)
    assert unread.excess(NOW + 2 * STALLED_MIN_S) == ["large"]
    assert (unread.total, unread.of("x"), unread.of("y")) == (101, 101, 0)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5), st.sampled_from("xyz"), st.integers(0, 50), st.sampled_from([None, *BODIES])
        )
    )
)
def test_the_account_is_correct_after_any_sequence_of_operations(
    steps: list[tuple[int, str, int, bytes | None]],
) -> None:
    """In total and per address; no admitted answer exceeds a limit."""
    unread: UnreadBytes[int] = UnreadBytes(500, 350)
    model: dict[int, tuple[str, int, bytes | None]] = {}
    for now, (member, address, own, body) in enumerate(steps):
        unread.drop(member)
        model.pop(member, None)
        fit, cut = unread.fit(address, own, body, now / 3)
        for each in cut:
            del model[each]
        if fit is Fit.YES:
            unread.put(member, address, own, body, now / 3)
            model[member] = (address, own, body)
        assert set(unread) == set(model)
        assert unread.total == size(model) <= 500
        for each in "xyz":
            of_address = {key: owed for key, owed in model.items() if owed[0] == each}
            assert unread.of(each) == size(of_address)
            assert unread.of(each) <= 350 or len(of_address) <= 1


def size(owed: dict[int, tuple[str, int, bytes | None]]) -> int:
    bodies = {id(body): len(body) for _, _, body in owed.values() if body is not None}
    return sum(own for _, own, _ in owed.values()) + sum(bodies.values())
