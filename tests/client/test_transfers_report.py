"""What `valgnatt status` prints of the transfers of an election: problems first, hidden figures as hidden."""

import io
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from rich.console import Console

from gateway.client.http_session import BadToken
from gateway.client.status_command import own_status
from gateway.client.transfers_report import (
    LAG_CAPTION,
    clock_time,
    problems_of,
    state_of,
    summary_of,
    transfers_table,
)
from gateway.wire.transfers import Lag, OwnTransfers, Percentiles, PublicTransfers, Transfer

NOW = datetime(2025, 9, 8, 18, 0, tzinfo=UTC)
UNTIL = datetime(2025, 9, 8, 21, 0, tzinfo=timezone(timedelta(hours=2)))


def a_transfer(name: str, **members: Any) -> Transfer:
    return Transfer(
        **{
            "municipality": "0301", "name": name, "units": 10, "reported": 4, "accepted": 4, "published": 4,
            "embargoed": 0, "oldest_unpublished_s": None, "last_accepted_at": NOW, "last_contact_at": None,
            "lag_s": None, **members,
        }
    )  # fmt: skip


def nothing_of(name: str) -> Transfer:
    return a_transfer(name, reported=0, accepted=0, published=0, last_accepted_at=None)


def public(*transfers: Transfer, **members: Any) -> PublicTransfers:
    return PublicTransfers("e", False, 7, NOW, list(transfers), **members)


def own(*transfers: Transfer, **members: Any) -> OwnTransfers:
    return OwnTransfers("e", False, list(transfers), **members)


def lines_of(*printed: Any) -> list[str]:
    file = io.StringIO()
    console = Console(width=120, file=file)
    for each in printed:
        console.print(each)
    return file.getvalue().splitlines()


GOOD = a_transfer("Bergen")
COMPLETE = a_transfer("Voss", reported=10, accepted=11, published=11)
WAITING = a_transfer("Alver", accepted=3, published=2, oldest_unpublished_s=0.1)
LATE = a_transfer("Oslo", accepted=5, oldest_unpublished_s=34.2)
EMBARGOED = a_transfer("Oslo", published=0, embargoed=4)
HELD = a_transfer("Moss", held=2, oldest_held_s=260.0)
HELD_ALONE = a_transfer("Fet", reported=0, accepted=0, published=0, held=1, oldest_held_s=30.0)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (public(GOOD, COMPLETE), "Everything received is published; 6 units to come."),
        (public(a_transfer("Bergen", reported=9)), "Everything received is published; 1 unit to come."),
        (public(COMPLETE), "Everything received is published; all 10 units have reported."),
        (public(WAITING), "Nothing is late; 1 report not published yet; 6 units to come."),
        (
            public(GOOD, LATE),
            "Late: 1 of 2 municipalities; waiting longest: Oslo, 34 s. 12 units to come.",
        ),
        (public(nothing_of("Bergen")), "Nothing has been published yet; 10 units to come."),
        (own(nothing_of("Bergen")), "Nothing has been received yet; 10 units to come."),
        (
            public(nothing_of("Bergen"), hidden_until=UNTIL),
            "Hidden until 21:00: nothing that municipalities have sent is shown before.",
        ),
        (public(GOOD, hidden_until=UNTIL - timedelta(hours=1)), "The results are being published now."),
        (
            own(EMBARGOED, hidden_until=UNTIL),
            "Under embargo until 21:00: 4 reports received; 6 units to come.",
        ),
        (own(GOOD), "Everything received is published; 6 units to come."),
        (
            public(GOOD, HELD),
            "2 units are being checked. Everything else received is published; 12 units to come.",
        ),
        (
            public(HELD_ALONE),
            "1 unit is being checked. Nothing else has been received yet; 10 units to come.",
        ),
        (
            public(HELD, LATE),
            "2 units are being checked. Late: 1 of 2 municipalities; waiting longest: Oslo, 34 s. 12 units to come.",
        ),
    ],
)
def test_the_state_of_all_transfers_is_one_sentence(
    document: PublicTransfers | OwnTransfers, sentence: str
) -> None:
    """Late reports take precedence; and nothing is called complete while units are to come."""
    assert state_of(document, NOW) == sentence


