// The content and media type of a file as the push door gets it, from pasted rows or a chosen file.

const SIZE_MAX = 8 << 20;
const CSV = "text/csv";
/** @type {{[extension: string]: string}} */
const TYPES = {
  csv: CSV,
  tsv: CSV,
  txt: CSV,
  json: "application/json",
  ndjson: "application/x-ndjson",
  jsonl: "application/x-ndjson",
  xml: "application/xml",
  xlsx: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
};

/** @typedef {{content: Blob, type: string, problem: "fileMissing" | "fileUnknown" | null}} FileBody */

/**
 * @param {string} pasted
 * @param {File | null} file
 * @returns {FileBody}
 */
export function fileBody(pasted, file) {
  if (file === null) {
    const content = new Blob([pasted]);
    return { content, type: CSV, problem: pasted.trim() ? null : "fileMissing" };
  }
  const type = TYPES[file.name.toLowerCase().split(".").at(-1) ?? ""];
  return { content: file, type: type ?? CSV, problem: type === undefined ? "fileUnknown" : null };
}

/** @param {Blob} content */
export const tooLarge = (content) => content.size > SIZE_MAX;
