"""Held reports on the page for operators, in a real browser: why each is held, its figures, and decisions about it."""

from collections.abc import AsyncIterator
from typing import Any, get_args

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, Locator, Page, expect

from gateway.election.rules.evidence import AnyEvidence, Evidence
from gateway.election.rules.policy import RULES
from gateway.page_composition import HOLD_TEXTS, TEXTS
from gateway.rehearsal.generator import GeneratedElection
from gateway.wire.decisions import REASONS
from gateway.wire.holds import CONFLICTS, STATES
from tests.client.test_hold_sentences import AREAS as NAMES
from tests.client.test_hold_sentences import CASES, UNIT
from tests.running import Gateway
from tests.web.browsing import Visitor, http_on_session_loop, needs_chromium, visiting
from tests.web.doors import COUNTRY, FOREIGN_UNIT, OTHER_UNIT, THERE, a_registry, a_report, ask, pushed
from tests.web.doors import UNIT as HELD_UNIT
from tests.web.doors import shown as feed_shown
from tests.web.stub_door import (
    ASKER,
    ELECTION,
    JEVNAKER,
    NORTH,
    SOUTH,
    StubDoor,
    a_held_report,
    a_hold,
    counts,
    fired,
    stub_door,
)
from tests.web.test_accessibility import violations

pytestmark = pytest.mark.long

http = http_on_session_loop

SECRET = "a-token-that-nothing-keeps"
INTERVAL_MS, STALE_MS = 6_000, 20_000
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest_asyncio.fixture(loop_scope="session")
async def door() -> AsyncIterator[StubDoor]:
    async with stub_door() as door:
        yield door


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(browser: Browser, door: StubDoor) -> AsyncIterator[Visitor]:
    """A visitor who reads English. Afterwards the console has no errors, and no other host got a request."""
    async with visiting(browser, reduced_motion="reduce") as visitor:
        yield visitor
        assert visitor.errors == []
        assert visitor.requests_elsewhere(door.url) == []
        assert SECRET not in "".join(visitor.requests)


async def signed_in(visitor: Visitor, door: StubDoor) -> Page:
    """Open the page, enter the token, and wait for the holds."""
    page = await visitor.open(f"{door.url}/operator?election={ELECTION}")
    await page.fill("#token", SECRET)
    await expect(page.locator("#entry-button")).to_be_enabled()
    await page.keyboard.press("Enter")
    await expect(page.locator("#holds-title")).to_have_text("3 reports are held")
    return page


def card(page: Page, unit: str) -> Locator:
    return page.locator(f'#holds > li[data-unit="{unit}"]')


# Why a report is held.


