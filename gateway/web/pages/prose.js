// The Markdown that descriptions use: paragraphs, lists, `code` and **bold**.

import { h } from "./dom.js";

/**
 * Return the paragraphs and lists of a text.
 *
 * @param {string | undefined} source
 */
export function prose(source) {
  const paragraphs = source ? source.trim().split(/\n\s*\n/) : [];
  return paragraphs.map((paragraph) => {
    if (!paragraph.startsWith("- ")) return h("p", null, ...inline(paragraph));
    const items = paragraph.slice(2).split(/\n- /);
    return h("ul", null, ...items.map((item) => h("li", null, ...inline(item))));
  });
}

/** @param {string} source */
function inline(source) {
  const pieces = source.replace(/\s+/g, " ").split(/(`[^`]+`|\*\*[^*]+\*\*)/);
  return pieces.map((piece) => {
    if (piece.startsWith("`")) return h("code", null, piece.slice(1, -1));
    if (piece.startsWith("**")) return h("strong", null, piece.slice(2, -2));
    return piece;
  });
}
