"""PURE: content negotiation and conditional requests, from the values of header fields.

Parsing takes time linear in the length of a value, and at most ELEMENTS_MAX elements of a list are considered. A
malformed element selects nothing, so a malformed field results in the default representation. Source: RFC 9110,
sections 5.6.1 (lists), 12.4.2 (weights), 12.5.1 (Accept), 12.5.3 (Accept-Encoding) and 13.1.2 (If-None-Match).
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import islice

from multidict import MultiMapping

ELEMENTS_MAX = 100
"""Elements of a list that are considered; browsers send fewer than ten."""
CACHED_MAX, CACHED_LENGTH_MAX = 256, 256
"""How many parsed values are cached, and their maximum length: most clients send one of a few short values."""

_ELEMENT = re.compile(r'(?:[^,"]++|"(?:[^"\\]++|\\.)*+"?)++', re.DOTALL)
"""One element of a comma-separated list, whose parameters may contain quoted commas."""
_WEIGHT = re.compile(r";[ \t]*q[ \t]*=([^;]*)", re.IGNORECASE)
_QVALUE = re.compile(r"0?\.[0-9]{1,3}|0\.?|1(?:\.0{0,3})?")
"""A weight, read more tolerantly than the grammar: some clients leave out the zero."""
_ENTITY_TAG = re.compile(r'(?:^|,)[ \t]*(?:W/)?("[!#-~\x80-\U0010ffff]*")[ \t]*(?=,|$)')


def combined(headers: MultiMapping[str], name: str) -> str:
    """Return the lines of a header field as one list; empty if the field is missing. Source: RFC 9110, section 5.3."""
    return ", ".join(headers.getall(name, ()))


def gzip_accepted(headers: MultiMapping[str]) -> bool:
    """Return whether to send gzip in answer to a request with these headers."""
    return accepts_gzip(combined(headers, "Accept-Encoding"))


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether to send gzip: it is listed, and the client does not give `identity` a higher weight.

    `*` selects gzip only if the client excludes `identity`: some clients that send it cannot decompress anything.
    """
    weights = _weights(accept_encoding)
    gzip = weights.get("gzip", weights.get("x-gzip"))
    if gzip is not None:
        return gzip > 0 and gzip >= weights.get("identity", 0)
    return weights.get("*", 0) > 0 and weights.get("identity") == 0


def preferred(accept: str, default: str, *others: str) -> str:
    """Return the media type that a client prefers; the first one if it does not prefer any other.

    The highest weight wins; at equal weights, a type that is listed by name wins over one that only a range covers.
    """
    weights = _weights(accept)
    best, best_preference = default, _preference(weights, default)
    for media_type in others:
        preference = _preference(weights, media_type)
        if preference[0] > 0 and preference > best_preference:
            best, best_preference = media_type, preference
    return best


def is_current(if_none_match: str, etag: str) -> bool:
    """Return whether a client has the representation with this strong entity tag, so that 304 is the answer.

    Tags are compared weakly: a proxy may have weakened the tag when it changed the content coding.
    """
    if if_none_match.strip() == "*":
        return True
    found = islice(_ENTITY_TAG.finditer(if_none_match), ELEMENTS_MAX)
    return any(match[1] == etag for match in found)


def _preference(weights: Mapping[str, float], media_type: str) -> tuple[float, bool]:
    """Return the weight of a media type, from the most specific range, and whether it is listed by name."""
    for media_range in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
        if media_range in weights:
            return weights[media_range], media_range == media_type
    return 0.0, False


def _weights(value: str) -> Mapping[str, float]:
    """Return the weight of each element of a list by its name in lower case, the highest if it is repeated."""
    return _cached_weights(value) if len(value) <= CACHED_LENGTH_MAX else _parse_weights(value)


def _parse_weights(value: str) -> Mapping[str, float]:
    weights: dict[str, float] = {}
    for element in islice(_ELEMENT.finditer(value), ELEMENTS_MAX):
        name, _, _ = element[0].partition(";")
        key = name.strip(" \t").lower()
        weights[key] = max(weights.get(key, 0.0), _weight(element[0]))
    return weights


_cached_weights = lru_cache(CACHED_MAX)(_parse_weights)


def _weight(element: str) -> float:
    """Return the weight of an element, 1 if it has none, 0 if it is malformed."""
    found = _WEIGHT.search(element)
    if found is None:
        return 1.0
    value = found[1].strip(" \t")
    return float(value) if _QVALUE.fullmatch(value) else 0.0
