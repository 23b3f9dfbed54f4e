// The worker behind the night as it was: reads the public record, verifies its chain, and answers with the areas at any
// position. It asks the server for nothing but ranges of the record, which caches keep. night.js is the page's side.

import { fetchJson, LARGE_LIMIT_MS, Pauses } from "./fetching.js";
import { brokenLink } from "./record_chain.js";
import { RecordFold, RecordTooLarge } from "./record_fold.js";
import { fetchNewest, fetchRange, RANGE } from "./record_ranges.js";

/** @import { Area, AreaAndChildren, Publication, RegistryDocument } from "../documents" */
/** @import { RecordUrls } from "./document_urls.js" */

/**
 * @typedef {object} Open the first message
 * @property {"open"} type
 * @property {RegistryDocument} registry
 * @property {string | null} previous the address of the previous election; null if there is none
 */
/**
 * @typedef {object} Read up to a sequence
 * @property {"read"} type
 * @property {RecordUrls} urls of the record, at the door or in a mirror
 * @property {number} wanted
 * @property {string} chain at this sequence, in hex, as the feed has it; "": unknown
 */
/**
 * @typedef {object} Show the areas at a sequence
 * @property {"show"} type
 * @property {number} sequence
 * @property {string | null} area to show with its children
 * @property {boolean} whole whether all areas are wanted, or those that have changed since the last answer
 */
/** @typedef {Open | Read | Show} Request */

/** @typedef {{type: "progress", sequence: number}} Progress */
/** @typedef {{type: "waiting"}} Waiting an attempt failed, and another one follows */
/**
 * @typedef {object} Ready the record has been read as far as wanted
 * @property {"ready"} type
 * @property {number} sequence
 * @property {Float64Array} times of all publications, in milliseconds since 1970
 * @property {boolean} verified whether the chain was verified, and not only the order
 */
/**
 * @typedef {object} Shown
 * @property {"shown"} type
 * @property {number} sequence
 * @property {string | null} publishedAt
 * @property {Area[]} areas above units; all, or those that may have changed
 * @property {AreaAndChildren | null} area
 */
/** @typedef {{type: "failed", reason: "broken" | "large"}} Failed the end of the worker */
/** @typedef {Progress | Waiting | Ready | Shown | Failed} Answer */

/** Thrown for a record that contradicts its chain or the feed. */
class Contradiction extends Error {}

class Night {
  #fold;
  /** @type {number[]} */
  #times = [];
  #chain = "0".repeat(64);
  #verified = true;
  #wanted = 0;
  #wantedChain = "";
  #reading = false;
  /** The address of the previous election while it is still to be read. */
  #previous;
  /** @type {RecordUrls} */
  #urls = { election: "", history: null };

  /** @param {Open} options */
  constructor({ registry, previous }) {
    this.#previous = previous;
    this.#fold = new RecordFold(registry);
  }

  /** @param {Read} request */
  async read({ urls, wanted, chain }) {
    this.#urls = urls;
    if (wanted >= this.#wanted) [this.#wanted, this.#wantedChain] = [wanted, chain];
    if (this.#reading) return;
    this.#reading = true;
    const pauses = new Pauses();
    while (this.#previous !== null || this.#fold.sequence < this.#wanted) {
      answer({ type: "progress", sequence: this.#fold.sequence });
      try {
        if (this.#previous !== null) await this.#readPrevious(this.#previous);
        await this.#add(await this.#fetch());
        pauses.reset();
      } catch (error) {
        if (error instanceof Contradiction || error instanceof RecordTooLarge) throw error;
        answer({ type: "waiting" });
        await pauses.wait(error);
      }
    }
    this.#reading = false;
    const { sequence } = this.#fold;
    answer({ type: "ready", sequence, times: new Float64Array(this.#times), verified: this.#verified });
  }

  /** @param {string} address */
  async #readPrevious(address) {
    this.#fold.compareWith(await fetchJson(address, { limit_ms: LARGE_LIMIT_MS }));
    this.#previous = null;
  }

  #fetch() {
    const { sequence } = this.#fold;
    const whole = sequence % RANGE === 0 && sequence + RANGE <= this.#wanted;
    return (whole ? fetchRange : fetchNewest)(this.#urls, sequence);
  }

  /** @param {string} text publications, one per line */
  async #add(text) {
    const before = this.#fold.sequence;
    const lines = text.split("\n").filter(Boolean);
    /** @type {Publication[]} */
    const read = lines.map((line) => JSON.parse(line));
    const first = read.findIndex(({ sequence }) => sequence > before);
    if (first < 0 && this.#urls.history !== null) {
      this.#wanted = before; // the files show what follows later
      return;
    }
    if (first < 0) throw new Error("nothing new"); // another process answered, which is behind
    const added = read.slice(first);
    const broken = await brokenLink(this.#chain, lines.slice(first), added);
    if (broken === undefined) this.#verified = false;
    else if (broken !== null) throw new Contradiction(`the chain breaks at ${broken}`);
    try {
      for (const publication of added) {
        this.#fold.add(publication);
        this.#times.push(Date.parse(publication.published_at));
        if (
          publication.sequence === this.#wanted &&
          this.#wantedChain &&
          publication.chain !== this.#wantedChain
        )
          throw new Contradiction(`not the chain of the feed at ${this.#wanted}`);
      }
    } catch (error) {
      throw error instanceof RecordTooLarge ? error : new Contradiction(String(error));
    }
    this.#chain = added.at(-1)?.chain ?? this.#chain;
  }

  /** @param {Show} request */
  show({ sequence, area, whole }) {
    const changed = this.#fold.seek(Math.min(sequence, this.#fold.sequence));
    const { position } = this.#fold;
    answer({
      type: "shown",
      sequence: position,
      publishedAt: this.#fold.publishedAt(position),
      areas: this.#fold.areas(whole || changed === null ? this.#fold.aboveUnits() : changed),
      area: area === null ? null : this.#fold.area(area),
    });
  }
}

/** @param {Answer} message */
const answer = (message) => postMessage(message);

/** @param {unknown} error */
function fail(error) {
  answer({ type: "failed", reason: error instanceof RecordTooLarge ? "large" : "broken" });
  close();
}

/** @type {Night | null} */
let night = null;

addEventListener("message", (/** @type {MessageEvent<Request>} */ { data }) => {
  try {
    if (data.type === "open") night = new Night(data);
    else if (data.type === "show") night?.show(data);
    else night?.read(data).catch(fail);
  } catch (error) {
    fail(error);
  }
});
