// YAML as far as the API's description uses it: block and flow collections, plain and quoted scalars, `|` and `>`,
// anchors and aliases, comments. What it does not understand it refuses. Source: YAML 1.2.2.

export function parse(source) {
  const lines = [];
  for (const [number, raw] of source.split("\n").entries()) lines.push({ number: number + 1, raw, indent: raw.length - raw.trimStart().length });
  return new Reader(lines).document();
}

class Reader {
  #at = 0;
  #anchors = new Map();

  constructor(lines) {
    this.lines = lines;
  }

  document() {
    const value = this.#block(0);
    if (this.#peek()) this.#fail("what is this?");
    return value;
  }

  #fail(why) {
    const line = this.lines[this.#at];
    throw new Error(`line ${line?.number ?? "last"}: ${why}: ${line?.raw ?? ""}`);
  }

  /** The next line that says something, or undefined. */
  #peek() {
    for (; this.#at < this.lines.length; this.#at++) {
      const line = this.lines[this.#at];
      if (line.raw.trim() && !/^\s*(#|---\s*$)/.test(line.raw)) return line;
    }
    return undefined;
  }

  /** What stands at this depth or deeper. */
  #block(least) {
    const line = this.#peek();
    if (!line || line.indent < least) return null;
    const body = line.raw.slice(line.indent);
    if (body === "-" || body.startsWith("- ")) return this.#sequence(line.indent);
    if (keyOf(body)) return this.#mapping(line.indent);
    return this.#inline(body, line.indent - 1);
  }

  #sequence(indent) {
    const found = [];
    for (let line = this.#peek(); line && line.indent === indent && /^-( |$)/.test(line.raw.slice(indent)); line = this.#peek()) {
      const rest = line.raw.slice(indent + 1);
      const inner = rest.trimStart();
      if (!inner || inner.startsWith("#")) {
        this.#at++;
        found.push(this.#block(indent + 1));
      } else if (keyOf(inner) && !"[{\"'&*".includes(inner[0])) {
        line.indent = indent + 1 + (rest.length - inner.length);
        line.raw = " ".repeat(line.indent) + inner;
        found.push(this.#mapping(line.indent));
      } else {
        found.push(this.#inline(inner, indent));
      }
    }
    return found;
  }

  #mapping(indent) {
    const found = {};
    for (let line = this.#peek(); line && line.indent === indent; line = this.#peek()) {
      const key = keyOf(line.raw.slice(indent));
      if (!key) this.#fail("no key");
      const value = this.#inline(key.rest, indent);
      if (key.name === "<<") Object.assign(found, value);
      else found[key.name] = value;
    }
    return found;
  }

  /** A value that begins on the present line, which belongs to something `indent` deep. */
  #inline(text, indent) {
    let rest = text.trim();
    let anchor = null;
    const marked = /^&([\w-]+)\s*/.exec(rest);
    if (marked) {
      anchor = marked[1];
      rest = rest.slice(marked[0].length);
    }
    const value = this.#value(rest, indent);
    if (anchor) this.#anchors.set(anchor, value);
    return value;
  }

  #value(rest, indent) {
    if (!rest || rest.startsWith("#")) {
      this.#at++;
      const next = this.#peek();
      const listBeside = next && next.indent === indent && /^-( |$)/.test(next.raw.slice(indent));
      return listBeside ? this.#sequence(indent) : this.#block(indent + 1);
    }
    if (/^[|>][-+]?\s*(#.*)?$/.test(rest)) return this.#text(rest, indent);
    // A flow collection, a quoted or a plain scalar may go on in deeper lines.
    let whole = rest;
    this.#at++;
    for (;;) {
      const flow = new Flow(whole, this.#anchors);
      const done = flow.complete();
      const next = this.lines[this.#at];
      const deeper = next && next.raw.trim() && next.indent > indent && !next.raw.trim().startsWith("#");
      if (done && !(flow.plain && deeper)) return flow.value;
      if (!next || (!deeper && !"[{\"'".includes(whole[0]))) {
        this.#at--;
        this.#fail("it does not end");
      }
      whole += ` ${next.raw.trim()}`;
      this.#at++;
    }
  }

  #text(head, indent) {
    this.#at++;
    const found = [];
    let depth = null;
    for (; this.#at < this.lines.length; this.#at++) {
      const line = this.lines[this.#at];
      const blank = !line.raw.trim();
      if (!blank && line.indent <= indent) break;
      if (!blank) depth ??= line.indent;
      found.push(blank ? "" : line.raw.slice(depth));
    }
    let trailing = 0;
    for (; found.length && !found.at(-1); trailing++) found.pop();
    const joined = head[0] === "|" ? found.join("\n") : found.join("\n").replace(/([^\n])\n(?=[^\n ])/g, "$1 ");
    return head[1] === "-" ? joined : joined + "\n".repeat(head[1] === "+" ? 1 + trailing : 1);
  }
}

/** The key that a line begins with, and what follows it. */
function keyOf(body) {
  const quoted = /^("(?:[^"\\]|\\.)*"|'(?:[^']|'')*')\s*:(?:\s+|$)/.exec(body);
  if (quoted) return { name: new Flow(quoted[1], new Map()).read(), rest: body.slice(quoted[0].length) };
  const plain = /^([^\s#&*[\]{},"'|>@`%!-][^#]*?|-[^\s#][^#]*?)\s*:(?:\s+|$)/.exec(body);
  return plain && { name: plain[1], rest: body.slice(plain[0].length) };
}

class Flow {
  #at = 0;
  plain = false;
  value = undefined;

  constructor(text, anchors) {
    this.text = text;
    this.anchors = anchors;
  }

  /** Whether the text is a whole value (and a comment perhaps). */
  complete() {
    try {
      this.value = this.read();
    } catch (error) {
      if (error instanceof Unfinished) return false;
      throw error;
    }
    const rest = this.text.slice(this.#at).trim();
    return !rest || rest.startsWith("#");
  }

  read(within = "") {
    this.#space();
    const first = this.text[this.#at];
    if (first === undefined) throw new Unfinished();
    if (first === "[") return this.#list();
    if (first === "{") return this.#map();
    if (first === '"') return this.#double();
    if (first === "'") return this.#single();
    const marked = /^[&*]([\w-]+)\s*/.exec(this.text.slice(this.#at));
    if (marked) {
      this.#at += marked[0].length;
      if (first === "*") {
        if (!this.anchors.has(marked[1])) throw new Error(`no anchor ${marked[1]}`);
        return this.anchors.get(marked[1]);
      }
      const value = this.read(within);
      this.anchors.set(marked[1], value);
      return value;
    }
    const end = within ? /,|[[\]{}]|:(?=\s|$|[,[\]{}])|\s#/ : /\s#/;
    const rest = this.text.slice(this.#at);
    const found = end.exec(rest);
    const token = found ? rest.slice(0, found.index) : rest;
    this.#at += token.length;
    if (!within) this.plain = true;
    return scalar(token.trim());
  }

  #space() {
    while (/\s/.test(this.text[this.#at] ?? "")) this.#at++;
  }

  #next() {
    this.#space();
    if (this.#at >= this.text.length) throw new Unfinished();
    return this.text[this.#at];
  }

  #list() {
    const found = [];
    this.#at++;
    while (this.#next() !== "]") {
      let item = this.read("[");
      if (this.#next() === ":") {
        this.#at++;
        item = { [item]: this.read("[") };
      }
      found.push(item);
      if (this.#next() === ",") this.#at++;
    }
    this.#at++;
    return found;
  }

  #map() {
    const found = {};
    this.#at++;
    while (this.#next() !== "}") {
      const key = this.read("{");
      if (this.#next() === ":") {
        this.#at++;
        found[key] = ",}".includes(this.#next()) ? null : this.read("{");
      } else found[key] = null;
      if (this.#next() === ",") this.#at++;
    }
    this.#at++;
    return found;
  }

  #double() {
    const found = /^"(?:[^"\\]|\\.)*"/.exec(this.text.slice(this.#at));
    if (!found) throw new Unfinished();
    this.#at += found[0].length;
    return JSON.parse(found[0]);
  }

  #single() {
    const found = /^'((?:[^']|'')*)'/.exec(this.text.slice(this.#at));
    if (!found) throw new Unfinished();
    this.#at += found[0].length;
    return found[1].replaceAll("''", "'");
  }
}

class Unfinished extends Error {}

function scalar(text) {
  if (text === "" || text === "null" || text === "~") return null;
  if (text === "true") return true;
  if (text === "false") return false;
  if (/^[-+]?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/.test(text)) return Number(text);
  return text;
}
