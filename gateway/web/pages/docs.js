// The API page: openapi.json (the same as /openapi.yaml) by tag, with parameters, responses, examples and
// schemas; with samples (docs_samples.js), and a form to try what this door answers (try_it.js).

import { DocsSamples } from "./docs_samples.js";
import { byId, h } from "./dom.js";
import { fetchJson, LARGE_LIMIT_MS, untilDone } from "./fetching.js";
import { t } from "./format.js";
import { sampledElection } from "./place.js";
import { prose } from "./prose.js";
import { showProblem, translate } from "./shell.js";
import { TryIt } from "./try_it.js";

/** @import { Content, Media, OpenApi, Operation, Parameter, PathItem } from "../documents" */
/** @import { Reference, Response, Schema } from "../documents" */

/** @import { SampledRoute } from "./samples.js" */

/** @typedef {{path: string, method: string, item: PathItem, operation: Operation}} Route */

const METHODS = /** @type {const} */ (["get", "post", "put", "patch", "delete"]);
/** @type {{[tag: string]: string}} */
const TITLES = { push: "Push door", feed: "Feed", read: "Reading", health: "Health", pages: "Pages" };
/** @type {{[place: string]: string}} */
const PLACES = { path: "in the path", query: "in the query", header: "in a header" };

/** @param {string} tag */
const titleOf = (tag) => TITLES[tag] ?? tag;

/** The document as elements of the page. */
class Description {
  /**
   * @param {OpenApi} openapi
   * @param {DocsSamples} samples
   */
  constructor(openapi, samples) {
    this.openapi = openapi;
    this.samples = samples;
    /** @type {Route[]} */
    this.routes = Object.entries(openapi.paths).flatMap(([path, item]) =>
      METHODS.flatMap((method) => {
        const operation = item[method];
        return operation ? [{ path, method, item, operation }] : [];
      }),
    );
  }

