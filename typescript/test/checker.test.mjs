// The checker of numbers plays the vectors that it shares with Python, and follows a room.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { SequenceChecker } from "../build/checker.js";
import { client, startServer } from "./helpers/world.mjs";

const vectors = JSON.parse(readFileSync(new URL("../../tests/vectors/checker/streams.json", import.meta.url), "utf8"));

for (const [place, { steps, report }] of vectors.entries())
  test(`stream ${place}`, () => {
    const checker = new SequenceChecker();
    for (const [name, ...rest] of steps) {
      const { after, reason, filtered, has_snapshot: hasSnapshot } = name == "joined" ? rest.pop() : {};
      if (name == "joined") rest.push({ after, reason, hasSnapshot, filtered });
      checker[name](...rest);
    }
    const { complete_upto: completeUpto, is_complete: isComplete, is_explained: isExplained, ...others } = report;
    assert.deepEqual(checker.report(), { ...others, completeUpto, isComplete, isExplained });
  });

test("a room is complete", async (t) => {
  const { port, stop } = await startServer();
  t.after(stop);
  const one = client(t, port);
  for (let number = 0; number < 5; number++) await one.publish("chat.a", number);
  const room = await one.join("chat.a", { last: "all" });
  const checker = new SequenceChecker(room.position);
  room.on("skipped", (skipped) => checker.skipped(skipped));
  let left = 5;
  for await (const message of room) {
    checker.message(message);
    if (!--left) break;
  }
  const { received, isComplete, completeUpto, epoch } = checker.report();
  assert.deepEqual([received, isComplete, completeUpto, epoch], [5, true, 5, room.epoch]);
});
