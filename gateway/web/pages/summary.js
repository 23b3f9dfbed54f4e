// An area at a glance: units, turnout, votes, and the share of each party.

import { comparedWith, shareChange, turnoutInWords } from "./change.js";
import { arrange, h, setAttribute, setText, show } from "./dom.js";
import { number, share, t } from "./format.js";
import { hiddenUntil, isHidden } from "./hidden.js";
import { sums } from "./parties.js";

/** @import { Area } from "../documents" */
/** @import { Parties, PartyVotes, Sums } from "./parties.js" */
/** @import { PlainTextKey } from "./table.js" */

const PARTIES_MAX = 9; // others are shown as one row until the reader asks for all
const BAR_MAX_PERCENT = 68;

export class Summary {
  #parties;
  /** @type {Area | undefined} */
  #area;
  #showAll = false;
  /** @type {Map<string, ShareRow>} */
  #rows = new Map();
  /** @type {Map<string, HTMLElement>} */
  #pieces = new Map();

  /**
   * @param {HTMLElement} container
   * @param {Parties} parties
   */
  constructor(container, parties) {
    this.#parties = parties;
    this.units = new Figure("units");
    this.turnout = new Figure("turnout");
    this.votes = new Figure("votes");
    this.stack = h("div", { class: "stack", "aria-hidden": "true" });
    this.title = h("h2", { class: "unseen" });
    this.none = h("p", { class: "quiet" });
    this.compared = h("p", { class: "quiet compared", hidden: true });
    this.checked = h("p", { class: "checked", hidden: true });
    this.list = h("ol", { class: "shares" });
    this.more = h("button", { type: "button", class: "plain more-parties" });
    this.more.addEventListener("click", () => {
      this.#showAll = !this.#showAll;
      this.draw(this.#area);
    });
    const figures = [this.units, this.turnout, this.votes].map(({ element }) => element);
    container.replaceChildren(
      h("dl", { class: "figures" }, ...figures),
      this.checked,
      this.title,
      this.none,
      this.stack,
      this.list,
      this.more,
      this.compared,
    );
  }

  /** @param {Area | undefined} area undefined: draw nothing yet */
  draw(area) {
    this.#area = area;
    if (!area) return;
    const total = sums(area);
    this.#drawFigures(area, total);
    setText(this.title, t("sharesTitle"));
    setText(this.none, t("noVotes"));
    show(this.none, total.votes === 0 && !isHidden());
    show(this.stack, total.votes > 0);
    this.#drawShares(area, total);
    const compared = comparedWith(area, "revision" in area);
    show(this.compared, compared !== "");
    setText(this.compared, compared);
  }

  /** @param {number} held how many units are being checked */
  drawHeld(held) {
    show(this.checked, held > 0 && !isHidden());
    setText(this.checked, t("unitsChecked")(held));
  }

  /**
   * @param {Area} area
   * @param {Sums} total
   */
  #drawFigures(area, total) {
    if (isHidden()) {
      this.units.drawHidden("unitsCounted");
      this.turnout.drawHidden("turnout");
      this.votes.drawHidden("votesCounted");
      return;
    }
    const { reported, total: units } = area.units;
    this.units.draw(
      "unitsCounted",
      number(reported),
      t("ofUnits")(units, share(reported, units)),
      reported / (units || 1),
    );
    const isUnit = "revision" in area; // ballots are counted where they were cast, but voters where they live
    if (area.eligible && !isUnit) {
      const turnout = total.ballots / area.eligible;
      const of = t("ofEligible")(total.ballots, area.eligible);
      this.turnout.draw("turnout", share(total.ballots, area.eligible), of, turnout);
      this.turnout.drawChange(turnoutInWords(area));
    } else {
      this.turnout.drawChange("");
      this.turnout.draw("colBallots", number(total.ballots), "", null);
    }
    this.votes.draw("votesCounted", number(total.votes), t("besides")(total.blank, total.rejected), null);
  }

