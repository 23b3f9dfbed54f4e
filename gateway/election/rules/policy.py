"""The policy: what each rule does when it fires, and its thresholds.

It starts as the registry member `election.rules` and then lives in the journal. Reading it reports every problem with
its JSON path.
"""

from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

import msgspec

from gateway.characters import printable
from gateway.errors import MalformedPolicy

Do = Literal["off", "warn", "hold"]
"""What happens when a rule fires: nothing, since it is not evaluated; a warning; a warning and a hold."""
RECOMMENDED = "recommended"
"""The policy with all defaults."""
UNITS_COMPARED_MAX = 100_000
"""Units of an election above which rules that compare units are off unless they are named."""
MOST_OPEN = 50
"""Open holds of an election by default."""
MOST_OPEN_MAX = 10_000
_ELECTORATE_MAX = 2**31 - 1
_NAMES_MAX = 100
"""Levels or kinds in one setting."""
_PROBLEMS_MAX = 50
_SHOWN_MAX = 64
"""Characters of a name that are repeated in a message."""

Votes = Annotated[int, msgspec.Meta(ge=1, le=_ELECTORATE_MAX)]
Times = Annotated[int, msgspec.Meta(ge=2, le=1_000)]
Permille = Annotated[int, msgspec.Meta(ge=1, le=1_000)]
Reference = Annotated[dict[str, Votes], msgspec.Meta(min_length=1, max_length=_NAMES_MAX)]

REFERENCE: dict[str, int] = {"municipality": 500, "county": 10_000}
"""By level, how many votes the other units below an area need so that a unit is compared with them."""


class Setting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The setting of one rule."""

    do: Do

    @property
    def is_on(self) -> bool:
        """Whether the rule is evaluated."""
        return self.do != "off"


class DuplicateElsewhere(Setting, frozen=True, kw_only=True):
    """A growth of at least `ballots` repeats one in another municipality, but for `permille` ‰ of its ballots."""

    ballots: Annotated[int, msgspec.Meta(ge=100, le=_ELECTORATE_MAX)] = 200
    permille: Annotated[int, msgspec.Meta(ge=0, le=100)] = 20


class DuplicateWithin(DuplicateElsewhere, frozen=True, kw_only=True):
    """The same within the municipality."""


class AboveEligible(Setting, frozen=True, kw_only=True):
    """The ballots rise above `permille` ‰ of the eligible voters of the municipality, or of a unit of these `kinds`."""

    permille: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1_000
    kinds: Annotated[tuple[str, ...], msgspec.Meta(max_length=_NAMES_MAX)] = ()


class Fell(Setting, frozen=True, kw_only=True):
    """The ballots fall by more than `ballots` and by more than `permille` ‰ of the municipality's."""

    ballots: Annotated[int, msgspec.Meta(ge=0, le=_ELECTORATE_MAX)] = 100
    permille: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 20


class PartyExcess(Setting, frozen=True, kw_only=True):
    """A party gains at least `votes` and has more than `times` × (expected + `plus`)."""

    votes: Votes = 50
    times: Times = 7
    plus: Annotated[int, msgspec.Meta(ge=0, le=_ELECTORATE_MAX)] = 10
    reference: Reference = msgspec.field(default_factory=lambda: REFERENCE)


class Exchanged(Setting, frozen=True, kw_only=True):
    """One party has more than `times` × (expected + `plus`) votes, another that much less, and they fit crosswise."""

    times: Times = 4
    plus: Annotated[int, msgspec.Meta(ge=0, le=_ELECTORATE_MAX)] = 10
    reference: Reference = msgspec.field(default_factory=lambda: REFERENCE)


class OddTime(Setting, frozen=True, kw_only=True):
    """`counted_at` is more than `days` before the date of the election."""

    days: Annotated[int, msgspec.Meta(ge=0, le=3_650)] = 14


class ExchangedBefore(Setting, frozen=True, kw_only=True):
    """Two parties that differ by at least `votes` have each other's votes, but for `permille` ‰ of them."""

    votes: Votes = 20
    permille: Annotated[int, msgspec.Meta(ge=0, le=100)] = 20