SENTENCES = """async ([cases, areas]) => {
    const base = document.querySelector("script").src;
    const { sentenceOf, areaText, placeText } = await import(base.replace("operator.js", "hold_sentences.js"));
    const { figures, LANGUAGES } = await import(base.replace("operator.js", "texts.js"));
    const found = {};
    for (const tag of Object.keys(LANGUAGES)) {
        const { LOCALES, texts: { statuses } } = await import(base.replace("operator.js", `texts/${tag}.js`))
            .then(({ LOCALES, texts }) => ({ LOCALES, texts: texts(figures(LOCALES)) }));
        const { texts } = await import(base.replace("operator.js", `hold_texts/${tag}.js`));
        const { sentences } = texts(figures(LOCALES));
        const name = ({ name }) => name;
        const words = {
            area: (id) => areaText(id, areas, name),
            place: (id) => placeText(id, areas, name, "3236-0001"),
            status: (code) => statuses[code],
            moment: (time) => time,
            date: (day) => day,
        };
        found[tag] = cases.map(([code, evidence]) => sentenceOf(sentences, { code, evidence }, "3236-0001", words));
    }
    return found;
}"""
"""Returns a sentence for each case in each language."""
ENGLISH = [
    "these 4,761 advance ballots equal those of 3203 Asker, 3203-0007 Nordre, party by party",
    (
        "these 4,761 advance ballots nearly equal the election-day ballots of 3203 Asker, 3203-0007 Nordre (12 votes of"
        " difference in all)"
    ),
    "these 4,761 advance ballots equal those of 3236-0002, party by party",
    "these 4,761 advance ballots equal those it had reported before, party by party. Were they counted twice?",
    "these 4,761 advance ballots equal its own election-day ballots, party by party",
    "with this report, 3236 Jevnaker has 6,120 ballots (1,359 before) but only 5,412 eligible voters",
    "the ballots fall from 1,200 to 700 (−500) without a reason; 3236 Jevnaker had 3,000 ballots in all",
    "FRP has 812 advance votes; the other units of 32 Akershus suggest about 60",
    (
        "H and A seem to have each other's election-day votes: H 790 (about 50 expected), A 45 (about 800 expected), by"
        " the other units of 32 Akershus"
    ),
    "counted 2025-08-01T12:00:00+02:00, 38 days before the election (2025-09-08)",
    (
        "compared with the current report, two parties have exchanged their advance votes: A from 100 to 50, H from 50"
        " to 100"
    ),
    "the votes of A fall from 300 to 150 (−150); in 3236 Jevnaker it had 1,000 votes in all",
    "the current report has the status “final”, and the ballots rise from 1,000 to 1,400 (+400)",
]
BOKMÅL = [
    "disse 4 761 forhåndsstemmene er de samme som i 3203 Asker, 3203-0007 Nordre, parti for parti",
    (
        "disse 4 761 forhåndsstemmene er nesten de samme som valgtingsstemmene i 3203 Asker, 3203-0007 Nordre (til"
        " sammen 12 stemmer i forskjell)"
    ),
    "disse 4 761 forhåndsstemmene er de samme som i 3236-0002, parti for parti",
    "disse 4 761 forhåndsstemmene er de samme som tellestedet alt har meldt, parti for parti. Er de talt to ganger?",
    "disse 4 761 forhåndsstemmene er de samme som valgtingsstemmene på samme tellested, parti for parti",
    "med denne meldingen får 3236 Jevnaker 6 120 stemmesedler (1 359 før), men har bare 5 412 stemmeberettigede",
    "stemmesedlene går ned fra 1 200 til 700 (−500) uten oppgitt årsak; 3236 Jevnaker hadde 3 000 stemmesedler i alt",
    "FRP har 812 forhåndsstemmer; de andre tellestedene i 32 Akershus tilsier omtrent 60",
    (
        "H og A ser ut til å ha fått hverandres valgtingsstemmer: H 790 (omtrent 50 ventet), A 45 (omtrent 800 ventet),"
        " ut fra de andre tellestedene i 32 Akershus"
    ),
    "talt 2025-08-01T12:00:00+02:00, 38 dager før valget (2025-09-08)",
    "sammenlignet med gjeldende melding har to partier byttet forhåndsstemmer: A fra 100 til 50, H fra 50 til 100",
    "stemmene til A går ned fra 300 til 150 (−150); i 3236 Jevnaker hadde partiet 1 000 stemmer i alt",
    "gjeldende melding har statusen «endelig», og stemmesedlene går opp fra 1 000 til 1 400 (+400)",
]
NYNORSK = [
    "desse 4 761 førehandsrøystene er dei same som i 3203 Asker, 3203-0007 Nordre, parti for parti",
    (
        "desse 4 761 førehandsrøystene er nesten dei same som valtingsrøystene i 3203 Asker, 3203-0007 Nordre (til"
        " saman 12 røyster i skilnad)"
    ),
    "desse 4 761 førehandsrøystene er dei same som i 3236-0002, parti for parti",
    "desse 4 761 førehandsrøystene er dei same som teljestaden alt har meldt, parti for parti. Er dei talde to gonger?",
    "desse 4 761 førehandsrøystene er dei same som valtingsrøystene på same teljestaden, parti for parti",
    "med denne meldinga får 3236 Jevnaker 6 120 røystesetlar (1 359 før), men har berre 5 412 med røysterett",
    "røystesetlane går ned frå 1 200 til 700 (−500) utan oppgjeven årsak; 3236 Jevnaker hadde 3 000 røystesetlar i alt",
    "FRP har 812 førehandsrøyster; dei andre teljestadene i 32 Akershus tilseier omtrent 60",
    (
        "H og A ser ut til å ha fått valtingsrøystene til kvarandre: H 790 (omtrent 50 venta), A 45 (omtrent 800"
        " venta), ut frå dei andre teljestadene i 32 Akershus"
    ),
    "tald 2025-08-01T12:00:00+02:00, 38 dagar før valet (2025-09-08)",
    "samanlikna med den gjeldande meldinga har to parti bytt førehandsrøyster: A frå 100 til 50, H frå 50 til 100",
    "røystene til A går ned frå 300 til 150 (−150); i 3236 Jevnaker hadde partiet 1 000 røyster i alt",
    "den gjeldande meldinga har statusen «endeleg», og røystesetlane går opp frå 1 000 til 1 400 (+400)",
]


