// The change since the previous election: its figures as they are shown, and what they are compared with. An election
// without a previous one shows nothing of it.

import { h, setText, show } from "./dom.js";
import { points, t } from "./format.js";
import { isHidden } from "./hidden.js";
import { nameOf } from "./names.js";

/** @import { Area, Election, PreviousElection } from "../documents" */

/** @type {PreviousElection | null} */
let previous = null;
let year = "";

/**
 * Compare with the previous election of this one from now on.
 *
 * @param {Election} shown
 */
export function compareWithPrevious(shown) {
  previous = shown.previous ?? null;
  year = yearOf(shown.date);
}

/** Whether there is a previous election. */
export const hasPrevious = () => previous !== null;

/** @param {string | null} date */
const yearOf = (date) => date?.slice(0, 4) ?? "";

/** Return when the previous election was, in words: "2021", or its name if both were in the same year. */
export function previousTime() {
  if (!previous) return "";
  const before = yearOf(previous.date);
  return before === year ? nameOf(previous) : before;
}

/**
 * Return the change of a party's share as it is shown beside the share: "+1.2", "new", or "" where there is none.
 *
 * @param {Area} area
 * @param {string} party
 */
export function shareChange({ change }, party) {
  if (!change || isHidden()) return "";
  const value = change.shares[party];
  if (value === null) return t("isNew");
  return value === undefined ? "" : points(value);
}

/**
 * Return the change of the turnout as it is shown beside the turnout; "" where there is none.
 *
 * @param {Area} area
 */
export const turnoutChange = ({ change }) =>
  change && change.turnout !== null && !isHidden() ? points(change.turnout) : "";

/**
 * Return the change of the turnout in words; "" where there is none.
 *
 * @param {Area} area
 */
export function turnoutInWords(area) {
  const change = turnoutChange(area);
  return change && t("pointsSince")(change, previousTime());
}

/**
 * Return what the shares of an area are compared with, as a sentence; "" where they are not.
 *
 * @param {Area} area
 * @param {boolean} isUnit
 */
export function comparedWith({ change, level, units }, isUnit) {
  if (change === undefined || isHidden()) return "";
  const when = previousTime();
  if (change === null) return units.reported ? t("comparedNone")(when) : "";
  if (isUnit) return t("comparedUnit")(when);
  if (change.basis === "same_units") return t("comparedSame")(when);
  const sentence = t("comparedWhole")(t("wholeOf")[level] ?? t("wholeArea"), when);
  return units.reported < units.total ? `${sentence} ${t("comparedEarly")}` : sentence;
}

/**
 * Return what an area is compared with in a few words, for a line that has said so already.
 *
 * @param {Area} area
 */
export const basisOf = (area) => t(isPartial(area) ? "basisWhole" : "basisSame");

/**
 * Draw the change beside a figure in a cell, with an asterisk where it is compared with a whole area.
 *
 * @param {HTMLElement} cell
 * @param {Area} area
 * @param {string} change
 */
export function drawBeside(cell, area, change) {
  const found = cell.querySelector(".change");
  if (!found && !change) return;
  const small = found ?? h("small", { class: "change" });
  setText(small, change && isPartial(area) ? `${change}*` : change);
  if (!found) cell.append(small);
}

/**
 * Whether an area, which is not yet counted, is compared with the whole of what it was.
 *
 * @param {Area} area
 */
const isPartial = ({ change, units }) => change?.basis === "whole" && units.reported < units.total;

/**
 * Explain the figures of `drawBeside` below a table of these areas.
 *
 * @param {HTMLElement} note
 * @param {Iterable<Area>} areas
 */
export function drawChangeNote(note, areas) {
  let some = false;
  let partial = false;
  for (const area of areas) {
    some ||= !!area.change;
    partial ||= isPartial(area);
    if (partial) break;
  }
  const words = [t("changeNote")(previousTime()), partial ? t("changeNotePartial") : ""];
  show(note, some && !isHidden());
  setText(note, words.filter(Boolean).join(" "));
}
