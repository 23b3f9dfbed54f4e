"""Areas as documents: what is encoded is kept until it changes, within bounds."""

import pytest

from gateway.election.state import ElectionState
from gateway.feed import areas
from gateway.feed.areas import AreaPages
from gateway.feed.blocks import BlockMaker
from gateway.wire.areas import CSV, EML, NIST, AreaFormat
from tests.election.makers import REGISTRY, Record, a_report
from tests.wire.pages import area_page


@pytest.mark.parametrize("form", [CSV, EML, NIST])
@pytest.mark.parametrize("bound", [1, areas.ENCODED_MAX])
def test_a_page_is_that_of_the_present_state(
    form: AreaFormat, bound: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether or not its parts were kept, or refreshed before."""
    monkeypatch.setattr(areas, "ENCODED_MAX", bound)
    state, record = ElectionState(REGISTRY), Record()
    pages = AreaPages(state, BlockMaker(state))
    for revision in range(1, 4):
        for area in REGISTRY.areas:
            if revision == 2:
                list(pages.refresh(area, form, areas.ENCODED_MAX))
            assert pages.page(area, form) == area_page(form, state, area.id)
        state.apply(record.write(a_report("a-1-1", revision)))


def test_what_is_encoded_for_a_page_is_bounded() -> None:
    """It is at most as large as asked for, or else left unfinished."""
    state = ElectionState(REGISTRY)
    pages, root = AreaPages(state, BlockMaker(state)), REGISTRY.root

    def refreshed(most: int) -> tuple[int, bool]:
        """Return the number of steps, and whether it is small enough."""
        steps, count = pages.refresh(root, EML, most), 0
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return count, end.value
            count += 1

    size = sum(len(EML.encoder(REGISTRY)(state, index)) for index in (root.index, *root.children))
    assert refreshed(size) == (1 + len(root.children), True)
    assert refreshed(size - 1) == (len(root.children), False)
    assert refreshed(1) == (0, False)
