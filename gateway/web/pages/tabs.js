// Tabs of one browser that follow the same feed share one stream: over HTTP/1.1 a browser opens six connections
// to a host, and each stream takes one. One tab leads: it has the stream and passes on what it reads. If it
// leaves or is silent, another tab leads from then on, at the position that it has itself.
//
// Tabs agree by messages alone (BroadcastChannel). Web Locks would need a secure context, which plain HTTP on
// another machine is not; a SharedWorker is missing on Android. If two tabs lead at the same time, the one with
// the lower rank stops when it hears of the other; until then there is one stream more.

/** @import { Area, Block } from "../documents" */
/** @import { MirrorStatus } from "./mirror_live.js" */

/**
 * @typedef {object} Status
 * @property {"connecting" | "live" | "lost"} state
 * @property {number} stateSince
 * @property {number} receivedAt
 * @property {MirrorStatus | null} mirror while it is read in place of the stream
 */
/** @typedef {{areas: Area[], block: Block | null}} Copy all areas, as of the block */

/**
 * @typedef {{kind: "hello"} | {kind: "ping"} | {kind: "goodbye"} | {kind: "alive"}
 *   | {kind: "block", changed: Area[], block: Block, base: string}
 *   | {kind: "copy", to: string, copy: Copy}} Content
 * @typedef {Content & {from: string, term: number, cursor: string, status: Status}} Message
 */

const JOIN_MS = 60; // a leader answers within a few
const ALIVE_MS = 500;
const PING_AFTER_MS = 900;
const SILENCE_MAX_MS = 1700;
const JITTER_MS = 200;
const BEHIND_MS = 3000; // a new leader may be behind, and catches up

export class Tabs {
  #id = Array.from(crypto.getRandomValues(new Uint32Array(2)), (part) => part.toString(36)).join("");
  /** @type {BroadcastChannel | null} */
  #channel = null;
  /** @type {"away" | "joining" | "following" | "leading"} */
  #role = "away";
  /** Terms count changes of the leader; the highest is the latest. */
  #term = 0;
  #leader = "";
  #heardAt = 0;
  #pingedAt = 0;
  #askedAt = -Infinity;
  /** Since when this tab has been at another position than its leader. */
  #differsSince = Infinity;
  #timer = 0;

