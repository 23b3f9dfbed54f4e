// The problems on the board for operators: each in words, with the command that solves it.

import { openRefusals } from "./board.js";
import { commandElement, issueCommand } from "./commands.js";
import { byId, h, setText } from "./dom.js";
import { age, clockTime, number, t } from "./format.js";
import { nameOf } from "./names.js";
import { announce } from "./shell.js";

/** @import { Board } from "../documents" */
/** @import { BoardRow, Problem, RowsProblem, State } from "./board.js" */

const NAMES_SHOWN = 12;

/**
 * Draw the list of problems. What has not changed stays, with the focus in it.
 *
 * @param {Board} shown
 * @param {Problem[]} problems
 * @param {(state: State) => void} choose shows the municipalities in a state
 */
export function drawProblems(shown, problems, choose) {
  const list = byId("problems");
  const title = problems.length ? t("boardProblems")(problems.length) : t("boardNoProblem");
  setText(byId("problems-title"), title);
  announce(title);
  /** @type {Map<string | undefined, HTMLElement>} */
  const before = new Map();
  for (const item of list.querySelectorAll("li")) before.set(item.dataset.kind, item);
  const items = problems.map((problem) => {
    const item = problemElement(shown, problem, choose);
    item.dataset.kind = problem.kind;
    item.dataset.text = item.textContent ?? "";
    const old = before.get(problem.kind);
    return old && old.dataset.text === item.dataset.text ? old : item;
  });
  if (items.length === list.children.length && items.every((item, at) => item === list.children[at])) return;
  const focused = focusedButton(list);
  list.replaceChildren(...items);
  focused?.()?.focus({ preventScroll: true });
}

/**
 * Return how to find the button of a list that has the focus again, once the list is replaced.
 *
 * @param {HTMLElement} list
 */
function focusedButton(list) {
  const button = document.activeElement;
  const item = button?.closest("li");
  if (!(button instanceof HTMLButtonElement) || !item || !list.contains(item)) return null;
  const at = [...item.querySelectorAll("button")].indexOf(button);
  return () => list.querySelector(`[data-kind="${item.dataset.kind}"]`)?.querySelectorAll("button")[at];
}

/** @param {Board} shown @param {Problem} problem @param {(state: State) => void} choose */
function problemElement(shown, problem, choose) {
  if ("rows" in problem) return rowsProblem(shown, problem, choose);
  if (problem.kind === "unknown") {
    const codes = problem.refusals.map(({ code, count, token }) =>
      token === null
        ? `${code} × ${number(count)}`
        : `${code} × ${number(count)} (${t("boardToken")} ${token})`,
    );
    return problemItem("warn", t("boardUnknown")(problem.count), codes.join(", "));
  }
  const text = { overdue: "boardOverdue", receipts: "boardReceipts", unpublished: "boardUnpublished" };
  const key = /** @type {"boardOverdue" | "boardReceipts" | "boardUnpublished"} */ (text[problem.kind]);
  return problemItem("bad", t(key)(age(problem.age_s), problem.count), "");
}

/** @param {Board} shown @param {RowsProblem} problem @param {(state: State) => void} choose */
function rowsProblem(shown, { kind: state, rows }, choose) {
  const names = rows
    .slice(0, NAMES_SHOWN)
    .map(({ row }) => (state === "refused" ? withCodes(row) : nameOf(row)));
  const others = rows.length - names.length;
  const early = shown.released_at === null && (state === "never" || state === "silent");
  const title = t("boardRows")[state]?.(rows.length) ?? "";
  const item = problemItem(
    ["refused", "expired", "noToken"].includes(state) ? "bad" : "warn",
    early ? `${title} ${t("boardEarly")(clockTime(shown.publish_from))}` : title,
    others > 0 ? `${names.join(", ")} ${t("boardMore")(others)}` : names.join(", "),
  );
  if (rows.length > 1) {
    const button = h("button", { type: "button", class: "plain" }, t("boardShowThem"));
    button.addEventListener("click", () => {
      choose(state);
      byId("rows-title").scrollIntoView();
    });
    item.append(button);
  }
  if (state === "noToken" || state === "expired") {
    item.append(
      commandElement(
        issueCommand(
          shown.election,
          rows.map(({ row }) => row.municipality),
        ),
      ),
    );
  }
  return item;
}

/** @param {BoardRow["row"]} row */
const withCodes = (row) =>
  `${nameOf(row)} (${openRefusals(row)
    .map(({ code, count }) => `${code} × ${number(count)}`)
    .join(", ")})`;

/** @param {"bad" | "warn"} kind @param {string} title @param {string} text */
const problemItem = (kind, title, text) =>
  h("li", { class: kind }, h("strong", null, title), text ? h("p", null, text) : null);
