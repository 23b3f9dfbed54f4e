// The registry as the pages need it: names, what is above and below an area, and which areas are units.

import { allNames, nameOf } from "./names.js";

/** @import { RegistryDocument } from "../documents" */

export class Registry {
  /** @type {Map<string, RegistryDocument["areas"][number]>} */
  #areas = new Map();
  /** @type {Map<string, string[]>} */
  #children = new Map();
  /** The area above all others. */
  root = "";

  /** @param {RegistryDocument} document */
  constructor(document) {
    for (const area of document.areas) {
      const { id, parent } = area;
      this.#areas.set(id, area);
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
  /** Return the name of an area in the language of the page.
   *
   * @param {string} id
   */
  name = (id) => nameOf(this.#areas.get(id) ?? { name: id });
  /** Return everything that an area is called, in every language: what readers may search for.
   *
   * @param {string} id
   */
  names = (id) => allNames(this.#areas.get(id) ?? { name: id });
  /** @param {string} id */
  level = (id) => this.#areas.get(id)?.level ?? "";
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
   * Return the area that is responsible for a unit: the one of level `municipality`, or else its parent.
   *
   * @param {string} unit
   */
  municipality(unit) {
    const path = [unit, ...this.ancestors(unit).reverse()];
    return path.find((id) => this.level(id) === "municipality") ?? this.parent(unit) ?? unit;
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