def shown(evidence: Evidence, *, reaches: bool) -> tuple[str, dict[str, Any]]:
    """Return the code and the evidence as the door sends them."""
    document = evidence.document(lambda _: reaches)
    return document.pop("code"), document


@needs_chromium
async def test_each_rule_is_explained_in_a_sentence_in_each_language(
    visitor: Visitor, door: StubDoor
) -> None:
    """With all of its evidence, with that of the token's own areas alone, and in the singular; others as they are."""
    page = await visitor.open(f"{door.url}/operator")
    whole = [shown(evidence, reaches=True) for evidence, *_ in CASES]
    outside = [shown(evidence, reaches=False) for evidence, *_ in CASES]
    one = {"category": "postal_count", "ballots": 1, "whole": False, "other": UNIT, "other_category": "postal_count",
           "other_ballots": 1, "difference": 1}  # fmt: skip
    odd = [
        ("duplicate_within", one),
        ("too_round", {"zeros": 4}),
        ("fell", {"before": "7"}),
        ("above_eligible", {"area": UNIT, "eligible": 1, "before": 0, "after": 2, "of_unit": True}),
    ]
    areas = {area: msgspec.to_builtins(each) for area, each in NAMES.items()}
    found = await page.evaluate(SENTENCES, [whole + outside + odd, areas])
    found = {tag: [text.replace("\xa0", " ") for text in texts] for tag, texts in found.items()}
    assert (
        found.keys()
        == {path.stem for path in TEXTS.iterdir()}
        == {path.stem for path in HOLD_TEXTS.iterdir()}
    )
    for tag, expected in {"en": ENGLISH, "nb": BOKMÅL, "nn": NYNORSK}.items():
        assert found[tag][: len(whole)] == expected
        partly = found[tag][len(whole) : 2 * len(whole)]
        for (evidence, *_), text, less in zip(CASES, expected, partly, strict=True):
            assert (less == text) == (not evidence.OTHERS)
        assert not [text for text in found[tag] if "undefined" in text or "NaN" in text]
    assert found["en"][len(whole)].endswith("equal those of an area that this token does not cover")
    assert found["en"][len(whole) + 6] == "the ballots fall from 1,200 to 700 (−500) without a reason"
    assert found["en"][-4:] == [
        (
            "this 1 postal-count ballot nearly equals the one it had reported before (1 vote of difference in all)."
            " Were they counted twice?"
        ),
        "too round (zeros 4)",
        'fell (before "7")',
        "with this report, the unit has 2 ballots but only 1 eligible voter",
    ]
    assert found["nb"][-4].startswith("denne ene stemmen (postal count) er nesten den samme som")
    assert found["nn"][-4].startswith("denne eine røysta (postal count) er nesten den same som")


