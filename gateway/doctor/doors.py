"""Query the doors of this machine, or those at given addresses."""

import re
import resource
import ssl
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from gateway.client.failures import Failure, HttpAnswer, failure_of_answer, failure_of_error
from gateway.client.http_json import json_object
from gateway.client.http_session import NotFollowed, environment_proxy, open_session
from gateway.client.proxies import BadProxy, without_user
from gateway.config import DOORS, Config, door_url, local_url
from gateway.doctor.facts import Door, Process

PROBE_S = 5.0
"""Seconds that a door may take to answer."""
HEALTH_MAX, METRICS_MAX = 1 << 20, 8 << 20
"""Bytes of an answer that are read."""
_DIFFERS = re.compile(r'^valgnatt_log_disagrees\{[^}]*election="([^"]*)"[^}]*\} 1(?:\.0)?$', re.MULTILINE)


class Addresses(msgspec.Struct, frozen=True):
    """URLs of doors, if they differ from the options."""

    push: str | None = None
    feed: str | None = None
    admin: str | None = None


async def probe_doors(config: Config, addresses: Addresses) -> tuple[list[Door], list[Process]]:
    """Query the health of each door, and of the admin port; return the workers of this machine too.

    An address that was given is reached as clients reach it, through the proxy of the environment; others directly.
    """
    wanted: dict[str, str | None] = {}
    for role in DOORS:
        if config.role in ("all", role):
            wanted[role] = getattr(addresses, role) or door_url(config, role)
    if config.admin_port is not None:
        wanted["admin"] = addresses.admin or local_url("http", config.admin_host, config.admin_port)
    doors, processes = [], []
    for name, url in wanted.items():
        needed = name == "push" and config.push_client_ca is not None
        given = getattr(addresses, name) is not None
        door, workers = await _probe(name, url, given=given, client_certificates=needed)
        doors.append(door)
        processes += [Process(worker, limit) for worker, pid in workers.items() if (limit := _limit_of(pid))]
    return doors, processes


async def _probe(
    name: str, url: str | None, *, given: bool, client_certificates: bool
) -> tuple[Door, Mapping[str, int]]:
    """Query the health of a door; return it, and the process ids that the admin port reports."""
    if url is None:
        return Door(name=name, url=None), {}
    url, host = url.rstrip("/"), urlsplit(url).hostname or ""
    down = partial(Door, name=name, url=url, host=host)
    measured = ""
    try:
        proxy = environment_proxy(url) if given else None
    except BadProxy as error:
        return down(seen=str(error)), {}
    asked = f"{url}/health/ready"
    try:
        async with (
            open_session(proxy, total_s=PROBE_S) as http,
            http.get(asked, ssl=_trusting(), allow_redirects=False) as response,
        ):
            answer = HttpAnswer(
                asked, response.status, response.headers, await response.content.read(HEALTH_MAX)
            )
            measured = await _metrics(http, url) if name == "admin" and response.status == 200 else ""
    except NotFollowed as redirected:
        answer = redirected.answer
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        if client_certificates and certificate_required(error):
            return down(ready=True, seen="requires a client certificate"), {}
        return down(seen=_reason(failure_of_error(asked, error, proxy), asked)), {}
    document = json_object(answer.body)
    if document is None:
        return down(seen=_reason(failure_of_answer(answer, f"{name} door", proxy), asked)), {}
    ready, status = answer.status == 200, document.get("status", answer.status)
    seen = f"is {status}" if ready else f"answers {answer.status}, {status}"
    through = f", through {proxy}" if proxy is not None else ""
    workers: Mapping[str, Any] = document.get("workers") or {}
    restarts = {worker: int(about.get("restarts", 0)) for worker, about in workers.items()}
    here = host in ("127.0.0.1", "::1", "localhost")  # otherwise these are processes of another machine
    pids = {worker: about["pid"] for worker, about in workers.items() if here and about.get("pid")}
    differing = sorted(set(_DIFFERS.findall(measured)))
    return down(
        ready=ready, seen=seen.replace("_", " ") + through, restarts=restarts, differing=differing
    ), pids


async def _metrics(http: aiohttp.ClientSession, url: str) -> str:
    """Return the metrics of the admin port; empty if it does not answer."""
    try:
        async with http.get(f"{url}/metrics", ssl=_trusting(), allow_redirects=False) as response:
            return (await response.content.read(METRICS_MAX)).decode("utf-8", "replace")
    except (aiohttp.ClientError, TimeoutError, OSError):
        return ""


def certificate_required(error: BaseException | None) -> bool:
    """Return whether the server ended a TLS handshake with the alert certificate_required (RFC 8446, section 6.2)."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            alert = error.reason or str(error)  # a Python that does not know the alert gives its text alone
            if "CERTIFICATE_REQUIRED" in alert.upper().replace(" ", "_"):
                return True
        error = error.__cause__ or error.__context__
    return False


def _reason(failure: Failure, url: str) -> str:
    return failure.text.removeprefix(f"{without_user(url)}: ")


def _trusting() -> ssl.SSLContext:
    """Return a context that accepts any certificate: the files are checked separately."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _limit_of(pid: int) -> int | None:
    """Return the limit of open files of a process of this machine, if we may read it."""
    with suppress(OSError, ValueError, ProcessLookupError):
        return resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]
    return None
