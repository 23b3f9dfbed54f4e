"""PURE: checks of this machine, its certificates, doors, map and options."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from gateway.client.proxies import is_loopback_host
from gateway.config import Config
from gateway.doctor.facts import CertificateFile, Door, Facts
from gateway.doctor.findings import Finding, error, ok, some, warning
from gateway.humanize import counted, duration

CERTIFICATE_DAYS = 14
"""Days before its expiry from which a certificate is reported, to leave time for a failed renewal."""
FILES_BESIDES = 200
"""Open files of a process besides client connections: its own, and connections to Postgres."""


def check_machine(facts: Facts) -> Iterator[Finding]:
    """Check the limits of this machine."""
    yield from _open_files(facts)
    if facts.backlog_max is not None and facts.backlog_max < BACKLOG:
        yield warning(
            "backlog",
            f"net.core.somaxconn is {facts.backlog_max}: connections that arrive at the same moment may be dropped",
            f"run `sysctl -w net.core.somaxconn={BACKLOG}`, and set it in /etc/sysctl.d",
        )
    elif facts.backlog_max is not None:
        yield ok("backlog", f"net.core.somaxconn is {facts.backlog_max}")
    yield _processors(facts)


BACKLOG = 4096
"""Connections that the kernel queues for a door until they are accepted."""


def _open_files(facts: Facts) -> Iterator[Finding]:
    """Check the limits of running workers, or of this shell, from which workers would inherit them."""
    wanted = {role: files_wanted(facts.config, role) for role in _roles(facts.config)}
    limits = [
        (each.name, each.open_files_max, wanted.get(each.name.partition("-")[0])) for each in facts.processes
    ]
    if not limits and facts.open_files_max is not None:
        limits = [
            (f"a {role} process started from here", facts.open_files_max, most)
            for role, most in wanted.items()
        ]
    short = [(name, limit, most) for name, limit, most in limits if most is not None and limit < most]
    if short:
        name, limit, most = short[0]
        yield warning(
            "open files",
            f"{name} may open {limit} files, but its options allow {most} connections and files"
            + (f"; {counted(len(short) - 1, 'other', 'others')} likewise" if len(short) > 1 else ""),
            f"run `ulimit -n {most}` before `valgnatt serve` (systemd: LimitNOFILE={most}),"
            " or lower --readers-max and --connections-max",
        )
    elif limits:
        yield ok("open files", f"{min(limit for _, limit, _ in limits)} per process, enough for its options")


def _roles(config: Config) -> tuple[str, ...]:
    return ("push", "feed") if config.role == "all" else (config.role,)


def files_wanted(config: Config, role: str) -> int:
    """Return how many files a process of a role may have open at most."""
    return config.connections_max + FILES_BESIDES + (config.readers_max if role == "feed" else 0)


def _processors(facts: Facts) -> Finding:
    config = facts.config
    workers = (config.push_workers if "push" in _roles(config) else 0) + (
        config.feed_workers if "feed" in _roles(config) else 0
    )
    seen = f"{counted(workers, 'worker')} on {counted(facts.processors, 'processor')}"
    if workers > facts.processors:
        return warning("processors", seen, "run fewer workers, or use a machine with more processors")
    return ok("processors", seen)


# Certificates.


def check_certificates(facts: Facts) -> Iterator[Finding]:
    """Check the certificate of each door, and the CA certificates for its clients."""
    hosts = {door.name: door.host for door in facts.doors}
    for certificate in facts.certificates:
        yield from _certificate(facts, certificate, hosts.get(certificate.door, ""))


def _certificate(facts: Facts, certificate: CertificateFile, host: str) -> Iterator[Finding]:
    check = f"TLS of {certificate.door}"
    if certificate.mistake is not None:
        yield error(check, certificate.mistake, "correct the files, then send SIGHUP to `valgnatt serve`")
        return
    assert certificate.not_after is not None
    left_s = (certificate.not_after - facts.now).total_seconds()
    seen = f"{certificate.chain} for {some(certificate.names) or 'no name'}"
    renew = "renew it, then send SIGHUP to `valgnatt serve`"
    if left_s <= 0:
        yield error(check, f"{seen} expired {duration(left_s)} ago", renew)
    elif left_s < CERTIFICATE_DAYS * 86_400:
        yield warning(check, f"{seen} expires in {duration(left_s)}", renew)
    else:
        yield ok(check, f"{seen}, valid for {duration(left_s)} more; the key matches")
    if host and not is_loopback_host(host) and not names_host(certificate.names, host):
        yield error(f"{check}: name", f"not valid for {host}", "get a certificate that includes this name")
    if certificate.known_authority is False and left_s > 0:
        yield warning(
            f"{check}: authority",
            "not signed by an authority that this machine trusts",
            "add the intermediate certificates to the file, or install your CA on every client",
        )
    yield from _client_authorities(facts, certificate)


def _client_authorities(facts: Facts, certificate: CertificateFile) -> Iterator[Finding]:
    authorities = certificate.client_authorities
    if authorities is None:
        return
    check = f"TLS of {certificate.door}: clients"
    if not authorities:
        yield error(
            check,
            "no authority in the file, so no sender is accepted",
            "set the option to a file with the CA certificates",
        )
        return
    ended = [name for name, until in authorities.items() if until <= facts.now]
    if ended:
        yield error(check, f"expired: {some(ended)}", "renew the CA certificate or replace it, and restart")
    else:
        least = min((until - facts.now).total_seconds() for until in authorities.values())
        yield ok(
            check,
            f"clients need a certificate of {some(list(authorities))}; valid for {duration(least)} more",
        )


def names_host(names: Sequence[str], host: str) -> bool:
    """Whether a certificate with these names is valid for a host. Source: RFC 9525, section 6.3 (`*` is one label)."""
    for name in names:
        if name.startswith("*."):
            if host.count(".") == name.count(".") and fnmatchcase(host.lower(), name.lower()):
                return True
        elif name.lower() == host.lower():
            return True
    return False


# Doors.


def check_doors(facts: Facts) -> Iterator[Finding]:
    """Check that each door of this machine answers and is ready."""
    for door in facts.doors:
        yield _door(door)
        again = [f"{name} {counted(count, 'time')}" for name, count in door.restarts.items() if count]
        if again:
            yield warning(
                "restarts",
                f"workers ended unexpectedly: {some(again)}",
                "search the log for `worker ended unexpectedly`",
            )
        if door.differing:
            yield error(
                "signed log",
                f"feeds found that the record differs from what was signed: {some(door.differing)}",
                "search the log for `the record differs from its signed log`, and see docs/monitoring.md",
            )


def _door(door: Door) -> Finding:
    check = f"{door.name} door" if door.name != "admin" else "admin port"
    if door.url is None:
        return ok(
            check,
            "port chosen at startup, so not checked; give --push-url, --feed-url or --admin-url",
        )
    if door.ready:
        return ok(check, f"{door.url} {door.seen}")
    return error(
        check, f"{door.url}: {door.seen}", "start `valgnatt serve`, or see in its log why it is not ready"
    )


# The map.


def check_map(facts: Facts) -> Iterator[Finding]:
    """Check that the map can be drawn, and that its shapes are areas of an election."""
    drawn = facts.map
    if drawn is None:
        return
    if drawn.mistake is not None:
        yield error("map", drawn.mistake, "correct the file, or serve without --map")
        return
    known = {area for election in facts.elections for area in election.registry.by_id}
    unknown = [shape[0] for shape in drawn.shapes if not known.intersection(shape)]
    if known and unknown:
        yield warning(
            "map",
            f"{drawn.path}: shapes without an area in any election: {some(unknown)}",
            "give each feature the identifier of its area in the registry",
        )
    else:
        yield ok("map", f"{drawn.path}: {counted(len(drawn.shapes), 'shape')}")


# Options.


def check_options(facts: Facts) -> Iterator[Finding]:
    """Options that are valid alone but contradict each other."""
    found = [*_limits(facts.config), *_addresses(facts.config), *_places(facts.config)]
    yield from found
    if not found:
        yield ok("options", "no contradictions")


def _limits(config: Config) -> Iterator[Finding]:
    for low, high in (
        ("readers_per_address", "readers_max"),
        ("connections_per_address", "connections_max"),
        ("selections_per_address", "selections_max"),
        ("credit_max", "pending_max"),
        ("batch_max", "pending_max"),
    ):
        least, most = getattr(config, low), getattr(config, high)
        if least is not None and least > most:
            yield warning(
                "options",
                f"{low} is {least}, but {high} is only {most}, so it is never reached",
                f"lower {low} or raise {high}",
            )
    if config.drain_s < 1:
        yield warning(
            "options",
            f"drain_s is {config.drain_s:g}: reports in flight at shutdown get no answer",
            "set drain_s to a few seconds",
        )


def _addresses(config: Config) -> Iterator[Finding]:
    if any(network.endswith("/0") for network in config.trusted_proxies):
        yield error(
            "trusted proxies",
            f"trusted_proxies is {', '.join(config.trusted_proxies)}: any client may claim any address",
            "set it to the networks of your proxies only",
        )
    if is_loopback_host(config.host) and not config.trusted_proxies:
        yield warning(
            "trusted proxies",
            f"the doors listen on {config.host}, so clients connect through a proxy, but none is trusted:"
            " to the limits, all readers are one address",
            "set VALGNATT_TRUSTED_PROXIES to its network, or listen on an address of this machine",
        )
    if config.proxy_header != "x-forwarded-for" and not config.trusted_proxies:
        yield warning(
            "trusted proxies",
            f"proxy_header is {config.proxy_header}, but no proxy is trusted, so it is not read",
            "set VALGNATT_TRUSTED_PROXIES to the networks of your proxies",
        )
    in_clear = config.push_tls_certificate is None and "push" in _roles(config)
    if in_clear and not is_loopback_host(config.host) and not config.trusted_proxies:
        yield warning(
            "options",
            f"the push door listens on {config.host} without TLS: anyone on the network can read tokens",
            "set VALGNATT_PUSH_TLS_CERTIFICATE, or put a TLS proxy in front of it",
        )
    if config.admin_port is not None and not is_loopback_host(config.admin_host):
        yield warning(
            "options",
            f"the admin port listens on {config.admin_host}: metrics reveal internals",
            "set admin_host to 127.0.0.1, or put it behind a firewall",
        )


def _places(config: Config) -> Iterator[Finding]:
    roles = _roles(config)
    unused = [
        name
        for name in ("push_tls_certificate", "feed_tls_certificate", "map")
        if getattr(config, name) is not None and ("push" if name.startswith("push") else "feed") not in roles
    ]
    if unused:
        yield warning(
            "options",
            f"role is {config.role}, and {some(unused)} has no effect",
            "remove it, or correct role",
        )
    if config.database_url is None and config.role != "all":
        yield warning(
            "options",
            f"role is {config.role} with an embedded Postgres, which no other machine can reach",
            "set VALGNATT_DATABASE_URL to a database that all machines share",
        )
    if config.database_url is None and config.feed_database_url is not None and "feed" in roles:
        yield warning(
            "options",
            "reports go to the embedded Postgres, but feeds read another database",
            "set both VALGNATT_DATABASE_URL and VALGNATT_FEED_DATABASE_URL, or neither",
        )
