// "Verify the results": whether the record is signed, how old its newest checkpoint is and who agrees, the keys, how to
// verify the record with a program, and the proof of a report (proof_part.js), which the browser verifies.

import { commandElement, shellWord } from "./commands.js";
import { byId, h, setText, show } from "./dom.js";
import { toBase64 } from "./encodings.js";
import { Clock } from "./feed.js";
import { BadAnswer, fetchWithin, Pauses, pause, visible } from "./fetching.js";
import { age, number } from "./format.js";
import { drawKeys } from "./key_list.js";
import { fetchLive } from "./mirror_live.js";
import { nameOf } from "./names.js";
import { checkSignatures } from "./proof_check.js";
import { ProofPart } from "./proof_part.js";
import { onProofTexts, proofTexts } from "./proof_texts.js";
import { fetchPublication } from "./record_ranges.js";
import {
  announce,
  electionPath,
  fetchElections,
  showRehearsal,
  translate,
  waitForElection,
} from "./shell.js";
import { readCheckpoint, whatIsLacking } from "./signed_note.js";
import { latestCosignature, signedSentence } from "./signed_sentence.js";
import { documents, isFile, mirror, useMirror } from "./source.js";
import { readTrust } from "./trust.js";
import { withoutThisSoftware } from "./verify_commands.js";

/** @import { ElectionAndRegistry, Log, StoredCheckpoint } from "../documents" */
/** @import { Checkpoint } from "./signed_note.js" */
/** @import { Signatures } from "./proof_check.js" */
/** @import { Sentence } from "./signed_sentence.js" */

const INTERVAL_MS = 5000;
const REDRAW_MS = 1000;

class VerifyPage {
  /** @type {Checkpoint | null} */
  #checkpoint = null;
  /** @type {Signatures | null} */
  #signatures = null;
  /** When the checkpoint was signed, in milliseconds since 1970.
   *
   * @type {number | null}
   */
  #signedAt = null;
  #note = "";
  /** The first report that the checkpoint does not cover, and when it was published, in milliseconds since 1970.
   *
   * @type {{ sequence: number, at: number } | null}
   */
  #uncovered = null;
  #isMalformed = false;
  #wasRead = false;
  #kind = "";
  /** @type {"insecure" | "noEd25519" | null} */
  #lacking = null;

  /** @param {ElectionAndRegistry} election */
  constructor(election) {
    this.election = election;
    this.clock = new Clock();
    this.proof = new ProofPart(election.registry, () => this.log);
    setInterval(() => document.hidden || this.draw(), REDRAW_MS);
    this.#start();
  }

  /** @returns {Log | null} */
  get log() {
    return this.election.log ?? null;
  }

  async #start() {
    this.#lacking = await whatIsLacking();
    this.proof.start(this.#lacking);
    this.redraw();
    const pauses = new Pauses();
    for (;;) {
      try {
        await this.#read();
        pauses.reset();
        this.draw();
        await pause(INTERVAL_MS, INTERVAL_MS);
      } catch (error) {
        await pauses.wait(error);
      }
      await visible();
    }
  }

  /** Read the head of the record and the newest checkpoint. Throws without an answer. */
  async #read() {
    const found = (await fetchElections()).find(({ id }) => id === this.election.id);
    const before = JSON.stringify(this.log);
    Object.assign(this.election, found);
    if (JSON.stringify(this.log) !== before) {
      [this.#checkpoint, this.#note] = [null, ""]; // of another history, or verified with other keys
      this.redraw();
    }
    if (this.log) {
      await this.#readCheckpoint();
      await this.#readUncovered();
    }
    this.#wasRead = true;
  }

