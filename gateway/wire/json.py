"""JSON as it is sent."""

import orjson


def to_json(value: object) -> bytes:
    """Encode a value as JSON in UTF-8, with times in UTC ending in `Z`."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)
