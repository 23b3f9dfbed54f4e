// Samples for each route in curl, JavaScript and Python, with the addresses and names of a deployment. Pure:
// independent of the page. The tests run every sample as it is shown.

/**
 * @typedef {object} Place where a reader is, and what there is
 * @property {string} feed the origin of the feed door
 * @property {string} push the address of the push door
 * @property {{[name: string]: string}} names values of the parameters in paths
 * @property {string} level a level of the registry
 * @property {SampleReport} report a report that the election accepts
 */
/**
 * @typedef {object} SampleReport
 * @property {string} unit
 * @property {number} revision
 * @property {string} counted_at
 * @property {string} status
 * @property {{[category: string]: SampleCounts}} counts
 */
/** @typedef {{ballots: number, blank: number, rejected: number, votes: {[party: string]: number}}} SampleCounts */
/**
 * @typedef {object} SampledRoute
 * @property {string} path
 * @property {string} method
 * @property {string} operationId
 * @property {boolean} push whether it is shown at the push door
 * @property {boolean} secured whether it requires a token
 * @property {string | null} bodyType of the request
 * @property {string} type of the answer
 */
/** @typedef {{curl: string, javascript: string, python: string}} Samples */
/** @typedef {{url: string, method: string, secured: boolean, headers: [string, string][], body: string | null}} Call */

/** Samples by the title of their language. */
export const LANGUAGES = /** @type {const} */ ({ curl: "curl", javascript: "JavaScript", python: "Python" });

const SUBPROTOCOL = "valgnatt.push.v1";
const EVENTS = "text/event-stream";

/**
 * Return the samples of a route.
 *
 * @param {SampledRoute} route
 * @param {Place} place
 * @returns {Samples}
 */
export function samplesOf(route, place) {
  const call = callOf(route, place);
  if (route.operationId === "get_push") return socketSamples(call, place.report);
  if (route.type === EVENTS) return streamSamples(call);
  return plainSamples(call, route.type);
}

/**
 * Return the address that the samples of a route use.
 *
 * @param {SampledRoute} route
 * @param {Place} place
 */
export function addressOf(route, place) {
  const { path, operationId, push } = route;
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(place.names[name] ?? name));
  const queries = /** @type {{[id: string]: string}} */ ({
    get_results: `level=${encodeURIComponent(place.level)}`,
    get_publications: "after=0&limit=10",
  });
  const query = queries[operationId];
  return (push ? place.push.replace(/\/$/, "") : place.feed) + filled + (query ? `?${query}` : "");
}

/**
 * @param {SampledRoute} route
 * @param {Place} place
 * @returns {Call}
 */
function callOf(route, place) {
  const { method, operationId, secured, bodyType, type } = route;
  /** @type {[string, string][]} */
  const headers = [];
  if (bodyType !== null) headers.push(["Content-Type", bodyType]);
  else if (type === EVENTS) headers.push(["Accept", EVENTS]);
  const body = bodyType === null ? null : bodyOf(operationId, bodyType, place.report);
  return { url: addressOf(route, place), method: method.toUpperCase(), secured, headers, body };
}

/**
 * @param {string} operationId
 * @param {string} type
 * @param {SampleReport} report
 */
function bodyOf(operationId, type, report) {
  if (operationId === "post_decision") {
    const hold = { unit: report.unit, revision: report.revision, digest: "0".repeat(64) };
    return JSON.stringify({ decide: "reject", reason: "duplicate", holds: [hold] });
  }
  if (operationId === "put_rules") {
    return JSON.stringify({ rules: { fell: { do: "hold", ballots: 100, permille: 20 } } });
  }
  if (type !== "text/csv") return JSON.stringify(report);
  const rows = Object.entries(report.counts).map(([category, { ballots, blank, rejected, votes }]) => [
    ["unit", "counted_at", "status", "category", "ballots", "blank", "rejected", ...Object.keys(votes)],
    [
      report.unit,
      report.counted_at,
      report.status,
      category,
      ballots,
      blank,
      rejected,
      ...Object.values(votes),
    ],
  ]);
  return (rows[0] ?? []).map((cells) => cells.join(",")).join("\n");
}

