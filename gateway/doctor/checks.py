"""PURE: all checks, which turn facts into findings."""

from collections.abc import Callable, Iterable

from gateway.doctor.database import check_database
from gateway.doctor.elections import check_elections
from gateway.doctor.facts import Facts
from gateway.doctor.findings import Finding
from gateway.doctor.machine import check_certificates, check_doors, check_machine, check_map, check_options
from gateway.doctor.mirror import check_mirror
from gateway.doctor.signing import check_signing

CHECKS: tuple[Callable[[Facts], Iterable[Finding]], ...] = (
    check_database,
    check_machine,
    check_certificates,
    check_elections,
    check_signing,
    check_map,
    check_doors,
    check_mirror,
    check_options,
)


def findings_of(facts: Facts) -> list[Finding]:
    """Return the findings of all checks, most important subjects first."""
    return [finding for check in CHECKS for finding in check(facts)]
