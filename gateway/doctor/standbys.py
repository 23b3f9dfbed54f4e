"""PURE: checks of standbys and failover: whether receipts survive the loss of a server, and whether pushing goes on."""

import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from gateway.config import Config
from gateway.doctor.facts import Database, DatabaseHost, Standby
from gateway.doctor.findings import Finding, error, ok, some, warning

ANY_STANDBY = "*"
"""In `synchronous_standby_names`: every connection for replication."""


class StandbyNames(NamedTuple):
    """The value of `synchronous_standby_names`: a commit waits for `number` of the standbys with these names."""

    method: Literal["FIRST", "ANY"]
    number: int
    names: Sequence[str]

    @property
    def quorum(self) -> bool:
        """Whether different commits may wait for different standbys."""
        return self.method == "ANY" and self.number < len(self.names)


_LISTED = re.compile(r"\s*(?:(?:(FIRST|ANY)\s+)?(\d+)\s*\((.*)\)|(.*))\s*", re.IGNORECASE | re.DOTALL)
_NAME = re.compile(r'"((?:[^"]|"")*)"|([^\s,"]+)')


def read_standby_names(value: str) -> StandbyNames | None:
    """Read `synchronous_standby_names`; None if it is empty. Source: PostgreSQL, "synchronous_standby_names"."""
    found = _LISTED.fullmatch(value)
    assert found is not None  # any text is a list without a number
    method, number, names, plain = found.groups()
    listed = [
        each[0].replace('""', '"') or each[1] for each in _NAME.findall(plain if number is None else names)
    ]
    if not listed:
        return None
    return StandbyNames("ANY" if (method or "").upper() == "ANY" else "FIRST", int(number or 1), listed)


def check_standbys(database: Database, config: Config) -> Iterator[Finding]:
    """Check for whom commits wait, and who is there to confirm them."""
    wanted = read_standby_names(database.settings.get("synchronous_standby_names", ""))
    attached = some([_described(each) for each in database.standbys]) or "none"
    if wanted is None:
        yield _alone(attached, required=config.require_standby)
        return
    yield _confirming(database, wanted, attached)
    if ANY_STANDBY in wanted.names:
        yield warning(
            "standby names",
            "synchronous_standby_names contains *: any connection for replication confirms commits, also that of a"
            " backup tool or of a standby that is never promoted",
            "name the standbys that may be promoted; if Patroni set this, no standby was connected: start one",
        )
    if database.patroni:
        yield from _patroni(wanted, config)
    if not _rewindable(database):
        yield warning(
            "pg_rewind",
            "wal_log_hints and data checksums are off: after a failover, the old primary cannot be rewound and has to"
            " be copied anew",
            "set wal_log_hints = on in postgresql.conf and restart, or enable data checksums",
        )


def _rewindable(database: Database) -> bool:
    """Whether pg_rewind can make an old primary a standby, as far as that is known."""
    known = [database.settings.get(name) for name in ("wal_log_hints", "data_checksums")]
    return "on" in known or None in known


def _described(standby: Standby) -> str:
    state = standby.sync_state or "state not shown"
    return f"{standby.name} ({state if standby.streams else f'{state}, {standby.state}'})"


def _alone(attached: str, *, required: bool) -> Finding:
    seen = f"no synchronous standby (connected: {attached})"
    if required:
        return error(
            "standby",
            f"{seen}, and require_standby is on: no report gets a receipt",
            "connect a standby and set synchronous_standby_names; to run without one, switch require_standby off",
        )
    return warning(
        "standby",
        f"{seen}: reports with receipts are lost if this disk fails",
        "connect a standby and set synchronous_standby_names, so that receipts survive the loss of this disk",
    )


