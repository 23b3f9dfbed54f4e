// The API page: openapi.json (the same as /openapi.yaml) by door, with parameters, responses, examples and schemas.

import { byId, h } from "./dom.js";
import { t } from "./format.js";
import { translate } from "./shell.js";

const METHODS = ["get", "post", "put", "patch", "delete"];

class Description {
  constructor(openapi) {
    this.openapi = openapi;
  }

  /** Follow a reference; also to its name. */
  resolve(node) {
    let found = node;
    while (found?.$ref)
      found = found.$ref
        .slice(2)
        .split("/")
        .reduce((each, name) => each[name], this.openapi);
    return found;
  }

  page() {
    const { info, tags } = this.openapi;
    const operations = this.operations();
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
      ...tags.map((tag) =>
        h(
          "section",
          { class: "door", "aria-labelledby": `tag-${tag.name}` },
          h("h2", { id: `tag-${tag.name}` }, title(tag.name)),
          h("p", { class: "quiet" }, tag.summary),
          ...operations
            .filter((each) => each.operation.tags[0] === tag.name)
            .map((each) => this.operation(each)),
        ),
      ),
      h(
        "section",
        { class: "door", "aria-labelledby": "schemas" },
        h("h2", { id: "schemas" }, "Schemas"),
        ...Object.entries(this.openapi.components.schemas).map(([name, schema]) => this.schema(name, schema)),
      ),
    ];
  }

  operations() {
    return Object.entries(this.openapi.paths).flatMap(([path, item]) =>
      METHODS.filter((method) => item[method]).map((method) => ({
        path,
        method,
        item,
        operation: item[method],
      })),
    );
  }

  operation({ path, method, item, operation }) {
    const servers = operation.servers ?? item.servers ?? this.openapi.servers;
    const asked = operation.security ?? this.openapi.security;
    const notes = [servers.map((server) => `${server.description} (${new URL(server.url).port})`).join(", ")];
    if (item.head && method === "get") notes.push("HEAD too");
    if (asked.length)
      notes.push(
        asked.some((each) => !Object.keys(each).length)
          ? "a token where the door asks for one"
          : "with a token",
      );
    const parameters = [...(item.parameters ?? []), ...(operation.parameters ?? [])].map((each) =>
      this.resolve(each),
    );
    return h(
      "article",
      { class: "operation", id: operation.operationId },
      h("h3", null, operation.summary),
      h(
        "p",
        { class: "route" },
        h("span", { class: `method ${method}` }, method.toUpperCase()),
        h("span", null, path),
      ),
      h("p", { class: "quiet" }, notes.join(" · ")),
      ...prose(operation.description),
      parameters.length ? h("h4", null, "Parameters") : null,
      parameters.length
        ? h("dl", { class: "rows" }, ...parameters.flatMap((each) => this.parameter(each)))
        : null,
      ...this.body(operation.requestBody),
      h("h4", null, "Answers"),
      h(
        "dl",
        { class: "rows" },
        ...Object.entries(operation.responses).flatMap(([status, response]) => [
          h("dt", null, status),
          this.response(this.resolve(response)),
        ]),
      ),
    );
  }

  parameter(parameter) {
    const about = [
      `in ${parameter.in === "path" ? "the path" : parameter.in === "query" ? "the query" : "a header"}`,
      parameter.required ? "required" : null,
      this.kind(parameter.schema),
    ];
    return [
      h("dt", null, h("code", null, parameter.name)),
      h(
        "dd",
        null,
        ...prose(parameter.description),
        h(
          "p",
          { class: "kind" },
          about.filter(Boolean).join(" · "),
          ...("example" in parameter ? [" · for example ", h("code", null, String(parameter.example))] : []),
        ),
      ),
    ];
  }

  body(body) {
    if (!body) return [];
    return [h("h4", null, "Body"), ...this.content(this.resolve(body).content, true)];
  }

  response(response) {
    const headers = Object.entries(response.headers ?? {});
    return h(
      "dd",
      null,
      ...prose(response.description),
      ...(headers.length
        ? [
            h(
              "p",
              { class: "kind" },
              "Headers: ",
              ...headers.flatMap(([name, header], place) => [
                place ? ", " : "",
                h("code", { title: this.resolve(header).description }, name),
              ]),
            ),
          ]
        : []),
      ...this.content(response.content ?? {}, false),
    );
  }

  content(content, open) {
    return Object.entries(content).flatMap(([type, media]) => [
      h(
        "p",
        { class: "kind" },
        h("code", null, type),
        " ",
        ...this.linked(media.schema ?? media.itemSchema, Boolean(media.itemSchema)),
      ),
      ...this.examples(media).map(([name, value]) =>
        h(
          "details",
          { open },
          h("summary", null, `Example: ${name.replaceAll("_", " ")}`),
          h(
            "pre",
            { tabindex: "0" },
            h("code", null, typeof value === "string" ? value : JSON.stringify(value, null, 2)),
          ),
        ),
      ),
    ]);
  }

  examples(media) {
    const found = Object.entries(media.examples ?? {}).map(([name, each]) => [
      each.summary ?? name,
      this.resolve(each).value ?? this.resolve(each).serializedValue,
    ]);
    return "example" in media ? [["one", media.example], ...found] : found;
  }

  schema(name, schema) {
    const members = this.members(schema);
    return h(
      "article",
      { class: "operation schema", id: `schema-${name}` },
      h("h3", null, name),
      ...prose(schema.description),
      h("p", { class: "kind" }, this.kind(schema)),
      members.length
        ? h(
            "dl",
            { class: "rows" },
            ...members.flatMap(([member, each, required]) => [
              h("dt", null, h("code", null, member)),
              h(
                "dd",
                null,
                ...prose(this.resolve(each)?.description),
                h("p", { class: "kind" }, ...this.linked(each, false), required ? " · required" : ""),
              ),
            ]),
          )
        : null,
    );
  }

  /** Members of an object, also of what it is made of. */
  members(schema) {
    const found = Object.entries(schema.properties ?? {}).map(([name, each]) => [
      name,
      each,
      schema.required?.includes(name),
    ]);
    for (const part of schema.allOf ?? []) found.push(...this.members(this.resolve(part)));
    return found;
  }

  /** A schema in a few words, with links to those that have a name. */
  linked(schema, many) {
    if (schema === undefined || schema === true) return [];
    const before = many ? ["a sequence of "] : [];
    if (schema.$ref) {
      const name = schema.$ref.split("/").at(-1);
      return [...before, h("a", { href: `#schema-${name}` }, name)];
    }
    const choices = schema.anyOf ?? schema.oneOf;
    if (choices)
      return [
        ...before,
        ...choices.flatMap((each, place) => [place ? " or " : "", ...this.linked(each, false)]),
      ];
    if (schema.items) return [...before, "array of ", ...this.linked(schema.items, false)];
    return [...before, this.kind(schema)];
  }

  kind(schema) {
    const found = this.resolve(schema) ?? {};
    const words = [];
    if (found.type) words.push([].concat(found.type).join(" or "));
    if ("const" in found) words.push(JSON.stringify(found.const));
    if (found.enum) words.push(`one of ${found.enum.join(", ")}`);
    if (found.format) words.push(found.format);
    if (found.pattern) words.push(`like ${found.pattern}`);
    if (found.minimum !== undefined || found.maximum !== undefined)
      words.push(`${found.minimum ?? "…"} to ${found.maximum ?? "…"}`);
    if (found.default !== undefined) words.push(`else ${found.default}`);
    return words.join(", ");
  }

  contents() {
    const operations = this.operations();
    return this.openapi.tags
      .flatMap((tag) => [
        h("a", { href: `#tag-${tag.name}` }, h("strong", null, title(tag.name))),
        h(
          "ul",
          null,
          ...operations
            .filter((each) => each.operation.tags.includes(tag.name))
            .map(({ operation }) =>
              h("li", null, h("a", { href: `#${operation.operationId}` }, operation.summary)),
            ),
        ),
      ])
      .concat(h("a", { href: "#schemas" }, h("strong", null, "Schemas")));
  }
}