/**
 * @param {Call} call
 * @param {string} type of the answer
 * @returns {Samples}
 */
function plainSamples(call, type) {
  const json = type === "application/json";
  const bytes = type === "application/octet-stream";
  const shown = `await response.${json ? "json" : "text"}()`;
  const printed = json ? "json.load(response)" : "response.read().decode()";
  return {
    curl: curl(call),
    javascript: lines(
      `const response = await fetch(${fetchArguments(call)});`,
      'if (!response.ok) throw new Error(response.status + " " + (await response.text()));',
      `console.log(${bytes ? "(await response.arrayBuffer()).byteLength" : shown});`,
    ),
    python: lines(
      ...pythonImports(call, json),
      "",
      ...pythonRequest(call),
      "with urlopen(request) as response:",
      `    print(${bytes ? "len(response.read())" : printed})`,
    ),
  };
}

/**
 * @param {Call} call
 * @returns {Samples}
 */
function streamSamples(call) {
  return {
    curl: lines("# Ends with Ctrl-C.", curl(call, "--no-buffer")),
    javascript: lines(
      "const areas = new Map();",
      `const response = await fetch(${fetchArguments(call)});`,
      'if (!response.ok) throw new Error(response.status + " " + (await response.text()));',
      "const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();",
      'let text = "";',
      "let changed = [];",
      "let blocks = 0;",
      "while (blocks < 1) {",
      "  const { value, done } = await reader.read();",
      "  if (done) break; // connect again, with the last id in the header Last-Event-ID",
      "  text += value;",
      '  const events = text.split("\\n\\n");',
      "  text = events.pop();",
      "  for (const event of events) {",
      '    const data = JSON.parse(event.match(/^data: (.*)$/m)?.[1] ?? "null");',
      '    if (event.includes("event: area\\n")) changed.push(data);',
      '    if (!event.includes("event: block\\n")) continue;',
      "    if (data.snapshot) areas.clear();",
      "    for (const area of changed) areas.set(area.area, area);",
      "    changed = [];",
      "    blocks += 1;",
      '    console.log("sequence", data.sequence, "areas", areas.size);',
      "  }",
      "}",
      "await reader.cancel(); // this sample ends after the first block; go on for the changes",
    ),
    python: lines(
      ...pythonImports(call, true),
      "",
      ...pythonRequest(call),
      'areas, changed, event = {}, [], ""',
      "with urlopen(request) as response:",
      "    for line in response:",
      '        field, _, value = line.decode().rstrip("\\n").partition(": ")',
      '        if field == "event":',
      "            event = value",
      '        elif field == "data" and event == "area":',
      "            changed.append(json.loads(value))",
      '        elif field == "data" and event == "block":',
      "            block = json.loads(value)",
      '            if block["snapshot"]:',
      "                areas.clear()",
      '            areas.update({area["area"]: area for area in changed})',
      "            changed = []",
      "            print(f\"sequence {block['sequence']}: {len(areas)} areas\")",
      "            break  # this sample ends after the first block; go on for the changes",
    ),
  };
}

/**
 * @param {Call} call
 * @param {SampleReport} report
 * @returns {Samples}
 */
