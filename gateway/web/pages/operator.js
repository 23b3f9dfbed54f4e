// The board for operators, read from this door with an operator's token (token_polling.js), and the held reports
// (holds.js), about which they decide here. All other deliberate acts are commands to copy.

import { doorUrl, electionInAddress, parameter, setParameter } from "./address.js";
import { problemsOf, STATES, stateOf } from "./board.js";
import { boardColumns, STATE_COLUMN } from "./board_columns.js";
import { drawProblems } from "./board_problems.js";
import { closeCommand, commandElement, postponeCommand } from "./commands.js";
import { byId, h, setText, show } from "./dom.js";
import { BadAnswer } from "./fetching.js";
import { age, clockTime, countdown, duration, moment, number, t, time, useTimeZone } from "./format.js";
import { Holds } from "./holds.js";
import { allNames, nameOf } from "./names.js";
import { matcher } from "./search.js";
import { electionPath, showProblem, showRehearsal, translate } from "./shell.js";
import { LiveTable } from "./table.js";
import { TableTools } from "./table_tools.js";
import { pollWithToken } from "./token_polling.js";

/** @import { Board } from "../documents" */
/** @import { BoardRow } from "./board.js" */

const INTERVAL_MS = 5000;
const ROWS = 50;

/** @type {Board | null} */
let board = null;
/** By how much the server's clock is ahead of this one. */
let ahead_ms = 0;
let receivedAt = 0;
let failure = () => "";
let reading = new AbortController();

const now_ms = () => Date.now() + ahead_ms;
/** @type {LiveTable<BoardRow>} */
const table = new LiveTable(byId("rows", HTMLTableElement), boardColumns(now_ms), STATE_COLUMN);
const holds = new Holds();
const tools = new TableTools(table, {
  id: "rows",
  choice: "which",
  parameter: "which",
  rows: ROWS,
  arrange: arrangeRows,
});
const silent = byId("silent", HTMLInputElement);

/** @param {string} token @param {string} election */
function read(token, election) {
  reading.abort();
  reading = new AbortController();
  pollWithToken(doorUrl(electionPath(election, "/board")), token, {
    signal: reading.signal,
    interval_ms: INTERVAL_MS,
    onDocument(found) {
      const isFirst = board === null;
      receive(found);
      if (isFirst) holds.start(token, election);
    },
    onError: failed,
  });
}

/** @param {Board} found */
function receive(found) {
  receivedAt = Date.now();
  ahead_ms = Date.parse(found.read_at) - receivedAt;
  if (board === null && !silent.value) silent.value = String(Math.round(found.silent_after_s / 60));
  if (board === null) useTimeZone(found.timezone ?? "");
  board = found;
  failure = () => "";
  draw();
}

/** @param {unknown} error */
function failed(error) {
  const status = error instanceof BadAnswer ? error.status : 0;
  if (status === 401) forget(() => t("boardTokenRefused"));
  else if (status === 403) forget(() => t("boardNotOperator"));
  else if (status === 404) forget(() => t("unknownElection")(electionInAddress() ?? ""));
  else if (board) failure = () => t("boardStale")(time(receivedAt), age((Date.now() - receivedAt) / 1000));
  else failure = () => t(status === 503 ? "boardNoDatabase" : "noAnswer");
  draw();
}

/** @param {() => string} why */
function forget(why) {
  reading.abort();
  holds.stop();
  board = null;
  failure = why;
  table.clear();
  table.arrange(true);
  draw();
}

function draw() {
  showProblem(failure() || null);
  show(byId("entry"), board === null);
  show(byId("board"), board !== null);
  showRehearsal(board?.rehearsal ?? false);
  if (!board) {
    setText(byId("title"), "");
    return;
  }
  setText(byId("title"), `${nameOf(board)} · ${board.election}`);
  setText(byId("updated"), t("ownUpdated")(time(receivedAt)));
  holds.draw();
  const rows = rowsOf(board);
  drawClocks(board, rows);
  drawProblems(board, problemsOf(board, rows, now_ms()), (state) => tools.choose(state));
  for (const row of rows) table.set(row.row.municipality, row);
  arrangeRows(false);
  drawActs(board);
}

