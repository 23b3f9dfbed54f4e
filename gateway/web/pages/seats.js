// Whether an election has seats, and the modules that draw them; elections without seats do not load these.

import { untilDone } from "./fetching.js";

/** @import { RegistryDocument } from "../documents" */
/** @import { Registry } from "./registry.js" */

/** @param {RegistryDocument} registry */
export const isApportioned = (registry) => registry.election.apportionment !== undefined;

/**
 * Return whether an area has seats of its own: the country, and districts whose seats follow from their own votes.
 *
 * @param {RegistryDocument} document
 * @param {Registry} registry
 * @param {string} id
 */
export function areaHasSeats({ election: { apportionment } }, registry, id) {
  if (!apportionment) return false;
  if (id === registry.root) return true;
  const elsewhere = apportionment.threshold?.of === "country" && !apportionment.levelling;
  return registry.level(id) === apportionment.districts && !elsewhere;
}

/** Load what draws the seats on the page with the results. */
export const loadSeatsView = () => untilDone(() => import("./seats_view.js"));

/** Load what draws the seats of one area as a part of another page. */
export const loadSeatsPart = () => untilDone(() => import("./seats_part.js"));
