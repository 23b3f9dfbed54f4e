// Copies texts that the page shows.

/**
 * Copy a text; return whether it was copied. Over plain HTTP browsers give no access to the clipboard, so that what is
 * shown is selected instead, for the reader to copy.
 *
 * @param {string} text
 * @param {Element} [shown] the element that shows the text
 */
export async function copyText(text, shown) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    if (shown) getSelection()?.selectAllChildren(shown);
    return false;
  }
}
