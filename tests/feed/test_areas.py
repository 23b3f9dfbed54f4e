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
                list(pages.refresh(area, form))
            assert pages.page(area, form) == area_page(form, state, area.id)
        state.apply(record.write(a_report("a-1-1", revision)))
