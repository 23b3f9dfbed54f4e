"""Whole documents of areas, as the feed door makes them."""

from gateway.election.state import ElectionState
from gateway.wire.areas import AreaFormat


def area_page(form: AreaFormat, state: ElectionState, area: str) -> bytes:
    registry = state.registry
    found, encode = registry.by_id[area], form.encoder(registry)
    areas = [encode(state, index) for index in (found.index, *found.children)]
    return form.join(state, found, form.encode_head(registry), areas)
