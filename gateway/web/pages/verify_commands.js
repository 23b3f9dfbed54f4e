// PURE: the commands with which somebody without this software verifies the signature of a checkpoint.

/**
 * Return the commands for an election. The last one makes a request for a timestamp (RFC 3161).
 *
 * @param {string} url of the election
 */
export const withoutThisSoftware = (url) => `curl -sSo checkpoint ${url}/log/checkpoint
sed -n 1,3p checkpoint > text
grep -m1 "^— $(sed 1q text) " checkpoint | cut -d' ' -f3 | base64 -d | tail -c +5 > sig
{ printf 302a300506032b6570032100 | xxd -r -p; cut -d+ -f3- log.vkey | base64 -d | tail -c +2; } > key.der
openssl pkeyutl -verify -pubin -keyform DER -inkey key.der -rawin -in text -sigfile sig`;
