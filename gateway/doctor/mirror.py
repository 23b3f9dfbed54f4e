"""PURE: checks of the mirror that this machine writes, and of the one that it names to readers."""

from collections.abc import Iterator

from gateway.doctor.facts import Facts
from gateway.doctor.findings import Finding, error, ok, warning
from gateway.doctor.mirror_facts import MirrorSite, MirrorTarget, SiteElection, SiteFile
from gateway.humanize import duration
from gateway.wire.mirror import is_behind

YEAR_S = 31_536_000
"""Shortest lifetime of a file that never changes, in seconds, at which a cache does not ask for it again."""
_SEE = 'see docs/operation.md, "When the mirror is behind"'


def check_mirror(facts: Facts) -> Iterator[Finding]:
    """Check the target of a mirror, and the web server in front of it as its readers see it."""
    if facts.mirror_target is not None:
        yield from _target(facts.mirror_target)
    if facts.mirror_site is not None:
        yield from check_site(facts.mirror_site)


def _target(target: MirrorTarget) -> Iterator[Finding]:
    name = "mirror"
    if target.mistake:
        yield error(name, f"{target.where} cannot be read: {target.mistake}", "correct it, or start `serve`")
        return
    if not target.writable:
        yield error(
            name, f"{target.where}: this user may not write there", "give it to the user that runs `serve`"
        )
    for each in target.elections:
        found = f"{target.where}, election {each.election}: {each.text}"
        yield ok(name, found) if each.good else error(name, found, _SEE)
    if not target.elections and target.writable:
        yield ok(name, f"{target.where}: there is no election yet")


def check_site(site: MirrorSite) -> Iterator[Finding]:
    """Check what readers get at the URL of a mirror."""
    if site.mistake:
        do = "correct mirror_url or the web server: readers that the feed turns away have nowhere else to go"
        yield error("mirror_url", f"{site.url}: {site.mistake}", do)
        return
    for each in site.elections:
        name = f"mirror_url: election {each.election}"
        findings = list(_election(name, each))
        yield from findings
        if not findings:
            yield ok(
                name, f"{site.url}: {duration(each.age_s)} old, its files have the headers that they need"
            )


def _election(name: str, found: SiteElection) -> Iterator[Finding]:
    if found.mistake:
        yield error(name, found.mistake, "let the mirror write this election, and the web server show it")
        return
    if found.same_record is False:
        yield error(
            name,
            "shows another record than this gateway",
            "let mirror_url name a mirror of this gateway; never copy the files of another",
        )
    if is_behind(found.every_s, found.age_s, found.closed_at):
        yield error(name, f"is behind: live.json is {duration(found.age_s)} old", _SEE)
    if found.etag_stays:
        yield error(
            name,
            "live.json has changed, and its ETag has not: readers do not get the new one",
            "serve the files as deploy/mirror/origin.conf does, without changing their times",
        )
    if found.live is not None:
        yield from _live(name, found.live, found.every_s)
    if found.snapshot is not None:
        yield from _snapshot(name, found.snapshot)


def _live(name: str, live: SiteFile, every_s: int) -> Iterator[Finding]:
    yield from _common(name, live)
    if live.max_age_s is None or live.max_age_s > max(every_s, 1):
        seen = "no max-age" if live.max_age_s is None else f"max-age={live.max_age_s}"
        yield error(
            name,
            f"live.json has {seen}, so caches may show it for longer than the interval of {every_s} s",
            f"send Cache-Control: public, max-age={every_s} with everything that changes",
        )
    if not live.etag or not live.revalidates:
        yield warning(
            name,
            "live.json has no ETag that answers 304: readers load it again although it has not changed",
            "enable ETags in the web server or delivery network",
        )


def _snapshot(name: str, file: SiteFile) -> Iterator[Finding]:
    yield from _common(name, file)
    if not file.immutable and (file.max_age_s or 0) < YEAR_S:
        yield warning(
            name,
            f"{file.path} never changes, and may not be cached for long",
            "send Cache-Control: public, max-age=31536000, immutable below live/ and publications/",
        )


def _common(name: str, file: SiteFile) -> Iterator[Finding]:
    if file.status != 200:
        yield error(name, f"{file.path}: status {file.status}", _SEE)
        return
    if not file.gzip:
        yield warning(
            name,
            f"{file.path} is not compressed, so it takes about five times the traffic",
            "enable gzip_static, or let the delivery network pass Accept-Encoding on",
        )
    if not file.any_origin:
        yield error(
            name,
            f"{file.path} has no Access-Control-Allow-Origin: *, so the pages of the feed door cannot read it",
            "send it with every answer, errors included",
        )