@needs_chromium
async def test_everything_that_the_door_may_name_has_a_text_in_each_language(
    visitor: Visitor, door: StubDoor
) -> None:
    """Rules, reasons, states, conflicts; and the same texts in every language, with as many figures."""
    page = await visitor.open(f"{door.url}/operator")
    found = await page.evaluate(
        """async (tags) => {
            const base = document.querySelector("script").src;
            const { figures } = await import(base.replace("operator.js", "texts.js"));
            const { MEMBERS } = await import(base.replace("operator.js", "hold_sentences.js"));
            const inner = (texts) => Object.entries(texts).map(([key, text]) => [key, shape(text)]);
            const shape = (text) => typeof text === "object" ? inner(text) : typeof text + text.length * !text.at;
            const load = async (tag) => {
                const { texts } = await import(base.replace("operator.js", `hold_texts/${tag}.js`));
                const said = texts(figures([tag]));
                const names = ["rules", "sentences", "asks", "does", "reasons", "conflicts", "states"];
                const keys = Object.fromEntries(names.map((name) => [name, Object.keys(said[name])]));
                const plurals = [1, 2].flatMap((n) => [
                    said.title(n), said.releaseTitle(n), said.chosen(n), said.rulesMost(n), said.withoutVotes(n),
                    said.publishes(n, "X"), said.neverPublishes(n, "X") + said.remains(n),
                ]);
                return [tag, { shape: inner(said).filter(([key]) => key !== "sentences"), keys, plurals }];
            };
            return [MEMBERS, Object.fromEntries(await Promise.all(tags.map(load)))];
        }""",
        sorted(path.stem for path in HOLD_TEXTS.iterdir()),
    )
    members, languages = found
    for each in languages.values():
        assert each["shape"] == languages["nb"]["shape"]
        assert [*each["keys"]["rules"]] == [*RULES, "not_judged"]
        assert [*each["keys"]["sentences"]] == [*each["keys"]["asks"]] == [*RULES]
        assert {*each["keys"]["reasons"]} == {reason for reasons in REASONS.values() for reason in reasons}
        assert {*each["keys"]["conflicts"]} == {*CONFLICTS}
        assert {*each["keys"]["states"]} == {*STATES}
        assert {*each["keys"]["does"]} == {"off", "warn", "hold"}
    for kind in get_args(AnyEvidence):
        expected = members[kind.__struct_config__.tag]
        assert {*expected["own"], *expected.get("others", [])} == {*kind.__struct_fields__}
        assert {*expected.get("others", [])} == kind.OTHERS
    assert languages["nn"]["plurals"] == [
        "1 melding er halden tilbake",
        "Frigi 1 melding?",
        "1 vald",
        "Når 1 melding er halden tilbake, varslar reglane berre.",
        "1 parti har ingen røyster.",
        "offentleggjer 1 røystesetel frå X med ein gong",
        "1 røystesetel frå X blir aldri offentlege; 1 røystesetel blir ståande",
        "2 meldingar er haldne tilbake",
        "Frigi 2 meldingar?",
        "2 valde",
        "Når 2 meldingar er haldne tilbake, varslar reglane berre.",
        "2 parti har ingen røyster.",
        "offentleggjer 2 røystesetlar frå X med ein gong",
        "2 røystesetlar frå X blir aldri offentlege; 2 røystesetlar blir ståande",
    ]


# One report and its figures.


