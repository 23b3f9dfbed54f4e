"""Policies: which logs are trusted, which witnesses, and how many of them must agree. Source: C2SP tlog-policy.

    log results.example.no/live/st-2025+…
    witness first w1.example.org+…
    witness second w2.example.org+… https://w2.example.org/
    group both all first second
    quorum both

Names of witnesses and groups have a meaning only within the file. Limits are those of the constants below.
"""

import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

from gateway.errors import GatewayError
from gateway.transparency.checkpoint import Checkpoint, open_checkpoint
from gateway.transparency.cosignature import verify_cosignature
from gateway.transparency.note import COSIGNATURE, ED25519, MalformedKey, Note, VerifierKey, parse_vkey

POLICY_MAX = 262_144
"""Bytes of a policy that is read."""
LOGS_MAX = WITNESSES_MAX = GROUPS_MAX = 256
"""Logs, witnesses and groups of a policy. C2SP recommends at least 32 of each."""
NONE = "none"
"""The quorum that needs no witness."""
_FORBIDDEN = re.compile(rb"[^\t\n\x20-\x7e\x80-\xff]")


class MalformedTrustPolicy(GatewayError):
    """A policy of logs and witnesses with a mistake; the message names its line."""

    code = "malformed_trust_policy"


class TrustedLog(NamedTuple):
    """A log whose checkpoints are accepted."""

    key: VerifierKey
    url: str | None = None


class TrustedWitness(NamedTuple):
    """A witness whose cosignatures count."""

    name: str
    key: VerifierKey
    url: str | None = None


class Group(NamedTuple):
    """A group of witnesses and other groups; it agrees if at least `threshold` of its members do."""

    name: str
    threshold: int
    members: tuple[str, ...]


class Agreement(NamedTuple):
    """What a policy says about a checkpoint whose log signature is valid."""

    checkpoint: Checkpoint
    log_keys: tuple[VerifierKey, ...]
    """The trusted keys of the log that signed it."""
    cosigned: dict[str, int]
    """The time of the newest valid cosignature of each witness, by the witness's name in the policy."""
    fresh: frozenset[str]
    """Those witnesses whose time is within the limit; all of them without a limit."""
    witnesses: int
    """How many witnesses the policy has."""
    met: bool
    """Whether the witnesses in `fresh` are a quorum."""
    met_at_any_time: bool
    """Whether those in `cosigned` are a quorum, old cosignatures included. If only this is true, they are stale."""

    @property
    def sentence(self) -> str:
        """Return how many witnesses agree: `witnesses 1 of 2`, `witnesses 1 of 2 (1 stale)`."""
        stale = len(self.cosigned) - len(self.fresh)
        return f"witnesses {len(self.fresh)} of {self.witnesses}{f' ({stale} stale)' if stale else ''}"


class Policy(NamedTuple):
    """A policy. Every name in a group or in the quorum is defined, groups before those of which they are members."""

    logs: tuple[TrustedLog, ...]
    witnesses: dict[str, TrustedWitness]
    groups: dict[str, Group]
    quorum: str

    @classmethod
    def of_keys(cls, keys: Iterable[VerifierKey]) -> "Policy":
        """Return the policy that trusts logs with these keys and needs no witness."""
        return cls(tuple(TrustedLog(key) for key in keys), {}, {}, NONE)

    def agrees(self, names: Collection[str]) -> bool:
        """Whether witnesses with these names are a quorum."""
        if self.quorum == NONE:
            return True
        agreeing = {name for name in names if name in self.witnesses}
        for group in self.groups.values():
            if sum(member in agreeing for member in group.members) >= group.threshold:
                agreeing.add(group.name)
        return self.quorum in agreeing

    def check(self, note: Note, *, now: int | None = None, max_age_s: float | None = None) -> Agreement:
        """Verify a checkpoint with this policy; whether the quorum agrees is in the result.

        With `max_age_s`, a cosignature counts as fresh if its time differs from `now` (POSIX seconds) by at most that.
        Signatures of unknown keys are ignored. Raises MalformedNote, and BadSignature if no trusted key of the log has
        signed, or if a signature of a trusted key or of a witness of the policy is not valid.
        """
        checkpoint, log_keys = open_checkpoint(note, [log.key for log in self.logs])
        by_key = {(each.key.name, each.key.key_id): each for each in self.witnesses.values()}
        cosigned: dict[str, int] = {}
        for signature in note.signatures:
            if (witness := by_key.get((signature.name, signature.key_id))) is not None:
                at = verify_cosignature(witness.key, note.text, signature)
                cosigned[witness.name] = max(at, cosigned.get(witness.name, at))
        fresh = frozenset(
            name
            for name, at in cosigned.items()
            if max_age_s is None or (now is not None and abs(now - at) <= max_age_s)
        )
        return Agreement(
            checkpoint,
            log_keys,
            cosigned,
            fresh,
            len(self.witnesses),
            self.agrees(fresh),
            self.agrees(cosigned),
        )

    def met(self, note: Note, now: int | None = None, max_age_s: float | None = None) -> bool:
        """Whether a checkpoint satisfies the policy. Raises MalformedNote, BadSignature as `check` does."""
        return self.check(note, now=now, max_age_s=max_age_s).met


