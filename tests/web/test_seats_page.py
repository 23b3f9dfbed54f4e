"""Seats on the pages: the geometry of the chamber, who is close to a seat, and what readers see of it."""

import json
import math
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, Page, expect

from gateway.page_composition import SEAT_TEXTS, TEXTS
from gateway.rehearsal.generator import GeneratedElection
from tests.counts import count, full_only
from tests.election.apportionment.storting import STORTING
from tests.running import Gateway, Sender
from tests.web.browsing import Visitor, http_on_session_loop, needs_chromium, visiting
from tests.web.doors import COUNTRY, HERE, a_registry, a_report, ask, pushed, shown, units_of

pytestmark = pytest.mark.long

SEATS = {"01": 5, "02": 13, "06": 7}
"""Seats of the counties, levelling seats included."""
TOTAL, MAJORITY = 25, 13
DISTRICT, EMPTY = "06", "01"
LEFT, RIGHT = ["SOL", "FL", "BYGD"], ["TRO", "NST"]
HOUSE: dict[str, Any] = {
    "apportionment": STORTING,
    "blocs": [
        {"name": "Venstresida", "names": {"en": "The left"}, "parties": LEFT},
        {"name": "Høyresida", "names": {"en": "The right"}, "parties": RIGHT},
    ],
}

http = http_on_session_loop


def with_seats(small: GeneratedElection, **header: Any) -> dict[str, Any]:
    """Return a registry whose counties elect members."""
    registry = a_registry(small, **{**HOUSE, **header})
    areas = [
        {**area, "seats": SEATS[area["id"]]} if area["id"] in SEATS else area for area in registry["areas"]
    ]
    return {**registry, "areas": areas}


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(browser: Browser) -> AsyncIterator[Visitor]:
    """A visitor who reads English. Afterwards the console has no errors."""
    async with visiting(browser) as visitor:
        yield visitor
        assert visitor.errors == []


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def elected(gateway: Gateway, small: GeneratedElection) -> Sender:
    """An election with seats of which everything is counted."""
    sender = await gateway.issue(await gateway.load(with_seats(small)), [COUNTRY])
    newest = {line["report"]["unit"]: line["report"] for line in small.reports}
    async with aiohttp.ClientSession(auto_decompress=False) as http:
        await pushed(http, sender, *newest.values())
        await shown(gateway, sender.election, len(newest))
    return sender


def url(sender: Sender, rest: str = "") -> str:
    return f"{sender.gateway.feed_url}/areas/{sender.election}{rest}"


async def seats_of(http: aiohttp.ClientSession, sender: Sender, area: str = COUNTRY) -> dict[str, Any]:
    """Return the seats that the feed door answers with."""
    answer = await ask(http, "GET", f"{sender.gateway.feed_url}/v1/elections/{sender.election}/areas/{area}")
    seats: dict[str, Any] = answer.document["seats"]
    return seats


# What is computed without a page.


async def blank(visitor: Visitor, gateway: Gateway) -> Page:
    """Open an empty page of the feed door, which can import its modules."""
    page = await visitor.new_tab()
    await page.route(
        "**/blank",
        lambda route: route.fulfill(body="<html data-languages='{}'>", content_type="text/html"),
    )
    await page.goto(f"{gateway.feed_url}/blank")
    return page


GEOMETRY = """async (sizes) => {
    const { hemicycle, pieces, spread, majorityOf } = await import("/static/0/chamber.js");
    const chambers = sizes.map((seats) => hemicycle(seats));
    const labels = [0.1, 0.11, 0.12, 0.5, 0.97, 0.99].map((at, index) => ({ at, weight: index === 3 ? 0 : 1 }));
    const places = [0.3, 0.9, 0.94, 0.96, 0.98, 0.99];
    const crowded = [9, 3, 2, 2, 1, 1].map((weight, index) => ({ at: places[index], weight }));
    return {
        chambers: chambers.map(({ dot, places }) => ({ dot, places: places.map(({ x, y, angle }) => [x, y, angle]) })),
        pieces: pieces([{ party: "A", seats: 3 }, { party: null, seats: 1 }, { party: "B", seats: 4 }]),
        spread: [spread(labels, 0.1), spread(labels, 0.25), spread([], 0.1), spread(labels, 2),
            spread(crowded, 0.1, 0.15)],
        majorities: [1, 2, 100, 169].map(majorityOf),
    };
}"""