  /**
   * @param {string} name what the tabs have in common
   * @param {object} callbacks
   * @param {() => void} callbacks.lead called when this tab has to open the stream
   * @param {() => void} callbacks.yield called when it has to close it
   * @param {() => void} callbacks.check called when another tab asks whether this one is alive
   * @param {() => {cursor: string, status: Status}} callbacks.present
   * @param {() => Copy} callbacks.copy
   * @param {(changed: Area[], block: Block, cursor: string) => void} callbacks.onBlock
   * @param {(status: Status) => void} callbacks.onStatus
   */
  constructor(name, callbacks) {
    this.name = name;
    this.callbacks = callbacks;
    addEventListener("pagehide", () => this.#leave());
    addEventListener("pageshow", ({ persisted }) => persisted && this.#join());
    document.addEventListener("freeze", () => this.#leave());
    document.addEventListener("resume", () => this.#join());
    setInterval(() => this.#tick(), ALIVE_MS);
    this.#join();
  }

  get leading() {
    return this.#role === "leading";
  }

  #join() {
    if (this.#role !== "away") return;
    if (typeof BroadcastChannel === "undefined") {
      this.#lead();
      return;
    }
    this.#channel = new BroadcastChannel(this.name);
    this.#channel.addEventListener("message", ({ data }) => this.#receive(data));
    this.#role = "joining";
    this.#post({ kind: "hello" });
    this.#leadAfter(JOIN_MS * (1 + Math.random()));
  }

  #leave() {
    if (this.#role === "leading") {
      this.callbacks.yield();
      this.#post({ kind: "goodbye" });
    }
    clearTimeout(this.#timer);
    this.#role = "away";
    this.#channel?.close();
    this.#channel = null;
  }

  /**
   * Lead, unless another tab is heard before.
   *
   * @param {number} wait_ms
   */
  #leadAfter(wait_ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#lead(), wait_ms);
  }

  /** Lead in place of the leader that is gone, unless another tab is quicker. */
  #replaceLeader() {
    this.#role = "joining";
    this.#leadAfter(JITTER_MS * Math.random());
  }

  #lead() {
    this.#role = "leading";
    this.#term += 1;
    this.callbacks.lead();
    this.announce();
  }

  /** Announce that this tab leads, and how its stream is. */
  announce() {
    if (this.#role === "leading") this.#post({ kind: "alive" });
  }

  /**
   * Pass a block on.
   *
   * @param {Area[]} changed
   * @param {Block} block
   * @param {string} base the cursor before it
   */
  pass(changed, block, base) {
    if (this.#role === "leading") this.#post({ kind: "block", changed, block, base });
  }

  /** @param {Content} content */
  #post(content) {
    this.#channel?.postMessage({ ...content, ...this.callbacks.present(), from: this.#id, term: this.#term });
  }

  #tick() {
    if (this.#role === "leading") this.announce();
    if (this.#role !== "following") return;
    const now = performance.now();
    const silent_ms = now - this.#heardAt;
    if (silent_ms < PING_AFTER_MS) return;
    if (this.#pingedAt < this.#heardAt || now - this.#pingedAt > SILENCE_MAX_MS) {
      this.#pingedAt = now; // after a pause of this tab, its leader gets time to answer
      this.#post({ kind: "ping" });
    } else if (silent_ms > SILENCE_MAX_MS && now - this.#pingedAt > SILENCE_MAX_MS - PING_AFTER_MS) {
      this.#replaceLeader();
    }
  }

  /** @param {Message} message */
  #receive(message) {
    const { kind } = message;
    if (kind === "hello" || kind === "ping") {
      if (this.#role === "leading") this.#answer(message);
    } else if (kind === "goodbye") {
      if (this.#role === "following" && message.from === this.#leader) this.#replaceLeader();
    } else if (this.#isLeader(message)) {
      this.#follow(message);
    }
  }

  /** @param {Message} message */
  #answer({ kind, from }) {
    this.callbacks.check();
    if (kind === "hello") this.#post({ kind: "copy", to: from, copy: this.callbacks.copy() });
    else this.announce();
  }

  /**
   * Return whether to follow the sender of a message; if this tab leads with a higher rank, contradict.
   *
   * @param {Message} message
   */
  #isLeader({ from, term }) {
    if (from === this.#leader && this.#role !== "leading") return true;
    const ownName = this.#role === "leading" ? this.#id : this.#leader;
    const higher = term > this.#term || (term === this.#term && (from < ownName || this.#role === "joining"));
    if (!higher) this.announce();
    return higher;
  }

  /** @param {Message} message of the leader */
  #follow(message) {
    if (this.#role === "leading") this.callbacks.yield();
    clearTimeout(this.#timer);
    this.#role = "following";
    this.#leader = message.from;
    this.#term = message.term;
    this.#heardAt = performance.now();
    const { cursor } = this.callbacks.present();
    if (message.kind === "block" && (message.base === cursor || message.block.snapshot)) {
      this.callbacks.onBlock(message.changed, message.block, message.cursor);
    } else if (message.kind === "copy" && message.to === this.#id && message.copy.block) {
      const { areas, block } = message.copy;
      this.callbacks.onBlock(areas, { ...block, snapshot: true }, message.cursor);
    } else if (message.cursor && message.cursor !== cursor) {
      this.#askForCopy(sequenceOf(message.cursor) < sequenceOf(cursor) ? BEHIND_MS : 0);
    } else {
      this.#differsSince = Infinity;
    }
    this.callbacks.onStatus(message.status);
  }

  /**
   * Ask the leader for all areas, once the difference has lasted for some time.
   *
   * @param {number} least_ms
   */
  #askForCopy(least_ms) {
    const now = performance.now();
    this.#differsSince = Math.min(this.#differsSince, now);
    if (now - this.#differsSince < least_ms || now - this.#askedAt < ALIVE_MS) return;
    this.#askedAt = now;
    this.#post({ kind: "hello" });
  }
}

/** @param {string} cursor */
const sequenceOf = (cursor) => Number.parseInt(cursor, 10) || 0;
