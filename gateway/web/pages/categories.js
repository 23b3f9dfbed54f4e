// PURE: the categories of a registry, which are names, or objects with more about them.

/** @import { RegistryDocument } from "../documents" */

/**
 * @param {RegistryDocument} registry
 * @returns {string[]} their names
 */
export function categoriesOf(registry) {
  return registry.election.categories.map((each) => (typeof each === "string" ? each : each.id));
}
