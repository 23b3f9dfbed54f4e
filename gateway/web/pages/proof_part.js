// The part of the page that verifies a proof file, which is chosen or dropped. The file stays in the browser.

import { commandElement } from "./commands.js";
import { byId, setText, show } from "./dom.js";
import { checkProof } from "./proof_check.js";
import { FILE_SIZE_MAX } from "./proof_file.js";
import { proofTexts } from "./proof_texts.js";
import { drawChecked, drawProblem, ReportNames } from "./proof_view.js";
import { announce } from "./shell.js";
import { readTrust } from "./trust.js";
import { Unproven } from "./unproven.js";

/** @import { Log, RegistryDocument } from "../documents" */
/** @import { Bytes } from "./encodings.js" */
/** @import { Checked } from "./proof_check.js" */

const AFTER_TYPING_MS = 300;

/** @typedef {{checked: Checked, ownKeys: boolean} | {problem: Unproven}} Outcome */

export class ProofPart {
  /** @type {Bytes | null} */
  #file = null;
  /** @type {Outcome | null} */
  #outcome = null;
  /** @type {"insecure" | "noEd25519" | null} */
  #lacking = null;
  #attempt = 0;
  #timer = 0;

  /**
   * @param {RegistryDocument} registry
   * @param {() => Log | null} log with the keys that are used if the reader has none
   */
  constructor(registry, log) {
    this.names = new ReportNames(registry);
    this.log = log;
  }

  /** @param {"insecure" | "noEd25519" | null} lacking what the browser lacks */
  start(lacking) {
    this.#lacking = lacking;
    show(byId("lacking"), lacking !== null);
    show(byId("proof-form"), lacking === null);
    if (lacking !== null) return;
    const input = byId("file", HTMLInputElement);
    input.addEventListener("change", () => this.#take([...(input.files ?? [])]));
    byId("keys").addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#check(), AFTER_TYPING_MS);
    });
    this.#acceptDrops();
  }

  /** A file may be dropped anywhere: next to the area, a browser would leave the page to show it. */
  #acceptDrops() {
    const area = byId("drop");
    document.addEventListener("dragover", (event) => {
      event.preventDefault();
      area.classList.add("over");
    });
    document.addEventListener("dragleave", (event) => {
      if (event.relatedTarget === null) area.classList.remove("over");
    });
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      area.classList.remove("over");
      byId("file", HTMLInputElement).value = "";
      this.#take([...(event.dataTransfer?.files ?? [])]);
    });
  }

  /** @param {File[]} files */
  async #take(files) {
    const [file] = files;
    if (!file) return;
    this.#file = null;
    const attempt = ++this.#attempt;
    try {
      if (files.length > 1) throw new Unproven("severalFiles");
      if (file.size > FILE_SIZE_MAX) throw new Unproven("tooLarge");
      const bytes = await file.arrayBuffer().catch(() => Promise.reject(new Unproven("unreadable")));
      if (attempt !== this.#attempt) return;
      this.#file = new Uint8Array(bytes);
      await this.#check();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Verify the file, now and whenever the keys change. */
  async #check() {
    const file = this.#file;
    if (!file) return;
    const attempt = ++this.#attempt;
    try {
      const own = byId("keys", HTMLTextAreaElement).value;
      const trust = await readTrust(own.trim() || this.#doorKeys());
      const checked = await checkProof(file, trust);
      if (attempt !== this.#attempt) return;
      this.#outcome = { checked, ownKeys: own.trim() !== "" };
      this.redraw();
    } catch (error) {
      if (attempt === this.#attempt) this.#fail(error);
    }
  }

  #doorKeys() {
    const log = this.log();
    if (!log) throw new Unproven("noDoorKeys");
    return [...log.vkeys, ...log.witnesses].join("\n");
  }

  /** @param {unknown} error */
  #fail(error) {
    if (!(error instanceof Unproven)) throw error;
    this.#outcome = { problem: error };
    this.redraw();
  }

  /** Draw everything again, after a change of the language too. */
  redraw() {
    const texts = proofTexts();
    if (this.#lacking !== null) {
      setText(byId("lacking-text"), texts[this.#lacking]);
      byId("lacking-command").replaceChildren(
        commandElement("valgnatt verify receipt UNIT-REVISION.tlog-proof --key log.vkey"),
      );
    }
    const outcome = this.#outcome;
    if (!outcome) return;
    const result = byId("proof-result");
    if ("problem" in outcome) drawProblem(result, outcome.problem);
    else drawChecked(result, outcome.checked, outcome.ownKeys, this.names);
    announce(result.querySelector(".sentence")?.textContent ?? "");
  }
}
