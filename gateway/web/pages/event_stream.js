// An event stream that is opened again until it is closed for good. `EventSource` gives up on any status but
// 200, does not notice a silent connection, has no limit for an answer, and does not show Retry-After.

import { BadAnswer, DOCUMENT_LIMIT_MS, Pauses, pause } from "./fetching.js";
import { onWake } from "./waking.js";

/** @typedef {{type: string, id: string, data: string}} ServerEvent */

const SILENCE_MAX_MS = 20_000; // the server sends a block at least every 10 s
const CHECK_MS = 1000;
const BRIEF_INTERVAL_MS = 5000;
const SPREAD_MS = 300;
const CROWD_SPREAD_MS = 3000; // the streams of all readers may have become silent at the same moment
const LONG_RETRY_MS = 8000; // a full door asks for 10 s and more
const RARE_FIRST_MS = 10_000;
const RARE_MAX_MS = 600_000;

/** The parser of a stream. Source: WHATWG HTML, "Interpreting an event stream". */
export class EventParser {
  /** The latest `retry` field, in milliseconds.
   *
   * @type {number | null}
   */
  retry_ms = null;
  #rest = "";
  #type = "";
  #id = "";
  /** @type {string[]} */
  #data = [];

  /**
   * Return the events that are complete after some more text.
   *
   * @param {string} text
   */
  parse(text) {
    const lines = (this.#rest + text).split("\n"); // the server ends lines with nothing else
    this.#rest = lines.pop() ?? "";
    return lines.flatMap((line) => this.#line(line));
  }

  /**
   * @param {string} line
   * @returns {ServerEvent[]}
   */
  #line(line) {
    if (!line) return this.#dispatch();
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "event") this.#type = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id") this.#id = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.retry_ms = Number(value);
    return [];
  }

  #dispatch() {
    const event = { type: this.#type, id: this.#id, data: this.#data.join("\n") };
    const complete = this.#data.length > 0;
    this.#type = "";
    this.#data = [];
    return complete ? [event] : [];
  }
}

/** One stream after another, each from where the last one ended. */
export class EventStream {
  #closing = new AbortController();
  #attempt = new AbortController();
  #pauses = new Pauses();
  /** Between attempts while there is another source. */
  #rarePauses = new Pauses(RARE_FIRST_MS, RARE_MAX_MS);
  #heardAt = 0;
  #heardAfter = 0;
  /** Whether a connection is open or being opened, and not waited for the next attempt. */
  #connecting = false;
  /** Whether the connection was given up, so that the next attempt need not wait. */
  #replaced = false;
  #spread_ms = 0;
  /** Whether anything of the answer has arrived. */
  #answered = false;
  /** Whether a brief connection was closed because it has delivered something. */
  #delivered = false;
  /** Whether the attempt has delivered what the stream is for. */
  #wasUseful = false;

  /**
   * @param {() => string} address of the next attempt
   * @param {object} callbacks
   * @param {(events: ServerEvent[]) => boolean} callbacks.onEvents called with what has arrived; returns whether
   *   the stream has delivered what it is for, and the pauses begin anew
   * @param {(refused: boolean) => void} callbacks.onLost called when the connection is lost, or refused: others will be too
   * @param {() => boolean} callbacks.brief whether to keep the connection only until something is delivered, and open
   *   it again after a pause
   * @param {() => boolean} callbacks.replaced whether there is another source, so that attempts may be rare
   */
  constructor(address, { onEvents, onLost, brief, replaced }) {
    this.address = address;
    this.onEvents = onEvents;
    this.onLost = onLost;
    this.brief = brief;
    this.replaced = replaced;
    const timer = setInterval(() => this.check(CROWD_SPREAD_MS), CHECK_MS);
    const stopListening = onWake(({ reconnect }) => (reconnect ? this.#replace(SPREAD_MS) : this.check()));
    this.#closing.signal.addEventListener("abort", () => {
      clearInterval(timer);
      stopListening();
      this.#attempt.abort();
    });
    this.#run();
  }

  close() {
    this.#closing.abort();
  }

  restart() {
    this.#replace(SPREAD_MS);
  }

  /** Replace a connection that is silent, after a random time of up to `spread_ms`. */
  check(spread_ms = SPREAD_MS) {
    const silence_ms = Math.max(Date.now() - this.#heardAt, performance.now() - this.#heardAfter);
    if (silence_ms > (this.#answered ? SILENCE_MAX_MS : DOCUMENT_LIMIT_MS)) this.#replace(spread_ms);
  }

  /** @param {number} spread_ms */
  #replace(spread_ms) {
    if (!this.#connecting || this.#replaced) return;
    this.#replaced = true;
    this.#spread_ms = spread_ms;
    this.#attempt.abort();
  }

  #heard() {
    this.#heardAt = Date.now();
    this.#heardAfter = performance.now();
  }

  async #run() {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      this.#attempt = new AbortController();
      this.#replaced = false;
      this.#connecting = true;
      this.#answered = false;
      this.#delivered = false;
      this.#wasUseful = false;
      this.#heard();
      const parser = new EventParser();
      /** @type {unknown} */
      let failure = null;
      try {
        await this.#read(parser);
      } catch (error) {
        failure = error;
      }
      this.#connecting = false;
      if (signal.aborted) return;
      if (this.#delivered) {
        await pause(BRIEF_INTERVAL_MS, 0, signal);
        continue;
      }
      const asked_ms = failure === null ? (parser.retry_ms ?? 0) : 0;
      const isRefusal = failure instanceof BadAnswer || asked_ms >= LONG_RETRY_MS;
      this.onLost(isRefusal && !this.#wasUseful);
      if (this.replaced() && !this.#wasUseful) await this.#pauseLong(failure, asked_ms);
      else if (this.#replaced) await pause(this.#spread_ms * Math.random(), 0, signal);
      else if (failure !== null) await this.#pauses.wait(failure, signal);
      else await this.#pauseAsAsked(asked_ms);
    }
  }

  /**
   * Wait for long, and at least as long as the server asked for.
   *
   * @param {unknown} failure
   * @param {number} asked_ms
   */
  async #pauseLong(failure, asked_ms) {
    const { signal } = this.#closing;
    if (failure instanceof BadAnswer) await this.#rarePauses.wait(failure, signal);
    else await pause(Math.max(asked_ms, this.#rarePauses.next_ms()), asked_ms, signal);
  }

  /**
   * Wait as long as the server asked for when it ended the stream.
   *
   * @param {number} retry_ms
   */
  #pauseAsAsked(retry_ms) {
    return pause(Math.max(retry_ms, this.#pauses.next_ms()), retry_ms, this.#closing.signal);
  }

  /** @param {EventParser} parser */
  async #read(parser) {
    const response = await fetch(this.address(), {
      headers: { Accept: "text/event-stream" },
      cache: "no-store",
      signal: this.#attempt.signal,
    });
    const type = response.headers.get("Content-Type") ?? "";
    if (response.status !== 200 || !type.startsWith("text/event-stream") || !response.body) {
      this.#attempt.abort(); // nobody reads the rest
      throw new BadAnswer(response);
    }
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      this.#heard();
      this.#answered = true;
      if (!this.onEvents(parser.parse(decoder.decode(value, { stream: true })))) continue;
      this.#wasUseful = true;
      this.#pauses.reset();
      this.#rarePauses.reset();
      if (this.brief()) {
        this.#delivered = true;
        this.#attempt.abort();
        return;
      }
    }
  }
}
