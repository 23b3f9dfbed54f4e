// The API page: openapi.json (the same as /openapi.yaml) by tag, with parameters, responses, examples and
// schemas; with samples (docs_samples.js), and a form to try what this door answers (try_it.js).

import { DocsSamples } from "./docs_samples.js";
import { byId, h } from "./dom.js";
import { fetchJson, LARGE_LIMIT_MS, untilDone } from "./fetching.js";
import { t } from "./format.js";
import { Described } from "./openapi.js";
import { sampledElection } from "./place.js";
import { prose } from "./prose.js";
import { showProblem, translate } from "./shell.js";
import { TryIt } from "./try_it.js";

/** @import { Content, Media, Parameter, Reference, Response, Schema } from "../documents" */
/** @import { Route } from "./openapi.js" */
/** @import { SampledRoute } from "./samples.js" */

/** @type {{[tag: string]: string}} */
const TITLES = {
  push: "Push door",
  feed: "Feed",
  read: "Reading",
  log: "Signed log",
  health: "Health",
  pages: "Pages",
};
/** @type {{[place: string]: string}} */
const PLACES = { path: "in the path", query: "in the query", header: "in a header" };

/** @param {string} tag */
const titleOf = (tag) => TITLES[tag] ?? tag;

/** The document as elements of the page. */
class Description {
  /**
   * @param {Described} api
   * @param {DocsSamples} samples
   */
  constructor(api, samples) {
    this.api = api;
    this.samples = samples;
  }

