// The keys of a log and of its witnesses, each with its fingerprint, to be compared with one from elsewhere.

import { copyButton } from "./commands.js";
import { byId, h, setText } from "./dom.js";
import { t } from "./format.js";
import { proofTexts } from "./proof_texts.js";
import { fingerprint } from "./verifier_keys.js";

/** @import { Log } from "../documents" */

/** @param {Log} log */
export function drawKeys({ vkeys, witnesses }) {
  const texts = proofTexts();
  byId("key-list").replaceChildren(
    ...vkeys.map((vkey) => keyItem(vkey, texts.keyOfLog)),
    ...witnesses.map((vkey) => keyItem(vkey, texts.keyOfWitness)),
  );
}

/**
 * @param {string} vkey
 * @param {string} owner
 */
function keyItem(vkey, owner) {
  const texts = proofTexts();
  const code = h("code", null, vkey);
  const digest = h("span", { class: "fingerprint" }, texts.noFingerprint);
  if (crypto.subtle) fingerprint(vkey).then((found) => setText(digest, found));
  return h(
    "li",
    null,
    h("p", null, h("strong", null, owner)),
    h("div", { class: "command" }, code, copyButton(vkey, t("boardCopy"), code)),
    h("p", null, h("span", { class: "quiet" }, `${texts.fingerprint}: `), digest),
  );
}