function socketSamples(call, report) {
  const url = call.url.replace(/^http/, "ws");
  const message = JSON.stringify({ type: "report", id: 1, report });
  return {
    curl: lines(
      "# Opens the WebSocket and shows its first message; to push over it, use a program.",
      curl(
        {
          ...call,
          headers: [
            ["Connection", "Upgrade"],
            ["Upgrade", "websocket"],
            ["Sec-WebSocket-Version", "13"],
            ["Sec-WebSocket-Key", "dmFsZ25hdHQgc2FtcGxlIQ=="],
            ["Sec-WebSocket-Protocol", SUBPROTOCOL],
          ],
        },
        "--include --no-buffer --http1.1 --max-time 3",
      ),
    ),
    javascript: lines(
      "// Node 22 or newer: browsers cannot send the token.",
      `const socket = new WebSocket(${JSON.stringify(url)}, {`,
      `  protocols: [${JSON.stringify(SUBPROTOCOL)}],`,
      `  headers: { Authorization: ${JS_TOKEN} },`,
      "});",
      `const message = ${message};`,
      "await new Promise((resolve, reject) => {",
      '  socket.addEventListener("error", () => reject(new Error("not connected")));',
      '  socket.addEventListener("close", resolve);',
      '  socket.addEventListener("message", ({ data }) => {',
      "    const { type, results } = JSON.parse(data);",
      '    if (type === "hello") socket.send(JSON.stringify(message));',
      '    if (type === "results") {',
      "      console.log(results);",
      "      socket.close();",
      "    }",
      "  });",
      "});",
    ),
    python: lines(
      "import asyncio",
      "import os",
      "",
      "import aiohttp  # pip install aiohttp",
      "",
      `URL = ${JSON.stringify(url)}`,
      `HEADERS = {"Authorization": ${PYTHON_TOKEN}}`,
      `MESSAGE = ${message}`,
      "",
      "",
      "async def main():",
      "    async with aiohttp.ClientSession(headers=HEADERS) as http:",
      `        async with http.ws_connect(URL, protocols=[${JSON.stringify(SUBPROTOCOL)}]) as socket:`,
      "            async for frame in socket:",
      "                answer = frame.json()",
      '                if answer["type"] == "hello":',
      "                    await socket.send_json(MESSAGE)",
      '                elif answer["type"] == "results":',
      '                    print(answer["results"])',
      "                    break",
      "",
      "",
      "asyncio.run(main())",
    ),
  };
}

const JS_TOKEN = '"Bearer " + process.env.VALGNATT_TOKEN';
const PYTHON_TOKEN = "f\"Bearer {os.environ['VALGNATT_TOKEN']}\"";

/**
 * @param {Call} call
 * @param {string} [options]
 */
function curl({ url, method, secured, headers, body }, options = "") {
  const words = [`curl --fail-with-body --silent --show-error${options ? ` ${options}` : ""}`];
  if (secured) words.push('--header "Authorization: Bearer $VALGNATT_TOKEN"');
  for (const [name, value] of headers) words.push(`--header ${quoted(`${name}: ${value}`)}`);
  if (method !== (body === null ? "GET" : "POST")) words.push(`--request ${method}`);
  if (body !== null) words.push(`--data-binary ${quoted(body)}`);
  return [...words, quoted(url)].join(" \\\n  ");
}

/** @param {string} text for a POSIX shell */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** @param {Call} call */
function fetchArguments({ url, method, secured, headers, body }) {
  const all = headers.map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`);
  if (secured) all.unshift(`Authorization: ${JS_TOKEN}`);
  const options = [];
  if (method !== "GET") options.push(`  method: ${JSON.stringify(method)},`);
  if (all.length) options.push(`  headers: { ${all.join(", ")} },`);
  if (body !== null) options.push(`  body: ${JSON.stringify(body)},`);
  if (!options.length) return JSON.stringify(url);
  return lines(`${JSON.stringify(url)}, {`, ...options, "}");
}

/**
 * @param {Call} call
 * @param {boolean} json
 */
function pythonImports({ secured }, json) {
  return [
    ...(json ? ["import json"] : []),
    ...(secured ? ["import os"] : []),
    "from urllib.request import Request, urlopen",
  ];
}

/** @param {Call} call */
function pythonRequest({ url, method, secured, headers, body }) {
  const all = headers.map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`);
  if (secured) all.unshift(`"Authorization": ${PYTHON_TOKEN}`);
  if (!all.length && body === null) return [`request = Request(${JSON.stringify(url)})`];
  return [
    "request = Request(",
    `    ${JSON.stringify(url)},`,
    ...(body === null ? [] : [`    data=${JSON.stringify(body)}.encode(),`]),
    ...(all.length ? [`    headers={${all.join(", ")}},`] : []),
    `    method=${JSON.stringify(method)},`,
    ")",
  ];
}

/** @param {string[]} all */
const lines = (...all) => all.join("\n");
