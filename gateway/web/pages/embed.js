// A part of the results for a frame in another page: /embed?election=…&area=…&show=…. It reads the feed for its area
// alone, stores nothing, and reports its height to the page around it (see embed_snippet.js).

import { areaLink, parameter } from "./address.js";
import { drawChangeNote } from "./change.js";
import { areaColumns, areaRow, unitColumns } from "./columns.js";
import { CorrectionsList } from "./corrections_list.js";
import { byId, setText, show } from "./dom.js";
import { drawTableDownloads } from "./downloads.js";
import { Clock, Feed } from "./feed.js";
import { clockTime, t } from "./format.js";
import { HeldUnits } from "./held.js";
import { isHidden } from "./hidden.js";
import { areaProfile, COUNTRY, DEFAULT } from "./mirror_route.js";
import { nameOf } from "./names.js";
import { Parties } from "./parties.js";
import { Registry } from "./registry.js";
import { isApportioned, loadSeatsPart } from "./seats.js";
import { fillIn, refreshElection, showProblem, showRehearsal, waitForElection } from "./shell.js";
import { drawStatus } from "./status.js";
import { Summary } from "./summary.js";
import { LiveTable } from "./table.js";

/** @import { Area, Block, ElectionAndRegistry } from "../documents" */
/** @import { AreaRow } from "./columns.js" */
/** @import { SeatsPart } from "./seats_part.js" */

const EVERY_S = 2; // readers of frames are many, and look at something else
const ROWS = 20;
const PARTS = ["summary", "figures", "parties", "table", "corrections", "seats"];
const REFRESH_ELECTION_MS = 30_000;
const MESSAGE = "valgnatt:height";

class Embed {
  #frame = 0;
  #isMissing = false;
  /** @type {LiveTable<AreaRow> | null} */
  #table = null;
  /** Loaded where seats are shown.
   *
   * @type {SeatsPart | null}
   */
  #seats = null;

  /** @param {ElectionAndRegistry} election */
  constructor(election) {
    this.election = election;
    this.registry = new Registry(election.registry);
    this.parties = new Parties(election.registry.parties);
    this.area = parameter("area") || this.registry.root;
    this.parts = new Set((parameter("show") || "summary").split(","));
    this.summary = new Summary(byId("summary"), this.parties);
    this.corrections = new CorrectionsList(election.id, this.registry, "corrections");
    this.held = new HeldUnits(election.id, this.registry, () => this.#drawSoon());
    this.clock = new Clock();
    this.feed = new Feed(election.id, this.#selection(), this.clock, {
      onBlock: (_, block) => this.#apply(block),
      onState: () => drawStatus(this.feed),
    });
    byId("children-all").addEventListener("click", () => {
      if (this.#table) this.#table.limit = Infinity;
      this.draw();
    });
    if (this.parts.has("seats") && isApportioned(election.registry)) this.#loadSeats();
    setInterval(() => this.#tick(), 1000);
    setInterval(() => this.election.released_at || document.hidden || this.#refresh(), REFRESH_ELECTION_MS);
  }

  async #loadSeats() {
    const { SeatsPart } = await loadSeatsPart();
    this.#seats = new SeatsPart(byId("seats"), this.election.registry, this.parties, this.area);
    this.#drawSoon();
  }

  /** Return the part of the feed that is shown. */
  #selection() {
    const { registry, area } = this;
    const [child] = this.parts.has("table") ? registry.children(area) : [];
    const levels = [registry.level(area), ...(child === undefined ? [] : [registry.level(child)])];
    const query = new URLSearchParams({ levels: levels.join(","), every_s: String(EVERY_S) });
    if (area !== registry.root) query.set("areas", area);
    const [, county] = [...registry.ancestors(area), area];
    const profiles = county === undefined ? [COUNTRY] : [areaProfile(county), DEFAULT];
    return { query: query.toString(), profiles };
  }

  /** @param {Block} block */
  #apply(block) {
    if (block.sequence > 0) this.election.released_at ??= block.published_at;
    this.held.follow(block);
    this.#drawSoon();
  }

