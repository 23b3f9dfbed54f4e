"""Objects of a bucket, by the package obstore (extra `mirror`): S3, Google Cloud Storage, Azure Blob Storage.

The only module that imports obstore, when needed. Knows nothing of mirrors.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeVar

from gateway.errors import ExtraMissing
from gateway.mirror.encoding import NotGzip, uncompressed
from gateway.mirror.store_errors import explain, is_bucket_missing
from gateway.mirror.store_places import Place
from gateway.mirror.target import TargetUnavailable

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore, S3Store

CONNECT_S = 5.0
REQUEST_S = 20.0
"""How long one attempt may take."""
RETRIES = 4
RETRY_S = 20.0
"""For how long failed attempts are repeated, after growing delays with jitter."""
CALL_S = 60.0
"""How long a call may take, with all its attempts."""
EXIT_S = 0.1
"""How long the threads of obstore need after the last call until the process may end; it is aborted otherwise."""
CREATE: Final = "create"
_MISSING = "an object store needs the package obstore, which is not installed: pip install 'valgnatt[mirror]'"

T = TypeVar("T")
Version = Mapping[str, Any]
"""Identifies one version of an object: its ETag, in Google Cloud Storage its generation."""


class Conflict(Exception):
    """A condition of a write was not met: the object is another version, or exists, or does not exist."""


class Object(NamedTuple):
    """An object, or what is known about it without its body."""

    version: Version
    attributes: Mapping[str, str]
    body: bytes = b""


class Bucket:
    """Objects below a prefix of a bucket. Every call ends within CALL_S and raises TargetUnavailable."""

    def __init__(self, place: Place) -> None:
        """Configure the access from the environment, without reaching it. Raises ExtraMissing, TargetUnavailable."""
        self._place = place
        self._store = _store(place)

    async def put(
        self,
        path: str,
        body: bytes,
        attributes: dict[str, str],
        condition: Version | Literal["create"] | None,
    ) -> Version:
        """Store an object and return its version. Raises Conflict if it is not the version of the condition."""
        from obstore import put_async
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        mode: Any = _known(condition) if isinstance(condition, Mapping) else condition
        try:
            return await self._call(
                put_async(self._store, path, body, attributes=attributes, mode=mode, use_multipart=False)
            )
        except (AlreadyExistsError, PreconditionError, FileNotFoundError) as error:
            raise Conflict(path) from error

    async def get(self, path: str, most: int) -> Object | None:
        """Return an object, uncompressed, or None if there is none. One of more than `most` bytes is an error."""
        from obstore import get_async

        try:
            result = await self._call(get_async(self._store, path))
            attributes: dict[str, str] = dict(result.attributes)
            packed = attributes.get("Content-Encoding") == "gzip"
            if result.meta["size"] > most + (1024 if packed else 0):
                raise self._foreign(path, f"it has more than {most} bytes")
            content = bytes(await self._call(result.bytes_async()))
        except FileNotFoundError:
            return None
        try:
            body = uncompressed(content, most) if packed else content
        except NotGzip as error:
            raise self._foreign(path, f"it is not gzip ({error})") from None
        if body is None:
            raise self._foreign(path, f"it has more than {most} bytes")
        return Object(_version(result.meta), attributes, body)

    async def look(self, path: str) -> Object | None:
        """Return an object without its body, or None if there is none."""
        from obstore import get_async

        try:
            result = await self._call(get_async(self._store, path, options={"head": True}))
        except FileNotFoundError:
            return None
        return Object(_version(result.meta), dict(result.attributes))

    async def paths(self, directory: str) -> AsyncIterator[str]:
        """Yield the paths of all objects below a directory, some at a time."""
        from obstore import list as list_objects

        stream = aiter(list_objects(self._store, directory or None))
        while (found := await self._call(_next(stream))) is not None:
            for each in found:
                yield each["path"]

    async def names(self, directory: str) -> list[str]:
        """Return the names in a directory: of objects and of directories, at most a thousand or so."""
        from obstore import list_with_delimiter_async

        found = await self._call(list_with_delimiter_async(self._store, directory or None))
        paths = [*found["common_prefixes"], *(each["path"] for each in found["objects"])]
        return sorted(path.rstrip("/").rpartition("/")[2] for path in paths)

    async def delete(self, paths: Sequence[str]) -> None:
        """Remove objects, with one request if the provider has such; one that does not exist is no error."""
        from obstore import delete_async

        try:
            await self._call(delete_async(self._store, list(paths)))
        except FileNotFoundError:
            for each in paths if len(paths) > 1 else ():
                await self.delete([each])

    async def close(self) -> None:
        """Let the threads of obstore end what they do."""
        await asyncio.sleep(EXIT_S)

    async def _call(self, request: Awaitable[T]) -> T:
        """Return the result of a request. What a condition or a missing object raises is passed on."""
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        try:
            async with asyncio.timeout(CALL_S):
                return await request
        except (AlreadyExistsError, PreconditionError):
            raise
        except FileNotFoundError as error:
            if not is_bucket_missing(str(error)):
                raise
            raise self._unavailable(str(error)) from None
        except TimeoutError:
            raise TargetUnavailable(
                f"{self._place.where}: no answer in {CALL_S:.0f} s; check the network"
            ) from None
        except (BaseError, OSError, ValueError) as error:
            raise self._unavailable(str(error)) from None

    def _unavailable(self, text: str) -> TargetUnavailable:
        said, permanent = explain(text, self._place)
        return TargetUnavailable(said, permanent=permanent)

    def _foreign(self, path: str, what: str) -> TargetUnavailable:
        return TargetUnavailable(
            f"{self._place.where}: {path} is not a file of this mirror: {what}; remove it"
        )


def _store(place: Place) -> "S3Store | GCSStore | AzureStore":
    try:
        from obstore.exceptions import BaseError
        from obstore.store import AzureStore, GCSStore, S3Store
    except ImportError as error:
        raise ExtraMissing(_MISSING) from error
    kinds: dict[str, Any] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
    try:
        store: S3Store | GCSStore | AzureStore = kinds[place.provider.scheme](
            place.bucket,
            prefix=place.prefix or None,
            client_options={
                "allow_http": place.allow_http,
                "connect_timeout": timedelta(seconds=CONNECT_S),
                "timeout": timedelta(seconds=REQUEST_S),
                "user_agent": "valgnatt-mirror",
            },
            retry_config={
                "max_retries": RETRIES,
                "retry_timeout": timedelta(seconds=RETRY_S),
                "backoff": {
                    "init_backoff": timedelta(seconds=0.1),
                    "max_backoff": timedelta(seconds=5),
                    "base": 2,
                },
            },
        )
    except (BaseError, ValueError):  # the text may contain a value from the environment
        said = (
            f"{place.provider.name} is not configured; check {place.provider.credentials} in the environment"
        )
        raise TargetUnavailable(f"{place.where}: {said}", permanent=True) from None
    return store


def _version(meta: Mapping[str, Any]) -> Version:
    return {"e_tag": meta["e_tag"], "version": meta["version"]}


def _known(version: Version) -> dict[str, Any]:
    """Return a version as obstore takes it, without what is not known."""
    return {name: value for name, value in version.items() if value is not None}


async def _next(stream: AsyncIterator[Any]) -> Sequence[Mapping[str, Any]] | None:
    return await anext(stream, None)
