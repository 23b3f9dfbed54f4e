"""The report of a unit, its canonical bytes and digest, and the warnings about it.

A report is the complete current state of one unit. Its canonical bytes are stored, digested and published.
"""

import hashlib
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import compress
from operator import lt
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin

import msgspec
import orjson
from msgspec import UNSET

from gateway.election.registry import COUNT_MAX
from gateway.trimmed_json import dumps_trimmed

Status = Literal[
    "not_counted",
    "counting",
    "preliminary",
    "final",
    "controlled",
    "settled",
    "counted_elsewhere",
    "unstated",
]
Reason = Literal["recount", "revoked", "late_ballots", "booking_error", "control", "other"]
STATUSES: tuple[str, ...] = get_args(Status)
REASONS: tuple[str, ...] = get_args(Reason)

Count = Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX)]
Revision = Annotated[int, msgspec.Meta(ge=1, le=COUNT_MAX)]
REVISION_CEILING = 2_000_000_000
"""Highest revision of a unit until an operator raises it. Unix seconds stay below it until 2033."""
REVISION_STEP = 1_000_000
"""A raised ceiling is this far above the newest revision of the unit."""

STATUS_ORDER = {"counting": 1, "preliminary": 2, "final": 3, "controlled": 4, "settled": 5}
"""The statuses that follow one another; the others are below these."""


class Counts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The counts of one category of ballots in one unit. `ballots` includes blank ballots, but not rejected ones."""

    ballots: Count
    blank: Count
    rejected: Count
    votes: Mapping[str, Count]
    voters: Count | msgspec.UnsetType = UNSET


_COUNT_FIELDS = tuple(field for field in msgspec.structs.fields(Counts) if field.name != "votes")
COUNT_NAMES = tuple(field.name for field in _COUNT_FIELDS)
"""The names of the counts of a category, without its `votes`, in the order in which they are shown."""
OPTIONAL_COUNT_NAMES = tuple(field.name for field in _COUNT_FIELDS if not field.required)


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The complete current state of one unit, as sent."""

    unit: str
    revision: Revision
    counted_at: str
    status: Status
    counts: dict[str, Counts]
    reason: Reason | msgspec.UnsetType = UNSET

    @property
    def ballots(self) -> int:
        """All approved ballots of the unit, including blank ones."""
        return sum([counts.ballots for counts in self.counts.values()])


