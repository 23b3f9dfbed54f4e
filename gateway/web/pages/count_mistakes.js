// What is wrong with the file: a list below it, which leads to the line of a pasted table.

import { messageText } from "./count_messages.js";
import { byId, h } from "./dom.js";
import { t } from "./format.js";

/** @import { FileMessage } from "../push_documents" */
/** @typedef {{text: string, line: number | null, column: string | null, english: boolean}} Mistake */

export class MistakeView {
  /** Return the mistakes in the language of the page.
   *
   * @type {(() => Mistake[]) | null}
   */
  #mistakes = null;
  #paste = byId("paste", HTMLTextAreaElement);
  #file = byId("file", HTMLInputElement);

  /** @param {FileMessage[]} mistakes found by the door */
  show(mistakes) {
    this.#show(() =>
      mistakes.map((each) => ({ line: each.line, column: each.column, ...messageText(each) })),
    );
  }

  /** @param {() => string} text */
  showText(text) {
    this.#show(() => [{ text: text(), line: null, column: null, english: false }]);
  }

  /** @param {() => Mistake[]} mistakes */
  #show(mistakes) {
    this.#mistakes = mistakes;
    this.draw();
    this.#field.setAttribute("aria-invalid", "true");
    byId("file-error-title").focus();
  }

  /** The field with the file. */
  get #field() {
    return this.#file.files?.length ? this.#file : this.#paste;
  }

  clear() {
    this.#mistakes = null;
    byId("file-error").replaceChildren();
    for (const field of [this.#paste, this.#file]) field.removeAttribute("aria-invalid");
  }

  /** Draw everything again, after a change of the language too. */
  draw() {
    const mistakes = this.#mistakes?.() ?? [];
    if (!mistakes.length) return;
    const pasted = this.#field === this.#paste;
    const items = mistakes.map(({ text, line, column, english }) =>
      h(
        "li",
        null,
        line !== null && pasted ? this.#lineButton(line, column) : null,
        h("span", english ? { lang: "en" } : null, text),
      ),
    );
    byId("file-error").replaceChildren(
      h("h3", { id: "file-error-title", tabindex: -1 }, t("fileWrong")(mistakes.length)),
      h("ul", null, ...items),
      h("p", null, t("fileKept")),
    );
  }

  /**
   * @param {number} line
   * @param {string | null} column
   */
  #lineButton(line, column) {
    const label = column === null ? t("showLine")(line) : t("showCell")(line, column);
    const button = h("button", { type: "button", class: "plain small" }, label);
    button.addEventListener("click", () => this.#select(line, column));
    return button;
  }

  /**
   * Select a line of the pasted table, or one cell of it.
   *
   * @param {number} line from 1
   * @param {string | null} column
   */
  #select(line, column) {
    const paste = this.#paste;
    const lines = paste.value.split("\n");
    const whole = lines[line - 1] ?? "";
    const cells = whole.split("\t");
    const place = column === null ? -1 : columnNumber(column) - 1;
    const cell = cells[place] ?? whole;
    const before = cells[place] === undefined ? [] : cells.slice(0, place);
    const start = [...lines.slice(0, line - 1), ...before].reduce((sum, each) => sum + each.length + 1, 0);
    paste.focus();
    paste.setSelectionRange(start, start + cell.length);
    const height = paste.scrollHeight / Math.max(1, lines.length);
    paste.scrollTop = Math.max(0, (line - 3) * height);
  }
}

/**
 * Return the number of a column from its letters: A is 1, Z is 26, AA is 27.
 *
 * @param {string} letters
 */
const columnNumber = (letters) => [...letters].reduce((sum, each) => 26 * sum + each.charCodeAt(0) - 64, 0);
