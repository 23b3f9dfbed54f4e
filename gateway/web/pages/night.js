// The night as it was: which moment the page shows, from the public record. A worker (night_worker.js) reads the record
// and answers with the areas at a position of it; the address has that position, `at`. Without it the page is live.
// Nothing is read before the reader asks for the past, and nothing is shown before the figures of that moment are here.

import { parameter, pushParameter, setParameter } from "./address.js";
import { hasPrevious } from "./change.js";
import { byId } from "./dom.js";
import { NightControls } from "./night_controls.js";
import { documents } from "./source.js";
import { TimeAxis } from "./time_axis.js";

/** @import { Area, AreaAndChildren, Block, ElectionAndRegistry } from "../documents" */
/** @import { Answer, Ready, Request, Shown } from "./night_worker.js" */

/** How long the new end of the record is waited for, while the night goes on; pages are spread over this time. */
const FOLLOW_MS = 10_000;
/** The parameter of the address with the position. */
const AT = "at";

/** @typedef {{sequence: number, publishedAt: string | null}} Moment */
/** @typedef {"waiting" | "broken" | "large" | "unsupported"} Trouble */

export class Night {
  /** What the page shows: the feed, the past, or nothing until the past has been read.
   *
   * @type {"live" | "past" | "waiting"}
   */
  mode = "live";
  /** @type {Moment | null} */
  moment = null;
  /** Areas above units at this moment.
   *
   * @type {Map<string, Area>}
   */
  #areas = new Map();
  /** The position that is wanted; null: live.
   *
   * @type {number | null}
   */
  #target = null;
  /** @type {Worker | null} */
  #worker = null;
  /** Whether an answer of the worker is awaited. */
  #asked = false;
  /** The area that was asked for last. */
  #askedArea = "";
  /** How far the worker has read. */
  #read = 0;
  /** @type {Block | null} */
  #block = null;
  #followTimer = 0;
  /** Whether the worker gave up: it is not started again before the reader asks for it, or the record is another one. */
  #failed = false;

  /**
   * @param {object} options
   * @param {ElectionAndRegistry} options.election
   * @param {() => string | null} options.area the one that the page shows with its children
   * @param {(changed: Iterable<string> | null, area: AreaAndChildren | null) => void} options.onMove called when other
   *   figures are to be shown: which areas above units may have changed (null: all), and the area with its children
   */
  constructor({ election, area, onMove }) {
    this.election = election;
    this.area = area;
    this.onMove = onMove;
    this.controls = new NightControls({
      onOpen: () => this.#open(),
      onMove: (sequence) => this.goTo(sequence),
      onLive: () => this.goLive(),
    });
  }

  /** The moment that is shown, or is being read, in words. */
  get title() {
    return this.controls.momentInWords;
  }

  get isLive() {
    return this.mode === "live";
  }

  /** The areas above units at the moment that is shown; null: live, or not known yet. */
  get areas() {
    return this.mode === "past" ? this.#areas : null;
  }

  /** Show the moment that the address names. */
  route() {
    const named = parameter(AT) ?? "";
    const target = /^\d{1,15}$/.test(named) && this.election.released_at ? Number(named) : null;
    if (target === null) {
      if (named) setParameter(AT, ""); // what is shown is live, and so are links from here
      this.#leave();
      return;
    }
    this.controls.unfold();
    this.#target = target;
    if (this.isLive && !this.#read) this.#setMode("waiting");
    this.#open();
    this.#ask();
  }

  #open() {
    this.#failed = false;
    this.#start();
  }

  /** Ask for the area that the page shows now. */
  followArea() {
    if (!this.isLive) this.#ask();
  }

  /**
   * Show a moment, and name it in the address.
   *
   * @param {number} sequence
   */
  goTo(sequence) {
    if (this.#target === null) pushParameter(AT, String(sequence));
    else setParameter(AT, String(sequence));
    this.#target = sequence;
    this.#ask();
  }

  /** Show the feed again. */
  goLive() {
    if (this.#target !== null || parameter(AT) !== null) pushParameter(AT, "");
    this.#leave();
  }

  #leave() {
    this.#target = null;
    this.controls.pause();
    if (this.isLive) return;
    this.#setMode("live");
    this.onMove(null, null);
  }

  /** @param {"live" | "past" | "waiting"} mode */
  #setMode(mode) {
    this.mode = mode;
    if (mode !== "past") this.moment = null;
    byId("main").classList.toggle("past", mode !== "live");
    byId("main").classList.toggle("waiting", mode === "waiting");
    this.#drawControls();
  }

