// The page for officers: sign in with a token, paste or choose a file, look at what it changes, send it, keep the
// receipts. Files are read by the push door, with the code of `valgnatt push`.

import { electionInAddress } from "./address.js";
import { fileBody, tooLarge } from "./count_file.js";
import { onMessages } from "./count_messages.js";
import { MistakeView } from "./count_mistakes.js";
import { OwnView } from "./count_own.js";
import { PreviewView } from "./count_preview.js";
import { download, drawSending, offer } from "./count_receipts.js";
import { Sending } from "./count_sending.js";
import { Refused, Session } from "./count_session.js";
import { byId, setText, show } from "./dom.js";
import { LARGE_LIMIT_MS, Pauses } from "./fetching.js";
import { t, time, useTimeZone } from "./format.js";
import { onHoldTexts } from "./hold_texts.js";
import { nameOf } from "./names.js";
import { useAreas } from "./own_areas.js";
import { announce, showRehearsal, translate } from "./shell.js";

/** @import { OwnReports, Preview } from "../push_documents" */

const session = new Session();
const previewView = new PreviewView();
const mistakeView = new MistakeView();
const readOwn = () => session.ask("/reports", { limit_ms: LARGE_LIMIT_MS });
const ownView = new OwnView(readOwn, keep);
/** @type {OwnReports | null} */
let own = null;
/** @type {Preview | null} */
let preview = null;
/** @type {Sending | null} */
let sending = null;
let sendingRuns = false;
let changed = false; // whether there are counts on the page that were not sent
/** @type {() => void} */
let showSignInError = () => {}; // draws it again in another language
let checks = new AbortController();

const paste = byId("paste", HTMLTextAreaElement);
const chosenFile = byId("file", HTMLInputElement);

// Signing in.

/** @param {SubmitEvent} event */
async function signIn(event) {
  event.preventDefault();
  const field = byId("token", HTMLInputElement);
  const token = field.value.trim();
  const election = byId("election", HTMLInputElement).value.trim();
  if (!election || !token) {
    signInError(() => t(election ? "tokenEmpty" : "electionEmpty"), election ? "token" : "election");
    return;
  }
  if (sending && sending.election !== election) {
    const { election: before } = sending; // its counts must never reach another one
    signInError(() => t("otherElection")(before), "election");
    return;
  }
  session.start(election, token);
  const button = byId("sign-in-button", HTMLButtonElement);
  button.disabled = true;
  try {
    opened(await readOwn());
    field.value = "";
  } catch (error) {
    session.forget();
    const wrongElection = error instanceof Refused && error.code === "unknown_election";
    signInError(() => signInText(error), wrongElection ? "election" : "token");
  } finally {
    button.disabled = false;
  }
}

/** @param {unknown} error */
function signInText(error) {
  if (!(error instanceof Refused)) return t("noAnswerYet");
  if (error.code === "unknown_election") return t("unknownElection")(session.election);
  if (error.ofToken) return t("badToken");
  if (error.passing) return t("busy");
  return t("ownFailed")(error.status);
}

/**
 * @param {() => string} text
 * @param {string} field
 */
function signInError(text, field) {
  showSignInError = () => setText(byId("sign-in-error"), text());
  showSignInError();
  byId(field).setAttribute("aria-invalid", "true");
  byId(field).focus();
}

/** @param {OwnReports} reports */
function opened(reports) {
  useTimeZone(reports.election.timezone ?? "");
  keep(reports);
  showSignInError = () => {};
  setText(byId("sign-in-error"), "");
  for (const name of ["token", "election"]) byId(name).removeAttribute("aria-invalid");
  showRehearsal(reports.rehearsal);
  drawSignedIn();
  show(byId("file-section"), reports.role === "sender");
  ownView.follow();
  if (sending?.ended) resume();
  else byId(reports.role === "sender" ? "file-title" : "own-title").focus();
}

/** @param {OwnReports} reports */
function keep(reports) {
  own = reports;
  useAreas(reports);
  ownView.update(reports);
}

function drawSignedIn() {
  show(byId("sign-in"), !session.active);
  show(byId("signed-in"), session.active);
  if (own)
    setText(
      byId("signed-in-text"),
      t(own.role === "sender" ? "signedIn" : "signedInToRead")(
        nameOf(own.election),
        placeOf(own),
        own.units.length,
      ),
    );
}

/** @param {OwnReports} reports */
function placeOf({ municipalities }) {
  const [first, ...others] = municipalities;
  return first && !others.length ? nameOf(first) : t("severalMunicipalities")(municipalities.length);
}

/** Forget the token, and keep the counts on the page; another token may be for another election. */
function signOut() {
  setPreview(null);
  session.forget();
  checks.abort();
  drawSignedIn();
  ownView.clear();
  byId("token").focus();
}

// The file.

