// The line that says whether what is shown is of now: connected or not, since when, and how fresh it is.

import { byId, show, text } from "./dom.js";
import { age, duration, t, time } from "./format.js";
import { say } from "./shell.js";

const QUIET_MS = 13_000;

let wasLost = false;

/** Redraw it; call it each second and whenever the state changes. */
export function drawStatus(feed) {
  const status = byId("status");
  const lost = feed.state === "lost";
  status.classList.toggle("live", feed.state === "live");
  status.classList.toggle("lost", lost);
  const ago = age((Date.now() - feed.since) / 1000);
  text(
    byId("link"),
    lost ? t("lost")(time(feed.since), ago) : t(feed.state === "live" ? "live" : "connecting"),
  );
  if (lost !== wasLost) {
    wasLost = lost;
    say(t(lost ? "lostSaid" : "backSaid"));
  }
  const { publishedAt } = feed;
  text(
    byId("fresh"),
    publishedAt
      ? t("published")(age((feed.clock.now() - Date.parse(publishedAt)) / 1000))
      : feed.heardAt
        ? t("nothingPublished")
        : "",
  );
  const lag = byId("lag");
  if (!lag) return;
  const silent = Date.now() - feed.heardAt;
  const words =
    silent > QUIET_MS && feed.heardAt
      ? t("quietFor")(age(silent / 1000))
      : feed.lagS !== null
        ? t("lag")(duration(feed.lagS))
        : "";
  show(lag, !lost);
  text(lag, words);
}
