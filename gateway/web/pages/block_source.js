// Where a feed gets its blocks: from the stream, and from a mirror while the stream cannot be used: it was refused, or no
// block arrives, because it is blocked on its way or kept back by a proxy. The stream is still opened now and then, and
// its first block ends the reading of the mirror. A page that is a file of a mirror has no stream.

import { EventStream } from "./event_stream.js";
import { MirrorReader } from "./mirror_live.js";
import { isFile, mirror } from "./source.js";

/** @import { Area, Block } from "../documents" */
/** @import { ServerEvent } from "./event_stream.js" */
/** @import { MirrorStatus } from "./mirror_live.js" */
/** @import { Position } from "./mirror_route.js" */

/** How long a stream may be without a block after it was opened or lost: at a door that works, the first one comes at once. */
const WITHOUT_BLOCK_MS = 5000;
/** Pages that were refused at the same moment do not read the mirror at the same moment. */
const SPREAD_MS = 1000;

export class BlockSource {
  /** @type {EventStream | null} */
  #stream = null;
  /** @type {MirrorReader | null} */
  #reader = null;
  /** @type {MirrorStatus | null} */
  #status = null;
  #timer = 0;

  /**
   * @param {object} options
   * @param {() => string} options.address of the stream
   * @param {() => boolean} options.brief whether the stream has to be brief
   * @param {string} options.election
   * @param {string[]} options.profiles the first of them that the mirror has is read
   * @param {boolean} options.replaced whether the stream could not be used until now, in another tab
   * @param {object} callbacks
   * @param {(events: ServerEvent[]) => boolean} callbacks.onEvents of the stream; returns whether a block was among them
   * @param {() => void} callbacks.onLost called when the stream is lost and the mirror is not read
   * @param {() => Position | null} callbacks.position of the feed
   * @param {(changed: Area[], block: Block, cursor: string, history: string) => void} callbacks.onBlock of the mirror
   * @param {(status: MirrorStatus | null, fresh: string | null) => void} callbacks.onStatus of the mirror
   */
  constructor({ address, brief, election, profiles, replaced }, callbacks) {
    this.election = election;
    this.profiles = profiles;
    this.callbacks = callbacks;
    if (!isFile) {
      this.#stream = new EventStream(address, {
        onEvents: (events) => this.#read(events),
        onLost: (refused) => this.#lost(refused),
        brief,
        replaced: () => this.#status !== null && !this.#status.behind,
      });
    }
    if (isFile || replaced) this.#readMirror();
    else this.#readMirrorAfter(WITHOUT_BLOCK_MS);
  }

  /** Whether the mirror is read, and not behind. */
  get hasMirror() {
    return this.#status !== null && !this.#status.behind;
  }

  close() {
    this.#stream?.close();
    this.#leaveMirror();
  }

  check() {
    this.#stream?.check();
  }

  /** Open another stream, at the address that it has now, instead of the one that is open. */
  restartStream() {
    this.#stream?.restart();
  }

  /** @param {ServerEvent[]} events */
  #read(events) {
    const isUseful = this.callbacks.onEvents(events);
    if (isUseful) this.#leaveMirror();
    return isUseful;
  }

  /** @param {boolean} refused */
  #lost(refused) {
    if (refused) this.#readMirrorAfter(0);
    else this.#readMirrorAfter(WITHOUT_BLOCK_MS);
    if (!this.#reader) this.callbacks.onLost();
  }

  /** @param {number} wait_ms */
  #readMirrorAfter(wait_ms) {
    if (!mirror || this.#reader) return;
    if (wait_ms && this.#timer) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#readMirror(), wait_ms + SPREAD_MS * Math.random());
  }

  #readMirror() {
    if (!mirror) return;
    const { position, onBlock, onStatus } = this.callbacks;
    this.#reader = new MirrorReader(mirror, this.election, this.profiles, {
      position,
      onBlock,
      onStatus: (status, fresh) => {
        this.#status = status;
        onStatus(status, fresh);
      },
    });
  }

  #leaveMirror() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#reader?.close();
    this.#reader = null;
    this.#status = null;
  }
}
