// The holds that ended: what was decided, by whom and why.

import { arrange, byId, h, setText } from "./dom.js";
import { currentLanguage, moment } from "./format.js";
import { holdTexts, named } from "./hold_texts.js";
import { place, tokenName } from "./hold_words.js";

/** @import { Hold, HoldList } from "../push_documents" */

const SHOWN_MAX = 50;

let drawn = "";

/** Draw the holds of a list that ended, the newest first. @param {HoldList} list */
export function drawEnded(list) {
  const ended = list.holds
    .filter(({ state }) => state !== "open")
    .toSorted((a, b) => Date.parse(b.ended_at ?? b.since) - Date.parse(a.ended_at ?? a.since));
  const wanted = JSON.stringify([currentLanguage(), ended]);
  if (wanted === drawn && byId("holds-ended-list").childElementCount) return;
  drawn = wanted;
  const { endedNone, endedOmitted } = holdTexts();
  arrange(byId("holds-ended-list"), ended.slice(0, SHOWN_MAX).map(element));
  const left = Math.max(0, ended.length - SHOWN_MAX) + list.omitted;
  setText(byId("holds-ended-note"), ended.length ? (left ? endedOmitted(left) : "") : endedNone);
}

/** @param {Hold} hold */
function element({ unit, revision, state, ended_at, decided_by, reason, note }) {
  const texts = holdTexts();
  const facts = [
    ended_at ? moment(ended_at) : "",
    decided_by ? tokenName(decided_by) : "",
    reason ? named(texts.reasons, reason) : "",
  ];
  return h(
    "li",
    null,
    h("strong", null, `${place(unit)}: ${named(texts.states, state)}`),
    h("span", { class: "quiet" }, ` ${texts.revision} ${revision} · ${facts.filter(Boolean).join(" · ")}`),
    note ? h("q", null, note) : null,
  );
}
