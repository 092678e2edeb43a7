import assert from "node:assert/strict";
import { test } from "node:test";
import { eventStream } from "../build/transport/event-stream.js";

const read = (...pieces) => {
  const events = [];
  const push = eventStream((data, name) => events.push([name, data]));
  pieces.forEach(push);
  return events;
};

test("an event is its data and its name", () => {
  assert.deepEqual(read('data: {"a":1}\n\nevent: binary\ndata: AAE=\n\n'), [["", '{"a":1}'], ["binary", "AAE="]]);
});

test("lines of data are joined, whatever ends them", () => {
  assert.deepEqual(read("data: a\r\ndata: b\rdata:c\n\n"), [["", "a\nb\nc"]]);
});

test("one space after the colon is not data, a second is", () => {
  assert.deepEqual(read("data:  a: b\n\ndata\n\n"), [["", " a: b"], ["", ""]]);
});

test("comments, ids and unknown fields say nothing", () => {
  assert.deepEqual(read(":\n\nid: 7\n\n: data: x\nretry: 5\nother\ndata: y\n\n"), [["", "y"]]);
});

test("a name without data is no event, and is forgotten", () => {
  assert.deepEqual(read("event: close\n\ndata: x\n\n"), [["", "x"]]);
});

test("any cut of the text gives the same events", () => {
  const text = "event: a\r\ndata: é€😀\r\ndata: 2\r\n\r\n:\n\ndata: z\n\n";
  const whole = read(text);
  for (let at = 0; at <= text.length; at++) assert.deepEqual(read(text.slice(0, at), text.slice(at)), whole);
  assert.deepEqual(read(...text.split("")), whole);
});

test("what is not whole is no event", () => {
  assert.deepEqual(read("data: a\n"), []);
  assert.deepEqual(read("data: a\n\ndata: b"), [["", "a"]]);
});

test("an event without an end is refused", () => {
  const push = eventStream(() => {});
  const piece = "x".repeat(1 << 22);
  assert.throws(() => {
    for (let times = 0; times < 17; times++) push("data: " + piece + "\n");
  }, RangeError);
});