@needs_chromium
async def test_each_seat_has_a_place_of_its_own_in_the_half_circle(
    gateway: Gateway, visitor: Visitor
) -> None:
    """From left to right, within the picture, as large as neighbours allow; and labels neither overlap nor leave it."""
    page = await blank(visitor, gateway)
    sizes = [0, 1, 2, 3, 5, 9, 20, 101, 169, 349, 735, 1200]
    found = await page.evaluate(GEOMETRY, sizes)
    for size, chamber in zip(sizes, found["chambers"], strict=True):
        dot, places = chamber["dot"], chamber["places"]
        assert len(places) == size
        assert all(math.hypot(x, y) + dot <= 1 and y > -1e-9 for x, y, _ in places)
        assert dot <= 0.1  # three seats do not cover what is below
        assert all(left[2] >= right[2] for left, right in pairwise(places))
        assert all(
            math.dist(one[:2], other[:2]) >= 2 * dot
            for number, one in enumerate(places)
            for other in places[number + 1 : number + 60]
        )
        assert sorted(round(x, 9) + 0.0 for x, _, _ in places) == sorted(
            round(-x, 9) + 0.0 for x, _, _ in places
        )
        if size >= 101:  # seats fill two fifths of the ring
            assert size * dot**2 > 0.4 * (1 - 0.42**2) / 2
    assert [(each["from"], each["to"]) for each in found["pieces"]] == [(0, 0.375), (0.375, 0.5), (0.5, 1)]
    near, far, none, one, crowded = found["spread"]
    assert [round(each, 6) for each in near] == [0.01, 0.11, 0.21, 0.5, 0.9, 1]
    assert far[3] is None
    kept = [each for each in far if each is not None]
    assert all(right - left >= 0.25 - 1e-9 for left, right in pairwise(kept))
    assert kept[0] >= 0
    assert kept[-1] <= 1
    assert none == []
    assert [each is None for each in one] == [False, *[True] * 5]
    assert [each and round(each, 6) for each in crowded] == [
        0.3,
        0.8,
        0.9,
        1,
        None,
        None,
    ]  # the lightest are left out
    assert found["majorities"] == [1, 2, 51, 85]


READ = """async ({ registry, areas, district }) => {
    const { House, aroundThreshold, hasSeats } = await import("/static/0/house.js");
    const house = new House(registry);
    const known = new Map(areas.map((each) => [each.area, each]));
    const root = known.get(house.root);
    const seats = house.districtSeats(known.get(district));
    return {
        total: house.total, majority: house.majority, chamber: house.chamber(root),
        district: house.ofDistrict(seats, house.levellingOf(known, district), house.districts.get(district)),
        unknown: house.levellingOf(new Map(), district), none: house.districtSeats(known.get("m")) ?? null,
        close: house.close(known), waiting: house.waiting(known), near: aroundThreshold(root.seats),
        has: [hasSeats(seats), hasSeats({ by_party: {} })],
    };
}"""


def an_area(area: str, votes: int, **seats: Any) -> dict[str, Any]:
    counts = {"day": {"ballots": votes, "blank": 0, "rejected": 0, "votes": {"A": votes}}}
    return {"area": area, "counts": counts, **({"seats": {"projection": True, **seats}} if seats else {})}