@needs_chromium
async def test_a_held_report_is_shown_beside_the_current_one(visitor: Visitor, door: StubDoor) -> None:
    """Oldest first; figures by category, differences with a sign; nothing in a name is markup; and axe is content."""
    door.of(NORTH)["sender"]["note"], door.of(NORTH)["now"] = HOSTILE, []
    page = await signed_in(visitor, door)
    assert await page.locator("#holds .expander").all_text_contents() == [
        "3236 Jevnaker, 3236-0001 Sentrum",
        "3451 Nord-Aurdal, 3451-0002 Leira",
        "3451 Nord-Aurdal, 3451-0001 Fagernes",
    ]
    await expect(page.locator("#holds-announcement")).to_contain_text(
        "3 reports are held. The oldest has waited"
    )
    jevnaker = card(page, JEVNAKER)
    assert await jevnaker.locator(".evidence li").all_text_contents() == [
        (
            "3236 Jevnaker, 3236-0001 Sentrum: these 4,761 advance ballots equal those of 3203 Asker, 3203-0007 Nordre,"
            " party by party."
        ),
        (
            "Warning only: With this report, 3236 Jevnaker has 6,120 ballots (1,359 before) but only 5,412 eligible"
            " voters."
        ),
    ]
    await expect(jevnaker.locator(".hold-change")).to_have_text("1,359 → 6,120 ballots")
    await expect(jevnaker.locator(".hold-age")).to_contain_text("for 12 min")
    await jevnaker.locator(".expander").press("Enter")
    await expect(jevnaker.locator(".expander")).to_have_attribute("aria-expanded", "true")
    await expect(jevnaker.locator(".asks li")).to_have_text(
        ["Ask: Are these your own ballots? Which file do they come from, and which code was used?"]
    )
    tables = jevnaker.locator("table")
    assert await tables.locator("caption").all_text_contents() == ["Report", "Advance", "Election day"]
    advance = await tables.nth(1).locator("tbody tr").all_inner_texts()
    assert [line.split() for line in advance[:4]] == [
        ["Ballots", "–", "4,761", "+4,761"],
        ["Blank", "–", "9", "+9"],
        ["Rejected", "–", "2", "+2"],
        ["A", "–", "1,333", "+1,333"],
    ]
    assert await tables.nth(1).locator("tr.differs").count() == len(advance)
    assert await tables.nth(2).locator("tr.differs").count() == 0
    await expect(jevnaker).to_contain_text("2 parties have no votes.")
    await expect(jevnaker).to_contain_text("still be held: same figures as in another municipality.")
    north = card(page, NORTH)
    await north.locator(".expander").click()
    await expect(north).to_contain_text("If it arrived now, no rule would hold it.")
    await expect(north).to_contain_text(f"Sent with token 12 ({HOSTILE})")
    assert await page.locator("#main img").count() == 0
    await page.locator("#policy summary").click()
    await expect(page.locator("#policy-origin")).to_contain_text("token 7 (Anna). Once 50 reports are held")
    assert await page.locator("#policy-commands code").all_text_contents() == [
        f"valgnatt rules show --election {ELECTION} --json",
        f"valgnatt rules set rules.json --election {ELECTION}",
    ]
    await expect(page.locator("#policy-table tbody tr")).to_have_count(len(RULES))
    await page.evaluate(AXE_SCRIPT)
    assert await page.evaluate("document.documentElement.scrollWidth") == 1280
    await page.set_viewport_size({"width": 390, "height": 900})
    await page.emulate_media(color_scheme="dark")
    assert await violations(page, {}) == []
    assert await page.evaluate("document.documentElement.scrollWidth") == 390
    kept = await page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert SECRET not in kept + page.url


# Decisions.


async def asked(page: Page, unit: str, decide: str) -> Locator:
    """Open the dialog about one report, and return it."""
    await card(page, unit).locator(".expander").click()
    await card(page, unit).locator(".deciding button").nth(("Release", "Reject").index(decide)).click()
    dialog = page.locator("#decision")
    await expect(dialog).to_be_visible()
    await expect(page.locator("#decision-title")).to_be_focused()
    return dialog


