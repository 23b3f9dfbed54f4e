"""PURE but for the time zone database: times in the time zone of an election."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.election.registry import Registry
from gateway.election.rfc3339 import read_time


def local_time(registry: Registry, moment: datetime) -> datetime:
    """Return the same moment with the offset of the election's time zone.

    If the registry names no time zone, or one that is unknown on this machine, the offset is that of the registry's
    `publish_from`.
    """
    return local_time_of(registry.document["election"], moment)


def local_time_of(header: Mapping[str, Any], moment: datetime) -> datetime:
    """Return the same as `local_time` for the member `election` of a stored registry."""
    zone = _zone_in(header)
    return moment.astimezone(zone if zone is not None else read_time(header["publish_from"]).tzinfo)


def zone_of(registry: Registry) -> ZoneInfo | None:
    """Return the time zone of an election, or None if its registry names none that is known here."""
    return _zone_in(registry.document["election"])


def _zone_in(header: Mapping[str, Any]) -> ZoneInfo | None:
    name = header.get("timezone")
    return _zone(name) if isinstance(name, str) and name else None


@lru_cache(maxsize=32)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, ZoneInfoNotFoundError):  # no such file, a directory, or a path
        return None
