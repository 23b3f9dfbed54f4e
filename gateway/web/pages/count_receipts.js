// The answers to what was sent: a table, and files to keep.

import { drawCards, unitName } from "./count_cards.js";
import { byId, h, setText, show } from "./dom.js";
import { moment, number, t, time } from "./format.js";
import { nameOfArea } from "./own_areas.js";

/** @import { Entry, Sending } from "./count_sending.js" */

const SHOWN_MAX = 300;
const COLUMNS = ["unit", "name", "revision", "outcome", "state", "sequence", "accepted_at", "digest", "code"];
/** A cell that begins with one of these is a formula for a spreadsheet. */
const FORMULA = /^[=+\-@\t\r]/;

/**
 * Draw the state of a sending.
 *
 * @param {Sending} sending
 */
export function drawSending(sending) {
  show(byId("sending"), true);
  const status = byId("sending-status");
  setText(status, statusText(sending));
  const waits = sending.count("waits");
  const bad = sending.count("refused") + sending.count("not_sent") > 0 || sending.ended !== null;
  status.classList.toggle("good", !waits && !bad);
  status.classList.toggle("waits", waits > 0 && !bad);
  status.classList.toggle("bad", bad);
  show(byId("again-line"), sending.overtaken);
  show(
    byId("downloads"),
    sending.all.some(({ state }) => state === "receipt"),
  );
  const order = ["refused", "not_sent", "waits", "receipt"];
  const entries = sending.entries.toSorted((a, b) => order.indexOf(a.state) - order.indexOf(b.state));
  drawCards(
    byId("answers", HTMLTableElement),
    ["colUnit", "colRevision", "colAnswer", "colTime"],
    [...entries, ...sending.earlier].slice(0, SHOWN_MAX).map((entry) => ({
      key: entry.item.report.unit,
      kind: entry.state,
      contents: [
        unitName(nameOfArea(entry.item.report.unit, entry.item.comparison.name), entry.item.report.unit),
        number(entry.item.report.revision),
        answerText(entry),
        entry.answer?.accepted_at ? moment(entry.answer.accepted_at) : null,
      ],
    })),
  );
}

/** @param {Sending} sending */
function statusText(sending) {
  const total = sending.entries.length;
  const receipts = sending.count("receipt");
  if (sending.ended?.ofToken) return t("sendingToken")(total - receipts);
  if (sending.ended) return t("sendingEnded")(sending.ended.status, sending.ended.detail);
  if (sending.trouble) return t("sendingTrouble")(receipts, total, time(sending.trouble.since));
  if (sending.count("waits")) return t("sendingNow")(receipts, total);
  const refused = sending.count("refused");
  if (refused) return t("sendingRefused")(receipts, refused, sending.count("not_sent"));
  return t("sendingDone")(total);
}

/** @param {Entry} entry */
function answerText({ state, answer }) {
  if (state === "waits") return t("answerWaits");
  if (state === "not_sent") return t("answerNotSent");
  if (state === "receipt") {
    const known = answer?.state ?? "";
    const kind = t("answerStates")[known] ?? known;
    return answer?.outcome === "duplicate" ? `${kind} · ${t("answerDuplicate")}` : kind;
  }
  const texts = (answer?.violations ?? []).map(({ path, detail }) =>
    h("li", { lang: "en" }, `${path}: ${detail}`),
  );
  const reason = t("refusals")[answer?.code ?? ""] ?? t("refusedFor")(answer?.code ?? "");
  return h("div", null, reason, texts.length ? h("ul", { class: "findings" }, ...texts) : null);
}

/** @param {Sending} sending */
const rows = (sending) =>
  sending.all.map(({ item, state, answer }) => ({
    unit: item.report.unit,
    name: item.comparison.name,
    revision: item.report.revision,
    outcome: answer?.outcome ?? state,
    state: answer?.state ?? null,
    sequence: answer?.sequence ?? null,
    accepted_at: answer?.accepted_at ?? null,
    digest: answer?.digest ?? null,
    code: answer?.code ?? null,
  }));

/**
 * Offer the receipts as a file.
 *
 * @param {Sending} sending
 * @param {"csv" | "json"} format
 */
export function download(sending, format) {
  const found = rows(sending);
  const text = format === "json" ? `${JSON.stringify(found, null, 1)}\n` : csv(found);
  const type = format === "json" ? "application/json" : "text/csv;charset=utf-8";
  const name = `receipts-${sending.election}-${new Date().toISOString().replace(/[:.]/g, "-")}.${format}`;
  offer(new Blob([text], { type }), name);
}

/**
 * Offer a file to be kept.
 *
 * @param {Blob} content
 * @param {string} name
 */
export function offer(content, name) {
  const href = URL.createObjectURL(content);
  h("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

/** @param {{[column: string]: string | number | null}[]} found */
function csv(found) {
  const lines = found.map((row) => COLUMNS.map((column) => cell(row[column] ?? "")).join(";"));
  return `\uFEFF${[COLUMNS.join(";"), ...lines].join("\r\n")}\r\n`;
}

/** @param {string | number} value */
function cell(value) {
  const text = String(value);
  const safe = typeof value === "string" && FORMULA.test(text) ? `'${text}` : text;
  return /[";\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
