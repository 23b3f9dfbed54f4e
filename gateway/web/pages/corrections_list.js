// All corrections at and below an area, the largest first: the ballots before and after, the reason, and for how
// long the earlier figures were public. Those of one error are shown together.

import { areaLink } from "./address.js";
import { looksLike, reasonOf } from "./corrections.js";
import { correctionsBelow } from "./corrections_below.js";
import { byId, h, setText, show } from "./dom.js";
import { drawDownloads } from "./downloads.js";
import { fetchJson, Pauses, pause } from "./fetching.js";
import { currentLanguage, duration, moment, number, signedNumber, t, time } from "./format.js";
import { documents } from "./source.js";

/** @import { Area, Corrections, CorrectionGroup, PublicCorrection } from "../documents" */
/** @import { Registry } from "./registry.js" */
/** @typedef {{size: number, group: CorrectionGroup | null, members: PublicCorrection[]}} Item */

const ITEMS = 10;
const MORE_ITEMS = 100;
/** Of a group with more corrections, the others are folded away: it may have hundreds. */
const MEMBERS = 5;
/** All pages learn of a correction at the same moment; their requests are spread over this time. */
const SPREAD_MS = 8000;

export class CorrectionsList {
  #area = "";
  /** The sequence of the latest correction that the feed has shown. */
  #wanted = 0;
  /** The correction that the feed has shown, and what it looks like. */
  #explained = "";
  #isExplained = false;
  /** Whether that has changed since the list was requested. */
  #again = false;
  #count = 0;
  #items = ITEMS;
  /** The groups that the reader has unfolded, by the sequence of their largest correction.
   *
   * @type {Set<number>}
   */
  #unfolded = new Set();
  /** @type {Corrections | null} */
  #document = null;
  #following = new AbortController();
  #fetching = false;

  /**
   * @param {string} election
   * @param {Registry} registry
   * @param {string} prefix of the identifiers of the section's elements
   */
  constructor(election, registry, prefix) {
    this.election = election;
    this.registry = registry;
    this.section = byId(prefix);
    this.title = byId(`${prefix}-title`);
    this.before = byId(`${prefix}-before`);
    this.list = byId(`${prefix}-list`);
    this.more = byId(`${prefix}-more`);
    this.downloads = byId(`${prefix}-downloads`);
    this.more.addEventListener("click", () => {
      this.#items += MORE_ITEMS;
      this.#draw();
    });
  }

