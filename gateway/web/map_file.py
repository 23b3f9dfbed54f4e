"""A map for the results page: GeoJSON, read once, checked, and reduced to what is drawn.

Each feature keeps its geometry, rounded to a metre, and all identifiers that its area may have: its `id`, and the
properties in which maps of municipalities keep it. The caller, who knows the areas, decides which one applies. Source:
RFC 7946.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import orjson

from gateway.errors import GatewayError
from gateway.trimmed_json import dumps_trimmed

SIZE_MAX = 16 << 20
"""Largest file, in bytes; enough for a whole country in more detail than a screen shows."""
DECIMALS = 5
"""Decimals of a coordinate; in degrees the last one is about a metre."""
ERRORS_MAX = 10
"""How many errors a message lists."""
ID_PROPERTIES = ("id", "area", "kommunenummer", "kommunenr", "komm", "municipality", "code")
"""Properties that may contain the identifier of an area, the most likely first."""
_NUMBER_DIGITS = 4
"""Length of a municipality's number; some programs drop its leading zero."""
_RING_MIN = 4


class BadMap(GatewayError):
    """A file that cannot be drawn; the message names it and all reasons."""

    code = "bad_map"


class Map(msgspec.Struct, frozen=True):
    """A map as it is served, and for each shape the identifiers that its area may have."""

    body: bytes
    shapes: Sequence[tuple[str, ...]]

    def unknown_shapes(self, areas: Collection[str]) -> list[str]:
        """Return the first identifier of each shape that belongs to none of these areas."""
        known = frozenset(areas)
        return [ids[0] for ids in self.shapes if not known.intersection(ids)]


NO_MAP = Map(b'{"type":"FeatureCollection","features":[]}', ())
"""The map that is served if none is configured."""


def read_map(path: Path) -> Map:
    """Read and check a file. Raises BadMap."""
    try:
        with path.open("rb") as file:
            content = file.read(SIZE_MAX + 1)
    except OSError as error:
        raise BadMap(f"map {path}: {error.strerror}") from None
    if len(content) > SIZE_MAX:
        raise BadMap(f"map {path}: larger than {SIZE_MAX >> 20} MiB; simplify it")
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise BadMap(f"map {path}: not JSON: {error}") from None
    if not isinstance(document, dict) or document.get("type") != "FeatureCollection":
        raise BadMap(f"map {path}: not a GeoJSON FeatureCollection")
    features = document.get("features")
    if not isinstance(features, list) or not features:
        raise BadMap(f"map {path}: it has no features")
    return _read_features(path, features)


def _read_features(path: Path, features: Sequence[Any]) -> Map:
    drawn, shapes, errors = [], [], []
    for index, feature in enumerate(features):
        try:
            ids = _ids(feature)
            geometry = _geometry(feature.get("geometry"))
        except ValueError as error:
            errors.append(f"features[{index}]: {error}")
            continue
        drawn.append({"type": "Feature", "properties": {"ids": ids}, "geometry": geometry})
        shapes.append(ids)
    if errors:
        more = f"; and {len(errors) - ERRORS_MAX} more" if len(errors) > ERRORS_MAX else ""
        raise BadMap(f"map {path}: {'; '.join(errors[:ERRORS_MAX])}{more}")
    return Map(dumps_trimmed({"type": "FeatureCollection", "features": drawn}), tuple(shapes))


def _ids(feature: Any) -> tuple[str, ...]:
    """Return the identifiers that a feature may have, the most likely first. Raises ValueError if it has none."""
    if not isinstance(feature, dict) or feature.get("type") != "Feature":
        raise ValueError("not a Feature")
    properties = feature.get("properties") or {}
    if not isinstance(properties, dict):
        raise ValueError("its properties are not an object")
    found = dict.fromkeys(
        text
        for value in (feature.get("id"), *(properties.get(name) for name in ID_PROPERTIES))
        for text in _texts(value)
    )
    if not found:
        raise ValueError(
            f"no identifier of an area: neither `id` nor any of the properties {', '.join(ID_PROPERTIES)}"
        )
    return tuple(found)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, int) and not isinstance(value, bool):
        yield f"{value:0{_NUMBER_DIGITS}}"
        yield str(value)


def _geometry(geometry: Any) -> dict[str, Any]:
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind == "Polygon":
        return {"type": kind, "coordinates": _polygon(geometry.get("coordinates"))}
    if kind == "MultiPolygon":
        polygons = _list(geometry.get("coordinates"), "polygons")
        return {"type": kind, "coordinates": [_polygon(each) for each in polygons]}
    raise ValueError(f"its geometry is {kind or 'missing'}, expected Polygon or MultiPolygon")


def _polygon(rings: Any) -> list[list[list[float]]]:
    return [_ring(each) for each in _list(rings, "rings")]


def _ring(positions: Any) -> list[list[float]]:
    if len(_list(positions, "positions")) < _RING_MIN:
        raise ValueError(f"a ring has fewer than {_RING_MIN} positions")
    return [_position(each) for each in positions]


def _position(position: Any) -> list[float]:
    try:
        x, y = float(position[0]), float(position[1])
    except (TypeError, ValueError, IndexError, KeyError, OverflowError):
        raise ValueError(f"{str(position)[:40]} is not a position") from None
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError(f"{str(position)[:40]} is not a position")
    return [round(x, DECIMALS), round(y, DECIMALS)]


def _list(value: Any, items: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"there are no {items}")
    return value
