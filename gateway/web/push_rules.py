"""`GET …/rules` and `PUT …/rules`: the policy of an election, for operators."""

from typing import Any

import orjson
from aiohttp import web

from gateway.election.registry import Registry
from gateway.election.rules.policy import Policy
from gateway.errors import JournalUnavailable, MalformedDocument, MalformedPolicy
from gateway.journal.db_errors import VersionChanged
from gateway.journal.elections import ElectionVersion, Token
from gateway.journal.holds import PolicyRow
from gateway.journal.intake import Intake, OpenElection
from gateway.web.answers import Problem
from gateway.web.push_holds import ATTEMPTS, receive_document, require_operator
from gateway.web.shares import ByteBudget
from gateway.wire.decisions import NewRules, read_new_rules, rules_violations
from gateway.wire.holds import HoldSender, PolicyDocument, encoded, violation_members
from gateway.wire.json import to_json


class PushRules:
    """Answers requests about the policies of elections."""

    def __init__(self, intake: Intake, bodies: ByteBudget) -> None:
        self._intake = intake
        self._bodies = bodies

    async def read(self, election: OpenElection, token: Token) -> bytes:
        """Return the policy as JSON. Raises TokenInvalid, JournalUnavailable."""
        await self._intake.confirm_token(election, token)
        return await self._document(election)

    async def change(self, request: web.Request, election: OpenElection, token: Token) -> bytes:
        """Change the policy as the body of a request says; return it as JSON.

        Raises Problem, TokenInvalid, RoleForbidden, Overloaded and JournalUnavailable.
        """
        body = await receive_document(request, self._bodies, token)
        for _ in range(ATTEMPTS):
            token = await self._intake.confirm_token(election, token)
            require_operator(token, "rules are")
            version = election.current
            if not token.scope.whole:
                detail = "a change of the rules needs a token for the whole election"
                raise Problem.of_code("unit_forbidden", detail)
            document = to_json(read_rules(body, version.registry).document())
            try:
                await self._intake.journal.set_policy(version.key, version.version, document, token.key)
            except VersionChanged:
                continue
            return await self._document(election)
        raise JournalUnavailable("the election kept changing while its rules were changed")

    async def _document(self, election: OpenElection) -> bytes:
        version = election.current
        return encoded(policy_document(version, await self._intake.journal.policy(version.key)))


def read_rules(body: bytes, registry: Registry) -> Policy:
    """Return the policy in the body of a request. Raises Problem, with every mistake and its path."""
    try:
        new = read_new_rules(body)
        if isinstance(new, NewRules):
            return registry.read_policy(new.rules, "$.rules")
    except MalformedDocument as error:
        raise Problem.of(error) from None
    except MalformedPolicy as error:
        new = rules_violations(error.problems)
    detail = "the rules have mistakes"
    raise Problem(422, "invalid_rules", detail, members=violation_members(new))


def policy_document(version: ElectionVersion, row: PolicyRow | None) -> PolicyDocument:
    """Return the policy that an operator set last, or else the registry's."""
    if row is None:
        return PolicyDocument(version.id, version.registry.policy.document(), "registry", None, None)
    document: Any = orjson.loads(row.document)
    policy = version.registry.read_policy(document)
    by = HoldSender(row.author, row.author_note)
    return PolicyDocument(version.id, policy.document(), "operator", row.at, by)
