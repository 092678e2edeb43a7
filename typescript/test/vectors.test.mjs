// The scripts that all machines play (tests/vectors/README.md).
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { compared, Player } from "./helpers/player.mjs";

const folder = new URL("../../tests/vectors/", import.meta.url);

for (const file of readdirSync(folder).filter((name) => name.endsWith(".json")))
  for (const script of JSON.parse(readFileSync(new URL(file, folder), "utf8")))
    test(`${file}: ${script.name}`, () => {
      const player = new Player(script);
      const shown = { state: "connecting", deadline: null, is_full: false, session: null, received: 0 };
      const queues = new Map();
      for (const [index, step] of script.steps.entries()) {
        const isQueue = step.do.startsWith("queue.");
        if (isQueue && !queues.has(step.queue)) queues.set(step.queue, {});
        const [expected, actual] = compared(step, player.play(step), isQueue ? queues.get(step.queue) : shown);
        assert.deepEqual(actual, expected, `step ${index}: ${JSON.stringify(step)}`);
      }
    });
