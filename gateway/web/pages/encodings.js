// PURE: bytes as texts, and back.

/** @typedef {Uint8Array<ArrayBuffer>} Bytes */

const HEX = Array.from({ length: 256 }, (_, value) => value.toString(16).padStart(2, "0"));
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

export const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Return the bytes of a text in hex.
 *
 * @param {string} text
 * @returns {Bytes}
 */
export function fromHex(text) {
  const found = new Uint8Array(text.length >> 1);
  for (let index = 0; index < found.length; index++) {
    found[index] = Number.parseInt(text.slice(2 * index, 2 * index + 2), 16);
  }
  return found;
}

/** @param {ArrayBuffer | Bytes} bytes */
export const toHex = (bytes) => Array.from(new Uint8Array(bytes), (value) => HEX[value]).join("");

/**
 * Return the bytes of a text in base64, or null if it is not exactly the encoding of some bytes. Source: RFC 4648,
 * section 4.
 *
 * @param {string} text
 * @returns {Bytes | null}
 */
export function fromBase64(text) {
  if (text.length % 4 || !BASE64.test(text)) return null;
  const decoded = atob(text);
  return btoa(decoded) === text ? Uint8Array.from(decoded, (each) => each.charCodeAt(0)) : null;
}

/** @param {Bytes} bytes */
export const toBase64 = (bytes) => btoa(Array.from(bytes, (value) => String.fromCharCode(value)).join(""));

/**
 * Return bytes as a text, or null if they are not UTF-8.
 *
 * @param {Bytes} bytes
 */
export function fromUtf8(bytes) {
  try {
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}

/**
 * Return the bytes of several arrays, one after the other.
 *
 * @param {Bytes[]} parts
 * @returns {Bytes}
 */
export function joined(...parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/**
 * @param {Bytes} one
 * @param {Bytes} other
 */
export const sameBytes = (one, other) =>
  one.length === other.length && one.every((value, index) => value === other[index]);
