"""PURE: the codes of refusals as sentences for the person who pushes counts: what a code means, and what to do."""

_MEANINGS = {
    "revision_conflict": (
        "the gateway has another report under this revision, with other figures or the same in another notation;"
        " compare them, and give a correction a higher revision"
    ),
    "rehearsal_mismatch": "the document is of a rehearsal, or the election is one: check the name of the election",
    "unit_forbidden": "check the unit, or ask the operator for a token for it",
    "election_closed": (
        "the election is closed and takes no more reports, so that this count is not published; ask the operator"
    ),
    "token_missing": "the request had no token; name its file with --token-file",
    "token_invalid": (
        "check that the token is complete and one of this election; it may also have expired or been revoked: ask the"
        " operator for a new one, and run the command again with it"
    ),
    "token_revoked": "the token was revoked; ask the operator for a new one, and run the command again with it",
    "role_forbidden": (
        "a token of an operator cannot report, and one of a municipality cannot decide about held reports: use the"
        " other one"
    ),
    "not_found": "check the URL: this may be the other door of the gateway, or another server",
    "unknown_election": "check the name of the election, and the URL",
    "unstorable": "the gateway's database cannot store this report; ask the operator",
}


def meaning_of(code: str | None) -> str | None:
    """Return what a code means and what to do; None if the code is unknown, or if the violations say it."""
    return _MEANINGS.get(code or "")