@needs_chromium
async def test_blocs_sit_together_and_what_is_not_allocated_is_between_them(
    gateway: Gateway, visitor: Visitor
) -> None:
    """Parties of no bloc too; the closest seats of all districts come first, and so do parties at the threshold."""
    registry = {
        "election": {
            "apportionment": {"districts": "county", "levelling": {"per_district": 1}},
            "blocs": [{"name": "L", "parties": ["B", "A"]}, {"name": "R", "parties": ["D"]}],
        },
        "areas": [
            {"id": "c", "parent": None, "level": "country", "seats": 99},
            *({"id": each, "parent": "c", "level": "county", "seats": 5} for each in ("p", "q", "r")),
            {"id": "m", "parent": "p", "level": "municipality"},
        ],
        "parties": [{"code": code} for code in "ABCD"],
    }
    near = {
        "A": {"above": True, "spare": 40},
        "B": {"above": False, "lacks": 7},
        "C": {"above": True, "spare": 0},
    }
    by_party = {
        code: {"seats": seats, "levelling": 0} for code, seats in {"A": 3, "B": 3, "C": 1, "D": 5}.items()
    }
    last, following = {"party": "A", "spare": 9}, {"party": "B", "lacks": 4}
    areas = [
        an_area("c", 20, by_party=by_party, threshold=near, levelling=[{"district": "p", "party": "C"}]),
        an_area("p", 10, ordinary=4, by_party={"A": 3, "B": 1}, last=last, next=following),
        an_area("q", 10, ordinary=4, by_party={"A": 4}, last={**last, "spare": 2}, next=None),
        an_area("r", 0, ordinary=4, by_party={}, last=None, next=None),
        an_area("m", 5),
    ]
    page = await blank(visitor, gateway)
    given = {"registry": registry, "areas": areas, "district": "p"}
    found = await page.evaluate(READ, given)
    assert (found["total"], found["majority"], found["waiting"]) == (15, 8, 1)
    groups = [(each["party"], each["seats"]) for each in found["chamber"]["groups"]]
    assert groups == [("B", 3), ("A", 3), ("C", 1), (None, 3), ("D", 5)]
    blocs = [
        (each["bloc"] and each["bloc"]["name"], each["from"], each["seats"])
        for each in found["chamber"]["blocs"]
    ]
    assert blocs == [("L", 0, 6), (None, 6, 1), ("R", 10, 5)]
    assert [each["party"] for each in found["chamber"]["parties"]] == ["D", "A", "B", "C"]
    assert found["district"]["parties"] == [
        {"party": "A", "seats": 3, "levelling": 0},
        {"party": "B", "seats": 1, "levelling": 0},
        {"party": "C", "seats": 1, "levelling": 1},
    ]
    assert found["unknown"] is None
    assert found["none"] is None
    assert found["close"] == {
        "toWin": [{"district": "p", "party": "B", "votes": 4, "other": "A"}],
        "toLose": [
            {"district": "q", "party": "A", "votes": 2, "other": None},
            {"district": "p", "party": "A", "votes": 9, "other": "B"},
        ],
    }
    assert [(each["party"], each["above"], each["votes"]) for each in found["near"]] == [
        ("C", True, 0), ("B", False, 7), ("A", True, 40),
    ]  # fmt: skip
    assert found["has"] == [True, False]


TIED = """async ({ registry, areas }) => {
    const { House } = await import("/static/0/house.js");
    const { HouseSeats } = await import("/static/0/house_seats.js");
    const { Parties } = await import("/static/0/parties.js");
    const section = document.createElement("section");
    document.body.append(section);
    const view = new HouseSeats(section, new House(registry), new Parties(registry.parties));
    view.draw(new Map(areas.map((each) => [each.area, each])));
    return section.querySelector(".seats-note").textContent;
}"""


@needs_chromium
async def test_a_lot_about_levelling_seats_is_named(gateway: Gateway, visitor: Visitor) -> None:
    """With the parties between which it decides."""
    registry = {
        "election": {"apportionment": {"districts": "county", "levelling": {"per_district": 1}}},
        "areas": [
            {"id": "c", "parent": None, "level": "country"},
            {"id": "p", "parent": "c", "level": "county", "seats": 3},
        ],
        "parties": [{"code": code, "name": f"Party {code}"} for code in "AB"],
    }
    by_party = {"A": {"seats": 2, "levelling": 1}, "B": {"seats": 1, "levelling": 0}}
    root = an_area("c", 20, by_party=by_party, levelling=[{"district": "p", "party": "A"}], tied=["A", "B"])
    page = await blank(visitor, gateway)
    note = await page.evaluate(TIED, {"registry": registry, "areas": [root, an_area("p", 20)]})
    assert note.startswith("Party A and Party B have equally many votes. A lot decides; ")


# Texts.