@needs_chromium
async def test_a_report_is_rejected_once_after_the_dialog_has_said_what_happens(
    visitor: Visitor, door: StubDoor
) -> None:
    """A reason is required; clicks while it is sent do nothing; the same bytes are sent until there is an answer."""
    page = await signed_in(visitor, door)
    dialog = await asked(page, JEVNAKER, "Reject")
    await expect(page.locator("#decision-effects")).to_have_text(
        "6,120 ballots of 3236 Jevnaker, 3236-0001 Sentrum are never published; 1,359 ballots remain"
        "Held: same figures as in another municipality."
    )
    await expect(page.locator("#decision-means")).to_contain_text("The sender has to send a new revision.")
    await page.locator("#decision-send").click()
    await expect(page.locator("#decision-problem")).to_have_text("Choose a reason.")
    assert door.decisions == []
    await dialog.get_by_label("The same count was reported twice, here or elsewhere").check()
    await dialog.get_by_label("Note (never public)").fill("Called 22:45,\nKari Hansen")
    await page.evaluate(AXE_SCRIPT)
    assert await violations(page, {}) == []
    door.is_held_up.clear()
    await page.locator("#decision-send").click()
    await expect(page.locator("#decision-send")).to_have_text("Sending …")
    await page.locator("#decision-send").dblclick(force=True)
    await expect(page.locator("#decision-cancel")).to_have_text("Stop trying")
    door.is_broken = True
    door.is_held_up.set()
    await expect(page.locator("#decision-problem")).to_contain_text("nothing is decided twice")
    door.is_broken = False
    await expect(page.locator("#holds-decided")).to_have_text("3236 Jevnaker, 3236-0001 Sentrum: rejected.")
    await expect(dialog).to_be_hidden()
    await expect(page.locator("#holds-title")).to_be_focused()
    await expect(page.locator("#holds-title")).to_have_text("2 reports are held")
    first, *others = door.decisions
    assert first == {
        "decide": "reject",
        "holds": [{"unit": JEVNAKER, "revision": 3, "digest": door.holds[0]["digest"]}],
        "reason": "duplicate",
        "note": "Called 22:45, Kari Hansen",
    }
    assert others
    assert all(each == first for each in others)
    await page.locator("#holds-ended summary").click()
    await expect(page.locator("#holds-ended-list")).to_contain_text("token 7 (Anna) · The same count")
    await expect(page.locator("#holds-ended-list q")).to_have_text("Called 22:45, Kari Hansen")
    visitor.errors.clear()  # the browser reports the status 503


@needs_chromium
async def test_both_halves_of_a_move_are_released_together(visitor: Visitor, door: StubDoor) -> None:
    """The page suggests the other half, in the list and in the dialog; what falls comes first."""
    page = await signed_in(visitor, door)
    south = card(page, SOUTH)
    await expect(south.locator(".hold-together")).to_contain_text(
        "together with 3451-0001 Fagernes, held too"
    )
    await expect(card(page, JEVNAKER).locator(".hold-together")).to_be_hidden()
    dialog = await asked(page, SOUTH, "Release")
    await expect(page.locator("#decision-title")).to_have_text("Release 1 report?")
    await dialog.get_by_label("Include 3451 Nord-Aurdal, 3451-0001 Fagernes as well").check()
    await expect(page.locator("#decision-title")).to_have_text("Release 2 reports?")
    effects = [
        (
            "publishes 400 ballots of 3451 Nord-Aurdal, 3451-0001 Fagernes at once, instead of 1,000"
            "Held: fewer ballots than before."
        ),
        (
            "publishes 600 ballots of 3451 Nord-Aurdal, 3451-0002 Leira at once"
            "Held: same figures twice in the municipality."
        ),
    ]
    assert await page.locator("#decision-effects li").all_text_contents() == effects
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await south.get_by_role("button", name="Select them together").click()
    await expect(page.locator("#holds-chosen")).to_have_text("2 selected")
    await expect(page.locator("#holds-release")).to_be_focused()
    await page.keyboard.press("Enter")
    assert await page.locator("#decision-effects li").all_text_contents() == effects
    await dialog.get_by_label("Ballots were moved between units").check()
    await page.keyboard.press("Enter")
    await expect(page.locator("#holds-decided li")).to_have_text(
        [
            "3451 Nord-Aurdal, 3451-0001 Fagernes: released, number 7124 in the record.",
            "3451 Nord-Aurdal, 3451-0002 Leira: released, number 7125 in the record.",
        ]
    )
    (decision,) = door.decisions
    assert [each["unit"] for each in decision["holds"]] == [NORTH, SOUTH]
    assert (decision["decide"], decision["reason"], decision["note"]) == ("release", "moved", "")


