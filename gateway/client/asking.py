"""Asking a door for a JSON document. Whatever answers, the outcome is an object or a GatewayError of one line."""

from typing import Any

import aiohttp
import orjson

from gateway.characters import printable
from gateway.errors import GatewayError

BODY_MAX = 256 << 20
"""Bytes of an answer that are read; the registry of an election ten times Norway's has 10 MB."""
DETAIL_MAX = 500
"""Characters of a refusal's detail that are repeated."""


async def ask(http: aiohttp.ClientSession, url: str) -> tuple[int, dict[str, Any]]:
    """Return status and document of an answer. Raises GatewayError where there is none, or it is no JSON object."""
    try:
        async with http.get(url) as answer:
            body = bytearray()
            async for piece in answer.content.iter_any():
                body += piece
                if len(body) > BODY_MAX:
                    raise GatewayError(f"{url}: an answer of more than {BODY_MAX >> 20} MiB")
            document = orjson.loads(body)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise GatewayError(printable(f"{url}: {str(error) or type(error).__name__}")) from None
    if not isinstance(document, dict):
        raise GatewayError(f"{url}: the answer is no JSON object")
    return answer.status, document


def refusal(url: str, status: int, document: dict[str, Any]) -> GatewayError:
    """Return the error for an answer that is not the one that was asked for."""
    return GatewayError(printable(f"{url}: {document.get('detail', status)!s:.{DETAIL_MAX}}"))


async def asked(http: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """Return the document of an answer with status 200. Raises GatewayError."""
    status, document = await ask(http, url)
    if status != 200:
        raise refusal(url, status, document)
    return document