  /**
   * Follow the feed: how long the record is, and whether it is still the same.
   *
   * @param {Block} block
   */
  follow(block) {
    const again = block.snapshot && this.#block !== null;
    this.#block = block;
    if (again) this.#restart();
    else if (this.controls.isOpen) this.#start();
    if (this.#worker && this.#read && block.sequence > this.#read && !this.#followTimer) {
      this.#followTimer = setTimeout(
        () => {
          this.#followTimer = 0;
          if (!document.hidden) this.#readOn();
        },
        FOLLOW_MS * (1 + Math.random()),
      );
    }
    this.draw();
  }

  /** Read everything again: the record may be another one. */
  #restart() {
    this.#end();
    if (this.mode === "past") this.#setMode("waiting");
    if (this.controls.isOpen) this.#open();
  }

  #end() {
    this.#worker?.terminate();
    this.#worker = null;
    this.#asked = false;
    this.#read = 0;
    this.#areas.clear();
  }

  /** Begin to read the record, once the feed has said how long it is. */
  #start() {
    if (this.#worker || this.#failed || !this.#block?.sequence) return;
    try {
      const worker = new Worker(new URL("./night_worker.js", import.meta.url), { type: "module" });
      this.#worker = worker;
      worker.onmessage = ({ data }) => worker === this.#worker && this.#answered(data);
      worker.onerror = () => worker === this.#worker && this.#fail("unsupported");
    } catch {
      this.#fail("unsupported");
      return;
    }
    const { id, registry } = this.election;
    const previous = hasPrevious() ? documents().previous(id) : null;
    this.#send({ type: "open", registry, previous });
    this.controls.begin();
    this.#readOn();
  }

  #readOn() {
    const { sequence = 0, chain = "" } = this.#block ?? {};
    const urls = documents().record(this.election.id);
    if (sequence > this.#read) this.#send({ type: "read", urls, wanted: sequence, chain });
  }

  /** Ask for the moment that is wanted, unless an answer is awaited already. */
  #ask() {
    if (this.#target === null || !this.#read || this.#asked) return;
    this.#asked = true;
    const area = this.area();
    this.#askedArea = area ?? "";
    this.#send({ type: "show", sequence: this.#target, area, whole: this.#areas.size === 0 });
  }

  /** @param {Request} message */
  #send(message) {
    this.#worker?.postMessage(message);
  }

  /** @param {Answer} answer */
  #answered(answer) {
    if (answer.type === "progress")
      this.controls.drawProgress(answer.sequence / (this.#block?.sequence || 1));
    else if (answer.type === "waiting") this.controls.drawTrouble("waiting");
    else if (answer.type === "failed") this.#fail(answer.reason);
    else if (answer.type === "ready") this.#ready(answer);
    else this.#shown(answer);
  }

  /** @param {Ready} answer */
  #ready({ sequence, times, verified }) {
    this.#read = sequence;
    this.controls.offer(new TimeAxis(times), times, verified);
    this.#drawControls();
    this.#ask();
  }

  /** @param {Shown} answer */
  #shown({ sequence, publishedAt, areas, area }) {
    this.#asked = false;
    for (const each of areas) this.#areas.set(each.area, each);
    if (this.#target === null) return;
    const entered = this.mode !== "past";
    this.moment = { sequence, publishedAt };
    this.#setMode("past");
    this.onMove(entered ? null : areas.map((each) => each.area), area);
    if (!this.#isSettled() || (this.area() ?? "") !== this.#askedArea) this.#ask();
  }

  /** @param {Trouble} trouble */
  #fail(trouble) {
    this.#end();
    this.#failed = true;
    this.#leave();
    this.controls.drawTrouble(trouble);
  }

  /** Draw everything again, after a change of the language. */
  redraw() {
    this.controls.redraw();
    this.draw();
  }

  /** Draw what depends on the election and the feed. */
  draw() {
    this.controls.show(this.election.released_at !== null && (this.#block?.sequence ?? 0) > 0);
    this.#drawControls();
  }

  #drawControls() {
    const sequence = this.moment?.sequence ?? this.#target ?? this.#read;
    this.controls.drawMoment(this.mode, sequence, this.moment?.publishedAt ?? null, this.#isSettled());
  }

  /** Whether the moment that is shown is the one that is wanted. */
  #isSettled() {
    return this.#target === null || Math.min(this.#target, this.#read) === this.moment?.sequence;
  }
}
