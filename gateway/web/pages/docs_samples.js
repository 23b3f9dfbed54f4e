// The samples of the API page: in the language that the reader chooses, for the address of the push door that the
// reader enters.

import { copyText } from "./clipboard.js";
import { h, setText } from "./dom.js";
import { guessedPush, placeOf, pushPort } from "./place.js";
import { addressOf, LANGUAGES, samplesOf } from "./samples.js";

/** @import { ElectionAndRegistry } from "../documents" */
/** @import { SampledRoute, Samples } from "./samples.js" */

const COPIED_MS = 1500;

export class DocsSamples {
  /** @type {keyof Samples} */
  #language = "curl";
  /** @type {{route: SampledRoute, code: HTMLElement}[]} */
  #shown = [];

  /** @param {ElectionAndRegistry | null} election */
  constructor(election) {
    this.election = election;
    this.push = h("input", { id: "push-door", type: "url", value: guessedPush(), spellcheck: "false" });
    this.push.addEventListener("input", () => this.#draw());
  }

  get place() {
    return placeOf(this.election, this.push.value);
  }

  /** Return the choice of the language, and the address of the push door. */
  controls() {
    const choices = Object.entries(LANGUAGES).map(([id, title]) => {
      const input = h("input", {
        type: "radio",
        name: "language",
        value: id,
        checked: id === this.#language,
      });
      input.addEventListener("change", () => {
        this.#language = /** @type {keyof Samples} */ (id);
        this.#draw();
      });
      return h("label", null, input, " ", h("span", null, title));
    });
    return h(
      "section",
      { class: "door", "aria-labelledby": "samples" },
      h("h2", { id: "samples" }, "Samples"),
      h(
        "p",
        null,
        this.election
          ? `They use the addresses and names of this deployment, and the election ${this.election.id}.`
          : "No election is loaded here, so they use the names of the examples.",
        " Tokens are read from the environment variable ",
        h("code", null, "VALGNATT_TOKEN"),
        ". JavaScript is for Node.js 18 or newer, and without a token for browsers; Python for 3.9 or newer.",
      ),
      h(
        "fieldset",
        { class: "toggle" },
        h("legend", { class: "unseen" }, "Language of the samples"),
        ...choices,
      ),
      h("p", null, h("label", { for: "push-door" }, "Address of the push door: "), this.push),
      h(
        "p",
        { class: "quiet" },
        "The feed door does not know where senders reach the push door. Unless the address of this page names ",
        `another port or path of this host (?push=…), port ${pushPort()} of this host is assumed. Those who issue `,
        "tokens know it: it is where officers open /count. Samples that push are for a rehearsal: a report is published as soon as it is accepted.",
      ),
    );
  }

  /**
   * Return the sample of a route.
   *
   * @param {SampledRoute} route
   */
  sample(route) {
    const code = h("code");
    const copy = h("button", { type: "button", class: "plain copy" }, "Copy");
    copy.addEventListener("click", async () => {
      if (await copyText(code.textContent ?? "", code)) setText(copy, "Copied");
      setTimeout(() => setText(copy, "Copy"), COPIED_MS);
    });
    const shown = { route, code };
    this.#shown.push(shown);
    this.#drawOne(shown);
    return [h("h4", null, "Sample"), h("pre", { class: "sample", tabindex: "0" }, code), copy];
  }

  /**
   * Return where a server is: its address, if the page knows it.
   *
   * @param {string} name of the server
   */
  where(name) {
    if (name === "feed") return `(${location.origin})`;
    return name === "push" ? "(address above)" : "(its own address)";
  }

  /**
   * Return a link to what a route answers, if a browser can open it here.
   *
   * @param {SampledRoute} route
   */
  link(route) {
    const { method, path, push, secured, type } = route;
    const opens = this.election && method === "get" && !push && !secured && type !== "text/event-stream";
    const href = addressOf(route, { ...this.place, feed: "" });
    return opens && !path.endsWith("{range}") ? h("a", { href }, path) : h("span", null, path);
  }

  #draw() {
    for (const shown of this.#shown) this.#drawOne(shown);
  }

  /** @param {{route: SampledRoute, code: HTMLElement}} shown */
  #drawOne({ route, code }) {
    setText(code, samplesOf(route, this.place)[this.#language]);
  }
}
