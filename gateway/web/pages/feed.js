// A client of the feed as the contract describes it. Areas are collected and applied when `block` ends them;
// a group that is cut off is dropped. After a lost connection the feed is resumed at the cursor: by the
// browser itself, or here where the browser has given up (any status but 200, from a proxy perhaps) or the
// connection is silent.

/** @import { Area, Block } from "../documents" */

const SILENCE_MAX_MS = 25_000; // the server sends a block at least every 10 s
const RECONNECT_MS = [1000, 2000, 4000, 8000, 15_000];
const OFFSETS_MAX = 40;

/** The server's clock, estimated from the quickest of the latest messages. */
export class Clock {
  /** @type {number[]} */
  #offsets_ms = [];

  /** @param {string} serverTime of a message that has just arrived */
  observe(serverTime) {
    this.#offsets_ms.push(Date.now() - Date.parse(serverTime));
    if (this.#offsets_ms.length > OFFSETS_MAX) this.#offsets_ms.shift();
  }

  /** Return the server's time in milliseconds since 1970. */
  now() {
    return Date.now() - (this.#offsets_ms.length ? Math.min(...this.#offsets_ms) : 0);
  }
}

export class Feed {
  /** The areas as of `sequence`, by identifier.
   *
   * @type {Map<string, Area>}
   */
  areas = new Map();
  sequence = 0;
  /** @type {string | null} */
  publishedAt = null;
  /** @type {"connecting" | "live" | "lost"} */
  state = "connecting";
  /** When the state began, in milliseconds since 1970. */
  stateSince = Date.now();
  /** When the latest block arrived, in milliseconds since 1970; 0 before the first. */
  receivedAt = 0;
  /** Seconds from the latest publication to its arrival here.
   *
   * @type {number | null}
   */
  lag_s = null;

  /** @type {Area[]} */
  #pending = [];
  /** @type {EventSource | null} */
  #source = null;
  #cursor = "";
  #failures = 0;
  #reconnectTimer = 0;

  /**
   * @param {string} url
   * @param {Clock} clock
   * @param {object} callbacks
   * @param {(changed: Area[], block: Block) => void} callbacks.onBlock after a block has been applied
   * @param {() => void} callbacks.onState after the state has changed
   */
  constructor(url, clock, { onBlock, onState }) {
    this.url = url;
    this.clock = clock;
    this.onBlock = onBlock;
    this.onState = onState;
    setInterval(() => this.#checkSilence(), 1000);
    addEventListener("online", () => this.#reconnectIfLost());
    document.addEventListener("visibilitychange", () => document.hidden || this.#reconnectIfLost());
    this.#connect();
  }

  #connect() {
    clearTimeout(this.#reconnectTimer);
    this.#reconnectTimer = 0;
    this.#source?.close();
    this.#pending = [];
    const url = new URL(this.url, location.href);
    if (this.#cursor) url.searchParams.set("last_event_id", this.#cursor);
    const source = new EventSource(url);
    this.#source = source;
    source.addEventListener("area", (event) => this.#pending.push(JSON.parse(event.data)));
    source.addEventListener("block", (event) => this.#apply(event));
    source.addEventListener("error", () => this.#failed(source));
  }

  /** @param {MessageEvent<string>} event */
  #apply(event) {
    /** @type {Block} */
    const block = JSON.parse(event.data);
    const changed = this.#pending;
    this.#pending = [];
    this.#cursor = event.lastEventId;
    if (block.snapshot) this.areas = new Map();
    for (const area of changed) this.areas.set(area.area, area);
    this.sequence = block.sequence;
    this.publishedAt = block.published_at;
    this.receivedAt = Date.now();
    this.#failures = 0;
    this.clock.observe(block.server_time);
    if (changed.length && !block.snapshot && block.published_at) {
      this.lag_s = Math.max(0, (this.clock.now() - Date.parse(block.published_at)) / 1000);
    }
    this.#setState("live");
    this.onBlock(changed, block);
  }

  /** @param {EventSource} source */
  #failed(source) {
    if (source !== this.#source) return;
    this.#pending = [];
    this.#setState("lost");
    if (source.readyState === EventSource.CLOSED) this.#reconnectLater();
  }

  #reconnectLater() {
    if (this.#reconnectTimer) return;
    const delay = RECONNECT_MS[Math.min(this.#failures++, RECONNECT_MS.length - 1)] ?? 0;
    this.#reconnectTimer = setTimeout(() => this.#connect(), delay * (0.7 + 0.6 * Math.random()));
  }

  #checkSilence() {
    if (this.state === "live" && Date.now() - this.receivedAt > SILENCE_MAX_MS) {
      this.#setState("lost", this.receivedAt);
      this.#connect();
    }
  }

  #reconnectIfLost() {
    if (this.state === "lost" && this.#source?.readyState !== EventSource.OPEN) this.#connect();
  }

  /**
   * @param {"live" | "lost"} state
   * @param {number} since
   */
  #setState(state, since = Date.now()) {
    if (this.state === state) return;
    const neverConnected = this.state === "connecting" && state === "lost" && !this.receivedAt;
    this.state = state;
    if (!neverConnected) this.stateSince = since;
    this.onState();
  }
}
