// Command lines for deliberate acts, to be copied into a shell, and buttons that copy them.

import { copyText } from "./clipboard.js";
import { h } from "./dom.js";
import { t } from "./format.js";
import { announce } from "./shell.js";

const PLAIN = /^[A-Za-z0-9_.,:+][A-Za-z0-9_.,:+-]*$/;
const POSTPONED_MIN = 30;

/**
 * Return a word that a POSIX shell takes as it is: quoted unless it is plain. Source: POSIX.1-2017, Shell Command
 * Language, section 2.2.2.
 *
 * @param {string} text
 */
export const shellWord = (text) => (PLAIN.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/** @param {string} election */
export const closeCommand = (election) => `valgnatt election close ${shellWord(election)}`;

/** @param {number} token */
export const revokeCommand = (token) => `valgnatt token revoke ${token}`;

/**
 * Return the command that postpones the end of the embargo by half an hour.
 *
 * @param {string} election
 * @param {string} publishFrom RFC 3339; the new time has the same offset
 */
export function postponeCommand(election, publishFrom) {
  const offset = /(Z|[+-]\d\d:\d\d)$/.exec(publishFrom)?.[1] ?? "Z";
  const sign = offset.startsWith("-") ? -1 : 1;
  const offset_min = offset === "Z" ? 0 : sign * (60 * Number(offset.slice(1, 3)) + Number(offset.slice(4)));
  const local = new Date(Date.parse(publishFrom) + 60_000 * (POSTPONED_MIN + offset_min));
  const until = local.toISOString().slice(0, 19) + offset;
  return `valgnatt election embargo ${shellWord(election)} --until ${shellWord(until)}`;
}

/**
 * Return the command that issues the missing tokens of some municipalities.
 *
 * @param {string} election
 * @param {string[]} municipalities
 */
export function issueCommand(election, municipalities) {
  const [first = "", ...others] = municipalities;
  const which = others.length
    ? "--each municipality --missing-only --out tokens.csv"
    : `--areas ${shellWord(first)}`;
  return `valgnatt token issue --election ${shellWord(election)} ${which}`;
}

/**
 * Return the commands that show the rules of an election and change them.
 *
 * @param {string} election
 */
export const rulesCommands = (election) => [
  `valgnatt rules show --election ${shellWord(election)} --json`,
  `valgnatt rules set rules.json --election ${shellWord(election)}`,
];

/**
 * Make an element with a command and a button that copies it.
 *
 * @param {string} line
 */
export function commandElement(line) {
  const code = h("code", null, line);
  return h("div", { class: "command" }, code, copyButton(line, t("boardCopy"), code));
}

/**
 * Make a button that copies a command.
 *
 * @param {string} line
 * @param {string} label
 * @param {Element} [shown] the element that shows the command, to be selected where there is no clipboard
 */
export function copyButton(line, label, shown) {
  const button = h("button", { type: "button", class: "plain", "aria-label": `${label}: ${line}` }, label);
  button.addEventListener("click", async () => {
    const copied = await copyText(line, shown);
    announce(copied ? t("boardCopied")(line) : t("boardNotCopied")(line));
    button.textContent = copied ? "✓" : label;
    if (copied) setTimeout(() => button.replaceChildren(label), 2000);
  });
  return button;
}
