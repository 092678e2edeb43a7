// The server's clock: the scripts of tests/vectors/units/clock.json, and the public object.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { clockOf, forgetClock, learnTime, ping, readClock, serverTime } from "../build/machine/clock.js";
import { ByHand } from "./helpers/by_hand.mjs";

const scripts = JSON.parse(readFileSync(new URL("../../tests/vectors/units/clock.json", import.meta.url), "utf8"));

for (const { name, steps } of scripts)
  test(name, () => {
    const core = { _offset: null, _offsetAt: 0, _shown: 0, _shownAt: 0, _codec: { encode: () => "" }, _actions: [] };
    let now = 0;
    const play = {
      opened: () => forgetClock(core),
      asked: () => ping(core, now),
      read: () => readClock(core, now),
      answered: ({ ts }) => learnTime(core, ts, now),
      now: () => serverTime(core, now),
      round_trip: () => clockOf(core, () => now).roundTrip,
      error: () => clockOf(core, () => now).error,
      deadline: () => (core._clockAt == Infinity ? null : core._clockAt),
    };
    for (const step of steps) {
      now = step.at ?? now;
      const result = play[step.do](step) ?? null;
      const expected = step.result ?? null;
      const isRight = result === expected || Math.abs(result - expected) < 0.01;
      assert.ok(isRight, `${JSON.stringify(step)}: ${result}`);
    }
  });

test("the first look at the clock makes the machine ask again", () => {
  const hand = new ByHand().up();
  readClock(hand.machine, hand.now);
  assert.equal(hand.machine._isClockRead, true);
  assert.equal(clockOf(hand.machine, () => hand.now).now(), null);
});
