// The OpenAPI document as the API page needs it: routes, and what is true of each, with references followed. Pure: knows
// nothing of the page.

/** @import { Content, Media, OpenApi, Operation, Parameter, PathItem, Reference, Schema } from "../documents" */
/** @import { SampledRoute } from "./samples.js" */

/** @typedef {{path: string, method: string, item: PathItem, operation: Operation}} Route */
/** @typedef {{member: string, type: Schema | Reference, required: boolean}} Member */

const METHODS = /** @type {const} */ (["get", "post", "put", "patch", "delete"]);

export class Described {
  /** @param {OpenApi} document */
  constructor(document) {
    this.document = document;
    /** @type {Route[]} */
    this.routes = Object.entries(document.paths).flatMap(([path, item]) =>
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
  resolve(node) {
    /** @type {any} */
    let found = node;
    while (found?.$ref) {
      /** @type {string[]} */
      const names = found.$ref.slice(2).split("/");
      found = names.reduce((/** @type {any} */ parent, name) => parent[name], this.document);
    }
    return found;
  }

  /** @param {Route} route */
  servers({ item, operation }) {
    return operation.servers ?? item.servers ?? this.document.servers;
  }

  /**
   * Return the alternatives of the security of a route; an empty one is none.
   *
   * @param {Route} route
   */
  security({ operation }) {
    return operation.security ?? this.document.security;
  }

  /**
   * @param {Route} route
   * @returns {Parameter[]}
   */
  parameters({ item, operation }) {
    return [...(item.parameters ?? []), ...(operation.parameters ?? [])].map((each) => this.resolve(each));
  }

  /**
   * Return the content of a request by media type; null for a route without a body.
   *
   * @param {Route} route
   * @returns {Content | null}
   */
  requestContent({ operation }) {
    return operation.requestBody ? this.resolve(operation.requestBody).content : null;
  }

  /**
   * Return the media types of a good answer.
   *
   * @param {Route} route
   */
  types({ operation }) {
    const good = operation.responses["200"];
    return good ? Object.keys(this.resolve(good).content ?? {}) : [];
  }

  /**
   * Return what samples of a route depend on.
   *
   * @param {Route} route
   * @returns {SampledRoute}
   */
  sampled(route) {
    const { path, method, operation } = route;
    const security = this.security(route);
    return {
      path,
      method,
      operationId: operation.operationId,
      push: !this.servers(route).some(({ name }) => name === "feed"),
      secured: security.length > 0 && security.every((schemes) => Object.keys(schemes).length > 0),
      bodyType: Object.keys(this.requestContent(route) ?? {})[0] ?? null,
      type: this.types(route)[0] ?? "",
    };
  }

  /**
   * @param {Media} media
   * @returns {[name: string, value: unknown][]}
   */
  examples(media) {
    /** @type {[string, unknown][]} */
    const examples = Object.entries(media.examples ?? {}).map(([name, each]) => {
      const { summary, value, serializedValue } = this.resolve(each);
      return [summary ?? name, value ?? serializedValue];
    });
    return "example" in media ? [["one", media.example], ...examples] : examples;
  }

  /**
   * Return the members of an object, including those of the schemas that it combines.
   *
   * @param {Schema} schema
   * @returns {Member[]}
   */
  members({ properties = {}, required = [], allOf = [] }) {
    const members = Object.entries(properties).map(([member, type]) => ({
      member,
      type,
      required: required.includes(member),
    }));
    return [...members, ...allOf.flatMap((part) => this.members(this.resolve(part)))];
  }

  /**
   * Return a schema in a few words.
   *
   * @param {Schema | Reference} schema
   */
  typeInWords(schema) {
    const found = this.resolve(schema);
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