  async #readCheckpoint() {
    const response = await fetchWithin(documents().checkpoint(this.election.id), {
      cache: "no-store",
    });
    const date = response.headers.get("Date");
    if (date) this.clock.observe(date);
    if (response.status === 404) {
      [this.#checkpoint, this.#note] = [null, ""];
      return;
    }
    if (response.status !== 200) throw new BadAnswer(response);
    const note = await response.text();
    if (note === this.#note) return;
    const checkpoint = readable(note);
    this.#isMalformed = !checkpoint;
    if (!checkpoint) return;
    if (checkpoint.size !== this.#checkpoint?.size) {
      this.#signedAt = await this.#signingTime(checkpoint, response.headers.get("Last-Modified"));
    }
    this.#signatures = this.#lacking || !this.log ? null : await verified(checkpoint, this.log);
    [this.#checkpoint, this.#note] = [checkpoint, note];
  }

  /** Read when the first report that the checkpoint does not cover was published: it may have been just now. */
  async #readUncovered() {
    const sequence = this.#checkpoint ? Number(this.#checkpoint.size) : 1;
    if (sequence > (this.election.sequence ?? 0)) this.#uncovered = null;
    else if (this.#uncovered?.sequence !== sequence) {
      if (isFile && mirror) useMirror((await fetchLive(mirror, this.election.id)).history);
      const publication = await fetchPublication(documents().record(this.election.id), sequence);
      this.#uncovered = { sequence, at: Date.parse(publication.published_at) };
    }
  }

  /**
   * Return when a checkpoint was signed, in milliseconds since 1970: a note does not say so.
   *
   * @param {Checkpoint} checkpoint
   * @param {string | null} lastModified when the note was written, if it is a file: the list of checkpoints is written later
   */
  async #signingTime({ size }, lastModified) {
    const path = documents().checkpoints(this.election.id, size);
    const response = await fetchWithin(path, { cache: "no-store" });
    if (response.status !== 200) throw new BadAnswer(response);
    /** @type {StoredCheckpoint[]} */
    const stored = (await response.text())
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line));
    const found = stored.find((each) => BigInt(each.size) === size);
    if (!found && !isFile) throw new BadAnswer(response);
    return found ? Date.parse(found.signed_at) : Date.parse(lastModified ?? "") || null;
  }

  draw() {
    const [kind, words] = this.#sentence();
    const element = byId("sentence");
    element.className = `sentence ${kind}`;
    setText(element, words);
    if (this.#kind !== kind) announce(words); // announce the state, not each second
    this.#kind = kind;
    this.#drawFigures();
  }

  /** @returns {Sentence} */
  #sentence() {
    if (!this.#wasRead) return ["waits", proofTexts().reading];
    if (!this.log) return ["waits", proofTexts().notSigned];
    if (this.#isMalformed) return ["bad", proofTexts().wrongSignature];
    return signedSentence({
      checkpoint: this.#checkpoint,
      signatures: this.#signatures,
      age_s: this.#age_s(),
      now_s: this.clock.now() / 1000,
      published: this.election.sequence ?? 0,
      uncovered_s: this.#uncovered ? (this.clock.now() - this.#uncovered.at) / 1000 : 0,
      closed: Boolean(this.election.closed_at),
      witnesses: this.log.witnesses.length,
    });
  }

  #age_s = () => Math.max(0, (this.clock.now() - (this.#signedAt ?? this.clock.now())) / 1000);

  #drawFigures() {
    const checkpoint = this.#checkpoint;
    show(byId("checkpoint"), checkpoint !== null);
    show(byId("root"), checkpoint !== null);
    if (!checkpoint || !this.log) return;
    const texts = proofTexts();
    const published = this.election.sequence ?? 0;
    const covered = Math.min(Number(checkpoint.size) - 1, published);
    const asked = this.log.witnesses.length;
    const figures = [[texts.figureAge, age(this.#age_s()), ""]];
    figures.push([texts.figureCovered, number(covered), texts.figureOf(published)]);
    if (asked && this.#signatures) {
      const agree = this.#signatures.witnesses.filter(({ at }) => at !== null).length;
      const latest = latestCosignature(this.#signatures);
      const when = latest === null ? "" : texts.figureConfirmed(age(this.clock.now() / 1000 - latest));
      figures.push([texts.figureWitnesses, texts.figureWitnessesOf(agree, asked), when]);
    }
    byId("checkpoint").replaceChildren(
      ...figures.map(([name = "", value = "", note = ""]) =>
        h(
          "div",
          null,
          h("dt", null, name),
          h("dd", { class: "large" }, value),
          h("dd", { class: "quiet" }, note),
        ),
      ),
    );
    setText(byId("root-size"), texts.root(String(checkpoint.size)));
    setText(byId("root-hash"), toBase64(checkpoint.root));
  }

  /** Draw everything again, after a change of the language or of the log. */
  redraw() {
    const texts = proofTexts();
    for (const element of document.querySelectorAll("[data-proof]")) {
      const key = /** @type {keyof typeof texts} */ (element.getAttribute("data-proof"));
      setText(element, String(texts[key]));
    }
    showRehearsal(this.election.rehearsal);
    document.title = `${texts.title} · ${nameOf(this.election)}`;
    setText(byId("title"), nameOf(this.election));
    for (const id of ["keys-section", "how-signed", "how-other"]) show(byId(id), this.log !== null);
    if (this.log) drawKeys(this.log);
    const history = this.log?.history ?? 1;
    show(byId("history"), history > 1);
    setText(byId("history"), texts.laterHistory(history));
    this.#drawCommands();
    this.proof.redraw();
    this.#kind = "";
    this.draw();
  }

  #drawCommands() {
    const url = isFile
      ? documents()
          .election(this.election.id)
          .replace(/\.json$/, "")
      : location.origin + electionPath(this.election.id);
    byId("how-install").replaceChildren(commandElement("pip install 'valgnatt[sign]'"));
    byId("how-record").replaceChildren(
      commandElement(`valgnatt verify record ${shellWord(url)} --key log.vkey`),
    );
    byId("how-receipt").replaceChildren(
      commandElement("valgnatt verify receipt UNIT-REVISION.tlog-proof --key log.vkey"),
    );
    setText(byId("how-without"), withoutThisSoftware(url));
  }
}

/**
 * Return a checkpoint; null if it is malformed.
 *
 * @param {string} note
 */
function readable(note) {
  try {
    return readCheckpoint(note);
  } catch {
    return null;
  }
}

/**
 * Verify the signatures of a checkpoint; null if a key is of a type that is not known here.
 *
 * @param {Checkpoint} checkpoint
 * @param {Log} log
 */
async function verified(checkpoint, { vkeys, witnesses }) {
  const trust = await readTrust([...vkeys, ...witnesses].join("\n")).catch(() => null);
  return trust && checkSignatures(checkpoint, trust);
}

/** @type {VerifyPage | null} */
let page = null;
const redraw = () => {
  if (page) page.redraw();
  else setText(byId("sentence"), proofTexts().reading);
};
translate(redraw);
onProofTexts(redraw);
page = new VerifyPage(await waitForElection());
page.redraw();
