// The newest values of a room whose values may come as deltas (docs/protocol.md, deltas). The application has values of its
// own: what it does to one changes no other.
import { Unreadable, type Envelope } from "../codec";

/** By key: the number and the value; `Unreadable` stands for one that could not be decoded. The server bounds their number. */
export type Values = Map<string, [seq: number, value: unknown]>;

type Members = Record<string, unknown>;

/**
 * Takes the next message of the room. Of a delta the payload becomes the whole value.
 * @returns whether the client has what the message is a delta to.
 */
export function takeValue(values: Values, envelope: Envelope, seq: number): boolean {
  const { type, key = "", base, payload } = envelope;
  if (type == "forgotten") values.delete(key);
  else if (base === undefined) {
    if (payload instanceof Unreadable) values.set(key, [seq, payload]);
    else if (isMap(payload)) values.set(key, [seq, copy(payload)]);
    // No delta to it can come.
    else values.delete(key);
  } else {
    const [known, before] = values.get(key) ?? [];
    if (known != base) return false;
    const lost = [payload, before].find((value) => value instanceof Unreadable);
    const value = lost ?? merge(before, payload);
    values.set(key, [seq, value]);
    envelope.payload = lost ?? copy(value);
  }
  return true;
}

const isMap = (value: unknown): value is Members =>
  typeof value == "object" && value != null && !Array.isArray(value) && !ArrayBuffer.isView(value);

/** Applies a merge patch (RFC 7396). Any name is safe, `__proto__` too: nothing is set by assignment. */
function merge(value: unknown, patch: unknown): unknown {
  if (!isMap(patch)) return patch;
  const members = new Map(isMap(value) ? Object.entries(value) : []);
  for (const [name, inner] of Object.entries(patch))
    if (inner === null) members.delete(name);
    else members.set(name, merge(members.get(name), inner));
  return Object.fromEntries(members);
}

/** A copy that shares no map and no list. */
const copy = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(copy)
    : isMap(value)
      ? Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, copy(inner)]))
      : value;