async def decide_without_answer(page: Page) -> Locator:
    """Send a decision about the report whose figures are shown, and return the dialog that waits for the answer."""
    await card(page, JEVNAKER).locator(".deciding button").first.click()
    dialog = page.locator("#decision")
    await dialog.get_by_label("The rule is too strict here").check()
    await page.locator("#decision-send").click()
    await expect(page.locator("#decision-send")).to_have_text("Sending …")
    return dialog


@needs_chromium
async def test_what_changes_meanwhile_is_said_and_nothing_is_decided(
    visitor: Visitor, door: StubDoor
) -> None:
    """A new revision, a new hold, a conflict, and a door that does not answer; the focus stays where it is."""
    door.hidden_until = "2025-09-08T23:00:00+02:00"
    await (await visitor.own_profile()).clock.install()
    page = await signed_in(visitor, door)
    await expect(page.locator("#holds-notes")).to_contain_text("Under embargo until")
    dialog = await asked(page, JEVNAKER, "Release")
    await expect(page.locator("#decision-effects")).to_contain_text(
        "become public when the embargo ends (8 Sept"
    )
    door.conflicts = [{"unit": JEVNAKER, "revision": 3, "code": "decided_otherwise", "state": "rejected"}]
    await dialog.get_by_label("The sender has confirmed the figures").check()
    await page.locator("#decision-send").click()
    problem = page.locator("#decision-problem")
    await expect(problem).to_have_text(
        "Nothing was decided. 3236 Jevnaker, 3236-0001 Sentrum: decided already (rejected)."
    )
    await expect(problem).to_be_focused()
    await expect(page.locator("#decision-send")).to_be_hidden()
    await page.get_by_role("button", name="Close", exact=True).click()
    visitor.errors.clear()  # the browser reports the status 409

    door.conflicts = []
    door.is_held_up.clear()
    dialog = await decide_without_answer(page)
    await page.get_by_role("button", name="Stop trying").click()
    await expect(dialog).to_be_hidden()
    await expect(page.locator("#holds-decided")).to_have_text(
        "It is not known whether the decision arrived. The list shows it."
    )
    await expect(page.locator("#holds-title")).to_be_focused()
    door.is_held_up.set()
    await page.clock.fast_forward(INTERVAL_MS)
    await expect(page.locator("#holds-title")).to_have_text("2 reports are held")

    await card(page, SOUTH).get_by_role("checkbox").check()
    await card(page, SOUTH).locator(".expander").focus()
    replaced = a_hold(a_held_report(SOUTH, 2, advance=counts(700)), fired("fell"), age_s=95)
    late = a_hold(a_held_report(ASKER, 9, advance=counts(300)), fired("odd_time", days=20), age_s=1)
    door.holds = [*(each for each in door.holds if each["unit"] != SOUTH), replaced, late]
    await page.clock.fast_forward(INTERVAL_MS)
    announced = page.locator("#holds-announcement")
    await expect(announced).to_have_text(
        "Held now: 3203 Asker, 3203-0007 Nordre. 3451 Nord-Aurdal, 3451-0002 Leira has sent a new revision, which is"
        " held too. Look at it before you decide."
    )
    await expect(card(page, SOUTH).locator(".expander")).to_be_focused()
    await expect(card(page, SOUTH).get_by_role("checkbox")).not_to_be_checked()
    dialog = await asked(page, SOUTH, "Release")
    door.holds = [each for each in door.holds if each["unit"] != SOUTH]
    await page.clock.fast_forward(INTERVAL_MS)
    await expect(problem).to_contain_text("3451-0002 Leira is no longer held as you saw it.")
    await expect(page.locator("#decision-send")).to_have_attribute("aria-disabled", "true")
    await page.keyboard.press("Escape")
    await expect(card(page, SOUTH)).to_have_count(0)
    door.is_broken = True
    await card(page, NORTH).locator(".expander").focus()
    await page.clock.fast_forward(STALE_MS)
    stale = page.locator("#holds-stale")
    await expect(stale).to_contain_text("No answer about held reports since")
    await expect(announced).to_contain_text("What is shown is from then.")
    await expect(page.locator("#holds > li")).to_have_count(2)
    door.is_broken = False
    door.holds = [each for each in door.holds if each["unit"] != NORTH]
    await page.clock.fast_forward(STALE_MS)
    await expect(stale).to_be_hidden()
    await expect(card(page, ASKER).locator(".expander")).to_be_focused()
    await expect(page.locator("#holds > li")).to_have_count(1)
    await page.click("#forget")
    await expect(page.locator("#entry")).to_be_visible()
    await expect(page.locator("#holds > li")).to_have_count(0)
    visitor.errors.clear()  # the browser reports the status 503


