// What the reader moves through the night with: a slider, steps of one publication, and playing it in a minute. Without
// animation where the reader prefers that, the minute is shown in steps.

import { byId, h, setAttribute, setText, show } from "./dom.js";
import { moment, t, wholePercent } from "./format.js";
import { TimeAxis } from "./time_axis.js";

/** @import { Night, Trouble } from "./night.js" */

const PLAY_MS = 60_000;
/** The longest time between two frames that is played: none while the page is in the background. */
const FRAME_MAX_MS = 250;
/** The time between two steps, for readers who prefer reduced motion. */
const STEP_MS = 2000;
/** Steps of the slider. */
const STEPS = 2000;

export class NightControls {
  #axis = new TimeAxis([]);
  /** @type {Float64Array} */
  #times = new Float64Array();
  /** The position that was asked for or is shown last. */
  #sequence = 0;
  /** Where playing has come to, on the axis. */
  #place = 0;
  /** Ends playing; null: it is not being played.
   *
   * @type {(() => void) | null}
   */
  #stop = null;
  #playedAt = 0;
  #verified = false;
  #ready = false;
  /** @type {() => void} */
  #drawState = () => {};

  /**
   * @param {object} options
   * @param {() => void} options.onOpen
   * @param {(sequence: number) => void} options.onMove
   * @param {() => void} options.onLive
   */
  constructor({ onOpen, onMove, onLive }) {
    this.onOpen = onOpen;
    this.onMove = onMove;
    this.slider = byId("night-slider", HTMLInputElement);
    this.reduced = matchMedia("(prefers-reduced-motion: reduce)");
    setAttribute(this.slider, "max", String(STEPS));
    byId("night-open").addEventListener("click", () => {
      const opens = !this.isOpen;
      this.unfold(opens);
      if (opens) onOpen();
      else onLive();
    });
    byId("night-live").addEventListener("click", () => {
      onLive();
      byId("night-open").focus({ preventScroll: true });
    });
    byId("night-play").addEventListener("click", () => (this.#stop ? this.pause() : this.#play()));
    byId("night-previous").addEventListener("click", () => this.#step(-1));
    byId("night-next").addEventListener("click", () => this.#step(1));
    this.slider.addEventListener("input", () => {
      this.pause();
      this.#move(this.#sequenceOnSlider());
    });
    this.slider.addEventListener("keydown", (event) => {
      if (event.key !== " ") return;
      event.preventDefault();
      byId("night-play").click();
    });
  }

  get momentInWords() {
    return byId("night-at").textContent ?? "";
  }

  get isOpen() {
    return !byId("night-panel").hidden;
  }

  /** @param {boolean} offered whether there is a night to look at */
  show(offered) {
    show(byId("night"), offered);
  }

  /** @param {boolean} unfolded whether the controls are shown */
  unfold(unfolded = true) {
    show(byId("night-panel"), unfolded);
    setAttribute(byId("night-open"), "aria-expanded", String(unfolded));
  }

  /**
   * Offer the moments of a record that has been read.
   *
   * @param {TimeAxis} axis
   * @param {Float64Array} times
   * @param {boolean} verified whether the chain of the record was verified
   */
  offer(axis, times, verified) {
    this.#axis = axis;
    this.#times = times;
    this.#verified = verified;
    this.#ready = true;
    this.#drawState = () => {};
    this.redraw();
  }

  /** Offer nothing until a record has been read. */
  begin() {
    this.#ready = false;
    this.drawProgress(0);
  }

  /** @param {number} part that has been read, of 1 */
  drawProgress(part) {
    this.#drawState = () => {
      if (this.#ready) return; // only the newest publications are read
      setText(byId("night-state"), t("nightReading")(wholePercent(part)));
      byId("night-progress", HTMLProgressElement).value = part;
    };
    this.redraw();
  }

  /** @param {Trouble} trouble */
  drawTrouble(trouble) {
    if (trouble !== "waiting") this.#ready = false;
    this.#drawState = () => setText(byId("night-state"), t("nightTroubles")[trouble] ?? trouble);
    this.redraw();
    if (trouble !== "waiting") show(byId("night-progress"), false);
  }

  /** Draw everything again, after a change of the language. */
  redraw() {
    show(byId("night-controls"), this.#ready);
    show(byId("night-progress"), !this.#ready);
    setText(byId("night-state"), "");
    this.#drawState();
    show(byId("night-state"), byId("night-state").textContent !== "");
    for (const [id, key] of /** @type {const} */ ([
      ["night-previous", "nightPrevious"],
      ["night-next", "nightNext"],
      ["night-slider", "nightSlider"],
      ["night-progress", "nightTitle"],
    ])) {
      setAttribute(byId(id), "aria-label", t(key));
    }
    const [first, last] = [this.#times[0], this.#times.at(-1)];
    setText(byId("night-from"), first === undefined ? "" : moment(first));
    setText(byId("night-to"), last === undefined ? "" : moment(last));
    const dawn = this.#axis.nightEnds;
    show(byId("night-dawn"), dawn !== null);
    setText(byId("night-dawn"), dawn === null ? "" : moment(dawn));
    const checked = this.#verified ? t("nightVerified")(this.#times.length) : t("nightUnverified");
    setText(byId("night-note"), this.#ready ? `${t("nightNote")} ${checked}` : "");
    this.#drawPlay();
  }

  /**
   * Draw which moment the page shows.
   *
   * @param {Night["mode"]} mode
   * @param {number} sequence
   * @param {string | null} publishedAt
   * @param {boolean} settled whether no other moment is wanted
   */
  drawMoment(mode, sequence, publishedAt, settled) {
    const isPast = mode === "past";
    const at = publishedAt === null ? t("nightBefore") : t("nightAt")(moment(publishedAt));
    const text = isPast ? at : t(mode === "live" ? "nightNow" : "nightWaiting");
    setText(byId("night-at"), text);
    setText(byId("night-of"), isPast ? t("nightOf")(sequence, this.#times.length) : "");
    show(byId("night-live"), mode !== "live");
    setAttribute(this.slider, "aria-valuetext", text);
    if (this.#stop || !settled) return; // the slider is where the time or the reader has it
    this.#sequence = sequence;
    if (this.#sequenceOnSlider() === sequence && mode !== "live") return; // several places may be the same moment
    this.#drawPlace(mode === "live" ? this.#axis.length : this.#axis.place(sequence));
  }

  /** Return the moment that the slider points at. */
  #sequenceOnSlider() {
    return this.#axis.sequenceAt((this.#axis.length * Number(this.slider.value)) / STEPS);
  }

  /** @param {number} place on the axis */
  #drawPlace(place) {
    this.slider.value = String(Math.round((STEPS * place) / (this.#axis.length || 1)));
  }

  /** @param {-1 | 1} direction */
  #step(direction) {
    this.pause();
    this.#move(Math.min(this.#times.length, Math.max(0, this.#sequence + direction)));
  }

  /** @param {number} sequence */
  #move(sequence) {
    if (sequence === this.#sequence && this.#stop) return;
    this.#sequence = sequence;
    this.onMove(sequence);
  }

  #play() {
    const here = this.#axis.place(this.#sequence);
    this.#place = here >= this.#axis.length ? 0 : here;
    this.#playedAt = performance.now();
    this.#nextFrame();
    this.#drawPlay();
    this.#show();
  }

  #nextFrame() {
    if (this.reduced.matches) {
      const timer = setTimeout(() => this.#frame(STEP_MS), STEP_MS);
      this.#stop = () => clearTimeout(timer);
      return;
    }
    const frame = requestAnimationFrame((now) => {
      const passed_ms = Math.min(FRAME_MAX_MS, Math.max(0, now - this.#playedAt));
      this.#playedAt = now;
      this.#frame(passed_ms);
    });
    this.#stop = () => cancelAnimationFrame(frame);
  }

  /** @param {number} passed_ms */
  #frame(passed_ms) {
    const { length } = this.#axis;
    this.#place = Math.min(length, this.#place + (length * passed_ms) / PLAY_MS);
    this.#show();
    if (this.#place >= length) this.pause();
    else this.#nextFrame();
  }

  /** Show the moment that playing has come to. */
  #show() {
    this.#drawPlace(this.#place);
    this.#move(this.#axis.sequenceAt(this.#place));
  }

  pause() {
    if (!this.#stop) return;
    this.#stop();
    this.#stop = null;
    this.#drawPlay();
  }

  /** Draw the button, and let screen readers announce moments unless they follow one another. */
  #drawPlay() {
    const button = byId("night-play");
    const playing = this.#stop !== null;
    setAttribute(byId("night-moment"), "aria-live", playing ? "off" : "polite");
    const text = t(playing ? "nightPause" : "nightPlay");
    if (button.textContent?.endsWith(text)) return;
    button.replaceChildren(h("span", { "aria-hidden": "true" }, playing ? "❚❚ " : "▶ "), text);
  }
}