def _confirming(database: Database, wanted: StandbyNames, attached: str) -> Finding:
    """Compare the standbys that can confirm commits with the number that has to."""
    value = database.settings.get("synchronous_standby_names", "")
    streaming = [each for each in database.standbys if each.streams]
    able = [each for each in streaming if each.sync_state != "async"]
    if len(able) < wanted.number:
        there = f"only {len(able)} of them" if able else "no such standby"
        seen = f"synchronous_standby_names is {value!r}, and {there} is connected: commits wait forever"
        if database.standbys:
            seen += f" (connected: {attached})"
        return error("standby", seen, "start the standby, or clear synchronous_standby_names and reload")
    spare = len(able) - wanted.number
    if database.patroni:  # it makes another standby synchronous
        spare = len(streaming) - wanted.number
    if spare == 0:
        return warning(
            "standby",
            f"commits wait for {attached}, the only standby"
            if wanted.number == 1
            else f"commits wait for all of {attached}",
            "connect another standby; otherwise all pushing stops when this one fails"
            if wanted.number == 1
            else "connect another standby; otherwise all pushing stops when one of them fails",
        )
    return ok("standby", f"commits wait for {value!r}; connected: {attached}")


def _patroni(wanted: StandbyNames, config: Config) -> Iterator[Finding]:
    """Check what Patroni may change by itself."""
    if not config.require_standby and config.role != "feed":
        yield warning(
            "patroni",
            "Patroni manages this server, and require_standby is off: whenever Patroni empties"
            " synchronous_standby_names, receipts rest on one disk",
            "start the push machines with --require-standby",
        )
    if wanted.quorum:
        yield warning(
            "patroni",
            "Patroni manages this server with a quorum: if it fails to stop an old primary, receipts of that primary"
            " may be lost",
            "set synchronous_mode to true instead of quorum, or `watchdog: mode: required` on every member",
        )


def check_hosts(database: Database) -> Iterator[Finding]:
    """Check that each host of the URL can take over, being a copy of the others, and that only one accepts writes."""
    hosts = database.hosts
    clusters = _clusters(hosts)
    if len(clusters) > 1:
        apart = [f"{some(names)} ({cluster})" for cluster, names in clusters.items()]
        yield error(
            "hosts",
            "the hosts of VALGNATT_DATABASE_URL are not copies of each other, as their system identifiers show:"
            f" {some(apart)}; after a failover the gateway would go on in another record",
            "remove the hosts that do not belong to this installation, or rebuild them as standbys of its primary",
        )
    primaries = [each.name for each in hosts if each.role == "primary"]
    if len(primaries) > 1:
        yield error(
            "hosts",
            f"several hosts of VALGNATT_DATABASE_URL accept writes: {some(primaries)}; these are different records",
            "stop all but the one whose record readers see, and rebuild the others as its standbys",
        )
    for host in hosts:
        yield from _host(host)
    standby_wanted = read_standby_names(database.settings.get("synchronous_standby_names", "")) is not None
    if len(hosts) == 1 and standby_wanted and database.addressed_directly:
        yield warning(
            "hosts",
            f"VALGNATT_DATABASE_URL names only {hosts[0].name}, which is this server itself: after a failover, the"
            " gateway does not find the new primary",
            "list all servers (postgresql://user@a,b,c/database), unless this address moves with the primary",
        )
    elif len(primaries) <= 1 and len(clusters) <= 1 and hosts and all(each.role for each in hosts):
        yield ok("hosts", some([f"{each.name} ({each.role})" for each in hosts]))


def _clusters(hosts: Sequence[DatabaseHost]) -> dict[int, list[str]]:
    """Return the names of the hosts of each cluster, as far as that is known."""
    found: dict[int, list[str]] = {}
    for host in hosts:
        if host.cluster is not None:
            found.setdefault(host.cluster, []).append(host.name)
    return found


def _host(host: DatabaseHost) -> Iterator[Finding]:
    if host.refused:
        yield error(
            "hosts",
            f"{host.name} refuses the login of the gateway: {host.mistake}",
            "correct pg_hba.conf, the password or the URL; otherwise all pushing stops when this host becomes primary",
        )
    elif host.role is None:
        yield warning(
            "hosts", f"{host.name} does not answer: {host.mistake}", "start it, or remove it from the URL"
        )
