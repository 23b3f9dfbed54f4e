// The texts about the signed record in the language of the page. A language without them gets those in English.

import { extraTexts } from "./extra_texts.js";

/** @typedef {ReturnType<typeof import("./proof_texts/nb.js").texts>} ProofTexts */
/** @import { ExtraTexts } from "./extra_texts.js" */

/** @type {ExtraTexts<ProofTexts>} */
const texts = await extraTexts((tag) => import(`./proof_texts/${tag}.js`));

/** @param {() => void} listener called when the texts of another language are there */
export const onProofTexts = (listener) => texts.onChange(listener);

/** Return the texts. */
export const proofTexts = () => texts.current;