  /**
   * Follow references.
   *
   * @template {object} T
   * @param {T | Reference} node
   * @returns {T}
   */
  #resolve(node) {
    /** @type {any} */
    let found = node;
    while (found?.$ref) {
      /** @type {string[]} */
      const names = found.$ref.slice(2).split("/");
      found = names.reduce((/** @type {any} */ parent, name) => parent[name], this.openapi);
    }
    return found;
  }

  page() {
    const { info, tags, components } = this.openapi;
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
    const tags = this.openapi.tags.flatMap(({ name }) => {
      const links = this.routes
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
    const routes = this.routes.filter(({ operation }) => operation.tags[0] === name);
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
    const { method, item, operation } = route;
    const sampled = this.#sampled(route);
    const parameters = [...(item.parameters ?? []), ...(operation.parameters ?? [])];
    const rows = parameters.flatMap((each) => this.#parameter(this.#resolve(each)));
    const responses = Object.entries(operation.responses).flatMap(([status, response]) => [
      h("dt", null, status),
      this.#response(this.#resolve(response)),
    ]);
    const body = operation.requestBody ? this.#resolve(operation.requestBody).content : {};
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
      ...(operation.requestBody ? [h("h4", null, "Request body"), ...this.#content(body, true)] : []),
      h("h4", null, "Responses"),
      h("dl", { class: "rows" }, ...responses),
    );
  }

  /**
   * Return what samples of a route depend on.
   *
   * @param {Route} route
   * @returns {SampledRoute}
   */
  #sampled({ path, method, item, operation }) {
    const servers = operation.servers ?? item.servers ?? this.openapi.servers;
    const security = operation.security ?? this.openapi.security;
    const types = this.#types(operation);
    const body = operation.requestBody ? this.#resolve(operation.requestBody).content : null;
    return {
      path,
      method,
      operationId: operation.operationId,
      push: !servers.some(({ name }) => name === "feed"),
      secured: security.length > 0 && security.every((schemes) => Object.keys(schemes).length > 0),
      bodyType: body ? (Object.keys(body)[0] ?? null) : null,
      type: types[0] ?? "",
    };
  }

  /** @param {Operation} operation */
  #types({ responses }) {
    const good = responses["200"];
    return good ? Object.keys(this.#resolve(good).content ?? {}) : [];
  }

  /**
   * @param {Route} route
   * @param {SampledRoute} sampled
   */
  #tryIt({ path, method, item, operation }, { push, secured }) {
    const types = this.#types(operation);
    if (method !== "get" || push || secured || !types.length) return null;
    const { names, level } = this.samples.place;
    /** @type {{[name: string]: string}} */
    const values = { ...names, level, limit: "10" };
    const parameters = [...(item.parameters ?? []), ...(operation.parameters ?? [])].flatMap((each) => {
      const parameter = this.#resolve(each);
      if (parameter.in === "header") return [];
      return [{ ...parameter, schema: this.#resolve(parameter.schema) }];
    });
    const initial = (/** @type {string} */ name) =>
      parameters.some(
        (each) => each.name === name && (each.in === "path" || each.required || name === "limit"),
      )
        ? (values[name] ?? "")
        : "";
    return new TryIt({ path, parameters, types, initial }).element;
  }

  /** @param {Route} route */
  #notes({ method, item, operation }) {
    const servers = operation.servers ?? item.servers ?? this.openapi.servers;
    const security = operation.security ?? this.openapi.security;
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
    const facts = [PLACES[parameter.in] ?? "", required ? "required" : "", this.#type(schema)];
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
      h("code", { title: this.#resolve(header).description }, name),
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
      ...this.#examples(media).map(([name, value]) => {
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
   * @param {Media} media
   * @returns {[name: string, value: unknown][]}
   */
  #examples(media) {
    /** @type {[string, unknown][]} */
    const examples = Object.entries(media.examples ?? {}).map(([name, each]) => {
      const { summary, value, serializedValue } = this.#resolve(each);
      return [summary ?? name, value ?? serializedValue];
    });
    return "example" in media ? [["one", media.example], ...examples] : examples;
  }

  /**
   * @param {string} name
   * @param {Schema} schema
   */
  #schema(name, schema) {
    const rows = this.#members(schema).flatMap(({ member, type, required }) => [
      h("dt", null, h("code", null, member)),
      h(
        "dd",
        null,
        ...prose(this.#resolve(type).description),
        h("p", { class: "kind" }, ...this.#linkedType(type), required ? " · required" : ""),
      ),
    ]);
    return h(
      "article",
      { class: "operation schema", id: `schema-${name}` },
      h("h3", null, name),
      ...prose(schema.description),
      h("p", { class: "kind" }, this.#type(schema)),
      rows.length ? h("dl", { class: "rows" }, ...rows) : null,
    );
  }

  /**
   * Return the members of an object, including those of the schemas that it combines.
   *
   * @param {Schema} schema
   * @returns {{member: string, type: Schema | Reference, required: boolean}[]}
   */
  #members({ properties = {}, required = [], allOf = [] }) {
    const members = Object.entries(properties).map(([member, type]) => ({
      member,
      type,
      required: required.includes(member),
    }));
    return [...members, ...allOf.flatMap((part) => this.#members(this.#resolve(part)))];
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
    return [this.#type(schema)];
  }

  /**
   * Return a schema in a few words.
   *
   * @param {Schema | Reference} schema
   */
  #type(schema) {
    const found = this.#resolve(schema);
    const words = [];
    if (found.type) words.push([found.type].flat().join(" or "));
    if ("const" in found) words.push(JSON.stringify(found.const));
    if (found.enum) words.push(`one of ${found.enum.join(", ")}`);
    if (found.format) words.push(found.format);
    if (found.pattern) words.push(`pattern ${found.pattern}`);
    if (found.minimum !== undefined || found.maximum !== undefined) {
      words.push(`${found.minimum ?? "…"} to ${found.maximum ?? "…"}`);
    }
    if (found.default !== undefined) words.push(`default ${found.default}`);
    return words.join(", ");
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
const description = new Description(openapi, new DocsSamples(election));
showProblem(null);
byId("document").replaceChildren(...description.page());
byId("contents").replaceChildren(...description.contents());
if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
