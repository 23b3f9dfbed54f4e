// A form that sends a request to a route of this door and shows the answer: of a long one the beginning, of a
// stream the first events, until it is stopped.

import { h, setText, show } from "./dom.js";
import { DOCUMENT_LIMIT_MS } from "./fetching.js";
import { number } from "./format.js";

/** @import { Parameter, Schema } from "../documents" */

const SHOWN_MAX = 16_384;
const READ_MAX = 1 << 20;
const STREAM_LIMIT_MS = 120_000;
const SHOWN_HEADERS = [
  "content-type",
  "content-length",
  "content-encoding",
  "etag",
  "cache-control",
  "retry-after",
];

/**
 * @typedef {object} Tried
 * @property {string} path with names in braces
 * @property {(Parameter & {schema: Schema})[]} parameters of the path and of the query
 * @property {string[]} types of the answer
 * @property {(name: string) => string} initial the value that a parameter has at first
 */

export class TryIt {
  #abort = new AbortController();
  #running = false;

  /** @param {Tried} tried */
  constructor({ path, parameters, types, initial }) {
    this.path = path;
    /** @type {Map<string, HTMLInputElement | HTMLSelectElement>} */
    this.inputs = new Map();
    const fields = parameters.map(({ name, schema }) => {
      const input = fieldOf(schema, initial(name));
      this.inputs.set(name, input);
      return h("label", null, h("code", null, name), input);
    });
    this.inPath = new Set(parameters.filter((each) => each.in === "path").map(({ name }) => name));
    this.accept = h("select", null, ...types.map((type) => h("option", { value: type }, type)));
    if (types.length > 1) fields.push(h("label", null, h("code", null, "Accept"), this.accept));
    this.button = h("button", { type: "submit" }, "Send");
    this.stop = h("button", { type: "button", class: "plain", hidden: true }, "Stop");
    this.state = h("p", { class: "kind", role: "status" });
    this.answer = h("code");
    this.output = h("pre", { tabindex: "0", hidden: true }, this.answer);
    const form = h("form", { class: "try" }, ...fields, h("p", null, this.button, " ", this.stop));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.stop.addEventListener("click", () => this.#abort.abort());
    this.element = h(
      "details",
      { class: "try-it" },
      h("summary", null, "Try it"),
      form,
      this.state,
      this.output,
    );
  }

  #address() {
    const value = (/** @type {string} */ name) => this.inputs.get(name)?.value.trim() ?? "";
    const path = this.path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(value(name)));
    const query = new URLSearchParams();
    for (const name of this.inputs.keys()) {
      if (!this.inPath.has(name) && value(name)) query.set(name, value(name));
    }
    return query.size ? `${path}?${query}` : path;
  }

  async #send() {
    if (this.#running) return;
    this.#running = true;
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    const accept = this.accept.value;
    const limit_ms = accept === "text/event-stream" ? STREAM_LIMIT_MS : DOCUMENT_LIMIT_MS;
    const timer = setTimeout(() => this.#abort.abort(), limit_ms);
    this.button.disabled = true;
    show(this.stop, true);
    setText(this.answer, "");
    show(this.output, true);
    const address = this.#address();
    setText(this.state, `GET ${address} …`);
    const from = performance.now();
    let head = "";
    try {
      const response = await fetch(address, { headers: { Accept: accept }, cache: "no-store", signal });
      head = headOf(response, performance.now() - from);
      setText(this.state, head);
      const end = await this.#read(response);
      setText(this.state, `${head}\n${end}`);
    } catch (error) {
      const stopped = signal.aborted
        ? "Stopped."
        : `No answer: ${error instanceof Error ? error.message : error}`;
      setText(this.state, head ? `${head}\n${stopped}` : stopped);
    }
    clearTimeout(timer);
    this.#abort.abort();
    this.button.disabled = false;
    show(this.stop, false);
    this.#running = false;
  }

  /**
   * Show the beginning of a body; return what is said about the rest.
   *
   * @param {Response} response
   */
  async #read(response) {
    const reader = response.body?.getReader();
    const decoder = new TextDecoder();
    let text = "";
    let size = 0;
    const stream = response.headers.get("content-type")?.startsWith("text/event-stream");
    while (reader) {
      const { value, done } = await reader.read();
      if (done) break;
      size += value.length;
      if (text.length < SHOWN_MAX) {
        text += decoder.decode(value, { stream: true });
        setText(this.answer, text.slice(0, SHOWN_MAX));
      }
      if (size > READ_MAX || (stream && text.length >= SHOWN_MAX)) {
        await reader.cancel();
        return `The first ${number(Math.min(text.length, SHOWN_MAX))} characters; the rest was not read.`;
      }
    }
    const cut = text.length > SHOWN_MAX ? `; the first ${number(SHOWN_MAX)} characters are shown` : "";
    return `${number(size)} bytes${cut}.`;
  }
}

/**
 * @param {Schema} schema
 * @param {string} value
 */
function fieldOf({ enum: choices }, value) {
  if (!choices) return h("input", { value, autocomplete: "off", spellcheck: "false" });
  const options = ["", ...choices.map(String)];
  return h("select", null, ...options.map((each) => h("option", { value: each }, each)));
}

/**
 * @param {Response} response
 * @param {number} took_ms
 */
function headOf(response, took_ms) {
  const headers = SHOWN_HEADERS.flatMap((name) => {
    const value = response.headers.get(name);
    return value === null ? [] : [`${name}: ${value}`];
  });
  return [`${response.status} after ${Math.round(took_ms)} ms`, ...headers].join("\n");
}
