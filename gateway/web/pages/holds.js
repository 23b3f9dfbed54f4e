// The held reports of an election: a list of the open ones, the oldest first, read again and again, and those that
// ended. Decisions about them are made in a dialog (decisions.js).

import { Session } from "./count_session.js";
import { DecisionDialog } from "./decisions.js";
import { arrange, byId, h, setText, show } from "./dom.js";
import { age, clockTime, number, time } from "./format.js";
import { drawEnded } from "./hold_ended.js";
import { inOrder, otherHalves } from "./hold_figures.js";
import { PolicyView } from "./hold_policy.js";
import { holdTexts, onHoldTexts } from "./hold_texts.js";
import { HoldCard } from "./hold_view.js";
import { forgetHoldAreas, place, useHoldAreas } from "./hold_words.js";
import { poll } from "./token_polling.js";

/** @import { Decide, Hold, HoldList } from "../push_documents" */

const INTERVAL_MS = 5000;
/** After this long without an answer, the list says from when it is. */
const STALE_MS = 15_000;
const NAMED_MAX = 3;

export class Holds {
  #session = new Session();
  #reading = new AbortController();
  /** @type {HoldList | null} */
  #list = null;
  #receivedAt = 0;
  #ahead_ms = 0;
  #failing = false;
  /** By unit, as a unit has one open hold at most. @type {Map<string, HoldCard>} */
  #cards = new Map();
  #policy = new PolicyView(this.#session);
  #dialog = new DecisionDialog(this.#session, {
    read: () => this.#read(),
    decided: (lines) => this.#showDecided(lines),
  });

  constructor() {
    byId("holds-release").addEventListener("click", () => this.#decide("release", this.#chosen()));
    byId("holds-reject").addEventListener("click", () => this.#decide("reject", this.#chosen()));
    byId("holds-unchoose").addEventListener("click", () => {
      for (const card of this.#cards.values()) card.isChosen = false;
      this.#drawBar();
      byId("holds-title").focus();
    });
    byId("holds-ended", HTMLDetailsElement).addEventListener("toggle", () => this.#read());
    onHoldTexts(() => this.#drawAll());
  }

  /**
   * Begin to read the holds of an election.
   *
   * @param {string} token
   * @param {string} election
   */
  start(token, election) {
    this.stop();
    this.#session.start(election, token);
    this.#drawAll();
    this.#read();
    this.#policy.start();
  }

  /** Stop reading, and forget the token and everything that was read. */
  stop() {
    this.#reading.abort();
    this.#session.forget();
    this.#policy.stop();
    this.#dialog.close();
    this.#list = null;
    this.#failing = false;
    this.#cards.clear();
    byId("holds").replaceChildren();
    byId("holds-decided").replaceChildren();
    forgetHoldAreas();
  }

  /** Read now, and then again and again. */
  #read() {
    this.#reading.abort();
    if (!this.#session.active) return;
    this.#reading = new AbortController();
    const state = byId("holds-ended", HTMLDetailsElement).open ? "all" : "open";
    poll(() => this.#session.ask(`/holds?state=${state}`), {
      signal: this.#reading.signal,
      interval_ms: INTERVAL_MS,
      onDocument: (document) => this.#receive(document),
      onError: () => this.#failed(),
    });
  }

  /** @param {HoldList} list */
  #receive(list) {
    const first = this.#list === null;
    this.#receivedAt = Date.now();
    this.#ahead_ms = Date.parse(list.server_time) - this.#receivedAt;
    if (this.#failing) announce(holdTexts().answers);
    this.#failing = false;
    this.#list = list;
    useHoldAreas(list.areas);
    const news = this.#arrange(list.holds.filter(({ state }) => state === "open"));
    if (first) announce(this.#summary(list));
    else if (news.length) announce(news.join(" "));
    this.#dialog.update(this.#open());
    this.#drawRest();
  }

  #failed() {
    if (!this.#failing && this.#isStale()) {
      this.#failing = true;
      announce(this.#staleText());
    }
    this.draw();
  }

  #isStale() {
    return this.#list === null || Date.now() - this.#receivedAt > STALE_MS;
  }

  #staleText() {
    const { stale, staleNever } = holdTexts();
    return this.#list
      ? stale(time(this.#receivedAt), age((Date.now() - this.#receivedAt) / 1000))
      : staleNever;
  }

  /** The open holds that are shown. */
  #open() {
    return [...this.#cards.values()].map(({ hold }) => hold);
  }

  #chosen() {
    return [...this.#cards.values()].filter(({ isChosen }) => isChosen).map(({ hold }) => hold);
  }

  /**
   * Make the list that of these holds; return what is new in it, in words.
   *
   * @param {Hold[]} holds
   */
  #arrange(holds) {
    const before = new Map([...this.#cards].map(([unit, { hold }]) => [unit, hold]));
    const texts = holdTexts();
    const list = byId("holds");
    const { activeElement } = document;
    const focused = [...this.#cards.values()].find(({ element }) => element.contains(activeElement));
    const at = focused ? [...this.#cards.values()].indexOf(focused) : 0;
    const cards = holds.map((hold) => [hold.unit, this.#cards.get(hold.unit) ?? this.#newCard(hold)]);
    this.#cards = new Map(/** @type {[string, HoldCard][]} */ (cards));
    this.#update(holds);
    arrange(
      list,
      [...this.#cards.values()].map(({ element }) => element),
    );
    if (focused && !focused.element.isConnected) this.#focusNear(at);
    else if (focused && activeElement instanceof HTMLElement) activeElement.focus({ preventScroll: true });
    const added = holds.filter(({ unit }) => !before.has(unit)).map(({ unit }) => place(unit));
    const changed = holds.filter(
      ({ unit, digest }) => before.has(unit) && before.get(unit)?.digest !== digest,
    );
    const shown = added.slice(0, NAMED_MAX);
    if (added.length > shown.length) shown.push(`+${number(added.length - shown.length)}`);
    return [
      ...(added.length ? [texts.added(shown)] : []),
      ...changed.map(({ unit }) => texts.another(place(unit))),
    ];
  }

  /** @param {number} at the place in the list of what had the focus */
  #focusNear(at) {
    const cards = [...this.#cards.values()];
    const next = cards[Math.min(at, cards.length - 1)];
    if (next) next.focus();
    else byId("holds-title").focus();
  }

  /** @param {Hold} hold */
  #newCard(hold) {
    return new HoldCard(hold, {
      onChoose: () => this.#drawBar(),
      onTogether: (unit) => this.#choose(unit),
      onDecide: (decide, unit) =>
        this.#decide(
          decide,
          this.#open().filter((each) => each.unit === unit),
        ),
    });
  }

  /** Choose a report and its other halves. @param {string} unit */
  #choose(unit) {
    const hold = this.#cards.get(unit)?.hold;
    if (!hold) return;
    for (const each of [hold, ...otherHalves(hold, this.#open())]) {
      const card = this.#cards.get(each.unit);
      if (card) card.isChosen = true;
    }
    this.#drawBar();
    byId("holds-release").focus();
  }

  /** @param {Decide} decide @param {Hold[]} holds */
  #decide(decide, holds) {
    if (!holds.length || !this.#list) return;
    byId("holds-decided").replaceChildren();
    this.#dialog.open(decide, inOrder(decide, holds), this.#open(), this.#list.embargo.hidden_until);
  }

  /** @param {string[]} lines what was decided */
  #showDecided(lines) {
    byId("holds-decided").replaceChildren(...lines.map((line) => h("li", null, line)));
    announce(lines.join(" "));
    byId("holds-title").focus();
  }

  /** @param {HoldList} list */
  #summary(list) {
    const title = holdTexts().title(list.open);
    const oldest = this.#oldestText();
    return oldest ? `${title}. ${oldest}` : title;
  }

  /** Return for how long the oldest report has been held, as a sentence; "" if none is held. */
  #oldestText() {
    const since = this.#open()[0]?.since;
    return since ? holdTexts().oldest(age((this.#now_ms() - Date.parse(since)) / 1000)) : "";
  }

  #now_ms = () => Date.now() + this.#ahead_ms;

  #drawAll() {
    for (const element of document.querySelectorAll("[data-hold]")) {
      if (element instanceof HTMLElement) setText(element, plain(element.dataset.hold));
    }
    this.#update(this.#open());
    this.#policy.draw();
    this.#dialog.draw();
    this.#drawRest();
  }

  /** @param {Hold[]} holds */
  #update(holds) {
    for (const hold of holds) this.#cards.get(hold.unit)?.update(hold, otherHalves(hold, holds));
  }

  #drawRest() {
    if (this.#list) drawEnded(this.#list);
    this.draw();
  }

  /** Draw what changes with the time; called every second. */
  draw() {
    const list = this.#list;
    const texts = holdTexts();
    setText(byId("holds-title"), texts.title(list?.open ?? 0));
    show(byId("holds-title"), list !== null);
    const now_ms = this.#now_ms();
    for (const card of this.#cards.values()) card.tick(now_ms);
    setText(byId("holds-oldest"), this.#oldestText());
    drawNotes(list);
    const stale = (this.#failing || list !== null) && this.#isStale();
    show(byId("holds-stale"), stale);
    setText(byId("holds-stale"), stale ? this.#staleText() : "");
    this.#drawBar();
    this.#dialog.tick();
  }

  #drawBar() {
    const n = this.#chosen().length;
    show(byId("holds-bar"), n > 0);
    setText(byId("holds-chosen"), n ? holdTexts().chosen(n) : "");
  }
}

/** Say what limits or delays decisions. @param {HoldList | null} list */
function drawNotes(list) {
  const texts = holdTexts();
  const hidden_until = list?.embargo.hidden_until ?? null;
  const notes = [];
  if (list && list.open >= list.most_open) notes.push(texts.mostOpen(list.most_open));
  if (list?.open && hidden_until) notes.push(texts.embargoed(clockTime(hidden_until)));
  if (list?.open && list.closed) notes.push(texts.closed);
  const hidden = list ? list.open - list.holds.filter(({ state }) => state === "open").length : 0;
  if (hidden > 0) notes.push(texts.omitted(hidden));
  setText(byId("holds-notes"), notes.join(" "));
}

/** @param {string | undefined} key */
function plain(key) {
  const found = holdTexts()[/** @type {keyof ReturnType<typeof holdTexts>} */ (key)];
  if (typeof found !== "string") throw new Error(`no such text about holds: ${key}`);
  return found;
}

/** Announce a message about holds to screen readers. @param {string} message */
function announce(message) {
  byId("holds-announcement").textContent = message;
}
