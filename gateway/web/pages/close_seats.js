// A list of seats that few votes would move: to a party that is next, or from the one that has it.

import { areaLink } from "./address.js";
import { arrange, h, setAttribute, setText, show } from "./dom.js";
import { seatTexts } from "./seat_texts.js";

/** @import { Close } from "./house.js" */
/** @import { Parties } from "./parties.js" */
/** @import { Registry } from "./registry.js" */

const SHOWN = 8;

export class CloseSeats {
  #all = false;
  /** @type {Map<string, CloseSeat>} */
  #items = new Map();
  /** @type {Close[]} */
  #seats = [];

  /**
   * @param {"toWin" | "toLose"} kind
   * @param {Parties} parties
   * @param {Registry} registry
   */
  constructor(kind, parties, registry) {
    this.kind = kind;
    this.parties = parties;
    this.registry = registry;
    this.title = h("h3");
    this.list = h("ol", { class: "close-seats", "data-close": kind });
    this.more = h("button", { type: "button", class: "plain" });
    this.more.addEventListener("click", () => {
      this.#all = !this.#all;
      this.draw(this.#seats);
    });
    this.element = h("div", null, this.title, this.list, h("p", null, this.more));
  }

  /** @param {Close[]} seats the closest first */
  draw(seats) {
    const texts = seatTexts();
    this.#seats = seats;
    const shown = this.#all ? seats : seats.slice(0, SHOWN);
    setText(this.title, texts[this.kind]);
    arrange(
      this.list,
      shown.map((seat) => this.#draw(seat)),
    );
    show(this.element, seats.length > 0);
    show(this.more, seats.length > SHOWN);
    setText(this.more, this.#all ? texts.fewer : texts.all(seats.length));
    setAttribute(this.more, "aria-expanded", String(this.#all));
  }

  /** @param {Close} seat */
  #draw(seat) {
    let item = this.#items.get(seat.district);
    if (!item) {
      item = new CloseSeat();
      this.#items.set(seat.district, item);
    }
    const texts = seatTexts();
    const toWin = this.kind === "toWin";
    const other =
      seat.other === null || seat.other === seat.party ? "" : texts[toWin ? "from" : "to"](seat.other);
    this.parties.colour(item.chip, seat.party);
    setText(item.party, seat.party);
    setAttribute(item.party, "title", this.parties.name(seat.party));
    setText(item.district, this.registry.name(seat.district));
    setAttribute(item.district, "href", areaLink(seat.district));
    setText(item.votes, texts.votes(seat.votes));
    setText(item.other, other);
    return item.element;
  }
}

/** One seat in the list. */
class CloseSeat {
  constructor() {
    this.chip = h("i", { class: "chip party", "aria-hidden": "true" });
    this.party = h("b");
    this.district = h("a");
    this.votes = h("span", { class: "close-votes" });
    this.other = h("span", { class: "quiet close-other" });
    this.element = h(
      "li",
      null,
      h("span", { class: "close-party" }, this.chip, this.party),
      this.district,
      this.votes,
      this.other,
    );
  }
}