def test_problems_are_the_reports_that_should_be_public() -> None:
    """The longest waiting first; under embargo no report should be public."""
    assert problems_of(public(GOOD, WAITING, COMPLETE, LATE)) == [LATE, WAITING]
    assert problems_of(public(GOOD, COMPLETE)) == []
    assert problems_of(own(EMBARGOED, hidden_until=UNTIL)) == []


def test_municipalities_with_held_reports_are_listed_after_late_ones() -> None:
    """The one that has been held longest first, also under embargo; the summary and the table say for how long."""
    document = public(HELD_ALONE, GOOD, HELD, LATE)
    assert problems_of(document) == [LATE, HELD, HELD_ALONE]
    assert problems_of(own(EMBARGOED, HELD, hidden_until=UNTIL)) == [HELD]
    assert summary_of(document)[0] == "being checked     3 units in 2 municipalities, the longest for 4 min"
    lines = lines_of(transfers_table(document, problems_of(document)))
    assert [line.split()[0] for line in lines[1:4]] == ["Oslo", "Moss", "Fet"]
    assert "2 (4 min)" in lines[2]


def test_a_summary_counts_municipalities_and_names_those_that_were_never_in_contact() -> None:
    """At most twenty names; a municipality whose counts came in was in contact, whatever the time of its requests."""
    silent = [nothing_of(f"Place {number:02}") for number in range(23)]
    contacts, municipalities, reports = summary_of(public(GOOD, COMPLETE, *silent))
    assert municipalities.split(": ")[1] == "1 complete, 1 with units to come, 23 without any report"
    assert reports.split(maxsplit=1)[1] == "15 accepted, 15 published"
    assert contacts.startswith("never in contact  23: Place 00, Place 01, ")
    assert contacts.endswith("Place 19 and 3 more")
    assert len(summary_of(public(GOOD, COMPLETE))) == 2
    assert "4 embargoed" in summary_of(own(EMBARGOED, hidden_until=UNTIL))[1]


def test_what_is_hidden_is_no_zero_and_not_never() -> None:
    """Summary and table say `hidden` for each figure and time."""
    document = public(nothing_of("Bergen"), nothing_of("Voss"), hidden_until=UNTIL)
    assert summary_of(document) == ["municipalities    2: hidden"]
    _, *rows = lines_of(transfers_table(document, document.transfers))
    assert [row.split() for row in rows] == [[name, *["hidden"] * 8] for name in ("Bergen", "Voss")]


def test_the_table_shows_each_municipality_s_own_lag() -> None:
    """Empty if nothing was measured, as on the push door and before the first publication."""
    lags = [Percentiles(0.001, p99) for p99 in (0.0471, 0.0591, 0.0723)]
    measured = a_transfer("Oslo", lag_s=Lag(*lags))
    nothing = a_transfer("Bergen", lag_s=Lag(*[Percentiles(None, None)] * 3))
    document = public(measured, nothing, a_transfer("Voss"))
    lines = lines_of(transfers_table(document, document.transfers))
    rows = {line.split()[0]: line for line in lines}
    assert "72 ms" in rows["Oslo"]
    assert " ms" not in rows["Bergen"] + rows["Voss"]
    assert LAG_CAPTION in lines[-1]
    assert lines_of(transfers_table(document, document.transfers, 1))[2].strip() == "… and 2 more"


def test_a_time_has_its_date_unless_that_is_today() -> None:
    """By its own offset, whatever the offset of the present time."""
    assert clock_time(UNTIL, NOW) == "21:00"
    assert clock_time(UNTIL, datetime(2025, 9, 7, 22, 30, tzinfo=UTC)) == "21:00"
    assert clock_time(UNTIL, datetime(2025, 9, 7, 21, 30, tzinfo=UTC)) == "2025-09-08 21:00"


async def test_a_character_that_no_token_has_is_named_before_the_door_is_asked() -> None:
    """Nothing listens at the port, which would be the error otherwise."""
    door = "http://127.0.0.1:1"
    with pytest.raises(BadToken, match=r"U\+0001 at position 3 of 4"):
        await own_status(door, door, "e", "ab\x01c", as_json=False)
