"""Get a JSON document from a door. Any failure becomes a GatewayError with a text of one line."""

from typing import Any

import aiohttp
import orjson

from gateway.characters import printable
from gateway.errors import GatewayError

BODY_MAX = 256 << 20
"""Largest answer that is read, in bytes; the registry of an election ten times Norway's takes 10 MB."""
DETAIL_MAX = 500
"""Characters of an error's detail that are shown."""


async def get(http: aiohttp.ClientSession, url: str) -> tuple[int, dict[str, Any]]:
    """Return status and document of an answer. Raises GatewayError if there is none or it is not a JSON object."""
    try:
        async with http.get(url) as answer:
            body = bytearray()
            async for piece in answer.content.iter_any():
                body += piece
                if len(body) > BODY_MAX:
                    raise GatewayError(f"{url}: the answer is larger than {BODY_MAX >> 20} MiB")
            document = orjson.loads(body)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise GatewayError(printable(f"{url}: {str(error) or type(error).__name__}")) from None
    if not isinstance(document, dict):
        raise GatewayError(f"{url}: the answer is not a JSON object")
    return answer.status, document


def error_of(url: str, status: int, document: dict[str, Any]) -> GatewayError:
    """Return the error that an answer with another status than expected stands for."""
    return GatewayError(printable(f"{url}: {document.get('detail', status)!s:.{DETAIL_MAX}}"))


async def get_document(http: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """Return the document of an answer with status 200. Raises GatewayError."""
    status, document = await get(http, url)
    if status != 200:
        raise error_of(url, status, document)
    return document