async function getTemplate() {
  setText(byId("checking"), "");
  try {
    offer(await session.file("/template"), `counts-${session.election}.csv`);
  } catch (error) {
    setText(byId("checking"), signInText(error));
  }
}

/** @param {Event} [event] */
async function check(event) {
  event?.preventDefault();
  checks.abort();
  checks = new AbortController();
  mistakeView.clear();
  setPreview(null);
  const body = fileBody(paste.value, chosenFile.files?.[0] ?? null);
  const problem = body.problem ?? (tooLarge(body.content) ? "fileTooLarge" : null);
  if (problem !== null) return mistakeView.showText(() => t(problem));
  const button = byId("check", HTMLButtonElement);
  const { signal } = checks;
  button.disabled = true;
  try {
    await read(body.content, body.type, signal);
  } finally {
    if (!signal.aborted) setText(byId("checking"), "");
    button.disabled = false;
  }
}

/**
 * Have a file read, again and again while there is no answer.
 *
 * @param {Blob} content
 * @param {string} type
 * @param {AbortSignal} signal
 */
async function read(content, type, signal) {
  const pauses = new Pauses();
  const since = Date.now();
  setText(byId("checking"), t("checking"));
  while (!signal.aborted) {
    try {
      const found = await session.ask("/preview", {
        method: "POST",
        body: content,
        type,
        limit_ms: LARGE_LIMIT_MS,
      });
      if (!signal.aborted) shown(found);
      return;
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refused && !error.passing) return refusedFile(error);
      setText(byId("checking"), t(error instanceof Refused ? "checkBusy" : "checkNoAnswer")(time(since)));
      await pauses.wait(error, signal);
    }
  }
}

/** @param {Preview} found */
function shown(found) {
  setPreview(found);
  byId("preview-title").focus();
  announce(byId("preview-summary").textContent);
}

/** @param {Preview | null} found */
function setPreview(found) {
  preview = found;
  previewView.show(found);
}

/** @param {Refused} error */
function refusedFile(error) {
  if (error.ofToken) {
    signOut();
    signInError(() => t("badTokenKept"), "token");
  } else if (error.code === "bad_count_file") {
    mistakeView.show(error.mistakes);
  } else {
    mistakeView.showText(() => t("fileRefused")[error.code] ?? t("ownFailed")(error.status));
  }
}

/** @param {Event} event */
function edited(event) {
  if (event.target === paste && paste.value) chosenFile.value = "";
  if (event.target === chosenFile && chosenFile.files?.length) paste.value = "";
  changed = paste.value !== "" || Boolean(chosenFile.files?.length);
  checks.abort();
  setText(byId("checking"), "");
  mistakeView.clear();
  if (preview) setPreview(null);
}

// Sending.

function send() {
  if (preview === null || sendingRuns) return;
  if (!previewView.accepted) {
    previewView.askToAccept();
    return;
  }
  sending = new Sending(session, preview.reports, drawProgress, sending);
  setPreview(null);
  resume();
  byId("sending-title").focus();
}

async function resume() {
  if (sending === null || sendingRuns) return;
  sendingRuns = true;
  drawProgress();
  try {
    await sending.run();
  } finally {
    sendingRuns = false;
  }
  if (sending.ended?.ofToken) {
    signOut();
    signInError(() => t("badTokenKept"), "token");
  }
  if (sending.count("receipt") === sending.entries.length) changed = false;
  drawProgress();
  if (session.active) await ownView.read();
}

function drawProgress() {
  if (sending === null) return;
  drawSending(sending);
  byId("send", HTMLButtonElement).disabled = sendingRuns;
}

// The page.

/** @param {BeforeUnloadEvent} event */
function warnBeforeLoss(event) {
  if (changed || sendingRuns) event.preventDefault();
}

function redraw() {
  document.title = `${t("countPage")} · Valgnatt`;
  showSignInError();
  drawSignedIn();
  mistakeView.draw();
  previewView.draw();
  ownView.draw();
  drawProgress();
}

byId("election", HTMLInputElement).value = electionInAddress() ?? "";
byId("sign-in-form", HTMLFormElement).addEventListener("submit", signIn);
byId("sign-in-button", HTMLButtonElement).disabled = false; // without this script, the browser would send the form
byId("forget").addEventListener("click", signOut);
byId("file-form", HTMLFormElement).addEventListener("submit", check);
byId("file-form").addEventListener("input", edited);
byId("template").addEventListener("click", getTemplate);
byId("send").addEventListener("click", send);
byId("again").addEventListener("click", () => check());
byId("download-csv").addEventListener("click", () => sending && download(sending, "csv"));
byId("download-json").addEventListener("click", () => sending && download(sending, "json"));
addEventListener("beforeunload", warnBeforeLoss);
onMessages(redraw);
onHoldTexts(redraw);
translate(redraw);
