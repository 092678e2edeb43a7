// The way of messages to callbacks, with a source that is played.
import assert from "node:assert/strict";
import { test } from "node:test";
import { outlet } from "../build/stream.js";
import { within } from "./helpers/world.mjs";

const settle = async () => {
  for (let times = 0; times < 20; times++) await new Promise(setImmediate);
};

for (const [when, remove] of [
  ["at once", (off) => off()],
  ["in the same turn", (off) => Promise.resolve().then(off)],
  ["by the callback of another event", (off, world) => (world.perform = off)],
]) {
  for (const isFirst of [true, false]) {
    test(`a callback that is removed ${when} takes no message with it, ${isFirst ? "the first" : "a later"} time`, async () => {
      const waiting = [];
      const told = [];
      const world = { perform() {} };
      const { _on, _messages } = outlet({ _take: () => waiting.shift() }, () => world.perform());
      if (!isFirst) {
        waiting.push("before");
        const off = _on("message", (message) => told.push(message));
        await settle();
        off();
        assert.deepEqual(told.splice(0), ["before"]);
      }
      waiting.push("a");
      const off = _on("message", (message) => told.push(message));
      await remove(off, world);
      await settle();
      if (!told.length) told.push((await within(_messages().next(), "the message")).value);
      assert.deepEqual(told, ["a"]);
      assert.deepEqual(waiting, []);
    });
  }
}
