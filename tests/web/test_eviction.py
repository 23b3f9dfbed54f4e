"""Which connection is evicted: compared with a simple model."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.web.eviction import ByAddress

STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "discard", "renew"]), st.sampled_from("abc"), st.integers(0, 9)),
    max_size=80,
)


@given(STEPS)
def test_the_victim_is_the_oldest_connection_of_the_address_with_the_most(
    steps: list[tuple[str, str, int]],
) -> None:
    """After any sequence of additions, removals and renewals."""
    members: ByAddress[tuple[str, int]] = ByAddress()
    model: dict[str, list[tuple[str, int]]] = {}
    order: list[tuple[str, int]] = []
    for step, address, number in steps:
        member = (address, number)
        present = model.setdefault(address, [])
        if member in present and step != "add":
            order.remove(member)
        if (member in present) == (step == "renew") and step != "discard":
            order.append(member)
        if step == "add" and member not in present:
            members.add(address, member)
            present.append(member)
        elif step == "renew" and member in present:
            members.renew(address, member)
            present.append(present.pop(present.index(member)))
        elif step == "discard":
            members.discard(address, member)
            if member in present:
                present.remove(member)
        most = max(map(len, model.values()))
        assert (len(members), members.most) == (sum(map(len, model.values())), most)
        assert members.first() == (order[0] if order else None)
        for each, there in model.items():
            assert members.oldest(each) == (there[0] if there else None)
        victim = members.victim()
        if most:
            assert victim in [there[0] for there in model.values() if len(there) == most]
        else:
            assert victim is None


def test_of_equal_addresses_the_first_one_is_chosen() -> None:
    """So connections from many addresses are evicted in the order in which they arrived."""
    members: ByAddress[int] = ByAddress()
    for number in range(4):
        members.add(f"192.0.2.{number}", number)
    gone = []
    while (victim := members.victim()) is not None:
        members.discard(f"192.0.2.{victim}", victim)
        gone.append(victim)
    assert gone == [0, 1, 2, 3]
