// An area at a glance: units, turnout, votes, and the share of each party.

import { arrange, attribute, h, show, text } from "./dom.js";
import { number, share, t } from "./format.js";
import { sums } from "./parties.js";

const SHOWN = 9;

export class Summary {
  #parties;
  #area = null;
  #all = false;
  #rows = new Map();
  #pieces = new Map();

  constructor(container, parties) {
    this.#parties = parties;
    this.figures = ["units", "turnout", "votes"].map((name) => new Figure(name));
    this.stack = h("div", { class: "stack", "aria-hidden": "true" });
    this.title = h("h2");
    this.none = h("p", { class: "quiet" });
    this.list = h("ol", { class: "shares" });
    this.more = h("button", { type: "button", class: "plain more-parties" });
    this.more.addEventListener("click", () => {
      this.#all = !this.#all;
      this.draw(this.#area);
    });
    container.replaceChildren(
      h("dl", { class: "figures" }, ...this.figures.map((figure) => figure.element)),
      this.title,
      this.none,
      this.stack,
      this.list,
      this.more,
    );
    this.title.className = "unseen";
  }

  draw(area) {
    this.#area = area;
    if (!area) return;
    const total = sums(area);
    const [units, turnout, votes] = this.figures;
    units.draw(
      "unitsCounted",
      number(area.units.reported),
      t("ofUnits")(number(area.units.total), share(area.units.reported, area.units.total)),
      area.units.reported / (area.units.total || 1),
    );
    const ballots = number(total.ballots);
    const eligible = area.eligible > 0 && !("revision" in area); // ballots are counted where cast, voters where they live
    turnout.draw(
      eligible ? "turnout" : "colBallots",
      eligible ? share(total.ballots, area.eligible) : ballots,
      eligible ? t("ofEligible")(ballots, number(area.eligible)) : "",
      eligible ? total.ballots / area.eligible : null,
    );
    votes.draw(
      "votesCounted",
      number(total.votes),
      t("besides")(number(total.blank), number(total.rejected)),
      null,
    );
    text(this.title, t("sharesTitle"));
    text(this.none, t("noVotes"));
    show(this.none, total.votes === 0);
    show(this.stack, total.votes > 0);
    this.#drawShares(total);
  }

  #drawShares(total) {
    const fold = !this.#all && total.ranked.length > SHOWN + 1;
    const shown = fold ? total.ranked.slice(0, SHOWN) : total.ranked;
    const most = Math.max(...shown.map(([, votes]) => votes), 1);
    const rows = shown.map(([party, votes]) =>
      this.#row(party, this.#parties.name(party), party, votes, total.votes, most),
    );
    if (fold) {
      const rest = total.ranked.slice(SHOWN);
      const votes = rest.reduce((sum, [, each]) => sum + each, 0);
      rows.push(
        this.#row(
          "",
          t("othersName")(number(rest.length)),
          t("others"),
          votes,
          total.votes,
          Math.max(most, votes),
        ),
      );
    }
    arrange(this.list, rows);
    arrange(
      this.stack,
      total.ranked.map(([party, votes]) => this.#piece(party, votes / total.votes)),
    );
    show(this.more, total.ranked.length > SHOWN + 1);
    text(this.more, t(this.#all ? "fewerParties" : "allParties"));
    attribute(this.more, "aria-expanded", String(this.#all));
  }

  #row(key, name, code, votes, all, most) {
    let row = this.#rows.get(key);
    if (!row) {
      const parts = {
        code: h("span", { class: "code" }),
        bar: h("i", { class: "party" }),
        name: h("span", { class: "name" }),
        share: h("span", { class: "share" }),
        votes: h("span", { class: "votes" }),
      };
      const track = h("span", { class: "track" }, parts.bar, parts.name);
      row = {
        element: h("li", { "data-party-row": key || "others" }, parts.code, track, parts.share, parts.votes),
        ...parts,
      };
      this.#parties.colour(parts.bar, key);
      this.#rows.set(key, row);
    }
    text(row.code, code);
    attribute(row.code, "title", name);
    text(row.name, name);
    text(row.share, share(votes, all));
    text(row.votes, number(votes));
    attribute(row.votes, "aria-label", t("votes")(number(votes)));
    width(row.bar, `${(68 * votes) / most}%`);
    return row.element;
  }

  #piece(party, part) {
    let piece = this.#pieces.get(party);
    if (!piece) {
      piece = h("i", { class: "party" });
      this.#pieces.set(party, piece);
      this.#parties.colour(piece, party);
    }
    width(piece, `${100 * part}%`);
    return piece;
  }
}

function width(element, value) {
  if (element.dataset.width === value) return;
  element.dataset.width = value;
  element.style.setProperty("width", value);
}

/** One large number with its name above and what it is of below. */
export class Figure {
  constructor(name) {
    this.name = h("dt");
    this.value = h("dd", { class: "large", "data-figure": name });
    this.bar = h("i");
    this.meter = h("dd", { class: "meter", "aria-hidden": "true" }, this.bar);
    this.of = h("dd", { class: "quiet", "data-of": name });
    this.element = h("div", null, this.name, this.value, this.of, this.meter);
  }

  draw(name, value, of, part) {
    text(this.name, t(name));
    text(this.value, value);
    text(this.of, of);
    show(this.meter, part !== null);
    if (part !== null) width(this.bar, `${100 * Math.min(1, part)}%`);
  }
}
