// Encodes and decodes envelopes. This file has the interface of a codec, and the one for JSON.
import { fromBase64, toBase64 } from "./base64";
import { wrong } from "./fields";
import { JSON_PROTOCOL } from "./table";

/** What one message is on the wire: text or binary. */
export type Frame = string | Uint8Array;

/** One message of the protocol (docs/protocol.md). */
export interface Envelope {
  type: string;
  id?: string;
  ts?: number;
  re?: string;
  room?: string;
  seq?: number;
  prev?: number;
  base?: number;
  key?: string;
  ack?: boolean;
  encoding?: string;
  payload?: unknown;
}

/** Replaces a payload that cannot be decoded. The rest of the envelope is valid. */
export class Unreadable {
  /** @param why the reason, for people. */
  constructor(readonly why: string) {}
}

/** One encoding of envelopes. */
export interface Codec {
  /** What is offered at the upgrade. */
  readonly subprotocol: string;
  /**
   * Returns the frame. A payload of bytes (ArrayBuffer or a view of one) is a binary message.
   * @throws TypeError: the payload cannot be encoded.
   */
  encode(envelope: Envelope): Frame;
  /**
   * Returns the document of a frame, unchecked: the machine checks the fields. A payload that cannot be decoded is an
   * `Unreadable`.
   * @throws Error: the frame is no document of this encoding.
   */
  decode(frame: Frame): unknown;
  /**
   * Returns the frames that the envelopes of a batch would have alone (docs/protocol.md, batches); of any other frame
   * itself. Without this function the client asks for no batches.
   * @throws Error: the frame is a batch that cannot be split.
   */
  split?(frame: Frame): Frame[];
}

/** The bytes of a value that is bytes; undefined: it is none. */
export function bytesOf(value: unknown): Uint8Array | undefined {
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return value instanceof ArrayBuffer ? new Uint8Array(value) : undefined;
}

/** Replaces what JSON would lose silently. Maps and sets have the forms that they have from Python. */
export function plain(key: string, value: unknown): unknown {
  if (bytesOf(value) || (typeof value == "number" && !Number.isFinite(value)))
    throw new TypeError(`${key || "the value"}: only finite numbers, and bytes only as the whole message`);
  return value instanceof Map ? Object.fromEntries(value) : value instanceof Set ? [...value] : value;
}

export const json: Codec = {
  subprotocol: JSON_PROTOCOL,
  encode(envelope) {
    const bytes = bytesOf(envelope.payload);
    return JSON.stringify(bytes ? { ...envelope, payload: toBase64(bytes), encoding: "base64" } : envelope, plain);
  },
  decode(frame) {
    const envelope = JSON.parse(frame as string);
    if (envelope?.encoding !== undefined)
      try {
        if (envelope.encoding != "base64") throw envelope.encoding;
        envelope.payload = fromBase64(envelope.payload.trim());
      } catch (error) {
        envelope.payload = new Unreadable(`${error}`);
      }
    return envelope;
  },
  split(frame) {
    const text = frame as string;
    if (text[0] != "[") return [frame];
    const parts = [];
    let depth = 0;
    let start = 1;
    for (let place = 0; place < text.length; place++) {
      const char = text[place]!;
      if (char == '"') {
        while (++place < text.length && text[place] != '"') if (text[place] == "\\") place++;
      } else if (char == "{" || char == "[") depth++;
      else if (char == "}" || char == "]") depth--;
      // Where the array is wrong, a part is, or there is none.
      if (!depth || (char == "," && depth == 1)) {
        parts.push(text.slice(start, place));
        start = place + 1;
      }
    }
    if (depth || !text.endsWith("]")) wrong("batch");
    return parts;
  },
};
