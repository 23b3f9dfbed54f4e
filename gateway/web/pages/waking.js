// When a page may have been cut off: it was asleep, in the background, in the browser's cache or offline. A worker has no
// document, and notices sleep and the network only.
// Sources: WHATWG HTML (pageshow, visibilitychange), Page Lifecycle (resume).

/** @typedef {{reconnect: boolean, clock: boolean}} Wake `reconnect`: open connections are dead; `clock`: it jumped */
/** @typedef {(wake: Wake) => void} Listener */

const TICK_MS = 1000;
const PAUSE_MIN_MS = 5000;
const JUMP_MIN_MS = 2000;

/** @type {Set<Listener>} */
const listeners = new Set();

/**
 * Call a function each time the page wakes up. Return a function that ends this.
 *
 * @param {Listener} listener
 */
export function onWake(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** @param {Partial<Wake>} wake */
function wakeUp({ reconnect = false, clock = false }) {
  for (const listener of [...listeners]) listener({ reconnect, clock });
}

addEventListener("online", () => wakeUp({ reconnect: true }));
addEventListener("pageshow", ({ persisted }) => persisted && wakeUp({ reconnect: true }));
if (globalThis.document) {
  document.addEventListener("visibilitychange", () => document.hidden || wakeUp({}));
  document.addEventListener("resume", () => wakeUp({}));
}

let checkedAt = Date.now();
let checkedAfter = performance.now();
setInterval(() => {
  const passed_ms = Date.now() - checkedAt;
  const jump_ms = Math.abs(passed_ms - (performance.now() - checkedAfter)); // some clocks stop during sleep
  checkedAt = Date.now();
  checkedAfter = performance.now();
  const clock = jump_ms > JUMP_MIN_MS;
  if (clock || passed_ms > PAUSE_MIN_MS) wakeUp({ clock });
}, TICK_MS);
