// The code with which other pages show a part of the results in a frame (embed.js). The frame reports its height, and
// the code in the page around it applies that.

import { pageUrl } from "./address.js";
import { copyText } from "./clipboard.js";
import { byId, h, setText } from "./dom.js";
import { currentLanguage, t } from "./format.js";

const HEIGHT = 640; // in pixels, until the frame has reported its own
const HEIGHT_MAX = 20_000;

let shown = "";
let draw = () => {};

/**
 * Offer the code for an area.
 *
 * @param {string} election
 * @param {string} area
 * @param {string} title
 * @param {boolean} seats whether the area has seats
 */
export function offerSnippet(election, area, title, seats) {
  draw = () => {
    const show = byId("embed-parts", HTMLSelectElement).value;
    setText(byId("embed-code"), snippet(election, area, show, title));
    setText(byId("embed-copied"), "");
  };
  drawChoice(seats);
  draw();
}

/** @param {boolean} seats */
function drawChoice(seats) {
  const wanted = `${currentLanguage()} ${seats}`;
  if (shown === wanted) return;
  shown = wanted;
  const select = byId("embed-parts", HTMLSelectElement);
  const chosen = select.value;
  const parts = Object.entries(t("embedParts")).filter(([value]) => seats || value !== "seats");
  select.replaceChildren(...parts.map(([value, name]) => h("option", { value }, name)));
  select.value = parts.some(([value]) => value === chosen) ? chosen : "summary";
  select.onchange = () => draw();
  byId("embed-copy").onclick = copy;
}

async function copy() {
  const code = byId("embed-code");
  if (await copyText(code.textContent ?? "", code)) setText(byId("embed-copied"), t("embedCopied"));
}

/**
 * @param {string} election
 * @param {string} area
 * @param {string} show
 * @param {string} title
 */
function snippet(election, area, show, title) {
  const { origin } = location;
  const query = new URLSearchParams({ election, area, show, lang: currentLanguage() });
  const src = `${pageUrl("embed")}?${query}`;
  const frame = h("iframe", { src, title, width: "100%", height: HEIGHT, loading: "lazy" });
  frame.style.border = "0";
  const script = h("script", null, listener(origin));
  return `${frame.outerHTML}\n${script.outerHTML}`;
}

/** @param {string} origin of the frame */
const listener = (origin) => `
addEventListener("message", ({ data, origin, source }) => {
  if (origin !== ${JSON.stringify(origin)} || data?.type !== "valgnatt:height") return;
  for (const frame of document.querySelectorAll("iframe"))
    if (frame.contentWindow === source) frame.height = Math.min(Number(data.height) || ${HEIGHT}, ${HEIGHT_MAX});
});
`;
