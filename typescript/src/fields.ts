// Checks what comes from the server, and what the application gives to calls.
import type { Envelope } from "./codec";

const encoder = /* @__PURE__ */ new TextEncoder();

/** Bytes on the wire, without the header. */
export const sizeOf = (frame: string | Uint8Array): number =>
  typeof frame == "string" ? encoder.encode(frame).length : frame.length;

/**
 * Ends the session: the server has sent what the protocol does not allow. The machine catches every error of this kind.
 * @throws Error: always.
 */
export function wrong(text: string): never {
  throw new Error(text);
}

type Fields = Record<string, unknown>;

/** A value has the type of its example. A number is whole and, but for a count, not negative. */
function checkField(name: string, value: unknown, example: unknown): void {
  if (
    typeof value != typeof example ||
    (typeof value == "number" && (!Number.isSafeInteger(value) || (value < 0 && name != "count")))
  )
    wrong(name);
}

/**
 * Checks a map from the server.
 * @param value the map. It may be anything.
 * @param needed examples of the fields that must be there.
 * @param optional the defaults of those that may be absent.
 * @returns the map with the defaults, and with the fields that were not checked.
 */
export function check<N extends object, O extends object>(value: unknown, needed: N, optional?: O): N & O & Fields {
  const found = { ...optional, ...(value as object) } as N & O & Fields;
  const examples = { ...optional, ...needed } as Fields;
  for (const name in examples) checkField(name, found[name], examples[name]);
  return found;
}

const OPTIONAL: Fields = { id: "", ts: 0, re: "", room: "", seq: 0, prev: 0, base: 0, key: "", ack: true, encoding: "" };

/** Checks the envelope of each message, and copies nothing. */
export function checkEnvelope(document: unknown): Envelope {
  const found = document as Envelope & Fields;
  checkField("type", found.type, "");
  for (const name in OPTIONAL) if (found[name] !== undefined) checkField(name, found[name], OPTIONAL[name]);
  return found;
}

/** Milliseconds that a server gives, from 0 to a limit; null: it gives none. */
export const milliseconds = (value: unknown, most = 2 ** 53): number | null =>
  value == null ? null : typeof value == "number" ? Math.min(Math.max(0, value), most) || 0 : wrong("milliseconds");

/** The room of an envelope. */
export const roomOf = (envelope: Envelope): string => envelope.room ?? wrong("room");

/** The number of an envelope. */
export const seqOf = (envelope: Envelope): number => envelope.seq ?? wrong("seq");

/**
 * Checks an argument of the application: the server could not read a wrong one, and so would never answer it.
 * @throws TypeError, RangeError, URIError: it is no text, too long or empty, or no Unicode text.
 */
export function checkText(name: string, value: unknown, most: number): void {
  if (typeof value != "string") throw new TypeError(name + " must be a string");
  // Throws on a lone surrogate.
  encodeURIComponent(value);
  // A key is measured in characters, all others in bytes.
  const size = name == "key" ? [...value].length : sizeOf(value);
  if (!size || size > most) throw new RangeError(`${name} must have 1 to ${most} bytes`);
}
