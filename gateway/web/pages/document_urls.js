// The addresses of documents: at a feed door, and in a mirror, where they are files. Both have the same methods, so that
// pages do not know which of them they read. Section 13 of the contract lists the files of a mirror. PURE.

import { electionFile, fileName } from "./mirror_route.js";

/** @typedef {DoorUrls | MirrorUrls} DocumentUrls */
/** @typedef {[name: string, href: string, file: string]} FormatLink the name of a format, and a file without a folder */
/**
 * @typedef {object} RecordUrls where the public record of an election is
 * @property {string} election the address that those of publications begin with
 * @property {string | null} history of a mirror; null: at a door
 */

/** A file of a mirror that is rewritten may be older than what the reader has seen, by up to so much. */
const MIRROR_BEHIND_MS = 5000;

/** At the door that has served the page. */
export class DoorUrls {
  isMirror = false;
  /** How soon a document is read again that is older than what the reader has seen. */
  behind_ms = 1000;

  /** @param {string} id of an election */
  #of = (id, rest = "") => `/v1/elections/${encodeURIComponent(id)}${rest}`;
  elections = () => "/v1/elections";
  map = () => "/map.geojson";
  /** @param {string} id */
  election = (id) => this.#of(id);
  /** @param {string} id */
  transfers = (id) => this.#of(id, "/transfers");
  /** @param {string} id */
  previous = (id) => this.#of(id, "/previous");
  /** @param {string} id */
  checkpoint = (id) => this.#of(id, "/log/checkpoint");
  /**
   * @param {string} id
   * @param {bigint} size of a checkpoint
   */
  checkpoints = (id, size) => this.#of(id, `/log/checkpoints?after=${size - 1n}&limit=1`);
  /**
   * @param {string} id
   * @param {string} area
   * @param {number} sequence that the answer has to have reached
   */
  area = (id, area, sequence) => this.#of(id, `/areas/${encodeURIComponent(area)}?at_least=${sequence}`);
  /**
   * @param {string} id
   * @param {string} area
   */
  corrections = (id, area) => this.#of(id, `/corrections?area=${encodeURIComponent(area)}`);
  /**
   * @param {string} id
   * @param {number} sequence that the answer has to have reached
   */
  seats = (id, sequence) => this.#of(id, `/seats?at_least=${sequence}`);
  /**
   * @param {string} id
   * @param {number} after the number of the line before those that are wanted
   */
  holds = (id, after) => this.#of(id, `/holds?after=${after}&limit=1000`);
  /**
   * @param {string} id
   * @returns {RecordUrls}
   */
  record = (id) => ({ election: this.#of(id), history: null });

  /**
   * Return the results of a level, of all areas or of those below one, in each format.
   *
   * @param {string} id
   * @param {string} level
   * @param {string | undefined} area
   * @param {string} file
   * @returns {FormatLink[]}
   */
  results(id, level, area, file) {
    const within = area === undefined ? "" : `&area=${encodeURIComponent(area)}`;
    return inBoth(`${this.#of(id, "/areas")}?level=${encodeURIComponent(level)}${within}&`, file);
  }

  /**
   * Return an area with its children in the formats in which other software exchanges it.
   *
   * @param {string} id
   * @param {string} area
   * @param {string} file
   * @returns {FormatLink[]}
   */
  exchanged(id, area, file) {
    const path = this.#of(id, `/areas/${encodeURIComponent(area)}`);
    return [
      ["EML 510", `${path}?format=eml`, `${file}.xml`],
      ["NIST SP 1500-100", `${path}?format=nist`, `${file}-nist.json`],
    ];
  }

  /**
   * @param {string} id
   * @param {string} area
   * @param {string} file
   */
  correctionFiles = (id, area, file) => inBoth(`${this.corrections(id, area)}&`, file);
  /**
   * @param {string} id
   * @param {string} file
   */
  seatFiles = (id, file) => inBoth(`${this.#of(id, "/seats")}?`, file);
}

/**
 * @param {string} start of an address with a query
 * @param {string} file
 * @returns {FormatLink[]}
 */
const inBoth = (start, file) => [
  ["CSV", `${start}format=csv&bom=1`, `${file}.csv`],
  ["JSON", `${start}format=json`, `${file}.json`],
];

/** In a mirror. What is exact at a sequence there, the documents say themselves. */
export class MirrorUrls {
  isMirror = true;
  behind_ms = MIRROR_BEHIND_MS;
  /** The history that `live.json` names; "" before it was read. */
  history = "";

  /** @param {string} root the address of the mirror, with a slash at the end */
  constructor(root) {
    this.root = root;
  }

  /** @param {string} id of an election */
  #of = (id, rest = "") => `${this.root}${electionFile(id)}${rest}`;
  elections = () => `${this.root}v1/elections.json`;
  map = () => `${this.root}map.geojson`;
  /** @param {string} id */
  election = (id) => this.#of(id, ".json");
  /** @param {string} id */
  live = (id) => this.#of(id, "/live.json");
  /** @param {string} id */
  transfers = (id) => this.#of(id, "/transfers.json");
  /** @param {string} id */
  previous = (id) => this.#of(id, "/previous.json");
  /** @param {string} id */
  checkpoint = (id) => this.#of(id, "/log/checkpoint");
  /** @param {string} id */
  checkpoints = (id) => this.#of(id, "/log/checkpoints.ndjson");
  /**
   * @param {string} id
   * @param {string} area
   */
  area = (id, area) => this.#of(id, `/areas/${fileName(area)}.json`);
  /** @param {string} id */
  corrections = (id) => this.#of(id, "/corrections.json");
  /** @param {string} id */
  seats = (id) => this.#of(id, "/seats.json");
  /** @param {string} id */
  holds = (id) => this.#of(id, "/holds.ndjson");
  /**
   * @param {string} id
   * @returns {RecordUrls}
   */
  record = (id) => ({ election: this.#of(id), history: this.history });

  /**
   * Return the results of a level that are a file: all municipalities, or an area with those below it.
   *
   * @param {string} id
   * @param {string} level
   * @param {string | undefined} area
   * @param {string} file
   * @returns {FormatLink[]}
   */
  results(id, level, area, file) {
    if (area === undefined) {
      return level === "municipality" ? [["CSV", this.#of(id, "/results.csv"), `${file}.csv`]] : [];
    }
    const path = this.#of(id, `/areas/${fileName(area)}`);
    return [
      ["CSV", `${path}.csv`, `${file}.csv`],
      ["JSON", `${path}.json`, `${file}.json`],
    ];
  }

  /** @returns {FormatLink[]} */
  exchanged = () => [];

  /**
   * @param {string} id
   * @param {string} _area the file has those of all areas
   * @param {string} file
   * @returns {FormatLink[]}
   */
  correctionFiles = (id, _area, file) => this.#inBoth(id, "corrections", file);
  /**
   * @param {string} id
   * @param {string} file
   * @returns {FormatLink[]}
   */
  seatFiles = (id, file) => this.#inBoth(id, "seats", file);

  /**
   * @param {string} id
   * @param {string} name
   * @param {string} file
   * @returns {FormatLink[]}
   */
  #inBoth = (id, name, file) => [
    ["CSV", this.#of(id, `/${name}.csv`), `${file}.csv`],
    ["JSON", this.#of(id, `/${name}.json`), `${file}.json`],
  ];
}
