"""The policy: what each rule does when it fires, and its thresholds.

It starts as the registry member `election.rules` and then lives in the journal. Reading it reports every problem with
its JSON path.
"""

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

import msgspec

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


def recommended() -> Policy:
    """Return the policy of `"rules": "recommended"`."""
    return Policy()


def warnings_only(units: int) -> Policy:
    """Return the policy of an election without `rules`: all warn, those that compare units only up to a size."""
    settings: dict[str, Any] = {code: _unnamed(code, units) for code in RULES}
    return Policy(**settings)


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
        return recommended()
    if not isinstance(document, dict):
        raise MalformedPolicy([f"{path}: expected {RECOMMENDED!r} or an object of rules"])
    problems = [f"{path}.{name}: no such rule" for name in document if name not in _FIELDS]
    found: dict[str, Any] = {code: _unnamed(code, units) for code in RULES}
    for name, value in document.items():
        if name == "most_open":
            found[name] = _converted(value, _FIELDS[name].type, f"{path}.{name}", problems)
        elif name in _FIELDS:
            found[name] = _setting(value, _FIELDS[name].type, f"{path}.{name}", problems)
            problems += _unknown_names(found[name], levels, kinds, f"{path}.{name}")
    if problems:
        raise MalformedPolicy(problems[:_PROBLEMS_MAX])
    return Policy(**found)


def _setting(value: object, kind: type[Setting], path: str, problems: list[str]) -> Setting | None:
    """Return a setting, None if something is wrong with it; all of that is appended to `problems`."""
    if not isinstance(value, dict):
        problems.append(f"{path}: expected an object")
        return None
    before = len(problems)
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    problems += [f"{path}.{name}: this rule has no such member" for name in value if name not in fields]
    if "do" not in value:
        problems.append(f"{path}.do: expected 'off', 'warn' or 'hold'")
    for name, each in value.items():
        if name in fields:
            _converted(each, fields[name].type, f"{path}.{name}", problems)
    return kind(**_lists_as_tuples(value)) if len(problems) == before else None


def _converted(value: object, kind: Any, path: str, problems: list[str]) -> Any:
    """Return a value of a type with its limits, None after a problem."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        detail, _, place = str(error).partition(" - at `$")
        problems.append(f"{path}{place.rstrip('`')}: {detail[:1].lower()}{detail[1:]}")
        return None


def _lists_as_tuples(value: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(each) if isinstance(each, list) else each for name, each in value.items()}


def _unknown_names(
    setting: Setting | None, levels: Collection[str], kinds: Collection[str], path: str
) -> list[str]:
    """Return problems with names of levels and kinds that no area has."""
    reference = getattr(setting, "reference", REFERENCE)
    unknown = [] if reference == REFERENCE else [level for level in reference if level not in levels]
    problems = [f"{path}.reference: no area has the level {level!r}" for level in unknown]
    if isinstance(setting, AboveEligible):
        problems += [
            f"{path}.kinds: no unit has the kind {kind!r}" for kind in setting.kinds if kind not in kinds
        ]
    return problems
