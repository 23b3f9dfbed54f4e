// The registry as the pages need it: names, what is above and below an area, and which areas are units.

/** @import { RegistryDocument } from "../documents" */

export class Registry {
  /** @type {Map<string, {name: string, names: string[], parent: string | null}>} */
  #areas = new Map();
  /** @type {Map<string, string[]>} */
  #children = new Map();
  /** The area above all others. */
  root = "";

  /** @param {RegistryDocument} document */
  constructor(document) {
    for (const { id, name, names, parent } of document.areas) {
      this.#areas.set(id, { name, names: Object.values(names ?? {}), parent });
      if (parent === null) {
        this.root = id;
        continue;
      }
      const siblings = this.#children.get(parent);
      if (siblings) siblings.push(id);
      else this.#children.set(parent, [id]);
    }
  }

  /** @param {string} id */
  has = (id) => this.#areas.has(id);
  /** @param {string} id */
  name = (id) => this.#areas.get(id)?.name ?? id;
  /** The names of an area in all languages, which readers may search for.
   *
   * @param {string} id
   */
  names = (id) => this.#areas.get(id)?.names ?? [];
  /** @param {string} id */
  parent = (id) => this.#areas.get(id)?.parent ?? null;
  /** @param {string} id */
  parentName = (id) => this.name(this.parent(id) ?? this.root);
  /** @param {string} id */
  isUnit = (id) => this.has(id) && !this.#children.has(id);
  /** @param {string} id */
  children = (id) => this.#children.get(id) ?? [];
  /** @param {string} id */
  hasUnits = (id) => this.children(id).some(this.isUnit);

  /**
   * Return the areas above one, the highest first.
   *
   * @param {string} id
   */
  ancestors(id) {
    const found = [];
    for (let each = this.parent(id); each !== null; each = this.parent(each)) found.unshift(each);
    return found;
  }

  /**
   * Return all units at or below an area.
   *
   * @param {string} id
   * @returns {Set<string>}
   */
  unitsOf(id) {
    if (this.isUnit(id)) return new Set([id]);
    return new Set(this.children(id).flatMap((child) => [...this.unitsOf(child)]));
  }
}
