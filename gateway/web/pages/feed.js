// A client of the feed as the contract describes it. Areas are collected and applied when `block` ends them;
// a group that is cut off is dropped. After a lost connection the feed is resumed at the cursor. While the stream
// cannot be used, the blocks come from a mirror (block_source.js). Tabs that follow the same feed share one source.

import { BlockSource } from "./block_source.js";
import { DEFAULT } from "./mirror_route.js";
import { isFile, useDoor, useMirror } from "./source.js";
import { StreamSlot } from "./stream_slot.js";
import { Tabs } from "./tabs.js";
import { onWake } from "./waking.js";

/** @import { Area, Block } from "../documents" */
/** @import { ServerEvent } from "./event_stream.js" */
/** @import { MirrorStatus } from "./mirror_live.js" */
/** @import { Status } from "./tabs.js" */

const OFFSETS_MAX = 40;
const HEARTBEAT_MAX_MS = 11_000; // a connection without a block for longer was lost earlier

const LATE_MAX_MS = 6000; // a block that took longer was kept back on its way

/**
 * @typedef {object} Selection
 * @property {string} query of the stream
 * @property {string[]} profiles of a mirror, the first of which that there is has all selected areas
 */

/** All areas above units.
 *
 * @type {Selection}
 */
export const EVERYTHING = { query: "", profiles: [DEFAULT] };

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
  /** When the latest block arrived, or the mirror was written, in milliseconds since 1970; 0 before the first. */
  receivedAt = 0;
  /** The mirror, while it is read.
   *
   * @type {MirrorStatus | null}
   */
  mirror = null;
  /** Seconds from the latest publication to its arrival here.
   *
   * @type {number | null}
   */
  lag_s = null;

  /** @type {Area[]} */
  #pending = [];
  /** @type {BlockSource | null} */
  #source = null;
  #slot = new StreamSlot("valgnatt streams");
  #cursor = "";
  /** The history of the mirror that the areas are known to belong to.
   *
   * @type {string | null}
   */
  #history = null;
  /** @type {Block | null} */
  #block = null;

  /**
   * @param {string} election
   * @param {Selection} selection
   * @param {Clock} clock
   * @param {object} callbacks
   * @param {(changed: Area[], block: Block) => void} callbacks.onBlock after a block has been applied
   * @param {() => void} callbacks.onState after the state has changed
   */
  constructor(election, selection, clock, { onBlock, onState }) {
    this.election = election;
    this.selection = selection;
    this.url = `/v1/elections/${encodeURIComponent(election)}/feed${selection.query && `?${selection.query}`}`;
    this.clock = clock;
    this.onBlock = onBlock;
    this.onState = onState;
    // The address of this file contains the version of the pages: tabs of different versions do not mix.
    this.tabs = new Tabs(`${new URL(".", import.meta.url).pathname}${this.url}`, {
      lead: () => this.#open(),
      yield: () => this.#close(),
      check: () => this.#source?.check(),
      present: () => ({ cursor: this.#cursor, status: this.#status() }),
      copy: () => ({ areas: [...this.areas.values()], block: this.#block }),
      onBlock: (changed, block, cursor) => {
        this.#history = null;
        this.#apply(changed, block, cursor);
      },
      onStatus: (status) => this.#adopt(status),
    });
  }

  #open() {
    this.#pending = [];
    if (!isFile) this.#slot.take();
    this.#source = new BlockSource(
      {
        address: () => this.#address(),
        brief: () => this.#slot.brief,
        election: this.election,
        profiles: this.selection.profiles,
        replaced: this.mirror !== null,
      },
      {
        onEvents: (events) => this.#read(events),
        onLost: () => this.#lost(),
        position: () => this.#position(),
        onBlock: (changed, block, cursor, history) => this.#applyFile(changed, block, cursor, history),
        onStatus: (status, fresh) => this.#noteMirror(status, fresh),
      },
    );
  }

  #close() {
    this.#source?.close();
    this.#source = null;
    this.#slot.release();
  }

  #position() {
    return this.#cursor ? { sequence: this.sequence, cursor: this.#cursor, history: this.#history } : null;
  }

  /** Return the address of the next stream. What the last one has not ended with a block is dropped. */
  #address() {
    this.#pending = [];
    const url = new URL(this.url, location.href);
    if (this.#cursor) url.searchParams.set("last_event_id", this.#cursor);
    return url.href;
  }

  /** @returns {Status} */
  #status() {
    const { state, stateSince, receivedAt, mirror } = this;
    return { state, stateSince, receivedAt, mirror };
  }

  /**
   * Apply blocks of the stream; those that are older than what the mirror has shown change nothing.
   *
   * @param {ServerEvent[]} events
   * @returns {boolean} whether a block was among them that arrived in time
   */
  #read(events) {
    let blocks = 0;
    const hasMirror = this.#source?.hasMirror ?? false;
    for (const { type, id, data } of events) {
      if (type === "area") this.#pending.push(JSON.parse(data));
      if (type !== "block") continue;
      const changed = this.#pending;
      const base = this.#cursor;
      /** @type {Block} */
      const block = JSON.parse(data);
      this.#pending = [];
      if (block.sequence < this.sequence && (hasMirror || !block.snapshot)) continue;
      const isLate = hasMirror && this.clock.now() - Date.parse(block.server_time) > LATE_MAX_MS;
      if (block.snapshot) this.#history = null;
      this.#apply(changed, block, id);
      if (!isLate) this.#adopt(this.#became("live", Date.now(), null));
      this.tabs.pass(changed, block, base);
      blocks += Number(!isLate);
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
    if (block.server_time) this.clock.observe(block.server_time);
    if (changed.length && !block.snapshot && block.published_at) {
      this.lag_s = Math.max(0, (this.clock.now() - Date.parse(block.published_at)) / 1000);
    }
    this.onBlock(changed, block);
  }

  /**
   * Apply files of the mirror.
   *
   * @param {Area[]} changed
   * @param {Block} block
   * @param {string} cursor
   * @param {string} history
   */
  #applyFile(changed, block, cursor, history) {
    const base = this.#cursor;
    // Another record: what an open stream sends next may follow a block that was too old for this page.
    if (block.snapshot && block.sequence < this.sequence) this.#source?.restartStream();
    this.#history = history;
    this.#apply(changed, block, cursor);
    this.tabs.pass(changed, block, base);
  }

  /**
   * @param {MirrorStatus | null} status null: there is no answer
   * @param {string | null} fresh a time by the mirror's clock that has just passed
   */
  #noteMirror(status, fresh) {
    if (fresh) this.clock.observe(fresh);
    const state = status && !status.behind ? "live" : "lost";
    this.#adopt(this.#became(state, status?.writtenAt ?? this.receivedAt, status));
    this.tabs.announce();
  }

  #lost() {
    this.#pending = [];
    if (this.state !== "lost") this.#adopt(this.#became("lost", this.receivedAt, null));
    this.tabs.announce();
  }

  /**
   * Return the status with another state.
   *
   * @param {"live" | "lost"} state
   * @param {number} receivedAt
   * @param {MirrorStatus | null} mirror
   * @returns {Status}
   */
  #became(state, receivedAt, mirror) {
    if (this.state === state && !this.mirror === !mirror)
      return { state, stateSince: this.stateSince, receivedAt, mirror };
    let stateSince = Date.now();
    if (state === "lost" && !receivedAt)
      stateSince = this.stateSince; // there was no connection yet
    else if (state === "lost" && stateSince - receivedAt > HEARTBEAT_MAX_MS) stateSince = receivedAt;
    return { state, stateSince, receivedAt, mirror };
  }

  /** @param {Status} status of the source, here or in the tab that has it */
  #adopt({ state, stateSince, receivedAt, mirror }) {
    const changed = this.state !== state || !this.mirror !== !mirror;
    this.state = state;
    this.stateSince = stateSince;
    this.receivedAt = receivedAt;
    this.mirror = mirror;
    if (mirror) useMirror(mirror.history);
    else useDoor();
    if (changed) this.onState();
  }
}
