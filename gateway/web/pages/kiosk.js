// The results for a screen without a user (`?kiosk`): the figures of an area on the left, and what changes in turn on
// the right. It lasts for as long as the screen is on: it keeps the screen awake, connects again by itself, loads
// itself again when the door serves another version of it (kiosk_version.js), and uses no more memory with time.

import { areaInAddress } from "./address.js";
import { shareChange } from "./change.js";
import { chosenColouring } from "./colour_choice.js";
import { groupByCounty } from "./counties.js";
import { byId, h, setText, show } from "./dom.js";
import { Clock, EVERYTHING, Feed } from "./feed.js";
import { date, number, share, t, time, timeInMinutes } from "./format.js";
import { HeldUnits } from "./held.js";
import { drawCountdown, isHidden } from "./hidden.js";
import { reloadOnNewVersion } from "./kiosk_version.js";
import { nameOf } from "./names.js";
import { Parties, sums } from "./parties.js";
import { Registry } from "./registry.js";
import { isApportioned, loadSeatsPart } from "./seats.js";
import { fetchShapes } from "./shapes.js";
import { fillIn, refreshElection, showProblem, showRehearsal, waitForElection } from "./shell.js";
import { drawStatus } from "./status.js";
import { Summary } from "./summary.js";
import { Tiles } from "./tiles.js";
import { keepAwake } from "./wake_lock.js";

/** @import { Area, ElectionAndRegistry, Polygon } from "../documents" */
/** @import { SeatsPart } from "./seats_part.js" */

const TURN_MS = 15_000;
const DRAW_INTERVAL_MS = 1000;
const REFRESH_ELECTION_MS = 30_000;
const LATEST = 9;
/** The least and the greatest size of a side.
 *
 * @type {[number, number]}
 */
const ZOOM = [0.2, 1.3];
const ZOOM_STEPS = 7;
const SEATS_WIDTH = 600;
const SHIFT_MS = 60_000;
/** Offsets that the picture takes in turn, in pixels of 1080: nothing stays at the same place all night. */
const SHIFTS = [
  [0, 0],
  [4, 2],
  [6, 6],
  [2, 4],
  [-2, 6],
  [-6, 2],
  [-4, -2],
  [-6, -6],
  [0, -4],
  [4, -6],
];

class Kiosk {
  /** Areas to draw next.
   *
   * @type {Set<string>}
   */
  #changed = new Set();
  #built = false;
  #hasTiles = false;
  #hidden = false;
  #turn = 0;
  #shift = 0;
  /** Loaded for elections with seats.
   *
   * @type {SeatsPart | null}
   */
  #seats = null;