  /**
   * Show the corrections at and below an area.
   *
   * @param {Area} area as it is now
   */
  follow({ area, correction, corrections, last_correction }) {
    const { sequence = 0, explained = null } = correction ?? last_correction ?? {};
    const key = `${sequence} ${explained?.code} ${explained?.unit}`;
    if (area !== this.#area) {
      this.close();
      this.#area = area;
    }
    this.#count = corrections ?? Number(sequence > 0); // a unit has its last one only
    this.#wanted = sequence;
    this.#isExplained = explained !== null;
    this.#draw();
    if (key !== this.#explained) {
      this.#explained = key; // a correction may be explained later
      this.#again = true;
    }
    if (sequence > (this.#document?.sequence ?? 0) || (sequence && this.#again)) this.#fetch();
  }

  /** Show none, until an area is followed. */
  close() {
    this.#following.abort();
    this.#following = new AbortController();
    this.#area = "";
    this.#explained = "";
    this.#document = null;
    this.#items = ITEMS;
    this.#unfolded.clear();
    this.#count = 0;
    this.#fetching = false;
    this.#draw();
  }

  async #fetch() {
    if (this.#fetching) return;
    this.#fetching = true;
    const { signal } = this.#following;
    const pauses = new Pauses();
    const area = this.#area;
    if (this.#document) await pause(SPREAD_MS * Math.random(), 0, signal);
    while (!signal.aborted) {
      try {
        this.#again = false;
        /** @type {Corrections} */
        const whole = await fetchJson(documents().corrections(this.election, area));
        const document = correctionsBelow(whole, area, this.#count, (id) => this.registry.ancestors(id));
        if (signal.aborted) return;
        this.#document = document;
        this.#draw();
        if (!this.#again && this.#isCurrent(document)) break;
        await pause(documents().behind_ms * (1 + Math.random()), 0, signal); // another process answered
      } catch (error) {
        await pauses.wait(error, signal);
      }
    }
    if (!signal.aborted) this.#fetching = false;
  }

  /**
   * Whether a list has what the feed has shown; a list is never behind for long.
   *
   * @param {Corrections} document
   */
  #isCurrent({ sequence, corrections }) {
    const last = corrections.find((each) => each.sequence === this.#wanted);
    return sequence >= this.#wanted && !(this.#isExplained && last?.explained === null);
  }

  #draw() {
    show(this.section, this.#count > 0);
    const document = this.#document;
    setText(this.title, t("correctionsTitle")(document?.total ?? this.#count));
    const before = document?.before_release ?? 0;
    show(this.before, before > 0);
    setText(this.before, before ? t("correctionsBefore")(before) : "");
    const key = `${currentLanguage()} ${this.#area} ${document?.sequence ?? ""} ${this.#items}`;
    if (this.list.dataset.key === key) return; // the focus may be on a link in the list
    this.list.dataset.key = key;
    const items = document ? itemsOf(document) : [];
    this.list.replaceChildren(...items.slice(0, this.#items).map((item) => this.#item(item)));
    show(this.more, items.length > this.#items);
    const links = documents().correctionFiles(this.election, this.#area, this.#file());
    drawDownloads(this.downloads, document?.total ? [{ name: "", links }] : []);
  }

  #file() {
    return `${this.election}-${this.#area}-corrections`;
  }

  /** @param {Item} item */
  #item({ group, members }) {
    const [first] = members;
    if (!group || !first) return h("li", null, ...(first ? this.#correction(first) : []));
    const [from, to] = [moment(group.first_at), time(group.last_at)];
    return h(
      "li",
      { class: "group" },
      h("strong", null, t("correctionGroup")(group.municipalities, signedNumber(group.ballots))),
      ` (${from.endsWith(to) ? from : `${from}–${to}`})`,
      this.#members(members.slice(0, MEMBERS)),
      members.length > MEMBERS ? this.#folded(first.sequence, members) : null,
    );
  }

  /** @param {PublicCorrection[]} members */
  #members(members) {
    return h("ul", null, ...members.map((each) => h("li", null, ...this.#correction(each))));
  }

  /**
   * Return all but the first corrections of a group, to unfold. They are made when they are first shown.
   *
   * @param {number} key
   * @param {PublicCorrection[]} members
   */
  #folded(key, members) {
    const open = this.#unfolded.has(key);
    const rest = () => this.#members(members.slice(MEMBERS));
    const details = h(
      "details",
      { open },
      h("summary", null, t("correctionsRest")(members.length - MEMBERS)),
    );
    if (open) details.append(rest());
    details.addEventListener("toggle", () => {
      if (details.open) this.#unfolded.add(key);
      else this.#unfolded.delete(key);
      if (details.open && details.childElementCount === 1) details.append(rest());
    });
    return details;
  }

  /**
   * Return the name of a unit, after that of its municipality unless this is the one that readers already know.
   *
   * @param {string} unit
   * @param {string} known
   */
  #unitName(unit, known) {
    const municipality = this.registry.municipality(unit);
    const above = [unit, known].includes(municipality) ? "" : `${this.registry.name(municipality)} · `;
    return `${above}${this.registry.name(unit)} (${unit})`;
  }

  /** @param {PublicCorrection} correction */
  #correction({ municipality, unit, before, after, size, ballots, public_s, at, reason, explained }) {
    const names = [];
    if (municipality !== this.#area && municipality !== unit) {
      names.push(h("a", { href: areaLink(municipality) }, this.registry.name(municipality)), " · ");
    }
    const change =
      ballots < 0
        ? t("correctionChange")(before, after, signedNumber(ballots))
        : t("correctionMoved")(size, before, after);
    return [
      h("strong", null, ...names, this.registry.name(unit)),
      ` – ${change}: ${reasonOf(reason)}${looksLike(explained, ballots, (id) => this.#unitName(id, municipality))}; `,
      h("span", { class: "quiet" }, t("correctionPublic")(hours(public_s), moment(at))),
    ];
  }
}

/**
 * Return a duration, in hours up to two days.
 *
 * @param {number} seconds
 */
function hours(seconds) {
  const whole = Math.floor(seconds / 3600);
  if (whole < 24 || whole >= 48) return duration(seconds);
  return `${number(whole)} ${t("hours")} ${Math.floor((seconds % 3600) / 60)} min`;
}

/**
 * Return groups, and corrections that belong to none, the largest first.
 *
 * @param {Corrections} document
 * @returns {Item[]}
 */
function itemsOf({ groups, corrections }) {
  /** @type {Item[]} */
  const items = groups.map((group) => ({ size: group.size, group, members: [] }));
  /** @type {Item[]} */
  const alone = [];
  for (const each of corrections) {
    const item = each.group === null ? undefined : items[each.group - 1];
    if (item) item.members.push(each);
    else alone.push({ size: each.size, group: null, members: [each] });
  }
  return [...items, ...alone].sort((a, b) => b.size - a.size);
}
