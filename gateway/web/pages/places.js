// The registry as the pages need it: names, what lies above and below, which are units.

export class Places {
  #areas = new Map();
  #below = new Map();

  /** now(id) returns the area as the feed shows it, if it does. */
  constructor(registry, now) {
    this.now = now;
    for (const area of registry.areas) {
      this.#areas.set(area.id, area);
      if (area.parent === null) this.root = area.id;
      else if (this.#below.has(area.parent)) this.#below.get(area.parent).push(area.id);
      else this.#below.set(area.parent, [area.id]);
    }
  }

  has = (id) => this.#areas.has(id);
  name = (id) => this.#areas.get(id)?.name ?? id;
  parent = (id) => this.#areas.get(id)?.parent ?? null;
  isUnit = (id) => this.#areas.has(id) && !this.#below.has(id);
  children = (id) => this.#below.get(id) ?? [];
  link = (id) => `#/area/${encodeURIComponent(id)}`;

  /** The areas above one, the highest first. */
  above(id) {
    const found = [];
    for (let each = this.parent(id); each !== null; each = this.parent(each)) found.unshift(each);
    return found;
  }

  /** All units at or below an area. */
  unitsOf(id) {
    if (this.isUnit(id)) return new Set([id]);
    const found = new Set();
    for (const child of this.children(id)) for (const unit of this.unitsOf(child)) found.add(unit);
    return found;
  }
}
