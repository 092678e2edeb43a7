// Base64, as it is in JSON and in event streams.

/** The text of bytes. */
export function toBase64(bytes: Uint8Array): string {
  let text = "";
  // Not in one call: the number of arguments has a limit.
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

/**
 * The bytes of a text.
 * @throws Error: it is no base64.
 */
export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
