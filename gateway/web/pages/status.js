// The line that says whether the page is connected, since when, and how current its figures are.

import { byId, setText } from "./dom.js";
import { age, duration, moment, t, time } from "./format.js";
import { hiddenUntil, unlessHidden } from "./hidden.js";
import { announce } from "./shell.js";

/** @import { Feed } from "./feed.js" */

const SILENCE_SHOWN_MS = 13_000; // the server sends a block at least every 10 s

let wasLost = false;

/**
 * Draw the line. Call this each second and whenever the state changes.
 *
 * @param {Feed} feed
 */
export function drawStatus(feed) {
  const status = byId("status");
  const lost = feed.state === "lost";
  status.classList.toggle("live", feed.state === "live");
  status.classList.toggle("lost", lost);
  setText(byId("link"), connection(feed));
  if (lost !== wasLost) {
    wasLost = lost;
    announce(t(lost ? (feed.mirror ? "announceFilesBehind" : "announceLost") : "announceRestored"));
  }
  setText(byId("fresh"), freshness(feed));
  const lag = document.getElementById("lag");
  if (!lag) return;
  if (feed.mirror)
    setText(lag, ""); // how old files are has been said
  else setText(lag, lost ? dataAge(feed) : lagOrSilence(feed));
}

/** @param {Feed} feed */
function connection({ state, stateSince, mirror }) {
  if (state === "lost" && mirror)
    return t("filesBehind")(moment(mirror.writtenAt), age((Date.now() - mirror.writtenAt) / 1000));
  if (state === "live" && mirror?.closedAt) return t("filesClosed")(moment(mirror.closedAt));
  if (state === "live" && mirror) return t("files")(mirror.every_s);
  if (state === "lost") return t("lost")(time(stateSince), age((Date.now() - stateSince) / 1000));
  return t(state === "live" ? "live" : "connecting");
}

/** @param {Feed} feed */
function freshness({ publishedAt, receivedAt, clock }) {
  if (publishedAt) return t("published")(age((clock.now() - Date.parse(publishedAt)) / 1000));
  return receivedAt ? unlessHidden(t("nothingPublished"), hiddenUntil()) : "";
}

/** @param {Feed} feed */
function dataAge({ receivedAt }) {
  return receivedAt ? t("dataAge")(time(receivedAt), age((Date.now() - receivedAt) / 1000)) : "";
}

/** @param {Feed} feed */
function lagOrSilence({ receivedAt, lag_s }) {
  const silence = Date.now() - receivedAt;
  if (receivedAt && silence > SILENCE_SHOWN_MS) return t("silentFor")(age(silence / 1000));
  return lag_s === null ? "" : t("lag")(duration(lag_s));
}
