// PURE: the time of a night as a line to move on. Publications are at the time at which they were published; many may
// be at the same one, as at the end of an embargo. Quiet hours are shortened, and so are the days after the night: a
// record may go on for weeks.

/** How long a night lasts, from the first publication. */
const NIGHT_MS = 12 * 3600e3;
/** The part of the line that later days take at most. */
export const DAYS_PART = 0.25;
/** The longest time between two publications that takes its full length. */
const QUIET_MAX_MS = 600_000;
/** The part of the line before the first publication. */
const LEAD = 0.01;
const LEAD_MIN_MS = 1000;

export class TimeAxis {
  /** Where each publication is; those of the same time are at the same place.
   *
   * @type {Float64Array}
   */
  #places;
  /** When the days after the night begin, in milliseconds since 1970; null: they take less than their part. */
  nightEnds = /** @type {number | null} */ (null);

  /** @param {ArrayLike<number>} times of all publications in order, in milliseconds since 1970 */
  constructor(times) {
    const places = new Float64Array(times.length);
    const dawn = (times[0] ?? 0) + NIGHT_MS;
    let night = 0;
    for (let index = 1; index < places.length; index++) {
      const passed = Math.max(0, (times[index] ?? 0) - (times[index - 1] ?? 0));
      places[index] = (places[index - 1] ?? 0) + Math.min(passed, QUIET_MAX_MS);
      if ((times[index] ?? 0) <= dawn) night = places[index] ?? 0;
    }
    const days = (places.at(-1) ?? 0) - night;
    const most = (night * DAYS_PART) / (1 - DAYS_PART);
    if (most && days > most) {
      this.nightEnds = dawn;
      for (const [index, place] of places.entries()) {
        if (place > night) places[index] = night + ((place - night) * most) / days;
      }
    }
    const lead = Math.max(LEAD_MIN_MS, LEAD * (places.at(-1) ?? 0));
    this.#places = places.map((place) => lead + place);
  }

  /** The length of the line, from before the first publication to the last. */
  get length() {
    return this.#places.at(-1) ?? 0;
  }

  /**
   * Return the place of a publication; 0 for the position before the first.
   *
   * @param {number} sequence
   */
  place = (sequence) => this.#places[sequence - 1] ?? 0;

  /**
   * Return the last publication at or before a place; 0: none.
   *
   * @param {number} place
   */
  sequenceAt(place) {
    let [low, high] = [0, this.#places.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#places[middle] ?? 0) <= place) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