class PartyFell(Setting, frozen=True, kw_only=True):
    """A party loses at least `votes` and at least `permille` ‰ of its votes in the municipality."""

    votes: Votes = 100
    permille: Permille = 100


class GrewLate(Setting, frozen=True, kw_only=True):
    """A finished unit grows by at least `ballots` and at least `permille` ‰ of its ballots."""

    ballots: Votes = 300
    permille: Permille = 50


class Policy(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The settings of all rules, complete."""

    duplicate_elsewhere: DuplicateElsewhere = DuplicateElsewhere(do="hold")
    duplicate_within: DuplicateWithin = DuplicateWithin(do="hold")
    above_eligible: AboveEligible = AboveEligible(do="hold")
    fell: Fell = Fell(do="hold")
    party_excess: PartyExcess = PartyExcess(do="hold")
    exchanged: Exchanged = Exchanged(do="hold")
    odd_time: OddTime = OddTime(do="hold")
    exchanged_before: ExchangedBefore = ExchangedBefore(do="warn")
    party_fell: PartyFell = PartyFell(do="warn")
    grew_late: GrewLate = GrewLate(do="warn")
    most_open: Annotated[int, msgspec.Meta(ge=1, le=MOST_OPEN_MAX)] = MOST_OPEN
    """Open holds of the election at the same time; beyond it, rules that hold only warn."""

    def settings(self) -> Mapping[str, Setting]:
        """Return the settings by code, in the order of RULES."""
        return {code: getattr(self, code) for code in RULES}

    @cached_property
    def evaluated(self) -> tuple[tuple[str, Setting], ...]:
        """Code and setting of the rules that are not off, in the order of RULES."""
        return tuple((code, setting) for code, setting in self.settings().items() if setting.is_on)

    @property
    def is_off(self) -> bool:
        """Whether no rule is evaluated."""
        return not self.evaluated

    @property
    def compares_units(self) -> bool:
        """Whether some rule compares units with each other."""
        return any(getattr(self, code).is_on for code in COMPARE_UNITS)

    @property
    def holds(self) -> bool:
        """Whether some rule holds reports."""
        return any(setting.do == "hold" for setting in self.settings().values())

    def document(self) -> dict[str, Any]:
        """Return the policy as JSON, with every rule and every threshold; `read_policy` reads it as the same."""
        document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return document


_FIELDS = {field.name: field for field in msgspec.structs.fields(Policy)}
RULES: tuple[str, ...] = tuple(name for name in _FIELDS if name != "most_open")
"""The codes of all rules, in the order in which they are evaluated and reported."""
COMPARE_UNITS = frozenset({"duplicate_elsewhere", "duplicate_within"})
"""Rules that compare units with each other and need memory for it."""


def recommended(units: int = 0) -> Policy:
    """Return the policy of `"rules": "recommended"` in an election with so many units."""
    policy = Policy()
    if units <= UNITS_COMPARED_MAX:
        return policy
    off: dict[str, Any] = {
        code: msgspec.structs.replace(getattr(policy, code), do="off") for code in COMPARE_UNITS
    }
    return msgspec.structs.replace(policy, **off)


def _unnamed(code: str, units: int) -> Setting:
    off = code in COMPARE_UNITS and units > UNITS_COMPARED_MAX
    setting: Setting = _FIELDS[code].type(do="off" if off else "warn")
    return setting


def read_policy(
    document: object, *, levels: Collection[str], kinds: Collection[str], units: int, path: str = "$"
) -> Policy:
    """Return the policy of a document: `"recommended"`, or an object with settings by code, and `most_open`.

    A rule that is not named only warns. `levels` and `kinds` are those of the election's areas, `units` is how many
    units it has, and `path` is where the document is. Use `Registry.read_policy` where there is a registry.
    Raises MalformedPolicy with every problem and its JSON path.
    """
    if document == RECOMMENDED:
        return recommended(units)
    if not isinstance(document, dict):
        raise MalformedPolicy([f"{path}: expected {RECOMMENDED!r} or an object of rules"])
    problems: list[str] = []
    for name, value in document.items():
        place = f"{path}.{_shown(name)}"
        if name == "most_open":
            problems += _problems(value, _FIELDS[name].type, place)
        elif name in RULES:
            problems += _setting_problems(value, _FIELDS[name].type, place)
            problems += _unknown_names(value, levels, kinds, place)
        else:
            problems.append(f"{place}: no such rule")
    if problems:
        raise MalformedPolicy(problems[:_PROBLEMS_MAX])
    return _policy(document, units)


def stored_policy(document: object, units: int) -> Policy:
    """Return the policy of a document that some version of the gateway accepted.

    Unknown rules and members are ignored, and a rule whose setting cannot be read only warns: nothing that is stored
    may stop an election that is under way.
    """
    if document == RECOMMENDED:
        return recommended(units)
    known: dict[str, Any] = {}
    for name, value in document.items() if isinstance(document, dict) else ():
        if name in RULES and isinstance(value, dict):
            fields = msgspec.structs.fields(_FIELDS[name].type)
            setting = {field.name: value[field.name] for field in fields if field.name in value}
            if not any(_setting_problems(setting, _FIELDS[name].type, "$")):
                known[name] = setting
        elif name == "most_open" and not any(_problems(value, _FIELDS[name].type, "$")):
            known[name] = value
    return _policy(known, units)


def _policy(document: Mapping[str, Any], units: int) -> Policy:
    """Return the policy of a document without mistakes."""
    settings: dict[str, Any] = {code: _unnamed(code, units) for code in RULES}
    for name, value in document.items():
        settings[name] = msgspec.convert(value, _FIELDS[name].type)
    return Policy(**settings)


def _setting_problems(value: object, kind: type[Setting], path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: expected an object"
        return
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    if "do" not in value:
        yield f"{path}.do: missing; {_expected(fields['do'].type)}"
    for name, each in value.items():
        place = f"{path}.{_shown(name)}"
        if name in fields:
            yield from _problems(each, fields[name].type, place)
        else:
            yield f"{place}: this rule has no such member"


def _problems(value: object, kind: Any, path: str) -> Iterator[str]:
    """Yield what is wrong with a value of some type."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        info = msgspec.inspect.type_info(kind)
        if (
            isinstance(info, msgspec.inspect.DictType)
            and isinstance(value, dict)
            and 0 < len(value) <= _NAMES_MAX
        ):
            for name, each in value.items():
                yield from _problems(each, Votes, f"{path}.{_shown(name)}")
        else:
            yield f"{path}: {_expected(kind)}"


def _expected(kind: Any) -> str:
    """Say what a value has to be."""
    info = msgspec.inspect.type_info(kind)
    if isinstance(info, msgspec.inspect.IntType):
        return f"expected an integer from {info.ge} to {info.le}"
    if isinstance(info, msgspec.inspect.LiteralType):
        return "expected 'off', 'warn' or 'hold'"
    if isinstance(info, msgspec.inspect.DictType):
        return f"expected an object of votes by level, 1 to {_NAMES_MAX} of them"
    return f"expected an array of at most {_NAMES_MAX} texts"


def _unknown_names(
    setting: object, levels: Collection[str], kinds: Collection[str], path: str
) -> Iterator[str]:
    """Yield problems with names of levels and kinds that no area has."""
    if isinstance(setting, dict):
        reference, kinds_named = setting.get("reference"), setting.get("kinds")
        if isinstance(reference, dict) and reference != REFERENCE:
            for level in reference:
                if level not in levels:
                    yield f"{path}.reference.{_shown(level)}: no area has this level"
        for number, kind in enumerate(kinds_named if isinstance(kinds_named, list) else ()):
            if isinstance(kind, str) and kind not in kinds:
                yield f"{path}.kinds[{number}]: no unit has the kind {_shown(kind)!r}"


def _shown(name: str) -> str:
    return printable(name[:_SHOWN_MAX])