def quorum_of(witnesses: int, dishonest: int = 0) -> int:
    """Return how many of n witnesses, f of them dishonest, rule out a split view: ⌊(n + f) / 2⌋ + 1."""
    return (witnesses + dishonest) // 2 + 1


def encode_policy(policy: Policy) -> bytes:
    """Return a policy as a file that `parse_policy` reads."""
    lines = [" ".join(filter(None, ("log", str(log.key), log.url))) for log in policy.logs]
    lines += [
        " ".join(filter(None, ("witness", each.name, str(each.key), each.url)))
        for each in policy.witnesses.values()
    ]
    lines += [
        f"group {each.name} {each.threshold} {' '.join(each.members)}" for each in policy.groups.values()
    ]
    lines.append(f"quorum {policy.quorum}")
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")


def parse_policy(data: bytes) -> Policy:
    """Read a policy file. Raises MalformedTrustPolicy with the number of the line."""
    if len(data) > POLICY_MAX:
        raise MalformedTrustPolicy(f"a policy must not exceed {POLICY_MAX} bytes")
    reader = _Reader()
    for number, line in enumerate(data.split(b"\n"), 1):
        try:
            if _FORBIDDEN.search(line):
                raise MalformedTrustPolicy("a control character other than a tab")
            # Bytes are opaque (C2SP tlog-policy, "Character set"): surrogates stand for those that are not UTF-8.
            words = [
                word.decode("utf-8", "surrogateescape")
                for word in line.replace(b"\t", b" ").split(b" ")
                if word
            ]
            if words and not words[0].startswith("#"):
                reader.read(words[0], words[1:])
        except (MalformedTrustPolicy, MalformedKey) as error:
            raise MalformedTrustPolicy(f"line {number}: {error}") from None
    if reader.quorum is None:
        raise MalformedTrustPolicy("the policy has no line “quorum NAME”; “quorum none” needs no witness")
    return Policy(tuple(reader.logs), reader.witnesses, reader.groups, reader.quorum)


class _Reader:
    """What the lines so far have defined."""

    def __init__(self) -> None:
        self.logs: list[TrustedLog] = []
        self.witnesses: dict[str, TrustedWitness] = {}
        self.groups: dict[str, Group] = {}
        self.quorum: str | None = None
        self._members: set[str] = set()
        self._public: dict[int, set[bytes]] = {ED25519: set(), COSIGNATURE: set()}

    def read(self, keyword: str, words: list[str]) -> None:
        match keyword, len(words):
            case "log", 1 | 2:
                self._at_most(self.logs, LOGS_MAX, "logs")
                key = self._key(words[0], ED25519, "log")
                self.logs.append(TrustedLog(key, *words[1:]))
            case "witness", 2 | 3:
                self._at_most(self.witnesses, WITNESSES_MAX, "witnesses")
                name = self._new_name(words[0])
                self.witnesses[name] = TrustedWitness(
                    name, self._key(words[1], COSIGNATURE, "witness"), *words[2:]
                )
            case "group", count if count >= 3:
                self._at_most(self.groups, GROUPS_MAX, "groups")
                self._group(words[0], words[1], tuple(words[2:]))
            case "quorum", 1:
                self._quorum(words[0])
            case _:
                raise MalformedTrustPolicy(
                    "not a line “log VKEY [URL]”, “witness NAME VKEY [URL]”, “group NAME all|any|NUMBER NAME…” or"
                    " “quorum NAME”"
                )

    def _at_most(self, defined: Collection[object], most: int, what: str) -> None:
        if len(defined) >= most:
            raise MalformedTrustPolicy(f"more than {most} {what}")

    def _key(self, vkey: str, kind: int, what: str) -> VerifierKey:
        key = parse_vkey(vkey)
        if key.kind != kind:
            raise MalformedTrustPolicy(
                f"the key of a {what} must have the type {kind:#04x}, not {key.kind:#04x}"
            )
        if key.public in self._public[kind]:
            raise MalformedTrustPolicy(f"an earlier {what} has the same key")
        self._public[kind].add(key.public)
        return key

    def _new_name(self, name: str) -> str:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise MalformedTrustPolicy(f"the name {_shown(name)} is taken")
        return name

    def _group(self, name: str, number: str, members: tuple[str, ...]) -> None:
        self._new_name(name)
        for member in members:
            self._require_defined(member)
            if member in self._members:
                raise MalformedTrustPolicy(f"{_shown(member)} is already a member of a group")
            self._members.add(member)
        threshold = {"any": 1, "all": len(members)}.get(number)
        if threshold is None and re.fullmatch(r"[1-9][0-9]{0,3}", number):
            threshold = int(number)
        if threshold is None or threshold > len(members):
            raise MalformedTrustPolicy(
                f"a group needs all, any or a number from 1 to {len(members)}, its members"
            )
        self.groups[name] = Group(name, threshold, members)

    def _quorum(self, name: str) -> None:
        if self.quorum is not None:
            raise MalformedTrustPolicy("a second quorum")
        if name != NONE:
            self._require_defined(name)
        self.quorum = name

    def _require_defined(self, name: str) -> None:
        if name not in self.witnesses and name not in self.groups:
            raise MalformedTrustPolicy(f"no witness and no group {_shown(name)} is defined above")


def _shown(name: str) -> str:
    return ascii(name[:80]) if not name.isprintable() else f"“{name[:80]}”"
