// Municipalities by county, as tiles are laid out.

/** @import { Area } from "../documents" */
/** @import { Registry } from "./registry.js" */
/** @import { County } from "./tiles.js" */

/**
 * Return the areas right above units, by the area above them.
 *
 * @param {Map<string, Area>} areas
 * @param {Registry} registry
 * @param {string} [within] only those below this area
 * @returns {County[]}
 */
export function groupByCounty(areas, registry, within = registry.root) {
  /** @type {Map<string, County>} */
  const counties = new Map();
  for (const area of areas.values()) {
    if (area.area === within || !registry.hasUnits(area.area)) continue;
    if (!registry.ancestors(area.area).includes(within)) continue;
    const above = areas.get(area.parent ?? "") ?? area;
    const county = counties.get(above.area) ?? { area: above, municipalities: [] };
    county.municipalities.push(area);
    counties.set(above.area, county);
  }
  return [...counties.values()];
}
