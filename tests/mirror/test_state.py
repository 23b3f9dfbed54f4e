"""MirrorState: areas as the stream sends them; a wrong block changes nothing."""

import msgspec
import pytest

from gateway.client.subscriber import Block
from gateway.mirror.state import MirrorState, WrongBlock
from tests.mirror.model import RecordModel, a_registry

REGISTRY = a_registry(((2,), (1,)))
UNIT = "0101-0001"


def test_a_view_does_not_change_with_later_blocks() -> None:
    """It has every area in the order of the registry."""
    record, state = RecordModel(REGISTRY), MirrorState(tuple(REGISTRY.by_id))
    assert state.empty
    state.apply(record.block())
    before = state.view()
    record.publish(UNIT)
    state.apply(record.block(0))
    after = state.view()
    assert (before.sequence, after.sequence) == (0, 1)
    assert {name: area.raw for name, area in before.areas.items()} == record.documents_at(0)
    assert {name: area.raw for name, area in after.areas.items()} == record.documents()
    assert [*after.areas] == [area.id for area in REGISTRY.areas]
    changed = {name for name, area in after.areas.items() if area.sequence == 1}
    assert changed == {"no", "01", "0101", UNIT}


def test_a_block_without_a_publication_changes_only_the_number_of_holds() -> None:
    record, state = RecordModel(REGISTRY), MirrorState(tuple(REGISTRY.by_id))
    state.apply(record.block())
    before = state.view()
    record.holds = 3
    later = msgspec.structs.replace(record.block(0), server_time=before.server_time.replace(year=2026))
    state.apply(later)
    assert state.view() == before._replace(holds=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sequence": 0}, "follows"),
        ({"raw": {"elsewhere": b'{"area":"elsewhere","sequence":2}'}}, "registry"),
        ({"raw": {"no": b'{"area":"no","sequence":9}'}}, "'no'"),
        ({"raw": {"no": b'{"area":"no",\n"sequence":2}'}}, "'no'"),
        ({"snapshot": True, "raw": {"no": b'{"area":"no","sequence":2}'}}, "snapshot"),
    ],
)
def test_a_block_that_does_not_follow_is_refused(change: dict[str, object], message: str) -> None:
    record, state = RecordModel(REGISTRY), MirrorState(tuple(REGISTRY.by_id))
    record.publish(UNIT)
    with pytest.raises(WrongBlock, match="not a snapshot"):
        state.apply(record.block(0))
    state.apply(record.block())
    before = state.view()
    record.publish(UNIT)
    wrong: Block = msgspec.structs.replace(record.block(1), **change)
    with pytest.raises(WrongBlock, match=message):
        state.apply(wrong)
    assert state.view() is before