/**
 * @param {Board} shown
 * @returns {BoardRow[]}
 */
function rowsOf(shown) {
  const minutes = Number(silent.value) > 0 ? Number(silent.value) : shown.silent_after_s / 60;
  return shown.municipalities.map((row) => ({ row, state: stateOf(row, shown, now_ms(), 60_000 * minutes) }));
}

/** @param {Board} shown @param {BoardRow[]} rows */
function drawClocks(shown, rows) {
  const connected = rows.filter(({ row }) => row.last_contact_at !== null || row.last_heard_at !== null);
  const oldest = shown.waiting.oldest_s;
  const figures = [
    [t("boardConnected"), `${number(connected.length)} / ${number(rows.length)}`],
    [t("boardAccepted"), number(shown.accepted)],
    [t("boardOldest"), oldest === null ? t("boardNone") : duration(oldest)],
    [t("boardRefusedTotal"), number(refusedTotal(shown))],
  ];
  setText(byId("embargo-clock"), `${embargoTitle(shown)}: ${embargoClock(shown)}.`);
  byId("clocks").replaceChildren(
    ...figures.map(([title = "", value = ""]) =>
      h("div", null, h("dt", null, title), h("dd", { class: "large" }, value)),
    ),
  );
}

/** @param {Board} shown */
const refusedTotal = ({ refusals, municipalities }) =>
  refusals.reduce((sum, { count }) => sum + count, 0) +
  municipalities.reduce((sum, { refused }) => sum + refused, 0);

/** @param {Board} shown */
const embargoTitle = ({ released_at, closed_at }) =>
  t(closed_at ? "boardClosedAt" : released_at ? "boardReleasedAt" : "boardEmbargoEnds");

/** @param {Board} shown */
function embargoClock({ publish_from, released_at, closed_at }) {
  const since = closed_at ?? released_at;
  if (since) return moment(since);
  return `${countdown(Date.parse(publish_from) - now_ms())} (${clockTime(publish_from)})`;
}

let actsDrawn = "";

/** @param {Board} shown */
function drawActs({ election, publish_from, released_at, closed_at }) {
  /** @type {[string, string][]} */
  const acts = [];
  if (!released_at) acts.push([t("boardPostpone"), postponeCommand(election, publish_from)]);
  if (!closed_at) acts.push([t("boardClose"), closeCommand(election)]);
  const wanted = JSON.stringify(acts);
  if (wanted === actsDrawn) return;
  actsDrawn = wanted;
  byId("acts").replaceChildren(
    ...acts.map(([title, line]) => h("li", null, h("span", null, title), commandElement(line))),
  );
}

/** @param {boolean} asked whether the reader asked for it */
function arrangeRows(asked) {
  const { chosen } = tools;
  const matches = matcher(tools.query);
  table.filter = ({ row, state }) =>
    (!chosen || chosen === state) && matches(...allNames(row), row.municipality);
  tools.draw(table.arrange(asked), board?.municipalities.length ?? 0);
}

function redraw() {
  table.drawTitles();
  tools.offer(t("whichAll"), STATES, t("boardStates"));
  actsDrawn = "";
  draw();
}

function begin() {
  tools.readAddress();
  silent.value = String(Number(parameter("silent")) || "");
  const election = byId("election-id", HTMLInputElement);
  election.value = electionInAddress() ?? "";
  silent.addEventListener("input", () => {
    setParameter("silent", silent.value);
    draw();
  });
  byId("forget").addEventListener("click", () => forget(() => ""));
  byId("entry-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const token = byId("token", HTMLInputElement);
    const secret = token.value.trim();
    token.value = "";
    setParameter("election", election.value.trim());
    read(secret, election.value.trim());
  });
  byId("entry-button", HTMLButtonElement).disabled = false; // without this script, the browser would send the form
  translate(redraw);
  setInterval(() => board && draw(), 1000);
}

begin();
