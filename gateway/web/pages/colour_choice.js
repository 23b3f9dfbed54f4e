// The choice of what the colours of tiles show, in the page and in its address: the leading party, the share of units
// reporting, or, in elections with a previous one, the change of a party (`?by=change&party=CODE`).

import { parameter, setParameter } from "./address.js";
import { hasPrevious, previousTime } from "./change.js";
import { byId, h, setText, show } from "./dom.js";
import { t } from "./format.js";
import { Swing } from "./swing.js";
import { byCounted, byLeader } from "./tile_colours.js";

/** @import { Party } from "../documents" */
/** @import { Parties } from "./parties.js" */
/** @import { Registry } from "./registry.js" */
/** @import { Colouring } from "./tile_colours.js" */

const CHOICES = /** @type {const} */ (["leader", "counted", "change"]);

/**
 * Return what the address names.
 *
 * @param {Party[]} all
 * @param {Parties} parties
 * @param {Registry} registry
 * @returns {{by: typeof CHOICES[number], colouring: Colouring, party: string}} `party` is chosen or offered
 */
export function chosenColouring(all, parties, registry) {
  const by = parameter("by");
  const named = all.find(({ code }) => code === parameter("party")) ?? all[0];
  const party = named?.code ?? "";
  if (by === "counted") return { by, colouring: byCounted(parties), party };
  if (by === "change" && hasPrevious() && party) {
    return { by, colouring: new Swing(party, parties, registry), party };
  }
  return { by: "leader", colouring: byLeader(parties), party };
}

export class ColourChoice {
  #shown = "";
  #select = byId("by-party", HTMLSelectElement);

  /**
   * @param {Party[]} all
   * @param {Parties} parties
   * @param {Registry} registry
   * @param {(colouring: Colouring) => void} onChoice
   */
  constructor(all, parties, registry, onChoice) {
    this.all = all;
    this.parties = parties;
    this.registry = registry;
    this.onChoice = onChoice;
    show(byId("by-change-choice"), hasPrevious() && all.length > 0);
    for (const by of CHOICES) byId(`by-${by}`).addEventListener("change", () => this.#choose(by));
    this.#select.addEventListener("change", () => this.#choose("change"));
  }

  /** @param {typeof CHOICES[number]} by */
  #choose(by) {
    setParameter("by", by === "leader" ? "" : by);
    setParameter("party", by === "change" ? this.#select.value : "");
    this.readAddress();
  }

  /** Colour as the address says. */
  readAddress() {
    const { by, colouring, party } = chosenColouring(this.all, this.parties, this.registry);
    byId(`by-${by}`, HTMLInputElement).checked = true;
    show(byId("by-party-choice"), by === "change");
    const key = `${by} ${by === "change" ? party : ""}`;
    if (!this.#select.options.length) this.redraw();
    if (by === "change") this.#select.value = party;
    if (key === this.#shown) return;
    this.#shown = key;
    this.onChoice(colouring);
  }

  /** Draw the choice in the language of the page. */
  redraw() {
    const chosen = this.#select.value;
    setText(byId("by-change-text"), t("byChange")(previousTime()));
    this.#select.replaceChildren(
      ...this.all.map(({ code }) => h("option", { value: code }, this.parties.name(code))),
    );
    if (chosen) this.#select.value = chosen;
  }
}
