// Keeps the screen on while the page is visible, where the browser can: only in a secure context.
// Source: W3C Screen Wake Lock API.

export function keepAwake() {
  const request = async () => {
    try {
      await navigator.wakeLock?.request("screen");
    } catch {
      // the system refuses it, as when the battery is low; it is asked again when the page is shown again
    }
  };
  document.addEventListener("visibilitychange", () => document.hidden || request());
  request();
}