def _literal_values(annotation: Any) -> tuple[str, ...]:
    """Return the values of a Literal, or of the Literal in a union; none of any other type."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return next((values for each in get_args(annotation) if (values := _literal_values(each))), ())


FIXED_VALUES = {
    field.name: values for field in msgspec.structs.fields(Report) if (values := _literal_values(field.type))
}
"""The values of each member of a report that has a fixed set of them: its status and its reason."""


class NewerReport(Report, frozen=True, gc=False, kw_only=True):
    """A stored report with content that this version does not know. Its unknown members are left out.

    A member whose values are fixed, such as the status, stays as it was sent if its value is unknown.
    """

    unknown: tuple[str, ...]
    """What is unknown: `member $.source`, `status recounted`, `reason audit`."""


_decoder = msgspec.json.Decoder(Report)
_encoder = msgspec.json.Encoder(order="sorted")


def decode_report(body: bytes | memoryview) -> Report:
    """Read a report as a sender sent it. Raises msgspec.ValidationError or msgspec.DecodeError.

    It is strict: an unknown member, status or reason is an error. For stored reports, use `decode_stored`.
    """
    return _decoder.decode(body)


PARTIES_MAX = 40
"""Parties of an election up to which `report_decoder` makes a decoder for them. It searches for the party of each count
that is not in the order of the codes: with 40 parties, a report of 64 kB takes at most 1 ms."""

values_of: Callable[[Any], tuple[Any, ...]] = msgspec.structs.astuple
"""Return the members of an object in the order of its class: of Votes the counts, UNSET for each absent party."""


class Votes(msgspec.Struct, frozen=True, gc=False):
    """The votes of the parties of one election, as a mapping that is half as large as a dictionary.

    Each election has a subclass, with one member per party in the order of their codes; UNSET if it has no count.
    """

    parties: ClassVar[tuple[str, ...]]
    """The codes, in the order of the members."""

    def items(self) -> list[tuple[str, int]]:
        """Return the parties that have a count, with their counts."""
        pairs = zip(self.parties, values_of(self), strict=True)
        return [(party, count) for party, count in pairs if count is not UNSET]

    def keys(self) -> list[str]:
        """Return the parties that have a count."""
        return [party for party, _ in self.items()]

    def values(self) -> list[int]:
        """Return the counts of the parties that have one."""
        return [count for count in values_of(self) if count is not UNSET]

    def get(self, party: str, default: int | None = None) -> int | None:
        """Return the count of a party, or `default`."""
        return dict(self.items()).get(party, default)

    def __getitem__(self, party: str) -> int:
        """Return the count of a party. Raises KeyError."""
        return dict(self.items())[party]

    def __contains__(self, party: object) -> bool:
        """Whether a party has a count."""
        return party in self.keys()

    def __iter__(self) -> Iterator[str]:
        """Iterate over the parties that have a count."""
        return iter(self.keys())

    def __len__(self) -> int:
        """Return how many parties have a count."""
        return len(self.values())


Mapping.register(Votes)


def _in_order(party_codes: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(party_codes, key=str.encode))


def places_off(ballot: Collection[str], party_codes: Iterable[str]) -> tuple[int, ...]:
    """Return the places of the members of Votes, for an election with these parties, that are not on a ballot."""
    return tuple(place for place, party in enumerate(_in_order(party_codes)) if party not in ballot)


@lru_cache(maxsize=16)
def report_decoder(party_codes: Sequence[str]) -> Callable[[bytes | memoryview], Report]:
    """Return a function like `decode_report` for one election, which is faster; an unknown party is an error as well.

    `votes` are Votes in what it returns, dictionaries if there are more than PARTIES_MAX parties.
    """
    if len(party_codes) > PARTIES_MAX:
        return decode_report
    parties = _in_order(party_codes)
    names = [f"party_{number}" for number in range(len(parties))]  # a code need not be an identifier
    votes = msgspec.defstruct(
        "ElectionVotes",
        [(name, Count | msgspec.UnsetType, UNSET) for name in names],
        bases=(Votes,),
        namespace={"parties": parties},
        rename=dict(zip(names, parties, strict=True)),
        frozen=True,
        forbid_unknown_fields=True,
        gc=False,
    )
    counts = msgspec.defstruct("ElectionCounts", [("votes", votes)], bases=(Counts,), frozen=True, gc=False)
    by_category: Any = types.GenericAlias(dict, (str, counts))
    report: Any = msgspec.defstruct(
        "ElectionReport", [("counts", by_category)], bases=(Report,), frozen=True, gc=False
    )
    return msgspec.json.Decoder[Report](report).decode


def decode_stored(body: bytes) -> Report:
    """Read a report from the record, which a newer version of the gateway may have written.

    Returns a NewerReport where it has members, a status or a reason that this version does not know. Everything else
    must be as version 1 of the contract has it: raises msgspec.ValidationError or msgspec.DecodeError.
    """
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError:
        document = orjson.loads(body)
        if not isinstance(document, dict):
            raise
        return _newer_report(document)


def _newer_report(document: dict[str, Any]) -> NewerReport:
    unknown: list[str] = []
    known = _known_members(document, Report, "$", unknown)
    counts = known.get("counts")
    if isinstance(counts, dict):
        known["counts"] = {
            category: _known_members(each, Counts, f"$.counts.{category}", unknown)
            for category, each in counts.items()
        }
    sent = {}
    for name, values in FIXED_VALUES.items():
        value = known.get(name)
        if isinstance(value, str) and value not in values:
            unknown.append(f"{name} {value}")
            sent[name] = value
            known[name] = values[-1]
    report = msgspec.convert(known, Report)
    members = {name: getattr(report, name) for name in Report.__struct_fields__}
    return NewerReport(**members | sent, unknown=tuple(unknown))


def _known_members(document: Any, kind: type[msgspec.Struct], path: str, unknown: list[str]) -> Any:
    """Return an object without the members that `kind` does not have, and add those to `unknown`."""
    if not isinstance(document, Mapping):
        return document
    unknown += [f"member {path}.{name}" for name in document if name not in kind.__struct_fields__]
    return {name: value for name, value in document.items() if name in kind.__struct_fields__}


def canonical(document: object) -> bytes:
    """Encode decoded JSON as the bytes that are stored and digested.

    Keys are sorted by code point, without white space, in UTF-8, with only the necessary escapes (RFC 8259, section 7).
    """
    return dumps_trimmed(document, orjson.OPT_SORT_KEYS)


def canonical_report(report: Report) -> bytes:
    """Return the canonical bytes of a report that has only known members: those of `canonical` for its document."""
    return _encoder.encode(report)


def digest_of(body: bytes) -> bytes:
    """Return the SHA-256 (32 bytes) of a report's canonical bytes."""
    return hashlib.sha256(body).digest()


