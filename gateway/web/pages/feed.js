// A client of the feed as the contract describes it. Areas are collected and applied when `block` ends them;
// a group that is cut off is dropped. After a lost connection the feed is resumed at the cursor. Tabs that
// follow the same feed share one stream.

import { EventStream } from "./event_stream.js";
import { StreamSlot } from "./stream_slot.js";
import { Tabs } from "./tabs.js";
import { onWake } from "./waking.js";

/** @import { Area, Block } from "../documents" */
/** @import { ServerEvent } from "./event_stream.js" */
/** @import { Status } from "./tabs.js" */

const OFFSETS_MAX = 40;
const HEARTBEAT_MAX_MS = 11_000; // a connection without a block for longer was lost earlier

/** The server's clock, estimated from the quickest of the latest messages. */
export class Clock {
  /** @type {number[]} */
  #offsets_ms = [];

  constructor() {
    onWake(({ clock }) => {
      if (clock) this.#offsets_ms.splice(0, this.#offsets_ms.length - 1); // the next message shows the new offset
    });
  }

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
  /** @type {Status["state"]} */
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
  /** @type {EventStream | null} */
  #stream = null;
  #slot = new StreamSlot("valgnatt streams");
  #cursor = "";
  /** @type {Block | null} */
  #block = null;

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
    // The address of this file contains the version of the pages: tabs of different versions do not mix.
    this.tabs = new Tabs(`${new URL(".", import.meta.url).pathname}${url}`, {
      lead: () => this.#open(),
      yield: () => this.#close(),
      check: () => this.#stream?.check(),
      present: () => ({ cursor: this.#cursor, status: this.#status() }),
      copy: () => ({ areas: [...this.areas.values()], block: this.#block }),
      onBlock: (changed, block, cursor) => this.#apply(changed, block, cursor),
      onStatus: (status) => this.#adopt(status),
    });
  }

  #open() {
    this.#pending = [];
    this.#slot.take();
    this.#stream = new EventStream(() => this.#address(), {
      onEvents: (events) => this.#read(events),
      onLost: () => this.#lost(),
      brief: () => this.#slot.brief,
    });
  }

  #close() {
    this.#stream?.close();
    this.#stream = null;
    this.#slot.release();
  }

  #address() {
    const url = new URL(this.url, location.href);
    if (this.#cursor) url.searchParams.set("last_event_id", this.#cursor);
    return url.href;
  }

  /** @returns {Status} */
  #status() {
    const { state, stateSince, receivedAt } = this;
    return { state, stateSince, receivedAt };
  }

  /**
   * @param {ServerEvent[]} events
   * @returns {boolean} whether a block was among them
   */
  #read(events) {
    let blocks = 0;
    for (const { type, id, data } of events) {
      if (type === "area") this.#pending.push(JSON.parse(data));
      if (type !== "block") continue;
      const changed = this.#pending;
      const base = this.#cursor;
      /** @type {Block} */
      const block = JSON.parse(data);
      this.#pending = [];
      this.receivedAt = Date.now();
      this.#apply(changed, block, id);
      this.#setState("live");
      this.tabs.pass(changed, block, base);
      blocks += 1;
    }
    return blocks > 0;
  }

  /**
   * @param {Area[]} changed
   * @param {Block} block
   * @param {string} cursor
   */
  #apply(changed, block, cursor) {
    this.#cursor = cursor;
    this.#block = block;
    if (block.snapshot) this.areas = new Map();
    for (const area of changed) this.areas.set(area.area, area);
    this.sequence = block.sequence;
    this.publishedAt = block.published_at;
    this.clock.observe(block.server_time);
    if (changed.length && !block.snapshot && block.published_at) {
      this.lag_s = Math.max(0, (this.clock.now() - Date.parse(block.published_at)) / 1000);
    }
    this.onBlock(changed, block);
  }

  #lost() {
    this.#pending = [];
    this.#setState("lost");
    this.tabs.announce();
  }

  /** @param {"live" | "lost"} state */
  #setState(state) {
    if (this.state === state) return;
    const { receivedAt } = this;
    let stateSince = Date.now();
    if (state === "lost" && !receivedAt)
      stateSince = this.stateSince; // there was no connection yet
    else if (state === "lost" && stateSince - receivedAt > HEARTBEAT_MAX_MS) stateSince = receivedAt;
    this.#adopt({ state, stateSince, receivedAt });
  }

  /** @param {Status} status of the stream, here or in the tab that has it */
  #adopt({ state, stateSince, receivedAt }) {
    const changed = this.state !== state;
    this.state = state;
    this.stateSince = stateSince;
    this.receivedAt = receivedAt;
    if (changed) this.onState();
  }
}
