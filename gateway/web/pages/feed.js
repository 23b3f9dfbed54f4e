// A reader of the feed, as the contract has it: areas are collected and applied at `block`, one cut off is thrown away,
// and a connection that broke is taken up where it was. The browser resumes by itself; where it has given up (any
// status but 200, from a proxy perhaps) or the line is silent, this opens it anew with the cursor.

const SILENT_MS = 25_000; // a block comes at least every 10 s
const AGAIN_MS = [1000, 2000, 4000, 8000, 15_000];
const OFFSETS = 40;

/** The server's clock, from the quickest of the last messages. */
export class Clock {
  #seen = [];

  hear(serverTime) {
    this.#seen.push(Date.now() - Date.parse(serverTime));
    if (this.#seen.length > OFFSETS) this.#seen.shift();
  }

  now() {
    return Date.now() - (this.#seen.length ? Math.min(...this.#seen) : 0);
  }
}

export class Feed {
  copy = new Map();
  sequence = 0;
  publishedAt = null;
  state = "connecting"; // live, lost
  since = Date.now();
  heardAt = 0;
  lagS = null;

  #pending = [];
  #source = null;
  #cursor = "";
  #failures = 0;
  #again = 0;

  /** onBlock(changed areas, block) after a block is applied; onState() when the connection is lost or found. */
  constructor(url, clock, { onBlock, onState }) {
    this.url = url;
    this.clock = clock;
    this.onBlock = onBlock;
    this.onState = onState;
    setInterval(() => this.#watch(), 1000);
    addEventListener("online", () => this.#reopenIfLost());
    document.addEventListener("visibilitychange", () => document.hidden || this.#reopenIfLost());
    this.#open();
  }

  #open() {
    clearTimeout(this.#again);
    this.#again = 0;
    this.#source?.close();
    this.#pending = [];
    const url = new URL(this.url, location.href);
    if (this.#cursor) url.searchParams.set("last_event_id", this.#cursor);
    const source = new EventSource(url);
    this.#source = source;
    source.addEventListener("area", (event) => this.#pending.push(JSON.parse(event.data)));
    source.addEventListener("block", (event) => this.#apply(event));
    source.addEventListener("error", () => this.#broken(source));
  }

  #apply(event) {
    const block = JSON.parse(event.data);
    const areas = this.#pending;
    this.#pending = [];
    this.#cursor = event.lastEventId;
    if (block.snapshot) this.copy = new Map();
    for (const area of areas) this.copy.set(area.area, area);
    this.sequence = block.sequence;
    this.publishedAt = block.published_at;
    this.heardAt = Date.now();
    this.#failures = 0;
    this.clock.hear(block.server_time);
    if (areas.length && !block.snapshot)
      this.lagS = Math.max(0, (this.clock.now() - Date.parse(block.published_at)) / 1000);
    this.#become("live");
    this.onBlock(areas, block);
  }

  #broken(source) {
    if (source !== this.#source) return;
    this.#pending = [];
    this.#become("lost");
    if (source.readyState === EventSource.CLOSED) this.#openLater();
  }

  #openLater() {
    if (this.#again) return;
    const delay = AGAIN_MS[Math.min(this.#failures++, AGAIN_MS.length - 1)];
    this.#again = setTimeout(() => this.#open(), delay * (0.7 + 0.6 * Math.random()));
  }

  #watch() {
    if (this.state === "live" && Date.now() - this.heardAt > SILENT_MS) {
      this.#become("lost", this.heardAt);
      this.#open();
    }
  }

  #reopenIfLost() {
    if (this.state === "lost" && this.#source.readyState !== EventSource.OPEN) this.#open();
  }

  #become(state, since = Date.now()) {
    if (this.state === state) return;
    if (this.state === "connecting" && state === "lost" && !this.heardAt) since = this.since;
    this.state = state;
    this.since = since;
    this.onState();
  }
}