SENTENCES = """async (tags) => {
    const { figures } = await import("/static/0/texts.js");
    const load = async (tag) => {
        const { LOCALES } = await import(`/static/0/texts/${tag}.js`);
        const { texts } = await import(`/static/0/seat_texts/${tag}.js`);
        const said = texts(figures(LOCALES));
        const shape = Object.entries(said).map(([key, text]) => [key, typeof text, text.length * !text.at]);
        const sentences = [
            said.last("X", 467, true), said.last("X", 1, false), said.last("X", 0, true), said.next("Y", 1468),
            said.next("Y", 1), said.tied(["X", "Y"]), said.districtLevelling(["X"]), said.districtLevelling(["X", "Y"]),
            said.districtLevellingWaits(1), said.districtOrdinary(19, 1), said.waiting(1), said.waiting(2),
            said.levellingWaits(1), said.noneYetHere(1), said.forMajority(85), said.hasMajority(0),
            said.hasMajority(3), said.lacksMajority(4), said.seats(1), said.seats(169), said.votes(1), said.votes(1468),
        ];
        return [tag, { shape, sentences }];
    };
    return Object.fromEntries(await Promise.all(tags.map(load)));
}"""
ENGLISH = """X has the last district seat and can lose 467 votes without losing it.
X has the last seat and can lose 1 vote without losing it.
X has the last district seat and loses it with one vote fewer.
Y is next and takes it with 1,468 more votes.
Y is next and takes it with 1 more vote.
X and Y have equally many votes. A lot decides; until then, the order of the list of parties is used.
The levelling seat here goes to X, depending on the votes of the whole country.
The levelling seats here go to X and Y, depending on the votes of the whole country.
The levelling seat is allocated when every district has votes.
19 district seats and 1 levelling seat
1 district has no votes, and so no seats yet.
2 districts have no votes, and so no seats yet.
1 levelling seat is allocated when every district has votes.
No seats yet: no votes have been counted here. The district will have 1 seat.
85 for a majority
majority
majority, 3 more than needed
4 short of a majority
1 seat
169 seats
1 vote
1,468 votes"""
BOKMÅL = """X har det siste distriktsmandatet og kan miste 467 stemmer uten å miste det.
X har det siste mandatet og kan miste 1 stemme uten å miste det.
X har det siste distriktsmandatet og mister det med én stemme mindre.
Y er neste og tar det med 1 468 stemmer til.
Y er neste og tar det med 1 stemme til.
X og Y har like mange stemmer. Loddtrekning avgjør; inntil videre brukes rekkefølgen på partilisten.
Utjevningsmandatet her går til X. Det avhenger av stemmene i hele landet.
Utjevningsmandatene her går til X og Y. Det avhenger av stemmene i hele landet.
Utjevningsmandatet fordeles når alle valgdistriktene har stemmer.
19 distriktsmandater og 1 utjevningsmandat
1 valgdistrikt har ingen stemmer og dermed ingen mandater ennå.
2 valgdistrikter har ingen stemmer og dermed ingen mandater ennå.
1 utjevningsmandat fordeles når alle valgdistriktene har stemmer.
Ingen mandater ennå: ingen stemmer er talt opp her. Valgdistriktet skal ha 1 mandat.
85 for flertall
flertall
flertall, 3 mer enn nødvendig
mangler 4 på flertall
1 mandat
169 mandater
1 stemme
1 468 stemmer"""
NYNORSK = """X har det siste distriktsmandatet og kan miste 467 røyster utan å miste det.
X har det siste mandatet og kan miste 1 røyst utan å miste det.
X har det siste distriktsmandatet og mistar det med éi røyst mindre.
Y er neste og tek det med 1 468 røyster til.
Y er neste og tek det med 1 røyst til.
X og Y har like mange røyster. Loddtrekning avgjer; inntil vidare gjeld rekkjefølgja på partilista.
Utjamningsmandatet her går til X. Det kjem an på røystene i heile landet.
Utjamningsmandata her går til X og Y. Det kjem an på røystene i heile landet.
Utjamningsmandatet blir fordelt når alle valdistrikta har røyster.
19 distriktsmandat og 1 utjamningsmandat
1 valdistrikt har ingen røyster og dermed ingen mandat enno.
2 valdistrikt har ingen røyster og dermed ingen mandat enno.
1 utjamningsmandat blir fordelt når alle valdistrikta har røyster.
Ingen mandat enno: ingen røyster er talde opp her. Valdistriktet skal ha 1 mandat.
85 for fleirtal
fleirtal
fleirtal, 3 meir enn nødvendig
manglar 4 på fleirtal
1 mandat
169 mandat
1 røyst
1 468 røyster"""


