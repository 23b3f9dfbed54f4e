"""A map for the results page: GeoJSON, read once, checked, and reduced to what is drawn.

Of a feature remain its geometry, to a metre, and what may be the identifier of its area: its `id`, and those of its
properties that maps of municipalities use for it. Which of them it is, is for whoever knows the areas to say. Source:
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
"""Bytes of a file: a whole country, drawn finer than a screen shows."""
DECIMALS = 5
"""Of a coordinate: a metre, of degrees."""
MISTAKES_MAX = 10
NAMES = ("id", "area", "kommunenummer", "kommunenr", "komm", "municipality", "code")
"""Properties that may hold the identifier of an area, the likeliest first."""
_NUMBER_LENGTH = 4
"""Digits of a municipality's number, of which some programs drop the leading zero."""
_RING_LEAST = 4


class BadMap(GatewayError):
    """A file that cannot be drawn; the text names it, and every reason."""

    code = "bad_map"


class Map(msgspec.Struct, frozen=True):
    """A map as it is served, and of each shape the identifiers that it may have."""

    body: bytes
    shapes: Sequence[tuple[str, ...]]

    def unknown(self, areas: Collection[str]) -> list[str]:
        """Return the first identifier of each shape that is none of these areas."""
        known = frozenset(areas)
        return [names[0] for names in self.shapes if not known.intersection(names)]


NO_MAP = Map(b'{"type":"FeatureCollection","features":[]}', ())
"""What is served where there is none."""


def read_map(path: Path) -> Map:
    """Read a file. Raises BadMap."""
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
    kept, shapes, mistakes = [], [], []
    for place, feature in enumerate(features):
        try:
            names = _names(feature)
            geometry = _geometry(feature.get("geometry"))
        except ValueError as error:
            mistakes.append(f"features[{place}]: {error}")
            continue
        kept.append({"type": "Feature", "properties": {"ids": names}, "geometry": geometry})
        shapes.append(names)
    if mistakes:
        more = f"; and {len(mistakes) - MISTAKES_MAX} more" if len(mistakes) > MISTAKES_MAX else ""
        raise BadMap(f"map {path}: {'; '.join(mistakes[:MISTAKES_MAX])}{more}")
    return Map(dumps_trimmed({"type": "FeatureCollection", "features": kept}), tuple(shapes))


def _names(feature: Any) -> tuple[str, ...]:
    """Return the identifiers that a feature may have, the likeliest first. Raises ValueError where there is none."""
    if not isinstance(feature, dict) or feature.get("type") != "Feature":
        raise ValueError("not a Feature")
    properties = feature.get("properties") or {}
    if not isinstance(properties, dict):
        raise ValueError("its properties are no object")
    found = dict.fromkeys(
        text
        for value in (feature.get("id"), *(properties.get(name) for name in NAMES))
        for text in _texts(value)
    )
    if not found:
        raise ValueError(f"no identifier of an area: none of `id` and the properties {', '.join(NAMES)}")
    return tuple(found)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, int) and not isinstance(value, bool):
        yield f"{value:0{_NUMBER_LENGTH}}"
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
    if len(_list(positions, "positions")) < _RING_LEAST:
        raise ValueError(f"a ring of fewer than {_RING_LEAST} positions")
    return [_position(each) for each in positions]


def _position(position: Any) -> list[float]:
    try:
        x, y = float(position[0]), float(position[1])
    except (TypeError, ValueError, IndexError, KeyError, OverflowError):
        raise ValueError(f"{str(position)[:40]} is no position") from None
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError(f"{str(position)[:40]} is no position")
    return [round(x, DECIMALS), round(y, DECIMALS)]


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"there are no {what}")
    return value