def same_votes(previous: Report, report: Report) -> bool:
    """Whether two reports have the same categories, and in each the same ballots and votes."""
    if previous.counts.keys() != report.counts.keys():
        return False
    for category, before in previous.counts.items():
        after = report.counts[category]
        if before.ballots != after.ballots or before.blank != after.blank:
            return False
        if dict(before.votes.items()) != dict(after.votes.items()):
            return False
    return True


def same_counts(previous: Report, report: Report) -> bool:
    """Whether the counts of two reports are equal."""
    if type(previous) is type(report):
        return previous.counts == report.counts
    return same_votes(previous, report) and all(
        (before.rejected, before.voters) == (report.counts[category].rejected, report.counts[category].voters)
        for category, before in previous.counts.items()
    )


def figures_fell(previous: Report, report: Report) -> bool:
    """Whether the ballots or a party's votes decreased in some category."""
    for category, before in previous.counts.items():
        after = report.counts.get(category)
        if after is None:
            if before.ballots or any(before.votes.values()):
                return True
        elif after.ballots < before.ballots or _votes_fell(before.votes, after.votes):
            return True
    return False


def _votes_fell(before: Mapping[str, int], after: Mapping[str, int]) -> bool:
    if isinstance(before, Votes) and type(before) is type(after):
        counts = values_of(before)
        counts_now = compress(values_of(after), counts)  # of parties that had votes; UNSET is false as well
        try:
            return any(map(lt, counts_now, filter(None, counts)))
        except TypeError:  # UNSET: one of these parties has no count any more
            return True
    now = dict(after.items())  # `dict(after)` would look up each party by itself
    return any(now.get(party, 0) < votes for party, votes in before.items())


def status_went_back(previous: Report, report: Report) -> bool:
    """Whether the status is lower than before, in the order counting ... settled; other statuses are below these."""
    return STATUS_ORDER.get(report.status, 0) < STATUS_ORDER.get(previous.status, 0)


def all_warnings(warnings: Sequence[str], of_rules: Sequence[str]) -> tuple[str, ...]:
    """Return the warnings of a receipt: those of rules after the others, each code once."""
    if not of_rules:
        return tuple(warnings)
    return tuple(dict.fromkeys([*warnings, *of_rules]))


def warnings_of(report: Report, previous: Report | None, eligible: int | None) -> list[str]:
    """Return warnings about what is unusual in a report but accepted, because it occurs in real counts."""
    warnings = []
    if eligible is not None and report.ballots > eligible:
        warnings.append("above_eligible")
    if previous is not None:
        unchanged = same_counts(previous, report)
        if not unchanged and figures_fell(previous, report):
            warnings.append("figures_fell")
        if report.status != previous.status:
            if status_went_back(previous, report):
                warnings.append("status_back")
        elif unchanged:
            warnings.append("unchanged")
    return warnings
