// MessagePack as the encoding of a session: smaller messages, and bytes as they are.
import { decode, encode } from "@msgpack/msgpack";
import { bytesOf, type Codec, plain } from "./codec";

/**
 * A codec for the option `codec` of `connect`. The values are those of JSON: what JSON refuses is refused.
 *
 * ```js
 * import { connect } from "fanwire";
 * import { msgpack } from "fanwire/msgpack";
 * const client = connect("wss://example.org", { codec: msgpack });
 * ```
 */
export const msgpack: Codec = {
  subprotocol: "fanwire.v1.msgpack",
  encode(envelope) {
    const { payload } = envelope;
    return encode(
      { ...envelope, payload: bytesOf(payload) ?? (payload === undefined ? payload : JSON.parse(JSON.stringify(payload, plain))) },
      { ignoreUndefined: true },
    );
  },
  decode: (frame) => decode(frame as Uint8Array),
  split(frame) {
    const bytes = frame as Uint8Array;
    const kind = bytes[0]!;
    if (kind >> 4 != 9 && kind != 0xdc && kind != 0xdd) return [frame];
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const parts = [];
    let [end, count] = head(view, 0);
    while (count--) {
      const start = end;
      for (let values = 1; values--; ) {
        const [next, more] = head(view, end);
        end = next;
        values += more;
      }
      parts.push(bytes.subarray(start, end));
    }
    if (!parts[0] || end != bytes.length) throw new Error("no batch");
    return parts;
  },
};

/**
 * Returns where the value at a place ends, but for the values in it, and how many those are.
 * @throws RangeError: it ends behind the end.
 */
function head(view: DataView, place: number): [number, number] {
  const kind = view.getUint8(place++);
  const number = (log: number) => [view.getUint8, view.getUint16, view.getUint32][log]!.call(view, place);
  let length = 0;
  let values = 0;
  if (kind < 0x80) {
  } else if (kind < 0x90) values = 2 * (kind & 15);
  else if (kind < 0xa0) values = kind & 15;
  else if (kind < 0xc0) length = kind & 31;
  else if (kind < 0xc4) {
  } else if (kind < 0xca) {
    // Bytes, and extensions, which have a type besides.
    const log = (kind - 0xc4) % 3;
    length = (1 << log) + number(log) + +(kind > 0xc6);
  } else if (kind < 0xcc) length = 4 << (kind - 0xca);
  else if (kind < 0xd4) length = 1 << (kind & 3);
  else if (kind < 0xd9) length = (1 << (kind - 0xd4)) + 1;
  else if (kind < 0xdc) length = (1 << (kind - 0xd9)) + number(kind - 0xd9);
  else if (kind < 0xe0) {
    const log = 1 + (kind & 1);
    length = 1 << log;
    values = number(log) * (kind < 0xde ? 1 : 2);
  }
  if (length > view.byteLength - place) throw new RangeError("it ends in the middle");
  return [place + length, values];
}