  page() {
    const { info, tags, components } = this.api.document;
    return [
      h("h1", null, `${info.title} API ${info.version}`),
      h("p", { class: "lead quiet" }, info.summary),
      ...prose(info.description),
      h(
        "p",
        null,
        h("a", { href: "/openapi.yaml" }, "openapi.yaml"),
        " · ",
        h("a", { href: "/asyncapi.yaml" }, "asyncapi.yaml"),
        " (the push WebSocket and the event streams, frame by frame)",
      ),
      this.samples.controls(),
      ...tags.map(({ name, summary }) => this.#tag(name, summary)),
      h(
        "section",
        { class: "door", "aria-labelledby": "schemas" },
        h("h2", { id: "schemas" }, "Schemas"),
        ...Object.entries(components.schemas).map(([name, schema]) => this.#schema(name, schema)),
      ),
    ];
  }

  contents() {
    const tags = this.api.document.tags.flatMap(({ name }) => {
      const links = this.api.routes
        .filter(({ operation }) => operation.tags.includes(name))
        .map(({ operation }) =>
          h("li", null, h("a", { href: `#${operation.operationId}` }, operation.summary)),
        );
      return [h("a", { href: `#tag-${name}` }, h("strong", null, titleOf(name))), h("ul", null, ...links)];
    });
    return [
      h("a", { href: "#samples" }, h("strong", null, "Samples")),
      h("ul"),
      ...tags,
      h("a", { href: "#schemas" }, h("strong", null, "Schemas")),
    ];
  }

  /**
   * @param {string} name
   * @param {string} summary
   */
  #tag(name, summary) {
    const routes = this.api.routes.filter(({ operation }) => operation.tags[0] === name);
    return h(
      "section",
      { class: "door", "aria-labelledby": `tag-${name}` },
      h("h2", { id: `tag-${name}` }, titleOf(name)),
      h("p", { class: "quiet" }, summary),
      ...routes.map((route) => this.#operation(route)),
    );
  }

  /** @param {Route} route */
  #operation(route) {
    const { method, operation } = route;
    const sampled = this.api.sampled(route);
    const rows = this.api.parameters(route).flatMap((each) => this.#parameter(each));
    const responses = Object.entries(operation.responses).flatMap(([status, response]) => [
      h("dt", null, status),
      this.#response(this.api.resolve(response)),
    ]);
    const body = this.api.requestContent(route);
    return h(
      "article",
      { class: "operation", id: operation.operationId },
      h("h3", null, operation.summary),
      h(
        "p",
        { class: "route" },
        h("span", { class: `method ${method}` }, method.toUpperCase()),
        this.samples.link(sampled),
      ),
      h("p", { class: "quiet" }, this.#notes(route).join(" · ")),
      ...prose(operation.description),
      ...this.samples.sample(sampled),
      this.#tryIt(route, sampled),
      ...(rows.length ? [h("h4", null, "Parameters"), h("dl", { class: "rows" }, ...rows)] : []),
      ...(body ? [h("h4", null, "Request body"), ...this.#content(body, true)] : []),
      h("h4", null, "Responses"),
      h("dl", { class: "rows" }, ...responses),
    );
  }

  /**
   * @param {Route} route
   * @param {SampledRoute} sampled
   */
  #tryIt(route, { path, method, push, secured }) {
    const types = this.api.types(route);
    if (method !== "get" || push || secured || !types.length) return null;
    const { names, level } = this.samples.place;
    /** @type {{[name: string]: string}} */
    const values = { ...names, level, limit: "10" };
    const parameters = this.api
      .parameters(route)
      .filter((each) => each.in !== "header")
      .map((each) => ({ ...each, schema: this.api.resolve(each.schema) }));
    const initial = (/** @type {string} */ name) => {
      const parameter = parameters.find((each) => each.name === name);
      if (parameter?.in === "path") return names[name] ?? "";
      return parameter?.required || name === "limit" ? (values[name] ?? "") : "";
    };
    return new TryIt({ path, parameters, types, initial }).element;
  }

  /** @param {Route} route */
  #notes(route) {
    const { method, item } = route;
    const servers = this.api.servers(route);
    const security = this.api.security(route);
    const notes = [
      servers.map(({ name, description }) => `${description} ${this.samples.where(name)}`).join(", "),
    ];
    if (item.head && method === "get") notes.push("also HEAD");
    const optional = security.some((schemes) => !Object.keys(schemes).length);
    if (security.length) notes.push(optional ? "a token where the door requires one" : "requires a token");
    return notes;
  }

  /** @param {Parameter} parameter */
  #parameter(parameter) {
    const { name, description, required, schema } = parameter;
    const facts = [PLACES[parameter.in] ?? "", required ? "required" : "", this.api.typeInWords(schema)];
    const example =
      "example" in parameter ? [" · for example ", h("code", null, String(parameter.example))] : [];
    return [
      h("dt", null, h("code", null, name)),
      h(
        "dd",
        null,
        ...prose(description),
        h("p", { class: "kind" }, facts.filter(Boolean).join(" · "), ...example),
      ),
    ];
  }

  /** @param {Response} response */
  #response({ description, headers = {}, content = {} }) {
    const names = Object.entries(headers).flatMap(([name, header], index) => [
      index ? ", " : "Headers: ",
      h("code", { title: this.api.resolve(header).description }, name),
    ]);
    return h(
      "dd",
      null,
      ...prose(description),
      names.length ? h("p", { class: "kind" }, ...names) : null,
      ...this.#content(content, false),
    );
  }

  /**
   * @param {Content} content
   * @param {boolean} open whether examples are unfolded
   */
  #content(content, open) {
    return Object.entries(content).flatMap(([type, media]) => [
      h("p", { class: "kind" }, h("code", null, type), " ", ...this.#mediaType(media)),
      ...this.api.examples(media).map(([name, value]) => {
        const code = h("code", null, typeof value === "string" ? value : JSON.stringify(value, null, 2));
        const summary = h("summary", null, `Example: ${name.replaceAll("_", " ")}`);
        return h("details", { open }, summary, h("pre", { tabindex: "0" }, code));
      }),
    ]);
  }

  /** @param {Media} media */
  #mediaType({ schema, itemSchema }) {
    if (schema) return this.#linkedType(schema);
    return itemSchema ? ["a sequence of ", ...this.#linkedType(itemSchema)] : [];
  }

  /**
   * @param {string} name
   * @param {Schema} schema
   */
  #schema(name, schema) {
    const rows = this.api
      .members(schema)
      .flatMap(({ member, type, required }) => [
        h("dt", null, h("code", null, member)),
        h(
          "dd",
          null,
          ...prose(this.api.resolve(type).description),
          h("p", { class: "kind" }, ...this.#linkedType(type), required ? " · required" : ""),
        ),
      ]);
    return h(
      "article",
      { class: "operation schema", id: `schema-${name}` },
      h("h3", null, name),
      ...prose(schema.description),
      h("p", { class: "kind" }, this.api.typeInWords(schema)),
      rows.length ? h("dl", { class: "rows" }, ...rows) : null,
    );
  }

  /**
   * Return a schema in a few words, with links to those that have a name.
   *
   * @param {Schema | Reference} schema
   * @returns {(Node | string)[]}
   */
  #linkedType(schema) {
    if ("$ref" in schema) {
      const name = schema.$ref.split("/").at(-1) ?? "";
      return [h("a", { href: `#schema-${name}` }, name)];
    }
    const choices = schema.anyOf ?? schema.oneOf;
    if (choices) return choices.flatMap((each, index) => [index ? " or " : "", ...this.#linkedType(each)]);
    if (schema.items) return ["array of ", ...this.#linkedType(schema.items)];
    return [this.api.typeInWords(schema)];
  }
}

translate(() => {
  document.title = `Valgnatt · ${t("api")}`;
});
const [openapi, election] = await untilDone(
  () =>
    Promise.all([
      fetchJson(new URL("openapi.json", import.meta.url).href, { limit_ms: LARGE_LIMIT_MS }),
      sampledElection(),
    ]),
  () => showProblem(t("noAnswer")),
);
const description = new Description(new Described(openapi), new DocsSamples(election));
showProblem(null);
byId("document").replaceChildren(...description.page());
byId("contents").replaceChildren(...description.contents());
if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
