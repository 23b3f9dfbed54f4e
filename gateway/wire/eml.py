"""An area and its children as EML 510 (Count), version 5.0.

The area is the contest, and its children are the reporting units; a unit is both. An area without counts has the
figure 0 for every party, without a category, and `units_counted` 0.

Source: OASIS, Election Markup Language (EML) version 5.0, schema 510.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence

from gateway.election.layout import COUNT_PLACES, COUNTED, PARTIES
from gateway.election.registry import Area, Party, Registry
from gateway.election.state import ElectionState
from gateway.wire.cursors import format_cursor
from gateway.wire.exchange import date_time, is_complete, is_final, issue_time, units_reported
from gateway.wire.xml_text import nmtoken, xml_text

MEDIA_TYPE = "application/xml"
NAMESPACE = "urn:oasis:names:tc:evs:schema:eml"

_PLACES = {name: (place, units) for name, place, units in COUNT_PLACES}
_BLANK, _REJECTED, _VOTERS = (_PLACES[name] for name in ("blank", "rejected", "voters"))
_BEGIN = f'<?xml version="1.0" encoding="UTF-8"?>\n<EML xmlns="{NAMESPACE}" Id="510" SchemaVersion="5.0">\n'
_END = b"</Contest>\n</Contests>\n</Election>\n</Count>\n</EML>\n"
_UNIT_BEGIN, _NAME_END, _UNIT_END = (
    "<ReportingUnitVotes>",
    "</ReportingUnitIdentifier>\n",
    "</ReportingUnitVotes>\n",
)
_YES_NO = ("no", "yes")


def head(registry: Registry) -> bytes:
    """Return the beginning of `Count`, which depends on the registry alone."""
    return (
        f'<Count>\n<EventIdentifier/>\n<Election>\n<ElectionIdentifier Id="{nmtoken(registry.id)}">'
        f"<ElectionName>{xml_text(registry.name)}</ElectionName></ElectionIdentifier>\n<Contests>\n<Contest>\n"
    ).encode()


def encoder(registry: Registry) -> Callable[[ElectionState, int], bytes]:
    """Return a function that encodes an area as `ReportingUnitVotes`."""
    parties = [(party.code, _affiliation(party) + "<ValidVotes>") for party in registry.parties]
    categories = {category: xml_text(category) for category in registry.categories}

    def encode(state: ElectionState, index: int) -> bytes:
        area_state = state.areas[index]
        area, figures = area_state.area, area_state.figures
        ballot = [(place, text) for place, (code, text) in enumerate(parties) if code in area.ballot]
        bases = [(categories[category], base) for category, base in state.layout.bases.items()]
        counted = [(category, base) for category, base in bases if figures[base + COUNTED]]
        return "".join(
            (
                f'{_UNIT_BEGIN}<ReportingUnitIdentifier Id="{nmtoken(area.id)}">{xml_text(area.name)}{_NAME_END}',
                f'<CountMetric Type="units">{area.units}</CountMetric>\n',
                f'<CountMetric Type="units_reported">{units_reported(area_state)}</CountMetric>\n',
                *_metrics(figures, bases),
                *_selections(figures, counted, ballot),
                *_sums(figures, counted, len(parties)),
                _UNIT_END,
            )
        ).encode()

    return encode


def _affiliation(party: Party) -> str:
    name = xml_text(party.name)
    begin = f'<AffiliationIdentifier Id="{nmtoken(party.code)}">'
    return f"{begin}<RegisteredName>{name}</RegisteredName></AffiliationIdentifier>"


def _metrics(figures: array[int], bases: Sequence[tuple[str, int]]) -> Iterator[str]:
    for category, base in bases:
        yield f'<CountMetric Type="units_counted" Id="{category}">{figures[base + COUNTED]}</CountMetric>\n'
        if figures[base + _VOTERS[1]]:
            yield f'<CountMetric Type="voters" Id="{category}">{figures[base + _VOTERS[0]]}</CountMetric>\n'


def _selections(
    figures: array[int], counted: Sequence[tuple[str, int]], ballot: Sequence[tuple[int, str]]
) -> Iterator[str]:
    for category, base in counted:
        begin, votes = f'<Selection Category="{category}">', base + PARTIES
        for place, party in ballot:
            yield f"{begin}{party}{figures[votes + place]}</ValidVotes></Selection>\n"
    if not counted:  # at least one is required
        for _, party in ballot:
            yield f"<Selection>{party}0</ValidVotes></Selection>\n"


def _sums(figures: array[int], counted: Sequence[tuple[str, int]], parties: int) -> Iterator[str]:
    votes = sum(sum(figures[base + PARTIES : base + PARTIES + parties]) for _, base in counted)
    yield f"<TotalCounted>{votes}</TotalCounted>\n"
    for category, base in counted:
        for reason, (place, _) in (("blank", _BLANK), ("rejected", _REJECTED)):
            count = figures[base + place]
            yield f'<RejectedVotes ReasonCode="{reason}" VoteType="{category}">{count}</RejectedVotes>\n'


def join(state: ElectionState, area: Area, election: bytes, areas: Sequence[bytes]) -> bytes:
    """Return the whole document of an area: from the head, the area itself, and its children."""
    area_state = state.areas[area.index]
    parent, *children = areas
    issued = issue_time(area_state)
    begin = [
        _BEGIN,
        f"<TransactionId>{format_cursor(state.cursor())}</TransactionId>\n",
        f"<IssueDate>{date_time(issued)}</IssueDate>\n" if issued is not None else "",
    ]
    contest = (
        f'<ContestIdentifier Id="{nmtoken(area.id)}"><ContestName>{xml_text(area.name)}</ContestName>'
        "</ContestIdentifier>\n<CountQualifier>"
        f"<Simulation>{_YES_NO[state.registry.rehearsal]}</Simulation>"
        f"<Final>{_YES_NO[is_final(area_state)]}</Final>"
        f"<Partial>{_YES_NO[not is_complete(area_state)]}</Partial></CountQualifier>\n<TotalVotes>\n"
    )
    totals = parent.partition(_NAME_END.encode())[2].removesuffix(_UNIT_END.encode())
    return b"".join(
        (
            "".join(begin).encode(),
            election,
            contest.encode(),
            totals,
            b"</TotalVotes>\n",
            *(children or [parent]),
            _END,
        )
    )