@needs_chromium
async def test_the_last_seat_is_described_in_plain_sentences_in_every_language(
    gateway: Gateway, visitor: Visitor
) -> None:
    """With the right plurals; and every language has the same texts."""
    tags = sorted(path.stem for path in SEAT_TEXTS.iterdir())
    assert tags == sorted(path.stem for path in TEXTS.iterdir())
    page = await blank(visitor, gateway)
    found = await page.evaluate(SENTENCES, tags)
    for tag, expected in {"en": ENGLISH, "nb": BOKMÅL, "nn": NYNORSK}.items():
        sentences = [re.sub("[\xa0\u202f]", " ", each) for each in found[tag]["sentences"]]
        assert sentences == expected.splitlines(), tag
        assert found[tag]["shape"] == found["nb"]["shape"]


# The pages.


@needs_chromium
async def test_the_chamber_has_every_seat_a_majority_and_the_same_in_a_table(
    elected: Sender, http: aiohttp.ClientSession, visitor: Visitor
) -> None:
    """As the feed has them, marked as a projection. Parties are named beside their seats, in their blocs."""
    house = await seats_of(http, elected)
    by_party = {party: each["seats"] for party, each in house["by_party"].items()}
    assert sum(by_party.values()) == TOTAL
    page = await visitor.open(url(elected))
    seats = page.locator("#seats")
    await expect(seats.locator(".projection")).to_have_text("Projection")
    await expect(seats).to_contain_text("The electoral authority determines the seats.")
    dots = await page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll("#seats .hemicycle .seat")].map((each) =>
            [each.dataset.party, each.getAttribute("d").split("M").length - 1]))"""
    )
    assert dots == by_party
    path = await seats.locator(".hemicycle .seat").first.get_attribute("d")
    (radius, across), *_ = re.findall(r"a(\S+) \S+ 0 0 0 (\S+) 0", path or "")
    assert float(across) == 2 * float(radius)
    order = list(dots)
    inner = [party for party in order if party not in (*LEFT, *RIGHT)]
    assert order == [*filter(dots.get, LEFT), *inner, *filter(dots.get, RIGHT)]
    assert await seats.locator(".hemicycle .party-code").all_text_contents() == order
    picture = seats.locator(".hemicycle svg")
    await expect(picture).to_have_attribute("role", "img")
    await expect(picture).to_have_attribute(
        "aria-label", re.compile(r"^The chamber from left to right: .+ \d+\.$")
    )
    for each in (".hemicycle", ".seat-bar"):
        await expect(seats.locator(each)).to_contain_text(f"{MAJORITY} for a majority")
    left = sum(by_party.get(party, 0) for party in LEFT)
    words = (
        f"majority, {left - MAJORITY} more" if left > MAJORITY else f"{MAJORITY - left} short of a majority"
    )
    await expect(seats.locator(".blocs li").first).to_have_text(
        re.compile(f"^The left{left}({words}|majority$)")
    )
    rows = await seats.locator("tr[data-party-seats]").evaluate_all(
        "(rows) => rows.map((row) => [row.dataset.partySeats, +row.querySelector('.seats').textContent])"
    )
    assert dict(rows) == by_party
    assert [number for _, number in rows] == sorted(by_party.values(), reverse=True)
    await seats.locator(".levelling-seats summary").click()
    levelling = seats.locator(".levelling-seats tbody tr")
    assert house["levelling"]
    await expect(levelling).to_have_count(len(house["levelling"]))
    await expect(levelling.first).to_contain_text(house["levelling"][0]["party"])
    near = seats.locator("[data-threshold]")
    await expect(near).to_have_count(len(house["threshold"]))
    party = await near.first.get_attribute("data-threshold")
    margin = house["threshold"][party]
    votes = margin["spare" if margin["above"] else "lacks"]
    assert votes == min(each.get("spare", each.get("lacks")) for each in house["threshold"].values())
    await expect(near.first).to_contain_text(f"{votes:,} votes {'above' if margin['above'] else 'below'}")
    links = await seats.locator(".downloads a").evaluate_all("(links) => links.map(({ href }) => href)")
    plain = {"Accept-Encoding": "identity"}
    table, document = [await ask(http, "GET", link, headers=plain) for link in links]
    assert table.body.decode("utf-8-sig").startswith("area,name,level,")
    assert document.document["seats"] == house


@needs_chromium
async def test_the_closest_seats_lead_to_the_districts_with_the_last_seat_and_who_is_next(
    elected: Sender, http: aiohttp.ClientSession, visitor: Visitor
) -> None:
    """Sorted by votes over the country; the page of the district says the same in sentences. Other areas have none."""
    districts = {area: await seats_of(http, elected, area) for area in SEATS}
    page = await visitor.open(url(elected))
    for kind, member, votes in (("toWin", "next", "lacks"), ("toLose", "last", "spare")):
        items = page.locator(f"[data-close={kind}] li")
        await expect(items).to_have_count(len(SEATS))
        closest = sorted(districts, key=lambda area: districts[area][member][votes])
        assert await items.locator("a").evaluate_all("(links) => links.map(({ href }) => href)") == [
            url(elected, f"/{area}") for area in closest
        ]
        first = districts[closest[0]]
        other = (
            f"takes it from {first['last']['party']}"
            if kind == "toWin"
            else f"{first['next']['party']} is next"
        )
        name = await items.first.locator("a").text_content()
        await expect(items.first).to_have_text(
            re.compile(rf"^{first[member]['party']}{name}{first[member][votes]:,} votes?{other}$")
        )
    await page.locator(f"[data-close=toWin] a[href$='/{DISTRICT}']").click()
    seats, found = page.locator("#area-seats"), districts[DISTRICT]
    await expect(seats.locator(".projection")).to_have_text("Projection")
    await expect(seats.locator(".seats-note")).to_have_text("6 district seats and 1 levelling seat.")
    names = dict(
        await page.evaluate(
            """async (election) => (await (await fetch(`/v1/elections/${election}`)).json()).registry.parties.map(
                ({ code, name }) => [code, name])""",
            elected.election,
        )
    )
    sentences = await seats.locator(".margins li").all_text_contents()
    assert sentences[0] == (
        f"{names[found['last']['party']]} has the last district seat and can lose {found['last']['spare']:,} votes"
        " without losing it."
    )
    following, lacks = names[found["next"]["party"]], found["next"]["lacks"]
    assert sentences[1] == f"{following} is next and takes it with {lacks:,} more votes."
    assert sentences[2].startswith("The levelling seat here goes to ")
    await expect(seats.locator("svg")).to_have_count(1)
    await page.goto(url(elected, f"/{HERE}"))
    await expect(page.locator("#plot svg")).to_be_visible()
    await expect(seats).to_be_hidden()


@needs_chromium
async def test_seats_follow_the_count_and_are_hidden_until_the_release_and_in_the_past(
    gateway: Gateway, small: GeneratedElection, http: aiohttp.ClientSession, visitor: Visitor
) -> None:
    """A district without votes says that it has no seats yet; its seats and the levelling seats are open."""
    sender = await gateway.issue(await gateway.load(with_seats(small)), [COUNTRY])
    await shown(gateway, sender.election)
    page = await visitor.open(url(sender))
    seats = page.locator("#seats")
    await expect(seats).to_contain_text("No seats yet: no votes have been counted.")
    await expect(seats.locator("svg")).to_have_count(0)
    await pushed(http, sender, a_report(votes=100))
    await expect(seats.locator(".seats-note")).to_have_text(
        "2 districts have no votes, and so no seats yet. "
        "3 levelling seats are allocated when every district has votes."
    )
    await expect(seats.locator("tr[data-party-seats=FL] .seats")).to_have_text("6")
    await expect(seats.locator("tr.sum").first).to_have_text("Not allocated yet19")
    await pushed(http, sender, a_report(units_of(small, "01")[0], votes=40))
    await expect(seats.locator("tr[data-party-seats=FL] .seats")).to_have_text("10")
    await expect(seats.locator(".seats-note")).to_contain_text("1 district has no votes")
    await page.goto(url(sender, "/02"))
    await expect(page.locator("#area-seats .seats-note")).to_have_text(
        "No seats yet: no votes have been counted here. The district will have 13 seats."
    )
    equal = {"FL": 100, "NST": 100, "HV": 100, "SOL": 100, "BYGD": 100}
    counts = {"election_day": {"ballots": 500, "blank": 0, "rejected": 0, "votes": equal}}
    await pushed(http, sender, {**a_report(units_of(small, "02")[0]), "counts": counts})
    await expect(page.locator("#area-seats .seats-note")).to_have_text(
        "12 district seats and 1 levelling seat."
    )
    await expect(page.locator("#area-seats .margins")).to_contain_text(
        "have equally many votes. A lot decides"
    )
    await expect(page.locator("#area-seats .margins li").last).to_contain_text(
        "The levelling seat here goes to"
    )
    await page.goto(url(sender, "?at=1"))
    await expect(page.locator("main.past")).to_be_attached()
    await expect(page.locator("[data-figure=votes]").first).to_have_text("100")
    await expect(seats).to_be_hidden()

    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    hidden = await gateway.issue(await gateway.load(with_seats(small, publish_from=later)), [COUNTRY])
    await pushed(http, hidden, a_report(votes=100))
    await page.goto(url(hidden))
    await expect(page.locator("#embargo")).to_be_visible()
    await expect(page.locator("#areas tbody tr").first).to_be_visible()
    await expect(seats).to_be_hidden()


@full_only
@needs_chromium
async def test_seats_of_districts_that_depend_on_votes_elsewhere_are_read_as_a_table(
    gateway: Gateway, small: GeneratedElection, http: aiohttp.ClientSession, visitor: Visitor
) -> None:
    """With a threshold of the country for all seats, events of districts have none."""
    rules = {key: value for key, value in STORTING.items() if key != "levelling"}
    sender = await gateway.issue(await gateway.load(with_seats(small, apportionment=rules)), [COUNTRY])
    await pushed(http, sender, a_report(votes=100), a_report(units_of(small, "02")[0], votes=5))
    await shown(gateway, sender.election, 2)
    page = await visitor.open(url(sender))
    losing = page.locator("[data-close=toLose] li")
    await expect(losing.locator(".close-votes")).to_have_text(["4 votes", "99 votes"])
    await losing.last.locator("a").click()
    await expect(page.locator("#area-seats .seats-note")).to_have_text("7 seats.")
    await expect(page.locator("#area-seats .margins li")).to_have_text(
        ["Fellesligaen has the last seat and can lose 99 votes without losing it."]
    )
    await expect(page.locator("#embed-parts option[value=seats]")).to_have_count(0)


@needs_chromium
async def test_pages_of_elections_without_seats_show_and_load_nothing_of_them(
    gateway: Gateway, small: GeneratedElection, http: aiohttp.ClientSession, visitor: Visitor
) -> None:
    registry = a_registry(small)
    for member in HOUSE:
        registry["election"].pop(member, None)
    sender = await gateway.issue(await gateway.load(registry), [COUNTRY])
    await pushed(http, sender, a_report())
    await shown(gateway, sender.election, 1)
    page = await visitor.open(url(sender))
    await expect(page.locator("#areas tbody tr").first).to_be_visible()
    await expect(page.locator("#seats")).to_be_hidden()
    await expect(page.locator("#embed-parts option[value=seats]")).to_have_count(0)
    await page.goto(f"{gateway.feed_url}/embed?election={sender.election}&show=seats,summary")
    await expect(page.locator("#summary .figures")).to_be_visible()
    await expect(page.locator("#seats")).to_be_hidden()
    loaded = " ".join(visitor.requests)
    assert "/seats.js" in loaded
    for name in ("house", "chamber", "seats_view", "seats_part", "seat_texts"):
        assert f"/{name}" not in loaded


@full_only
@needs_chromium
async def test_a_screen_and_a_frame_show_the_chamber(elected: Sender, visitor: Visitor) -> None:
    """The screen in turn with other pictures; the frame as the code on the page has it, also of a district."""
    await visitor.own_profile()
    page = await visitor.new_tab()
    await page.clock.install()
    await page.set_viewport_size({"width": 1280, "height": 720})
    await page.goto(url(elected, "?kiosk"))
    await expect(page.locator("#kiosk-tiles")).to_be_visible()
    await expect(page.locator("#kiosk-seats .hemicycle .seat").first).to_be_attached()
    await page.clock.fast_forward(16_000)
    await expect(page.locator("#kiosk-seats .hemicycle")).to_be_visible()
    await expect(page.locator("#kiosk-seats .projection")).to_be_visible()
    await expect(page.locator("#kiosk-tiles")).to_be_hidden()
    await page.close()
    results = await visitor.open(url(elected))
    await results.locator("#embed summary").click()
    await results.get_by_role("combobox", name="Content").select_option("seats")
    code = await results.locator("#embed-code").text_content()
    address = re.findall(r'src="([^"]+)"', code or "")[0].replace("&amp;", "&")
    await results.goto(address)
    await expect(results.locator("#seats .hemicycle .seat").first).to_be_visible()
    await expect(results.locator("#seats .seats-note")).to_be_hidden()
    await results.goto(address.replace(f"area={COUNTRY}", f"area={DISTRICT}"))
    await expect(results.locator("#seats .margins li")).to_have_count(
        2
    )  # the levelling seat is known to the root
    await expect(results.locator("#seats .seat-bar .seat").first).to_be_visible()


@needs_chromium
async def test_seats_fit_a_phone_in_every_language_without_violations(
    elected: Sender, browser: Browser
) -> None:
    """Of axe-core in the dark; nothing scrolls sideways, and the language changes all of it."""
    titles = {"nn": "Mandat", "en": "Seats", "nb": "Mandater"}
    async with visiting(browser, viewport={"width": 390, "height": 844}, color_scheme="dark") as visitor:
        page = await visitor.open(url(elected))
        await expect(page.locator("#seats-title")).to_be_visible()
        for tag, title in [*titles.items()][: count(2, full=3)]:
            await page.locator("#language").select_option(tag)
            await expect(page.locator("#seats-title")).to_have_text(title)
            assert await page.evaluate("document.documentElement.scrollWidth") == 390
        await page.goto(url(elected, f"/{DISTRICT}"))
        await expect(page.locator("#area-seats svg")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") == 390
        await expect_no_violations(page, "#area-seats")
        assert visitor.errors == []


async def expect_no_violations(page: Page, part: str) -> None:
    await page.evaluate(AXE_SCRIPT)
    found = await page.evaluate(
        """async (part) => (await axe.run(part, { resultTypes: ["violations"] })).violations.map(
            ({ id, nodes }) => [id, nodes.map(({ html }) => html)])""",
        part,
    )
    assert found == [], json.dumps(found, indent=1)


@full_only
@needs_chromium
async def test_a_municipality_alone_has_neither_a_map_nor_a_table_of_areas(
    gateway: Gateway, visitor: Visitor, small: GeneratedElection
) -> None:
    """Its page shows the council; of a single seat, there is no majority."""
    registry = a_registry(
        small, apportionment={"method": "divisors", "divisors": [1, 2, 3], "districts": "municipality"}
    )
    registry["election"].pop("blocs", None)
    town = next(area for area in registry["areas"] if area["id"] == HERE)
    units = [area for area in registry["areas"] if area["parent"] == HERE]
    registry["areas"] = [{**town, "parent": None, "seats": 1}, *units]
    sender = await gateway.issue(await gateway.load(registry), [HERE])
    async with aiohttp.ClientSession(auto_decompress=False) as http:
        await pushed(http, sender, a_report(units[0]["id"]))
        await shown(gateway, sender.election, 1)
    page = await visitor.open(url(sender))
    await expect(page.locator("#seats .hemicycle svg")).to_be_visible()
    await expect(page.locator("#seats .marker")).to_have_count(0)
    await expect(page.locator("#tiles-section")).to_be_hidden()
    await expect(page.locator("#areas-section")).to_be_hidden()
    screen = await visitor.open(url(sender, "?kiosk"))
    await expect(screen.locator("#kiosk-seats .hemicycle svg")).to_be_visible()
    await expect(screen.locator("#kiosk-tiles")).to_be_hidden()
