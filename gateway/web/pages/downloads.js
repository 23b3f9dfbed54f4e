// Links to what a table shows, as files: CSV for spreadsheets, JSON, and the formats that election software exchanges.

import { h } from "./dom.js";
import { currentLanguage, t } from "./format.js";
import { electionPath } from "./shell.js";

/** @typedef {{name: string, path: string, file: string}} Download a path and its query, and a file without suffix */

/**
 * Draw the links.
 *
 * @param {HTMLElement} container
 * @param {Download[]} downloads
 * @param {[format: string, href: string, file: string][]} others in other formats
 */
export function drawDownloads(container, downloads, others = []) {
  const key = `${currentLanguage()} ${downloads.map(({ path }) => path).join(" ")}`;
  if (container.dataset.key === key) return; // the focus may be on a link
  container.dataset.key = key;
  const links = downloads.flatMap(({ name, path, file }) => {
    const start = `${path}${path.includes("?") ? "&" : "?"}`;
    return [
      ["CSV", `${start}format=csv&bom=1`, `${file}.csv`],
      ["JSON", `${start}format=json`, `${file}.json`],
    ].map(([format, href, download]) =>
      h("a", { href, download }, name ? `${name} (${format})` : `${format}`),
    );
  });
  links.push(...others.map(([format, href, download]) => h("a", { href, download }, format)));
  container.replaceChildren(...links.flatMap((link, index) => [index ? " · " : `${t("download")}: `, link]));
}

/**
 * Draw links to the results of levels: of all areas, or of those below one, and then to that one itself.
 *
 * @param {HTMLElement} container
 * @param {string} election
 * @param {string[]} levels
 * @param {string} [area]
 */
export function drawTableDownloads(container, election, levels, area) {
  const within = area === undefined ? "" : `&area=${encodeURIComponent(area)}`;
  const file = [election, ...(area === undefined ? [] : [area])].join("-");
  drawDownloads(
    container,
    levels.map((level) => ({
      name: t("levels")[level] ?? level,
      path: `${electionPath(election, "/areas")}?level=${encodeURIComponent(level)}${within}`,
      file: `${file}-${level}`,
    })),
    area === undefined
      ? []
      : exchangeFormats(electionPath(election, `/areas/${encodeURIComponent(area)}`), file),
  );
}

/**
 * Return the formats in which other software exchanges an area with its children.
 *
 * @param {string} path
 * @param {string} file
 * @returns {[string, string, string][]}
 */
function exchangeFormats(path, file) {
  return [
    ["EML 510", `${path}?format=eml`, `${file}.xml`],
    ["NIST SP 1500-100", `${path}?format=nist`, `${file}-nist.json`],
  ];
}
