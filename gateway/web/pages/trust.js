// PURE: whose signatures a reader requires: a list of keys, or a policy. Source: C2SP tlog-policy.

import { Unproven } from "./unproven.js";
import { COSIGNATURE, readVerifierKey, SIGNATURE } from "./verifier_keys.js";

/** @import { VerifierKey } from "./verifier_keys.js" */

const SIZE_MAX = 64 * 1024;
const KEYS_MAX = 100;
const GROUPS_MAX = 100;
const POLICY = /^(?:log|witness|group|quorum)$/;
const NONE = "none";

/** @typedef {(cosigned: ReadonlySet<string>) => boolean} IsMet of the vkeys of those who have cosigned */
/**
 * @typedef {object} Trust
 * @property {VerifierKey[]} logs any of which has to sign
 * @property {VerifierKey[]} witnesses
 * @property {IsMet} isMet whether these are enough
 * @property {boolean} hasQuorum whether there is a rule for it; otherwise none is required
 */

/** @typedef {{line: number, words: string[]}} Line */

/**
 * Read a list of keys or a policy, one key or rule per line. Throws Unproven.
 *
 * @param {string} text
 * @returns {Promise<Trust>}
 */
export async function readTrust(text) {
  if (text.length > SIZE_MAX) throw new Unproven("tooManyKeys");
  const lines = text
    .split("\n")
    .map((each, index) => ({ line: index + 1, words: each.split(/[ \t\r]+/).filter(Boolean) }))
    .filter(({ words }) => words.length && !words[0]?.startsWith("#"));
  if (lines.length > 2 * KEYS_MAX + GROUPS_MAX) throw new Unproven("tooManyKeys");
  const trust = await (lines.some(({ words }) => POLICY.test(words[0] ?? ""))
    ? ofPolicy(lines)
    : ofKeys(lines));
  if (!trust.logs.length) throw new Unproven("noLogKey");
  return trust;
}

/**
 * @param {Line[]} lines
 * @returns {Promise<Trust>}
 */
async function ofKeys(lines) {
  const keys = await Promise.all(lines.map(({ words }) => readVerifierKey(words.join(" "))));
  return {
    logs: keys.filter(({ type }) => type === SIGNATURE),
    witnesses: keys.filter(({ type }) => type === COSIGNATURE),
    isMet: () => true,
    hasQuorum: false,
  };
}

/**
 * @param {Line[]} lines
 * @returns {Promise<Trust>}
 */
async function ofPolicy(lines) {
  const policy = new Policy();
  for (const each of lines) await policy.add(each);
  return policy.trust();
}

class Policy {
  /** @type {VerifierKey[]} */
  #logs = [];
  /** @type {VerifierKey[]} */
  #witnesses = [];
  /** Witnesses and groups by name.
   *
   * @type {Map<string, IsMet>}
   */
  #named = new Map();
  /** @type {Set<string>} */
  #members = new Set();
  /** @type {IsMet | null} */
  #quorum = null;

  /** @param {Line} line */
  async add({ line, words }) {
    const [kind, ...rest] = words;
    const [first = "", second = ""] = rest;
    if (kind === "log" && (rest.length === 1 || rest.length === 2)) {
      this.#logs.push(await this.#key(first, SIGNATURE, line, this.#logs));
    } else if (kind === "witness" && (rest.length === 2 || rest.length === 3)) {
      const key = await this.#key(second, COSIGNATURE, line, this.#witnesses);
      this.#witnesses.push(key);
      this.#name(first, (cosigned) => cosigned.has(key.vkey), line);
    } else if (kind === "group" && rest.length > 2) {
      this.#name(first, this.#group(second, rest.slice(2), line), line);
    } else if (kind === "quorum" && rest.length === 1 && !this.#quorum) {
      this.#quorum = first === NONE ? () => true : this.#known(first, line);
    } else {
      throw new Unproven("badPolicy", line);
    }
  }

  /** @returns {Trust} */
  trust() {
    if (!this.#quorum) throw new Unproven("noQuorum");
    return { logs: this.#logs, witnesses: this.#witnesses, isMet: this.#quorum, hasQuorum: true };
  }

  /**
   * @param {string} vkey
   * @param {number} type
   * @param {number} line
   * @param {VerifierKey[]} others
   */
  async #key(vkey, type, line, others) {
    const found = await readVerifierKey(vkey);
    const known = others.some(({ key }) => key.join() === found.key.join());
    if (found.type !== type || known || others.length >= KEYS_MAX) throw new Unproven("badPolicy", line);
    return found;
  }

  /**
   * @param {string} name
   * @param {IsMet} isMet
   * @param {number} line
   */
  #name(name, isMet, line) {
    if (name === NONE || this.#named.has(name)) throw new Unproven("badPolicy", line);
    this.#named.set(name, isMet);
  }

  /**
   * @param {string} name
   * @param {number} line
   */
  #known(name, line) {
    const found = this.#named.get(name);
    if (!found) throw new Unproven("badPolicy", line);
    return found;
  }

  /**
   * @param {string} threshold
   * @param {string[]} names
   * @param {number} line
   * @returns {IsMet}
   */
  #group(threshold, names, line) {
    const members = names.map((name) => this.#known(name, line));
    for (const name of names) {
      if (this.#members.has(name)) throw new Unproven("badPolicy", line); // each counts in one way only
      this.#members.add(name);
    }
    const least =
      { any: 1, all: names.length }[threshold] ?? (/^[1-9]\d{0,3}$/.test(threshold) ? Number(threshold) : 0);
    if (least < 1 || least > names.length) throw new Unproven("badPolicy", line);
    return (cosigned) => members.filter((isMet) => isMet(cosigned)).length >= least;
  }
}
