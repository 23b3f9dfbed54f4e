// PURE: the chain of the public record. Each publication has the SHA-256 of its report and the chain value after it:
// chain(n) = SHA-256(chain(n-1) || digest(n)), so none can be changed, left out or added without all that follow.

import { fromHex, toHex } from "./encodings.js";

/** @import { Publication } from "../documents" */

const REPORT = ',"report":';
const encoder = new TextEncoder();

/**
 * Return the sequence of the first publication that does not fit the chain; null if all do, undefined if the browser
 * cannot compute it: it can on HTTPS only. Source: W3C Web Cryptography.
 *
 * @param {string} before the chain before the first, in hex
 * @param {string[]} lines the publications as they were sent
 * @param {Publication[]} publications the same
 * @returns {Promise<number | null | undefined>}
 */
export async function brokenLink(before, lines, publications) {
  const { subtle } = crypto;
  if (!subtle) return undefined;
  const fits = await Promise.all(
    publications.map(async ({ digest, chain }, index) => {
      const line = lines[index] ?? "";
      const report = encoder.encode(line.slice(line.indexOf(REPORT) + REPORT.length, line.lastIndexOf("}")));
      const previous = publications[index - 1]?.chain ?? before;
      const [ofReport, ofLink] = await Promise.all([
        subtle.digest("SHA-256", report),
        subtle.digest("SHA-256", fromHex(previous + digest)),
      ]);
      return toHex(ofReport) === digest && toHex(ofLink) === chain;
    }),
  );
  const index = fits.indexOf(false);
  return index < 0 ? null : (publications[index]?.sequence ?? 0);
}
