"""The profiles of an election: the selections of areas that have files of their own. PURE."""

from collections.abc import Mapping

from gateway.election.registry import Registry
from gateway.wire.mirror import AREA_PROFILES_MAX, COUNTRY, DEFAULT, area_profile


def profiles_of(registry: Registry) -> Mapping[str, tuple[str, ...]]:
    """Return the areas of each profile in the order of the registry.

    The first area of a profile is above all the others, so it has changed if any of them has.
    """
    areas, root = registry.areas, registry.root
    found = {
        COUNTRY: (root.id, *(areas[child].id for child in root.children)),
        DEFAULT: tuple(area.id for area in areas if not area.is_unit) or (root.id,),
    }
    tops = [areas[child] for child in root.children if not areas[child].is_unit]
    if len(tops) <= AREA_PROFILES_MAX:
        for top in tops:
            found[area_profile(top.id)] = tuple(areas[index].id for index in sorted(registry.below(top)))
    return found
