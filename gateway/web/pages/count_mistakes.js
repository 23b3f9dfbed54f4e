// What is wrong with the file: a list below it, which leads to the line of a pasted table.

import { byId, h } from "./dom.js";
import { t } from "./format.js";

/** @import { Mistake } from "../push_documents" */

export class MistakeView {
  /** Return the mistakes in the language of the page; those that the door has written are in English.
   *
   * @type {(() => (Mistake & {english: boolean})[]) | null}
   */
  #mistakes = null;
  #paste = byId("paste", HTMLTextAreaElement);
  #file = byId("file", HTMLInputElement);

  /** @param {Mistake[]} mistakes found by the door */
  show(mistakes) {
    this.#show(() => mistakes.map((each) => ({ ...each, english: true })));
  }

  /** @param {() => string} text */
  showText(text) {
    this.#show(() => [{ text: text(), line: null, english: false }]);
  }

  /** @param {() => (Mistake & {english: boolean})[]} mistakes */
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
    const items = mistakes.map(({ text, line, english }) =>
      h(
        "li",
        null,
        line !== null && pasted ? this.#lineButton(line) : null,
        h("span", english ? { lang: "en" } : null, text),
      ),
    );
    byId("file-error").replaceChildren(
      h("h3", { id: "file-error-title", tabindex: -1 }, t("fileWrong")(mistakes.length)),
      h("ul", null, ...items),
      h("p", null, t("fileKept")),
    );
  }

  /** @param {number} line */
  #lineButton(line) {
    const button = h("button", { type: "button", class: "plain small" }, t("showLine")(line));
    button.addEventListener("click", () => this.#select(line));
    return button;
  }

  /** @param {number} line from 1 */
  #select(line) {
    const paste = this.#paste;
    const lines = paste.value.split("\n");
    const start = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
    paste.focus();
    paste.setSelectionRange(start, start + (lines[line - 1]?.length ?? 0));
    const height = paste.scrollHeight / Math.max(1, lines.length);
    paste.scrollTop = Math.max(0, (line - 3) * height);
  }
}
