// What the colours of tiles show: the leading party, or the share of units reporting. A third way is swing.js.

import { shareChange } from "./change.js";
import { h, setText } from "./dom.js";
import { number, share, t } from "./format.js";
import { hiddenUntil, unlessHidden } from "./hidden.js";
import { sums } from "./parties.js";

/** @import { Area } from "../documents" */
/** @import { Parties } from "./parties.js" */

/**
 * @typedef {object} Look how a tile is drawn
 * @property {string} label
 * @property {TileClass[]} classes
 * @property {string} [party] whose colours the tile has
 * @property {number} [swing] the class of the change, from -3 to 3
 */
/**
 * @typedef {object} Colouring
 * @property {() => string} title what the colours show
 * @property {(area: Area) => Look} look
 * @property {(area: Area) => string} words what the colour of a tile means, in words; "" where there is nothing to say
 * @property {(legend: HTMLElement, areas: Area[]) => void} drawLegend
 * @property {(areas: Area[]) => boolean} follow called after changes of areas; returns whether all tiles look different
 */
/** @typedef {typeof TILE_CLASSES[number]} TileClass */

export const TILE_CLASSES = /** @type {const} */ ([
  "led",
  "partly",
  "counted",
  "deep",
  "swung",
  "incomparable",
]);

const COUNTED_DARK_PART = 0.55; // from here on the background is so dark that the label has to be light

/** @param {Area} area */
const countedPart = ({ units }) => units.reported / (units.total || 1);

/**
 * Colour by the leading party.
 *
 * @param {Parties} parties
 * @returns {Colouring}
 */
export function byLeader(parties) {
  /** @param {Area} area */
  const leader = (area) => sums(area).ranked[0]?.[0];
  return {
    title: () => t("kioskTiles"),
    look(area) {
      const party = leader(area);
      if (party === undefined) return { label: "", classes: [] };
      return { label: party, classes: countedPart(area) < 1 ? ["led", "partly"] : ["led"], party };
    },
    words: (area) => leaderInWords(area, parties),
    drawLegend(legend, areas) {
      /** @type {Map<string, number>} */
      const leaders = new Map();
      for (const area of areas) {
        const party = leader(area);
        if (party !== undefined) leaders.set(party, (leaders.get(party) ?? 0) + 1);
      }
      const entries = [...leaders].sort((a, b) => b[1] - a[1]);
      legend.replaceChildren(
        ...entries.map(([party, count]) => {
          const swatch = h("i", { class: "party" });
          parties.colour(swatch, party);
          return h("span", null, swatch, `${parties.name(party)} ${number(count)}`);
        }),
      );
    },
    follow: () => false,
  };
}

/**
 * Colour by the share of units reporting.
 *
 * @param {Parties} parties
 * @returns {Colouring}
 */
export const byCounted = (parties) => ({
  title: () => t("kioskCounted"),
  look(area) {
    const part = countedPart(area);
    if (!part) return { label: "", classes: [] };
    const classes = part > COUNTED_DARK_PART ? /** @type {const} */ (["counted", "deep"]) : ["counted"];
    return { label: String(Math.floor(100 * part)), classes: /** @type {TileClass[]} */ ([...classes]) };
  },
  words: (area) => leaderInWords(area, parties),
  drawLegend: (legend) => setText(legend, unlessHidden(t("legendCounted"), hiddenUntil())),
  follow: () => false,
});

/**
 * @param {Area} area
 * @param {Parties} parties
 */
function leaderInWords(area, parties) {
  const { ranked, votes } = sums(area);
  const [first] = ranked;
  if (!first) return "";
  const change = shareChange(area, first[0]);
  return t("tileLeads")(parties.name(first[0]), share(first[1], votes)) + (change && ` (${change})`);
}
