// The texts about seats in the language of the page. A language without them gets those in English.

import { extraTexts } from "./extra_texts.js";
import { currentLanguage } from "./format.js";

/** @typedef {ReturnType<typeof import("./seat_texts/nb.js").texts>} SeatTexts */
/** @import { ExtraTexts } from "./extra_texts.js" */

/** @type {ExtraTexts<SeatTexts>} */
const texts = await extraTexts((tag) => import(`./seat_texts/${tag}.js`));

/** @param {() => void} listener called when the texts of another language are there */
export const onSeatTexts = (listener) => texts.onChange(listener);

/** Return the texts. */
export const seatTexts = () => texts.current;

/** Return what the texts and names of seats depend on: the texts may be loaded later than the language changes. */
export const seatLanguage = () => `${currentLanguage()} ${texts.tag}`;