const title = (name) =>
  ({ push: "Push door", feed: "Feed", read: "Reading", health: "Health", pages: "Pages" })[name] ?? name;

/** Paragraphs, lists, `code` and **bold**: what the descriptions use of Markdown. */
function prose(source) {
  if (!source) return [];
  return source
    .trim()
    .split(/\n\s*\n/)
    .map((paragraph) => {
      if (!paragraph.startsWith("- ")) return h("p", null, ...marked(paragraph));
      return h(
        "ul",
        null,
        ...paragraph
          .slice(2)
          .split(/\n- /)
          .map((item) => h("li", null, ...marked(item))),
      );
    });
}

function marked(source) {
  return source
    .replace(/\s+/g, " ")
    .split(/(`[^`]+`|\*\*[^*]+\*\*)/)
    .map((piece) => {
      if (piece.startsWith("`")) return h("code", null, piece.slice(1, -1));
      if (piece.startsWith("**")) return h("strong", null, piece.slice(2, -2));
      return piece;
    });
}

translate(() => (document.title = `Valgnatt · ${t("api")}`));
const response = await fetch(new URL("openapi.json", import.meta.url));
const description = new Description(await response.json());
byId("document").replaceChildren(...description.page());
byId("contents").replaceChildren(...description.contents());
if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
