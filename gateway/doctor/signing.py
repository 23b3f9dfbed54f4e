"""PURE: checks of what is signed, on a machine with the keys."""

from collections.abc import Iterator

from gateway.doctor.facts import Facts
from gateway.doctor.findings import Finding, error, ok, warning


def check_signing(facts: Facts) -> Iterator[Finding]:
    """Check that every election that is opened can be signed."""
    if facts.signed_mistake:
        do = "correct it; nothing is signed until then"
        yield error("signing", f"what is signed could not be checked: {facts.signed_mistake}", do)
    for each in facts.signed:
        name = f"election {each.election}: signing"
        if each.state == "refused":
            yield error(
                name,
                each.text,
                'do not start push doors after a restore: see docs/operation.md, "Signing the record"',
            )
        elif each.state == "no_key":
            yield warning(name, each.text, f"run `valgnatt key create {each.election}`, or ignore this")
        else:
            yield ok(name, each.text)