  /**
   * @param {Area} area
   * @param {Sums} total
   */
  #drawShares(area, { ranked, votes: all }) {
    this.list.classList.toggle("with-change", !!area.change);
    const foldable = ranked.length > PARTIES_MAX + 1;
    const shown = foldable && !this.#showAll ? ranked.slice(0, PARTIES_MAX) : ranked;
    const rest = ranked.slice(shown.length).reduce((sum, [, votes]) => sum + votes, 0);
    const largest = Math.max(1, rest, ...shown.map(([, votes]) => votes));
    const rows = shown.map(([party, votes]) => {
      const row = this.#row(party);
      row.draw(party, this.#parties.name(party), votes, all, largest);
      row.drawChange(shareChange(area, party));
      return row.element;
    });
    if (rest) {
      const row = this.#row("");
      row.draw(t("others"), t("parties")(ranked.length - shown.length), rest, all, largest);
      rows.push(row.element);
    }
    arrange(this.list, rows);
    arrange(
      this.stack,
      ranked.map((partyVotes) => this.#piece(partyVotes, all)),
    );
    show(this.more, foldable);
    setText(this.more, t(this.#showAll ? "fewerParties" : "allParties"));
    setAttribute(this.more, "aria-expanded", String(this.#showAll));
  }

  /** @param {string} party "": all others */
  #row(party) {
    let row = this.#rows.get(party);
    if (!row) {
      row = new ShareRow(party);
      this.#parties.colour(row.bar, party);
      this.#rows.set(party, row);
    }
    return row;
  }

  /**
   * @param {PartyVotes} partyVotes
   * @param {number} all
   */
  #piece([party, votes], all) {
    let piece = this.#pieces.get(party);
    if (!piece) {
      piece = h("i", { class: "party" });
      this.#pieces.set(party, piece);
      this.#parties.colour(piece, party);
    }
    setWidth(piece, (100 * votes) / all);
    return piece;
  }
}

/** The share of one party, or of all others. */
class ShareRow {
  /** @param {string} party "": all others */
  constructor(party) {
    this.code = h("span", { class: "code" });
    this.bar = h("i", { class: "party" });
    this.name = h("span", { class: "name" });
    this.share = h("span", { class: "share" });
    this.change = h("span", { class: "change", hidden: true });
    this.votes = h("span", { class: "votes" });
    this.element = h(
      "li",
      { "data-party-row": party || "others" },
      this.code,
      h("span", { class: "track" }, this.bar, this.name),
      this.share,
      this.change,
      this.votes,
    );
  }

  /** @param {string} change of the share since the previous election; "": none is known */
  drawChange(change) {
    show(this.change, change !== "");
    setText(this.change, change);
  }

  /**
   * @param {string} code
   * @param {string} name
   * @param {number} votes
   * @param {number} all votes of all parties
   * @param {number} largest the votes of the longest bar
   */
  draw(code, name, votes, all, largest) {
    setText(this.code, code);
    setAttribute(this.code, "title", name);
    setText(this.name, name);
    setText(this.share, share(votes, all));
    setText(this.votes, number(votes));
    setAttribute(this.votes, "aria-label", t("votes")(votes));
    setWidth(this.bar, (BAR_MAX_PERCENT * votes) / largest);
  }
}

/**
 * @param {HTMLElement} element
 * @param {number} percent
 */
function setWidth(element, percent) {
  const width = `${percent}%`;
  if (element.dataset.width === width) return;
  element.dataset.width = width;
  element.style.setProperty("width", width);
}

/** One large number, with its name above and what it is a part of below. */
export class Figure {
  /** @param {string} id for tests and style sheets */
  constructor(id) {
    this.name = h("dt");
    this.value = h("dd", { class: "large", "data-figure": id });
    this.bar = h("i");
    this.meter = h("dd", { class: "meter", "aria-hidden": "true" }, this.bar);
    this.of = h("dd", { class: "quiet", "data-of": id });
    this.change = h("dd", { class: "change", hidden: true, "data-change": id });
    this.element = h("div", null, this.name, this.value, this.change, this.of, this.meter);
  }

  /** @param {string} change since the previous election, in words; "": none is known */
  drawChange(change) {
    show(this.change, change !== "");
    setText(this.change, change);
  }

  /**
   * @param {PlainTextKey} name
   * @param {string} value
   * @param {string} of
   * @param {number | null} part of 1, for a bar below; null: no bar
   */
  draw(name, value, of, part) {
    setText(this.name, t(name));
    setText(this.value, value);
    setText(this.of, of);
    show(this.meter, part !== null);
    if (part !== null) setWidth(this.bar, 100 * Math.min(1, part));
  }

  /**
   * Show until when the figure is hidden.
   *
   * @param {PlainTextKey} name
   */
  drawHidden(name) {
    this.drawChange("");
    this.draw(name, "–", hiddenUntil(), null);
  }
}
