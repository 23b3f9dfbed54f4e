"""EML documents for tests, written out by hand."""

from typing import Any

NAMESPACE = "urn:oasis:names:tc:evs:schema:eml"
ISSUED = "2025-09-08T22:36:55+02:00"


def selection(party: str, votes: Any, category: str | None = "advance") -> str:
    kind = "" if category is None else f' Category="{category}"'
    return (
        f'<Selection{kind}><AffiliationIdentifier Id="{party}"><RegisteredName>{party}</RegisteredName>'
        f"</AffiliationIdentifier><ValidVotes>{votes}</ValidVotes></Selection>"
    )


def unit_votes(unit: str, *parts: str) -> str:
    return (
        f'<ReportingUnitVotes><ReportingUnitIdentifier Id="{unit}">Name</ReportingUnitIdentifier>\n'
        + "\n".join(parts)
        + "\n</ReportingUnitVotes>\n"
    )


def eml(
    *units: str, issued: str | None = ISSUED, qualifier: str = "", before: str = "", identifier: str = "510"
) -> bytes:
    date = "" if issued is None else f"<IssueDate>{issued}</IssueDate>"
    qualified = f"<CountQualifier>{qualifier}</CountQualifier>" if qualifier else ""
    contest = f'<Contest><ContestIdentifier Id="c"/>{qualified}\n{"".join(units)}</Contest>'
    return (
        f'{before}<EML xmlns="{NAMESPACE}" Id="{identifier}" SchemaVersion="5.0">\n<TransactionId>1</TransactionId>'
        f'{date}<Count><EventIdentifier/><Election><ElectionIdentifier Id="e"/><Contests>{contest}</Contests>'
        "</Election></Count></EML>\n"
    ).encode()
