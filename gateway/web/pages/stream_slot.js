// Tabs of different elections cannot share a stream, but all of them share the six connections that a browser
// opens to a host over HTTP/1.1. So at most four streams stay open; the others are opened now and then, until
// a block has arrived. Tabs count the streams by messages: the one that had a stream first keeps it.

const STREAMS_MAX = 4;
const ROUND_MS = 5000;
const ANSWER_MS = 1000;

/** @typedef {{kind: "claim" | "claimed" | "free", from: string, since: number}} Message */

export class StreamSlot {
  /** Whether the stream of this tab has to be brief. */
  brief = false;

  #id = String(crypto.getRandomValues(new Uint32Array(1))[0]);
  #since = 0;
  /** @type {BroadcastChannel | null} */
  #channel = null;
  /** The tabs heard in this round that had a stream earlier.
   *
   * @type {Set<string>}
   */
  #earlier = new Set();
  #timers = [0, 0];

  /** @param {string} name what all tabs have in common */
  constructor(name) {
    this.name = name;
  }

  take() {
    if (this.#channel || typeof BroadcastChannel === "undefined") return;
    this.#since = Date.now();
    this.#channel = new BroadcastChannel(this.name);
    this.#channel.addEventListener("message", ({ data }) => this.#receive(data));
    this.#startRound();
  }

  release() {
    this.#post("free");
    for (const timer of this.#timers) clearTimeout(timer);
    this.#channel?.close();
    this.#channel = null;
    this.brief = false;
  }

  #startRound() {
    this.#earlier = new Set();
    this.#post("claim");
    this.#timers = [
      setTimeout(() => this.#decide(), ANSWER_MS),
      setTimeout(() => this.#startRound(), ROUND_MS),
    ];
  }

  #decide() {
    this.brief = this.#earlier.size >= STREAMS_MAX;
  }

  /** @param {Message["kind"]} kind */
  #post(kind) {
    this.#channel?.postMessage({ kind, from: this.#id, since: this.#since });
  }

  /** @param {Message} message */
  #receive({ kind, from, since }) {
    if (kind === "free") {
      this.#earlier.delete(from);
      return;
    }
    if (since < this.#since || (since === this.#since && from < this.#id)) this.#earlier.add(from);
    if (this.#earlier.size >= STREAMS_MAX) this.brief = true;
    if (kind === "claim") this.#post("claimed");
  }
}
