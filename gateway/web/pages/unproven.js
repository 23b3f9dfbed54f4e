// PURE: why a proof, a key or a policy is not accepted.

/** @typedef {ReturnType<typeof import("./proof_texts/nb.js").texts>["problems"]} Problems */

/** `code` is a key of the texts about problems, `value` what the sentence names. */
export class Unproven extends Error {
  /**
   * @param {keyof Problems} code
   * @param {string | number} [value]
   */
  constructor(code, value = "") {
    super(`${code} ${value}`);
    this.code = code;
    this.value = String(value);
  }
}
