// Envelopes as JSON, and what of them is checked.
import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, encode } from "@msgpack/msgpack";
import { json, Unreadable } from "../build/codec.js";
import { shouldReconnect } from "../build/codes.js";
import { check, checkText, sizeOf } from "../build/fields.js";
import { msgpack } from "../build/msgpack.js";
import { ByHand } from "./helpers/by_hand.mjs";

const encoded = (payload) => JSON.parse(json.encode({ type: "x", payload }));

test("bytes are base64, as the whole message only", () => {
  const bytes = Uint8Array.from({ length: 70_000 }, (_, index) => index % 256);
  const envelope = encoded(bytes);
  assert.equal(envelope.encoding, "base64");
  assert.deepEqual(json.decode(JSON.stringify(envelope)).payload, bytes);
  assert.equal(encoded(bytes.buffer).payload, envelope.payload);
  assert.equal(encoded(new DataView(bytes.buffer, 0, 3)).payload, "AAEC");
  assert.throws(() => encoded({ inside: bytes }), TypeError);
});

test("a value arrives as it is, or is refused", () => {
  for (const value of [NaN, Infinity, { a: [1, -Infinity] }, 10n]) assert.throws(() => encoded(value), TypeError);
  assert.deepEqual(encoded(new Map([["a", new Set([1])]])).payload, { a: [1] });
  assert.equal(encoded(new Date(0)).payload, "1970-01-01T00:00:00.000Z");
  assert.equal("payload" in encoded(undefined), false);
});

test("a payload that cannot be decoded is told apart", () => {
  for (const fields of ['"encoding":"base64","payload":"*"', '"encoding":"base64","payload":5', '"encoding":"unreadable"'])
    assert.ok(json.decode(`{"type":"message",${fields}}`).payload instanceof Unreadable);
});

test("a map from the server has its defaults, and a wrong one is refused", () => {
  assert.deepEqual(check({ a: 1, more: 2 }, { a: 0 }, { b: "c" }), { a: 1, b: "c", more: 2 });
  for (const value of [null, undefined, 5, "a", [], {}, { a: "1" }, { a: 1.5 }, { a: -1 }, { a: null }, { a: 2 ** 53 }])
    assert.throws(() => check(value, { a: 0 }, {}), Error);
  assert.throws(() => check({ b: null }, {}, { b: "" }), Error);
});

/** Values of all kinds and lengths that MessagePack has a form for. */
const VALUES = [
  ...[0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32, -1, -32, -33, -128, -129, -32_769, -(2 ** 31) - 1, 1.5, null, true, false],
  ...["", "a", "\u00e9\"\\", '\\"],{[', "x".repeat(31), "x".repeat(32), "x".repeat(300), "x".repeat(70_000)],
  ...[[], {}, [[[]]], { a: [{ "]": "[" }, "}"] }, Array(16).fill(1), Array(70_000).fill({}), Object.fromEntries([...Array(20).keys()].map((n) => [n, n]))],
];

test("a batch is split into what each would be alone", () => {
  const cases = [VALUES, VALUES.slice(3, 5), VALUES.slice(0, 16), Array(70_000).fill({ type: "a" })];
  for (const values of cases) {
    const [envelope, ...texts] = [JSON.stringify(values, null, 1), ...values.map((value) => JSON.stringify(value))];
    assert.deepEqual(json.split(JSON.stringify(values)), texts);
    assert.deepEqual(json.split(envelope).map((part) => JSON.parse(part)), values);
    assert.deepEqual(msgpack.split(encode(values)), values.map((value) => encode(value)));
  }
  const bytes = [1, 300, 70_000].map((length) => new Uint8Array(length).fill(0x91));
  // A time is an extension; a view has an offset in its buffer.
  const values = [...bytes, new Date(0), new Date(1.5), new Date(2 ** 40), undefined];
  const whole = new Uint8Array([0, ...encode(values)]).subarray(1);
  assert.deepEqual(msgpack.split(whole), values.map((value) => encode(value)));
  assert.deepEqual(msgpack.split(new Uint8Array([0x92, 0xd8, ...Array(17).fill(1), 0xc9, 0, 0, 0, 1, 5, 6])).map(({ length }) => length), [18, 7]);
});

test("what is no batch stays as it is, and a wrong one is refused or has a wrong part", () => {
  for (const value of [{ type: "a" }, "[", 1]) {
    assert.deepEqual(json.split(JSON.stringify(value)), [JSON.stringify(value)]);
    assert.deepEqual(msgpack.split(encode(value)), [encode(value)]);
  }
  const text = JSON.stringify(VALUES.slice(0, 40));
  for (const wrong of ["[", "[]", "[1,]", "[1]2", "[,1]", "[1}", "[{]", '["', '["\\', "[1],", text.slice(0, -1), text + "]"])
    assert.throws(() => json.split(wrong).map((part) => JSON.parse(part)), Error, wrong);
  const packed = encode([1, "ab", { a: [1.5, [new Uint8Array(3)]] }, new Date(1.5)]);
  for (let cut = 1; cut < packed.length; cut++) assert.throws(() => msgpack.split(packed.subarray(0, cut)), Error, `${cut}`);
  for (const wrong of [[0x90], [0x91], [0xdd, 255, 255, 255, 255], [0x91, 1, 1], [0x91, 0xdb, 255, 255, 255, 255]])
    assert.throws(() => msgpack.split(Uint8Array.from(wrong)), Error, `${wrong}`);
  // Whatever the bytes are, it ends.
  for (let seed = 1; seed < 2_000; seed++) {
    const bytes = Uint8Array.from({ length: 1 + (seed % 60) }, (_, n) => (n ? (seed * (n + 7) * 2_654_435_761) >>> 21 : 0x90 + (seed % 16)));
    try {
      msgpack.split(bytes).map((part) => decode(part));
    } catch {}
  }
});

test("names of objects' own methods are names like others", () => {
  const hand = new ByHand().up();
  for (const type of ["constructor", "toString", "__proto__"]) assert.deepEqual(hand.hear(type), []);
  const room = hand.join("__proto__", { delivery: "latest" });
  hand.message("__proto__", 1, { key: "constructor" });
  assert.equal(hand.take(room).key, "constructor");
  assert.equal(hand.machine.state, "open");
});

test("a text argument has a size in bytes, a key in characters", () => {
  assert.equal(sizeOf("é€😀"), 9);
  checkText("room", "é".repeat(127), 255);
  checkText("key", "😀".repeat(255), 255);
  assert.throws(() => checkText("room", "é".repeat(128), 255), RangeError);
  assert.throws(() => checkText("key", "x".repeat(256), 255), RangeError);
  assert.throws(() => checkText("room", "", 255), RangeError);
  assert.throws(() => checkText("room", 5, 255), TypeError);
  assert.throws(() => checkText("room", "\ud800", 255), URIError);
});

test("the close code says whether to come back", () => {
  const codes = [1000, 1001, 1002, 1005, 1006, 1008, 1011, 1012, 1013, 1014, 4000, 4499, 4500, 4503];
  assert.deepEqual(codes.filter(shouldReconnect), [1001, 1005, 1006, 1011, 1012, 1013, 1014, 4000, 4499]);
});
