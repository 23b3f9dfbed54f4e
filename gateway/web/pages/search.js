// Search by names as readers type them: without diacritics, and with the letters of other keyboards. `vadso`
// finds Vadsø, `aalesund` finds Ålesund, and `karasjohka` finds Kárášjohka.

/** Letters that do not decompose into a base letter and a mark (Unicode NFD), as they are typed without them.
 *
 * @type {{[letter: string]: string}}
 */
const PLAIN = {
  ø: "o",
  æ: "ae",
  đ: "d",
  ð: "d",
  ŋ: "n",
  ŧ: "t",
  þ: "th",
  ł: "l",
  ħ: "h",
  ß: "ss",
  ı: "i",
  œ: "oe",
};
/** Letters that are also written as two.
 *
 * @type {{[letter: string]: string}}
 */
const LONG = { ...PLAIN, å: "aa", ø: "oe", ŋ: "ng", ä: "ae", ö: "oe", ü: "ue" };

/**
 * Return a text in lower case and without diacritics.
 *
 * @param {string} text
 * @param {{[letter: string]: string}} [letters] what replaces letters before the marks are removed
 */
export function fold(text, letters = PLAIN) {
  const lower = text.normalize("NFC").toLowerCase();
  const replaced = Array.from(lower, (letter) => letters[letter] ?? letter).join("");
  return replaced.normalize("NFKD").replace(/\p{M}/gu, "");
}

/**
 * Return a function of texts that returns whether all words of a query are in one of them, in any order.
 *
 * @param {string} query as the reader typed it; an empty one is in every text
 * @returns {(...texts: string[]) => boolean}
 */
export function matcher(query) {
  const words = fold(query).split(/\s+/).filter(Boolean);
  if (!words.length) return () => true;
  return (...texts) => {
    const whole = texts.join("\n");
    const forms = [fold(whole), fold(whole, LONG)];
    return words.every((word) => forms.some((form) => form.includes(word)));
  };
}
