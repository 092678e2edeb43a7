import assert from "node:assert/strict";
import { test } from "node:test";
import { chooser } from "../build/transport/chooser.js";

const ALL = ["websocket", "sse", "long-poll"];
const make = (transports = ALL, remembered) => chooser(transports, 10_000, () => 0.5, remembered);

test("a round tries each transport, and the last has the whole time", () => {
  assert.deepEqual(make()._round(), [["websocket", 2000], ["sse", 3000], ["long-poll", 10_000]]);
  assert.deepEqual(make(["websocket"])._round(), [["websocket", 10_000]]);
});

test("each failed round doubles the limits, up to the timeout", () => {
  const choice = make();
  choice._failed();
  assert.deepEqual(choice._round(), [["websocket", 4000], ["sse", 6000], ["long-poll", 10_000]]);
  for (let times = 0; times < 100; times++) choice._failed();
  assert.deepEqual(choice._round().map(([, limit]) => limit), [10_000, 10_000, 10_000]);
  choice._worked("websocket", 0);
  assert.equal(choice._round()[0][1], 2000);
});

test("what worked last comes first", () => {
  const choice = make(ALL, "sse");
  assert.deepEqual(choice._round().map(([transport]) => transport), ["sse", "long-poll", "websocket"]);
  choice._worked("long-poll", 0);
  assert.deepEqual(choice._round().map(([transport]) => transport), ["long-poll", "websocket", "sse"]);
});

test("what is remembered is ignored if it is not known, or the application wants another transport first", () => {
  assert.equal(make(["sse", "websocket"], "websocket")._round()[0][0], "sse");
  assert.deepEqual(make(ALL, "pigeon")._round(), make()._round());
  assert.deepEqual(make(["sse"], "websocket")._round(), [["sse", 10_000]]);
});

test("a WebSocket is tried after ten seconds on a fallback transport, then every half minute", () => {
  const choice = make();
  choice._worked("sse", 1000);
  assert.equal(choice._upgradeAt, 12_000);
  choice._upgradeFailed(20_000);
  assert.equal(choice._upgradeAt, 53_000);
  choice._worked("websocket", 60_000);
  assert.equal(choice._upgradeAt, Infinity);
});

test("no WebSocket is tried where the application wants none, or another transport first", () => {
  const without = make(["sse", "long-poll"]);
  without._worked("long-poll", 0);
  assert.equal(without._upgradeAt, Infinity);
  const last = make(["sse", "websocket"]);
  assert.equal(last._worked("sse", 0), false);
  assert.equal(last._upgradeAt, Infinity);
  const pinned = make();
  pinned._pin("long-poll");
  pinned._worked("long-poll", 0);
  assert.equal(pinned._upgradeAt, Infinity);
  assert.equal(pinned._round()[0][0], "long-poll");
});

test("what works is remembered, unless the application has wanted it", () => {
  const free = chooser(["websocket", "sse"], 10_000, () => 0);
  assert.equal(free._worked("sse", 0), true);
  free._pin("sse");
  assert.equal(free._worked("sse", 0), false);
  assert.equal(chooser(["sse"], 10_000, () => 0)._worked("sse", 0), false);
});
