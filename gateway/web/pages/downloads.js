// Links to what a table shows, as files: CSV for spreadsheets, JSON, and the formats that election software exchanges.

import { h } from "./dom.js";
import { currentLanguage, t } from "./format.js";
import { documents } from "./source.js";

/** @import { FormatLink } from "./document_urls.js" */
/** @typedef {{name: string, links: FormatLink[]}} Download what it is, if that has to be said, and its formats */

/**
 * Draw the links.
 *
 * @param {HTMLElement} container
 * @param {Download[]} downloads
 */
export function drawDownloads(container, downloads) {
  const links = downloads.flatMap(({ name, links: formats }) =>
    formats.map(([format, href, download]) => ({
      words: name ? `${name} (${format})` : format,
      href,
      download,
    })),
  );
  const key = `${currentLanguage()} ${links.map(({ href }) => href).join(" ")}`;
  if (container.dataset.key === key) return; // the focus may be on a link
  container.dataset.key = key;
  const elements = links.map(({ words, ...to }) => h("a", to, words));
  container.replaceChildren(
    ...elements.flatMap((link, index) => [index ? " · " : `${t("download")}: `, link]),
  );
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
  const file = [election, ...(area === undefined ? [] : [area])].join("-");
  const downloads = levels.map((level) => ({
    name: t("levels")[level] ?? level,
    links: documents().results(election, level, area, `${file}-${level}`),
  }));
  const exchanged = area === undefined ? [] : documents().exchanged(election, area, file);
  drawDownloads(container, [...downloads, { name: "", links: exchanged }]);
}