  #drawSoon() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.draw();
    });
  }

  async #refresh() {
    try {
      await refreshElection(this.election);
      this.#drawSoon();
    } catch {
      // it is fetched again soon; the status line shows that the door does not answer
    }
  }

  #tick() {
    drawStatus(this.feed);
    show(byId("embargo-until"), isHidden());
    const until = clockTime(this.election.publish_from);
    setText(byId("embargo-until"), isHidden() ? t("embargoUntil")(until) : "");
  }

  /**
   * Say whether the area is in no profile of the mirror that is read.
   *
   * @param {boolean} missing
   */
  #sayMissing(missing) {
    if (missing === this.#isMissing) return;
    this.#isMissing = missing;
    showProblem(missing ? t("notInFiles") : null);
  }

  draw() {
    const area = this.feed.areas.get(this.area);
    const { rehearsal } = this.election;
    showRehearsal(rehearsal);
    const name = this.registry.name(this.area);
    setText(byId("title"), name);
    setText(byId("subtitle"), nameOf(this.election));
    document.title = `${name} · ${nameOf(this.election)}`;
    byId("whole").setAttribute("href", this.area === this.registry.root ? areaLink() : areaLink(this.area));
    this.#tick();
    this.#sayMissing(!area && this.feed.mirror !== null && this.feed.areas.size > 0);
    if (!area || isHidden()) return;
    this.#drawSummary(area);
    if (this.parts.has("table")) this.#drawTable();
    this.#seats?.draw(this.feed.areas);
    if (this.parts.has("corrections")) this.corrections.follow(area);
  }

  /** @param {Area} area */
  #drawSummary(area) {
    const whole = this.parts.has("summary");
    const figures = whole || this.parts.has("figures");
    const parties = whole || this.parts.has("parties");
    show(byId("summary"), figures || parties);
    byId("summary").classList.toggle("without-figures", !figures);
    byId("summary").classList.toggle("without-parties", !parties);
    this.summary.draw(area);
    this.summary.drawHeld(this.held.count(this.area));
  }

  #drawTable() {
    const { registry } = this;
    const children = [...this.feed.areas.values()].filter(({ parent }) => parent === this.area);
    const [first] = children;
    show(byId("children-section"), first !== undefined);
    if (!first) return;
    setText(byId("children-title"), t("childrenTitle")[first.level] ?? t("childrenOther"));
    if (!this.#table) {
      const columns = registry.isUnit(first.area) ? unitColumns : areaColumns;
      this.#table = new LiveTable(byId("children", HTMLTableElement), columns(this.parties));
      this.#table.limit = ROWS;
    }
    for (const child of children) {
      this.#table.set(child.area, areaRow(child, registry.name(child.area), child.area));
    }
    drawChangeNote(byId("children-change"), children);
    const found = this.#table.arrange();
    show(byId("children-all"), found > this.#table.limit);
    setText(byId("children-all"), t("showAll")(found));
    drawTableDownloads(byId("children-downloads"), this.election.id, [first.level], this.area);
  }
}

/** Report the height of the content to the page around the frame, now and whenever it changes. */
function reportHeight() {
  const report = () => {
    const height = Math.ceil(document.documentElement.getBoundingClientRect().height);
    parent.postMessage({ type: MESSAGE, height }, "*"); // the height is no secret
  };
  new ResizeObserver(report).observe(document.documentElement);
}

if (parent !== window) reportHeight();
fillIn();
const election = await waitForElection();
const embed = new Embed(election);
if (embed.registry.has(embed.area)) embed.draw();
else showProblem(t("unknownArea")(embed.area));
const unknown = [...embed.parts].find((part) => !PARTS.includes(part));
if (unknown !== undefined) showProblem(t("unknownPart")(unknown, PARTS.join(", ")));
