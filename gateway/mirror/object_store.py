"""A target that is an object store: each file is one object, compressed, with the headers that readers need."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Literal

import msgspec
import structlog

from gateway.mirror.bucket import CREATE, Bucket, Conflict, Object, Version
from gateway.mirror.encoding import compressed
from gateway.mirror.files import StoredFile
from gateway.mirror.store_owner import OWNER_MAX, PATH, Owner, decode, encode, is_gone, this_process
from gateway.mirror.store_places import Place
from gateway.mirror.target import TargetInUse, TargetUnavailable

CONCURRENT = 16
"""Requests at the same time."""
WRITER = "valgnattmirror"
"""Metadata of an object that is rewritten: the random number of the mirror that wrote it."""
IN_THREAD_FROM = 64 << 10
"""Bodies of so many bytes are compressed beside the event loop."""
DELETED_AT_ONCE = 500
REWRITTEN_WITHIN_S = 5
"""A mirror rewrites live.json after this time at the latest, or after its interval if that is longer."""
WATCH_EVERY_S = 1.0
CLOSE_S = 5.0
ELECTIONS = "v1/elections"
_YEAR_S = 365 * 86400

log = structlog.get_logger()


class ObjectStore:
    """Objects below a prefix. Invariants:

    * An object that is rewritten is only replaced if this mirror wrote the version that is there, or read it first: of
      two mirrors, one stops. A mirror that waited for long never puts an older version in place of a newer one.
    * The outcome of a write that got no answer is found out before the next one of the same object.
    """

    def __init__(self, place: Place, every_s: int) -> None:
        """Raises ExtraMissing, TargetUnavailable; nothing is reached yet."""
        self.where = place.where
        self.puts = 0
        self.written_bytes = 0
        self._bucket = Bucket(place)
        self._this = this_process(every_s)
        self._versions: dict[str, Version] = {}
        self._owned: Version | None = None

    async def open(self) -> None:
        """Reach the bucket and exclude other mirrors. Raises TargetUnavailable, TargetInUse.

        If the last mirror was killed on another machine, this first waits whether it still writes.
        """
        found = await self._bucket.get(PATH, OWNER_MAX)
        if found is None:
            await self._refuse_content_of_others()
        else:
            await self._wait_whether_it_writes(found)
        condition: Version | Literal["create"] = found.version if found else CREATE
        try:
            self._owned = await self._write_owner(self._this, condition)
        except Conflict:
            raise self._in_use("another mirror has just been started") from None
        with suppress(Conflict):
            await self._write_owner(self._this, CREATE)
            raise TargetUnavailable(
                f"{self.where}: the store ignores conditions of writes (If-None-Match), which exclude a second mirror",
                permanent=True,
            )

    async def write(self, files: Iterable[StoredFile]) -> None:
        """Store files, several at a time. Raises TargetUnavailable, TargetInUse."""
        waiting = iter(files)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(CONCURRENT):
                    group.create_task(self._write_each(waiting))
        except BaseExceptionGroup as group_of_errors:
            raise _first(group_of_errors) from None

    async def write_live(self, file: StoredFile) -> None:
        """Store `live.json`, unless another mirror has. Raises TargetUnavailable, TargetInUse."""
        await self._write_fenced(file, self._versions.get(file.path, CREATE))

    async def read(self, path: str, most: int) -> bytes | None:
        """Return an object, uncompressed; None if there is none. Raises TargetUnavailable."""
        found = await self._bucket.get(path, most)
        if found is None:
            return None
        self._versions.setdefault(path, found.version)
        return found.body

    async def list(self, prefix: str) -> AsyncIterator[str]:
        """Yield the paths of all files that begin with `prefix`. Raises TargetUnavailable."""
        async for path in self._bucket.paths(prefix.rpartition("/")[0]):
            if path.startswith(prefix) and path != PATH:
                yield path

    async def delete(self, paths: Iterable[str]) -> None:
        """Remove objects. Raises TargetUnavailable."""
        waiting = iter(paths)
        while some := list(islice(waiting, DELETED_AT_ONCE)):
            await self._bucket.delete(some)
            for each in some:
                self._versions.pop(each, None)

    async def close(self) -> None:
        """Release the prefix, unless another mirror has taken it over."""
        owned, self._owned = self._owned, None
        if owned is not None:
            with suppress(Conflict, TargetUnavailable, TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self._write_owner(msgspec.structs.replace(self._this, ended=True), owned)
        await self._bucket.close()

    async def _write_each(self, waiting: Iterator[StoredFile]) -> None:
        for file in waiting:
            if file.max_age_s is None:
                await self._put(file.path, await _packed(file), attributes_of(file), None)
            else:
                await self._write_fenced(file, self._versions.get(file.path))

    async def _write_fenced(self, file: StoredFile, condition: Version | Literal["create"] | None) -> None:
        body, attributes = await _packed(file), {**attributes_of(file), WRITER: self._this.mirror}
        for _ in range(3):
            try:
                self._versions[file.path] = await self._put(file.path, body, attributes, condition)
            except Conflict:
                condition = await self._condition_after_conflict(file.path)
            else:
                return
        raise TargetUnavailable(f"{self.where}: {file.path} cannot be replaced: it changes at the same time")

    async def _condition_after_conflict(self, path: str) -> Version | Literal["create"]:
        """Return what is there, if it is ours or nothing: a write without an answer may have succeeded."""
        found = await self._bucket.look(path)
        if found is None:
            return CREATE
        if found.attributes.get(WRITER) != self._this.mirror:
            raise self._in_use(f"{path} was written by another mirror")
        return found.version

    async def _put(
        self,
        path: str,
        body: bytes,
        attributes: dict[str, str],
        condition: Version | Literal["create"] | None,
    ) -> Version:
        version = await self._bucket.put(path, body, attributes, condition)
        self.puts += 1
        self.written_bytes += len(body)
        return version

    async def _write_owner(self, owner: Owner, condition: Version | Literal["create"]) -> Version:
        return await self._put(PATH, encode(owner), _attributes("application/json", "no-store"), condition)

    async def _refuse_content_of_others(self) -> None:
        if names := await self._bucket.names(""):
            raise TargetUnavailable(
                f"{self.where} contains {names[0]!r}, and was never a mirror; choose another prefix, so that nothing is"
                " replaced",
                permanent=True,
            )

    async def _wait_whether_it_writes(self, found: Object) -> None:
        """Raise TargetInUse if the owner of this prefix still writes; return when it surely does not."""
        owner = decode(found.body)
        if owner is not None and is_gone(owner, self._this):
            return
        every_s = max(owner.every_s if owner else 0, self._this.every_s, REWRITTEN_WITHIN_S)
        before = await self._live_versions()
        if not before:
            return
        watch_s = 2 * every_s + 2
        log.info(
            "waiting to see whether another mirror writes",
            target=self.where,
            mirror=str(owner),
            watch_s=watch_s,
        )
        for _ in range(int(watch_s / WATCH_EVERY_S)):
            await asyncio.sleep(WATCH_EVERY_S)
            if await self._live_versions() != before:
                raise self._in_use(f"another mirror ({owner or 'of another version'}) writes to it")

    async def _live_versions(self) -> dict[str, Version]:
        versions = {}
        for election in await self._bucket.names(ELECTIONS):
            path = f"{ELECTIONS}/{election}/live.json"
            if (found := await self._bucket.look(path)) is not None:
                versions[path] = found.version
        return versions

    def _in_use(self, why: str) -> TargetInUse:
        return TargetInUse(
            f"{self.where}: {why}: end one of the two mirrors, or choose another prefix for one"
        )


def attributes_of(file: StoredFile) -> dict[str, str]:
    """Return the headers of a file, as the object has them and as readers get them."""
    if file.max_age_s is None:
        return _attributes(file.media_type, f"public, max-age={_YEAR_S}, immutable", "gzip")
    return _attributes(file.media_type, f"public, max-age={file.max_age_s}", "gzip")


def _attributes(media_type: str, cache_control: str, encoding: str | None = None) -> dict[str, str]:
    attributes = {"Content-Type": media_type, "Cache-Control": cache_control}
    return attributes if encoding is None else {**attributes, "Content-Encoding": encoding}


async def _packed(file: StoredFile) -> bytes:
    if len(file.body) < IN_THREAD_FROM:
        return compressed(file.body)
    return await asyncio.to_thread(compressed, file.body)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error to raise for several: that another mirror writes is more than that a request failed."""
    errors = sorted(group.exceptions, key=lambda each: not isinstance(each, TargetInUse))
    return errors[0]


__all__ = ["ObjectStore", "Owner", "attributes_of"]