  /**
   * @param {ElectionAndRegistry} election
   * @param {string | null} area
   */
  constructor(election, area) {
    this.election = election;
    this.registry = new Registry(election.registry);
    this.area = area ?? this.registry.root;
    this.parties = new Parties(election.registry.parties);
    this.summary = new Summary(byId("kiosk-summary"), this.parties);
    this.held = new HeldUnits(election.id, this.registry, () => this.#changed.add(this.area));
    this.tiles = new Tiles(byId("tiles"), h("p"), byId("legend"), this);
    this.tiles.colouring = chosenColouring(election.registry.parties, this.parties, this.registry).colouring;
    setText(byId("kiosk-tiles-title"), this.tiles.colouring.title());
    this.feed = new Feed(election.id, EVERYTHING, new Clock(), {
      onBlock: (changed, block) => {
        if (block.snapshot) this.#built = false;
        if (block.sequence > 0) this.election.released_at ??= block.published_at;
        for (const { area: id } of changed) this.#changed.add(id);
        this.held.follow(block);
      },
      onState: () => drawStatus(this.feed),
    });
    setInterval(() => this.#draw(), DRAW_INTERVAL_MS);
    setInterval(() => this.#show(this.#turn + 1), TURN_MS);
    setInterval(() => this.#move(), SHIFT_MS);
    setInterval(() => this.election.released_at || this.#refresh(), REFRESH_ELECTION_MS);
    addEventListener("resize", () => this.#fit());
    if (isApportioned(election.registry)) this.#loadSeats();
    this.#show(0);
    this.#draw();
  }

  async #loadSeats() {
    const { SeatsPart } = await loadSeatsPart();
    const { election, parties, area } = this;
    const options = { table: false, width: SEATS_WIDTH };
    this.#seats = new SeatsPart(h("section"), election.registry, parties, area, options);
    byId("kiosk-seats").replaceChildren(this.#seats.section);
    this.#changed.add(area);
  }

  async #refresh() {
    try {
      await refreshElection(this.election);
    } catch {
      // it is fetched again soon; the status line shows that the door does not answer
    }
  }

  /** @param {Map<string, Polygon[]>} shapes of municipalities, for a map */
  showMap(shapes) {
    this.tiles.shapes = shapes;
    this.#built = false;
  }

  #draw() {
    this.#drawClock();
    if (this.#hidden !== isHidden()) {
      this.#hidden = isHidden();
      this.#built = false;
    }
    const area = this.feed.areas.get(this.area);
    if (!area) return;
    const rebuilt = !this.#built;
    if (rebuilt) this.#build();
    if (!this.#changed.size) return;
    for (const id of this.#changed) {
      const changed = this.feed.areas.get(id);
      if (changed) this.tiles.draw(changed);
    }
    this.#changed.clear();
    this.summary.draw(area);
    this.summary.drawHeld(this.held.count(this.area));
    this.tiles.drawLegend();
    this.#drawLatest();
    this.#seats?.draw(this.feed.areas);
    if (this.#isAlone() !== byId("kiosk-results").classList.contains("alone") || rebuilt) this.#arrange();
    else if (![...document.querySelectorAll(".kiosk-side")].every(isComplete)) this.#fit();
  }

  #build() {
    this.#built = true;
    const counties = groupByCounty(this.feed.areas, this.registry, this.area);
    this.tiles.build(counties);
    this.#hasTiles = counties.length > 0;
    for (const id of this.feed.areas.keys()) this.#changed.add(id);
  }

  /** Whether there is nothing to show on the right. */
  #isAlone() {
    return !this.#hasTiles && !this.#seats?.visible;
  }

  #arrange() {
    byId("kiosk-results").classList.toggle("alone", this.#isAlone());
    this.#show(this.#turn);
  }

  #drawClock() {
    drawStatus(this.feed);
    const now = this.feed.clock.now();
    setText(byId("kiosk-clock"), timeInMinutes(now));
    show(byId("kiosk-embargo"), isHidden());
    show(byId("kiosk-results"), !isHidden());
    if (isHidden()) drawCountdown(this.election.publish_from, now);
  }

  #drawLatest() {
    const latest = [...this.feed.areas.values()]
      .filter(({ area, sequence }) => sequence > 0 && this.registry.hasUnits(area))
      .filter(({ area }) => area === this.area || this.registry.ancestors(area).includes(this.area))
      .sort((a, b) => b.sequence - a.sequence)
      .slice(0, LATEST);
    byId("kiosk-latest-list").replaceChildren(...latest.map((area) => this.#latestItem(area)));
  }

  /** @param {Area} area */
  #latestItem(area) {
    const { units, published_at } = area;
    const { ranked, votes } = sums(area);
    const [first] = ranked;
    const swatch = h("i", { class: "chip party" });
    if (first) this.parties.colour(swatch, first[0]);
    return h(
      "li",
      null,
      h("span", { class: "quiet" }, published_at ? time(published_at) : ""),
      h("strong", null, this.registry.name(area.area)),
      h("span", null, `${number(units.reported)}/${number(units.total)}`),
      h("span", null, swatch, first ? `${first[0]} ${share(first[1], votes)}` : ""),
      area.change ? h("span", { class: "change" }, first ? shareChange(area, first[0]) : "") : null,
    );
  }

  /** @param {number} turn counts what has been shown on the right */
  #show(turn) {
    this.#turn = turn;
    const slides = [byId("kiosk-tiles"), byId("kiosk-seats"), byId("kiosk-latest")];
    const filled = slides.filter((slide) =>
      slide === byId("kiosk-seats") ? this.#seats?.visible : this.#hasTiles,
    );
    const shown = filled[turn % filled.length];
    for (const slide of slides) show(slide, slide === shown);
    this.#fit();
  }

  /** Make the content of both sides as large as it can be seen completely. */
  #fit() {
    for (const side of document.querySelectorAll(".kiosk-side")) {
      const content = side.firstElementChild;
      if (!(content instanceof HTMLElement) || !side.clientHeight) continue;
      let [fitting, larger] = ZOOM;
      for (let step = 0; step < ZOOM_STEPS; step++) {
        const zoom = (fitting + larger) / 2; // what is larger has other line breaks, so no proportion helps
        content.style.setProperty("zoom", String(zoom));
        if (isComplete(side)) fitting = zoom;
        else larger = zoom;
      }
      content.style.setProperty("zoom", String(fitting));
    }
  }

  #move() {
    this.#shift = (this.#shift + 1) % SHIFTS.length;
    const [x = 0, y = 0] = SHIFTS[this.#shift] ?? [];
    document.body.style.setProperty("translate", `${x / 10.8}vh ${y / 10.8}vh`);
  }
}

/**
 * Return whether all content of a side is visible.
 *
 * @param {Element} side
 */
const isComplete = (side) => side.scrollHeight <= side.clientHeight && side.scrollWidth <= side.clientWidth;

/**
 * Draw what does not change.
 *
 * @param {ElectionAndRegistry} election
 * @param {string | null} area its name; null: the country
 */
function drawFrame(election, area) {
  const name = nameOf(election);
  const day = election.date ? date(election.date) : "";
  setText(byId("kiosk-title"), area ?? name);
  setText(byId("kiosk-date"), [area === null ? "" : name, day].filter(Boolean).join(" · "));
  document.title = area === null ? name : `${area} · ${name}`;
  showRehearsal(election.rehearsal);
}

/** Show the results of the election and the area of the address for as long as the page is open. */
export async function showKiosk() {
  document.documentElement.classList.add("kiosk");
  const template = byId("kiosk", HTMLTemplateElement);
  byId("main").replaceChildren(template.content, byId("status"), byId("announcement"));
  fillIn();
  keepAwake();
  const election = await waitForElection();
  const id = areaInAddress();
  const kiosk = new Kiosk(election, id);
  const { area, registry } = kiosk;
  if (!registry.has(area)) showProblem(t("unknownArea")(area));
  drawFrame(election, area === registry.root ? null : registry.name(area));
  reloadOnNewVersion(kiosk.feed);
  try {
    const shapes = await fetchShapes(registry.has);
    if (shapes.size) kiosk.showMap(shapes);
  } catch {
    // the tiles stay
  }
}
