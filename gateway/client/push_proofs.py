"""The proofs of one run of `push`: fetched beside everything else, and written as files if there is a directory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.client.outbox import Outbox
from gateway.client.outbox_file import OutboxUnavailable
from gateway.client.outbox_items import Destination
from gateway.client.proof_fetching import ProofFetching, ProofSource, Round
from gateway.client.proof_files import ProofsUnavailable, file_names, write_proofs
from gateway.client.proxies import without_user
from gateway.client.repeated_notices import RepeatedNotices
from gateway.errors import GatewayError
from gateway.humanize import counted
from gateway.terminal import Terminal

FILES_AT_ONCE = 20
"""Files that are written before the event loop runs again and the command may end."""
IDLE_S = 10.0
"""How long a run that has nothing to send fetches proofs, in seconds."""


class PushProofs:
    """Fetches and writes proofs. Invariant: neither a report nor the end of a run that sends any waits for a proof."""

    def __init__(
        self,
        source: ProofSource | None,
        outbox: Outbox,
        to: Destination,
        directory: Path | None,
        console: Terminal,
    ) -> None:
        """Without a `source`, only the proofs that the outbox has are written."""
        self._outbox = outbox
        self._to = to
        self._directory = directory
        self._console = console
        self._feed = without_user(source.feed_url) if source is not None else ""
        self._fetching = ProofFetching(source, outbox) if source is not None else None
        self._notices = RepeatedNotices()
        self._written: set[tuple[str, int]] = set()
        """Units and revisions whose files were written in this run."""
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def beside(self, *, keep_fetching: bool) -> AsyncIterator[None]:
        """Fetch missing proofs during the block, and stop with it; in rounds with `keep_fetching`."""
        if self._fetching is None:
            yield
            return
        work = self._fetch(self._fetching, keep_fetching=keep_fetching)
        self._task = asyncio.create_task(work, name="proofs")
        try:
            yield
        finally:
            self._task.cancel()
            await asyncio.wait({self._task})

    def reports_sent(self) -> None:
        """Note that there are new receipts, for `keep_fetching`."""
        if self._fetching is not None:
            self._fetching.reports_sent()

    async def wait(self) -> None:
        """Wait until the round is done, for IDLE_S at most: for a run that has nothing to send."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=IDLE_S)

    async def write(self) -> None:
        """Write the proofs of the outbox as files, if there is a directory for them. Raises GatewayError."""
        if self._directory is None:
            return
        stored = list(self._outbox.proofs.stored(self._to))
        new = [each for each in stored if (each.unit, each.revision) not in self._written]
        names = file_names((each.unit, each.revision) for each in stored)
        written = 0
        for at in range(0, len(new), FILES_AT_ONCE):
            files = {names[each.unit, each.revision]: each.file for each in new[at : at + FILES_AT_ONCE]}
            written += await asyncio.to_thread(write_proofs, self._directory, files)
            self._written.update((each.unit, each.revision) for each in new[at : at + FILES_AT_ONCE])
        if written:
            self._console.say(f"Wrote {counted(written, 'proof')} to {self._directory}.")

    async def _fetch(self, fetching: ProofFetching, *, keep_fetching: bool) -> None:
        """Fetch proofs, and show an error that ends it; reports are sent without them."""
        try:
            if keep_fetching:
                await fetching.keep_fetching(self._report)
            else:
                await self._report(await fetching.round())
        except OutboxUnavailable:
            pass  # the sending reports it
        except Exception as error:
            reason = str(error) if isinstance(error, GatewayError) else f"{type(error).__name__}: {error}"
            self._console.say(f"No proofs: {reason}", "yellow")

    async def _report(self, done: Round) -> None:
        """Show wrong proofs, and with a directory also why there are none; in a watched directory, write files."""
        for wrong in done.wrong:
            check = "check the record with valgnatt verify outbox"
            self._say(wrong, f"{self._feed} gave a wrong proof: {wrong}; {check}")
        if self._directory is None:
            return
        if done.failure is not None:
            self._say("failure", f"No proofs from {self._feed}: {done.failure}")
        if done.stored:
            try:
                await self.write()
            except ProofsUnavailable as error:
                self._say("files", str(error))

    def _say(self, about: str, text: str) -> None:
        if self._notices.is_due(about, text, asyncio.get_running_loop().time()):
            self._console.say(text, "yellow")