# A real gateway.


@needs_chromium
async def test_what_is_decided_on_the_page_is_done_by_the_gateway(
    gateway: Gateway, browser: Browser, small: GeneratedElection, http: aiohttp.ClientSession
) -> None:
    """A copy is rejected and never public; a report is released; both halves of a move are published one by one."""
    rules = {
        "duplicate_elsewhere": {"do": "hold", "ballots": 100},
        "duplicate_within": {"do": "hold", "ballots": 100},
        "fell": {"do": "hold"},
        "odd_time": {"do": "hold"},
    }
    election = await gateway.load(a_registry(small, rules=rules))
    sender = await gateway.issue(election, [COUNTRY])
    operator = await gateway.issue(election, [COUNTRY], role="operator")
    moved_from, moved_to = FOREIGN_UNIT, f"{THERE}-0002"
    await pushed(http, sender, a_report(moved_from, votes=300))
    receipts = await pushed(
        http,
        sender,
        a_report(HELD_UNIT, votes=300),
        a_report(OTHER_UNIT, counted_at="2024-01-09T12:00:00+01:00"),
        a_report(moved_to, votes=300),
        a_report(moved_from, revision=2, votes=0),
    )
    assert {each["state"] for each in receipts} == {"held"}
    async with visiting(browser) as visitor:
        page = await visitor.open(f"{gateway.push_url}/operator?election={election}")
        await page.fill("#token", operator.secret)
        await expect(page.locator("#entry-button")).to_be_enabled()
        await page.keyboard.press("Enter")
        await expect(page.locator("#holds-title")).to_have_text("4 reports are held")
        await expect(card(page, HELD_UNIT).locator(".evidence li").first).to_contain_text(
            "these 301 election-day ballots equal those of 0602"
        )
        dialog = await asked(page, HELD_UNIT, "Reject")
        await dialog.get_by_label("The same count was reported twice, here or elsewhere").check()
        await page.locator("#decision-send").click()
        await expect(page.locator("#holds-decided")).to_contain_text(": rejected.")
        dialog = await asked(page, OTHER_UNIT, "Release")
        await expect(page.locator("#decision-effects")).to_contain_text("publishes 11 ballots of 0604")
        await dialog.get_by_label("The sender has confirmed the figures").check()
        await page.locator("#decision-send").click()
        await expect(page.locator("#holds-decided")).to_contain_text("released, number 2 in the record.")
        await card(page, moved_to).get_by_role("button", name="Select them together").click()
        await page.keyboard.press("Enter")
        await dialog.get_by_label("Ballots were moved between units").check()
        await page.locator("#decision-send").click()
        await expect(page.locator("#holds-decided li")).to_contain_text(
            ["released, number 3 in the record.", "released, number 4 in the record."]
        )
        await expect(page.locator("#holds-title")).to_have_text("No report is held")
        await page.locator("#policy summary").click()
        await expect(page.locator("#policy-origin")).to_contain_text(
            "As they were when the election was loaded."
        )
        assert visitor.errors == []
        assert visitor.requests_elsewhere(gateway.push_url) == []
    await feed_shown(gateway, election, 4)
    feed = f"{gateway.feed_url}/v1/elections/{election}"
    lines = (await ask(http, "GET", f"{feed}/publications?after=0")).body.splitlines()
    reports = [msgspec.json.decode(line)["report"] for line in lines]
    published = [(each["unit"], each["revision"]) for each in reports]
    assert published == [(moved_from, 1), (OTHER_UNIT, 1), (moved_from, 2), (moved_to, 1)]
