// The inputs of a room: the scripts of tests/vectors/units/inputs.json, and the limit.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { dropInputs, newInputs, pendingAt, processed, refused, sent } from "../build/machine/inputs.js";
import { ByHand, sent as sentBy } from "./helpers/by_hand.mjs";

const scripts = JSON.parse(readFileSync(new URL("../../tests/vectors/units/inputs.json", import.meta.url), "utf8"));

for (const { name, steps } of scripts)
  test(name, () => {
    const inputs = newInputs();
    const play = {
      sent: ({ data }) => sent(inputs, data),
      answered: ({ number, seq }) => void processed(inputs, number, seq),
      pending: ({ seq }) => pendingAt(inputs, seq).map(({ number, data }) => [number, data]),
      refused: ({ number }) => refused(inputs, `i-${number}`),
      begin_again: () => dropInputs(inputs),
    };
    for (const step of steps) assert.deepEqual(play[step.do](step), step.result, JSON.stringify(step));
  });

test("the oldest is forgotten beyond the limit", () => {
  const inputs = newInputs();
  for (let number = 1; number <= 259; number++) assert.equal(sent(inputs, number), number);
  const pending = pendingAt(inputs, 0);
  assert.deepEqual([pending.length, pending[0].number], [256, 4]);
});

test("a room sends inputs and forgets those that its messages include", async () => {
  const hand = new ByHand().up();
  hand.machine._gate = async () => {};
  const room = hand.join("r", {}, 5);
  sentBy(hand.perform());
  assert.equal(await room.sendInput({ left: true }), 1);
  assert.equal(await room.sendInput({ left: false }), 2);
  assert.deepEqual(room.pendingInputs, [{ number: 1, data: { left: true } }, { number: 2, data: { left: false } }]);
  hand.hear("inputs", { room: "r", seq: 6, payload: { number: 1 } });
  assert.equal(room.pendingInputs.length, 2);
  hand.message("r", 6);
  hand.take(room);
  assert.deepEqual(room.pendingInputs, [{ number: 2, data: { left: false } }]);
});

test("an input that the server refuses is pending no more, and the application hears why", async () => {
  const hand = new ByHand().up();
  hand.machine._gate = async () => {};
  const room = hand.join("r", {}, 5);
  sentBy(hand.perform());
  for (const data of ["good", "bad", "good"]) await room.sendInput(data);
  const payload = { code: "invalid_payload", text: "why" };
  for (const other of [{ re: "i-2", room: "other" }, { re: "nobody's", room: "r" }])
    assert.deepEqual(hand.hear("error", { ...other, payload }), []);
  assert.equal(room.pendingInputs.length, 3);
  const [complaint] = hand.hear("error", { re: "i-2", room: "r", payload });
  assert.deepEqual([complaint.type, complaint.error.code], ["complained", "invalid_payload"]);
  assert.deepEqual(room.pendingInputs.map(({ number }) => number), [1, 3]);
});

test("an input or a join that is larger than any message is not sent", async () => {
  const hand = new ByHand().up();
  hand.machine._gate = async () => {};
  const room = hand.join("r", {}, 5);
  sentBy(hand.perform());
  hand.machine._maxMessage = 1000;
  await assert.rejects(async () => room.sendInput("x".repeat(1000)), RangeError);
  assert.throws(() => hand.machine.join("other", null, { filter: { symbol: "x".repeat(1000) } }), RangeError);
  assert.deepEqual([sentBy(hand.perform()), room.pendingInputs, hand.machine._rooms.size], [[], [], 1]);
  assert.equal(await room.sendInput("x"), 1);
});
