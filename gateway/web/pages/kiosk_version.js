// Loads the page again when the door serves another version of its files. The page names the version in the addresses
// of its scripts, so a request that is nearly always answered with 304 suffices. It is made now and then, and after
// the connection was restored, since a door restarts for a new version. All screens have learned of the restart at the
// same moment, so every wait is random. Nothing is loaded unless the door has just answered.

import { fetchGood, pause } from "./fetching.js";

/** @import { Feed } from "./feed.js" */

const CHECK_INTERVAL_MS = 300_000;
const SPREAD_MS = 60_000;
const RELOAD_MIN_MS = 600_000; // processes of two versions may answer in turn for a while
const STORAGE_KEY = "valgnatt.reloaded";
const VERSION = /\bstatic\/(\w+)\//;

/** @param {Feed} feed whose connection is observed */
export async function reloadOnNewVersion(feed) {
  for (;;) {
    const until = performance.now() + CHECK_INTERVAL_MS * (0.5 + Math.random());
    let restored = false;
    while (performance.now() < until && !restored) {
      const observedAt = Date.now();
      await pause(SPREAD_MS * Math.random(), 1000);
      restored = feed.state === "live" && feed.stateSince > observedAt;
    }
    if (!(await isOutdated())) continue;
    await pause(SPREAD_MS * Math.random(), 1000);
    if ((await isOutdated()) && !recentlyReloaded()) location.reload();
  }
}

async function isOutdated() {
  try {
    const page = await (await fetchGood(location.pathname, { cache: "no-cache" })).text();
    const served = VERSION.exec(page)?.[1];
    return served !== undefined && served !== VERSION.exec(import.meta.url)?.[1];
  } catch {
    return false;
  }
}

/** Return whether the page was loaded again a short time ago; if not, note that it is now. */
function recentlyReloaded() {
  try {
    const before = Number(sessionStorage.getItem(STORAGE_KEY));
    if (Date.now() - before < RELOAD_MIN_MS) return true;
    sessionStorage.setItem(STORAGE_KEY, String(Date.now()));
  } catch {
    // storage is disabled
  }
  return false;
}
