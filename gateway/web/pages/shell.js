// What all pages have: the language, which election is shown, links that keep it, and a word where there is trouble.

import { byId, h, show, text } from "./dom.js";
import { compare, current, onLanguage, switchLanguage, t, useTimeZone } from "./format.js";

const AGAIN_MS = 3000;
const query = new URLSearchParams(location.search);

/** Put texts into what is marked for them, and again when the language changes. */
export function translate(redraw) {
  const put = () => {
    document.documentElement.lang = current();
    for (const each of document.querySelectorAll("[data-t]")) text(each, t(each.dataset.t) ?? "");
    for (const each of document.querySelectorAll("[data-label]"))
      each.setAttribute("aria-label", t(each.dataset.label));
    for (const each of document.querySelectorAll("[data-placeholder]"))
      each.placeholder = t(each.dataset.placeholder);
    const button = byId("language");
    text(button, t("otherLanguage"));
    button.lang = current() === "nb" ? "en" : "nb";
    redraw();
  };
  byId("language").addEventListener("click", switchLanguage);
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address holds which area is shown
    byId("main").focus();
  });
  onLanguage(put);
  put();
  keepQuery();
}

function keepQuery() {
  for (const link of document.querySelectorAll("a[data-keep]")) link.search = location.search;
}

/** Ask for JSON; null where there is no answer or no good one. */
export async function ask(path) {
  try {
    const response = await fetch(path, { headers: { Accept: "application/json" } });
    return { status: response.status, document: response.ok ? await response.json() : null };
  } catch {
    return { status: 0, document: null };
  }
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export function trouble(message) {
  const element = byId("trouble");
  show(element, message !== null);
  text(element, message ?? "");
}

function newest(elections) {
  const real = elections.filter((each) => !each.rehearsal);
  const sorted = (real.length ? real : elections).toSorted(
    (a, b) => compare(b.publish_from ?? "", a.publish_from ?? "") || compare(b.id, a.id),
  );
  return sorted[0];
}

/** Return the election that is to be shown with its registry, as soon as there is one. */
export async function election() {
  for (;;) {
    const { document: found } = await ask("/v1/elections");
    if (found) {
      const wanted = query.get("election");
      const chosen = wanted ? found.elections.find((each) => each.id === wanted) : newest(found.elections);
      if (chosen) {
        const { document: whole } = await ask(address(chosen.id));
        if (whole) {
          trouble(null);
          offer(found.elections, chosen.id);
          useTimeZone(whole.registry.election.timezone);
          return whole;
        }
      } else {
        trouble(wanted ? t("unknownElection")(wanted) : t("noElection"));
        offer(found.elections, null);
      }
    } else {
      trouble(t("noAnswer"));
    }
    await pause(AGAIN_MS);
  }
}

export const address = (id, rest = "") => `/v1/elections/${encodeURIComponent(id)}${rest}`;

function offer(elections, chosen) {
  const select = byId("elections");
  select.replaceChildren(
    ...(chosen === null ? [h("option", { value: "" }, "–")] : []),
    ...elections.map((each) => h("option", { value: each.id }, named(each, elections))),
  );
  select.value = chosen ?? "";
  show(select.parentElement, elections.length > (chosen === null ? 0 : 1));
  select.onchange = () => {
    query.set("election", select.value);
    location.assign(`${location.pathname}?${query}`);
  };
}

/** Say that it is a rehearsal, where it is one. */
export function rehearsal(found) {
  const element = byId("rehearsal");
  show(element, found);
  text(element, found ? t("rehearsal") : "");
}

/** The name, with the identifier where several have it. */
const named = (one, all) =>
  all.some((each) => each.name === one.name && each.id !== one.id) ? `${one.name} · ${one.id}` : one.name;

let lastSaid = "";

/** Tell those who listen instead of look; the same thing only once. */
export function say(message) {
  if (message === lastSaid) return;
  lastSaid = message;
  byId("said").textContent = message;
}
