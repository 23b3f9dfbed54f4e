// A chamber as its readers see it: pictures of it, who has a majority, and the same in a table.

import { barPicture, hemicyclePicture } from "./chamber_picture.js";
import { arrange, h, setText, show } from "./dom.js";
import { number } from "./format.js";
import { nameOf } from "./names.js";
import { seatTexts } from "./seat_texts.js";

/** @import { Chamber, PartySeats } from "./house.js" */
/** @import { Parties } from "./parties.js" */

/**
 * @typedef {object} ChamberOptions
 * @property {boolean} hemicycle whether to draw the half circle, besides the bar
 * @property {boolean} [table] whether to show the table; it is there for screen readers in any case
 * @property {number} [width] in pixels, of pictures that are scaled; otherwise, that of the page
 * @property {HTMLElement} [below] what is below the pictures
 */

const WIDTH_MIN = 240;

export class ChamberView {
  #drawn = "";
  #width = 0;
  /** @type {Chamber | null} */
  #chamber = null;
  /** @type {number | null} */
  #majority = null;

  /**
   * @param {Parties} parties
   * @param {ChamberOptions} options
   */
  constructor(parties, { hemicycle, table = true, width, below }) {
    this.parties = parties;
    this.hemicycle = hemicycle ? h("div", { class: "hemicycle" }) : null;
    this.bar = h("div", { class: "seat-bar" });
    this.blocs = h("ul", { class: "blocs" });
    this.table = h("table", { class: "wide seats-table" });
    const beside = h("div", table ? null : { class: "unseen" }, this.table);
    this.element = h(
      "div",
      { class: table ? "chamber" : "chamber alone" },
      h("div", { class: "chamber-pictures" }, this.hemicycle, this.bar, this.blocs, below ?? null),
      beside,
    );
    this.width = width;
    if (width === undefined) {
      new ResizeObserver(() => this.#drawPictures()).observe(this.hemicycle ?? this.bar);
    }
  }

  /**
   * @param {Chamber} chamber
   * @param {number | null} majority null: there is none to mark
   * @param {string} language for which it is drawn
   */
  draw(chamber, majority, language) {
    const key = JSON.stringify([language, chamber, majority]);
    if (key === this.#drawn) return;
    this.#drawn = key;
    this.#chamber = chamber;
    this.#majority = majority;
    this.#width = 0;
    this.#drawPictures();
    this.#drawBlocs(chamber, majority);
    this.#drawTable(chamber);
  }

  #drawPictures() {
    const chamber = this.#chamber;
    const width = this.width ?? Math.max(WIDTH_MIN, (this.hemicycle ?? this.bar).clientWidth);
    if (!chamber || width === this.#width) return;
    this.#width = width;
    const look = { parties: this.parties, texts: seatTexts(), width, majority: this.#majority };
    this.hemicycle?.replaceChildren(hemicyclePicture(chamber, look));
    const { clientWidth } = this.bar;
    this.bar.replaceChildren(
      barPicture(chamber, { ...look, width: this.width ?? Math.max(WIDTH_MIN, clientWidth) }),
    );
  }

  /**
   * Say of each bloc how many seats it has, and whether that is a majority.
   *
   * @param {Chamber} chamber
   * @param {number | null} majority
   */
  #drawBlocs({ blocs }, majority) {
    const texts = seatTexts();
    const named = blocs.filter(({ bloc }) => bloc !== null);
    show(this.blocs, named.length > 0 && majority !== null);
    const shown = blocs.filter(({ bloc, seats }) => bloc !== null || seats > 0);
    arrange(
      this.blocs,
      shown.map(({ bloc, seats }) => {
        const name = h("span", null, bloc === null ? texts.outside : nameOf(bloc));
        const over = seats - (majority ?? 0);
        const words = over >= 0 ? texts.hasMajority(over) : texts.lacksMajority(-over);
        const note = bloc === null ? null : h("span", { class: over >= 0 ? "has-majority" : "quiet" }, words);
        return h("li", null, name, h("strong", null, number(seats)), note);
      }),
    );
  }

  /** @param {Chamber} chamber */
  #drawTable({ parties, total, allocated }) {
    const texts = seatTexts();
    const levelling = parties.some((each) => each.levelling > 0);
    const head = h(
      "tr",
      null,
      h("th", { scope: "col" }, texts.colParty),
      h("th", { scope: "col" }, texts.colSeats),
    );
    if (levelling) head.append(h("th", { scope: "col", class: "levelling" }, texts.colLevelling));
    const body = parties.map((each) => this.#row(each, levelling));
    if (allocated < total) body.push(sumRow(texts.open, total - allocated, levelling));
    body.push(sumRow(texts.sum, total, levelling));
    this.table.replaceChildren(
      h("caption", { class: "unseen" }, texts.caption),
      h("thead", null, head),
      h("tbody", null, ...body),
    );
  }

  /**
   * @param {PartySeats} each
   * @param {boolean} levelling
   */
  #row({ party, seats, levelling: ofThem }, levelling) {
    const swatch = h("i", { class: "chip party", "aria-hidden": "true" });
    this.parties.colour(swatch, party);
    const row = h(
      "tr",
      { "data-party-seats": party },
      h(
        "th",
        { scope: "row" },
        h(
          "span",
          { class: "seats-party" },
          swatch,
          h("b", null, party),
          h("small", null, this.parties.name(party)),
        ),
      ),
      h("td", { class: "seats" }, number(seats)),
    );
    if (levelling) row.append(h("td", { class: "levelling quiet" }, ofThem ? number(ofThem) : "–"));
    return row;
  }
}

/**
 * @param {string} name
 * @param {number} seats
 * @param {boolean} levelling
 */
function sumRow(name, seats, levelling) {
  const row = h(
    "tr",
    { class: "sum" },
    h("th", { scope: "row" }, name),
    h("td", { class: "seats" }, number(seats)),
  );
  if (levelling) row.append(h("td", { class: "levelling" }));
  return row;
}

/** The heading of a section with seats, which says that they are a projection. */
export class SeatsHead {
  /** @param {HTMLElement} section */
  constructor(section) {
    this.title = h("h2", { id: `${section.id}-title` });
    section.setAttribute("aria-labelledby", this.title.id);
    this.badge = h("span", { class: "projection" });
    this.why = h("p", { class: "quiet" });
    this.element = h("div", null, h("div", { class: "seats-head" }, this.title, this.badge), this.why);
  }

  draw() {
    const texts = seatTexts();
    setText(this.title, texts.title);
    setText(this.badge, texts.projection);
    setText(this.why, texts.why);
  }
}
