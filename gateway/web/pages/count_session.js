// A sender's session with the push door. The token is in a private field and nowhere else: not in the address, in
// storage, in cookies, in the history or in an error. It leaves the page only as a header of requests to this door.

import { doorUrl } from "./address.js";
import { BadAnswer, fetchWithin } from "./fetching.js";
import { electionPath } from "./shell.js";

/** @import { Problem } from "../push_documents" */

/**
 * @typedef {object} Request
 * @property {string} [method]
 * @property {BodyInit} [body]
 * @property {string} [type] the media type of the body
 * @property {number} [limit_ms]
 */

/** An answer that is a problem document, or none that this page knows. */
export class Refused extends BadAnswer {
  /**
   * @param {Response} response
   * @param {Partial<Problem>} problem
   */
  constructor(response, problem) {
    super(response);
    this.code = problem.code ?? "";
    this.detail = problem.detail ?? "";
    this.mistakes = problem.mistakes ?? [];
    this.conflicts = problem.conflicts ?? [];
  }

  /** Whether the same request may be answered otherwise soon. */
  get passing() {
    return this.status === 429 || this.status === 408 || this.status >= 500;
  }

  /** Whether the door does not accept the token. */
  get ofToken() {
    return this.status === 401 || this.code === "role_forbidden";
  }
}

export class Session {
  #token = "";
  election = "";

  /**
   * @param {string} election
   * @param {string} token
   */
  start(election, token) {
    this.election = election;
    this.#token = token;
  }

  forget() {
    this.#token = "";
  }

  get active() {
    return this.#token !== "";
  }

  /**
   * Ask the door, below the election. Throws Refused for another status than 2xx, and another error without an answer.
   *
   * @param {string} rest
   * @param {Request} [request]
   * @returns {Promise<any>} the document of the answer
   */
  ask = async (rest, request) => (await this.#fetch(rest, request)).json();

  /**
   * Get a file from the door, with the same errors.
   *
   * @param {string} rest
   */
  file = async (rest) => (await this.#fetch(rest)).blob();

  /**
   * @param {string} rest
   * @param {Request} [request]
   */
  async #fetch(rest, { type, ...request } = {}) {
    const headers = new Headers({ Accept: "application/json, */*", Authorization: `Bearer ${this.#token}` });
    if (type !== undefined) headers.set("Content-Type", type);
    const response = await fetchWithin(doorUrl(electionPath(this.election, rest)), {
      ...request,
      headers,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      referrerPolicy: "no-referrer",
    });
    if (response.ok) return response;
    throw new Refused(response, await problemOf(response));
  }
}

/**
 * @param {Response} response
 * @returns {Promise<Partial<Problem>>}
 */
async function problemOf(response) {
  if (!response.headers.get("Content-Type")?.startsWith("application/problem+json")) return {};
  try {
    return await response.json();
  } catch {
    return {};
  }
}
