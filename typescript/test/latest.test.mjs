// Newest values that had no place in the queue come again.
import assert from "node:assert/strict";
import { test } from "node:test";
import { RoomPattern } from "../build/pattern.js";
import { ByHand, sent } from "./helpers/by_hand.mjs";

const LATEST = { delivery: "latest" };
const numbers = (first, last) => Array.from({ length: last - first + 1 }, (_, index) => first + index);
const joins = (hand) => sent(hand.perform()).filter(({ type }) => type == "join");

/** The join that was sent; it asks for all newest values. */
function rejoin(hand) {
  const found = joins(hand);
  assert.deepEqual(found.map(({ room, payload }) => [room, payload]), [["r", undefined]]);
  return found[0];
}

/** A client whose queues hold so many messages, and its room of newest values. */
function latest(limit) {
  const hand = new ByHand({ limit }).up();
  const room = hand.join("r", LATEST);
  hand.perform();
  return { hand, room };
}

/** The newest values of so many keys come. */
function values(hand, count) {
  for (const seq of numbers(1, count)) hand.message("r", seq, { key: `k${seq}` });
}

/** Lets the client in once more, with the newest values of so many keys. */
function again(hand, { id }, count) {
  hand.letIn("r", id, LATEST, count);
  values(hand, count);
}

const taken = (hand, room, count) => numbers(1, count).map(() => hand.take(room).data);

test("after the gap of a full queue the newest values of all keys come, once half of it is taken", () => {
  const hand = new ByHand({ limit: 128 }).up();
  hand.letIn("r", null, LATEST);
  values(hand, 256);
  // The server has joined the room, and the application asks for it later.
  const room = hand.machine.join("r", null);
  const first = hand.take(room);
  assert.deepEqual([first.data, first.gap], [129, { reason: "slow", after: 0, upto: 128, snapshot: null, count: null }]);
  assert.deepEqual(taken(hand, room, 62), numbers(130, 191));
  assert.deepEqual(joins(hand), []);
  assert.equal(hand.take(room).data, 192);
  again(hand, rejoin(hand), 256);
  // Those that waited have got theirs in their places.
  const rest = hand.takeAll(room);
  assert.deepEqual(rest.map(({ data }) => data), [...numbers(193, 256), ...numbers(1, 192)]);
  assert.deepEqual(rest.filter(({ gap }) => gap), []);
  assert.deepEqual(joins(hand), []);
});

test("a queue that has dropped values has more space when they come again", () => {
  const { hand, room } = latest(10);
  values(hand, 100);
  assert.deepEqual(taken(hand, room, 5), numbers(91, 95));
  again(hand, rejoin(hand), 100);
  assert.deepEqual(hand.takeAll(room).map(({ data }) => data), [...numbers(96, 100), ...numbers(1, 95)]);
  // All have come: later, too, nothing is asked for.
  hand.now += 64_000;
  hand.message("r", 101, { key: "k1" });
  assert.equal(hand.take(room).data, 101);
  assert.deepEqual(joins(hand), []);
});

test("values that never fit are asked for ever more seldom, and after a quiet time as at first", () => {
  const { hand, room } = latest(2);
  const come = () => {
    values(hand, 40);
    hand.takeAll(room);
  };
  come();
  for (const seconds of [1, 2, 4, 8, 16, 32, 64, 64]) {
    again(hand, rejoin(hand), 40);
    hand.takeAll(room);
    hand.now += seconds * 1000 - 1;
    come();
    assert.deepEqual(joins(hand), [], `after nearly ${seconds} s`);
    hand.now++;
    come();
  }
  again(hand, rejoin(hand), 40);
  hand.takeAll(room);
  hand.now += 128_001;
  come();
  again(hand, rejoin(hand), 40);
  hand.takeAll(room);
  hand.now += 1000;
  come();
  rejoin(hand);
});

test("a forgotten key that had no place counts as a value, and a message without a key does not", () => {
  for (const [type, key, count] of [["forgotten", "a", 1], ["message", undefined, 0]]) {
    const { hand, room } = latest(1);
    hand.hear(type, { room: "r", seq: 1, key });
    hand.message("r", 2, { key: "b" });
    assert.equal(hand.take(room).gap.reason, "slow");
    assert.equal(joins(hand).length, count, type);
  }
});

test("nothing is asked for when other messages had no place", () => {
  const hand = new ByHand({ limit: 1 }).up();
  const room = hand.join("r", { delivery: "drop-oldest" });
  hand.perform();
  values(hand, 2);
  assert.equal(hand.take(room).gap.reason, "slow");
  assert.deepEqual(joins(hand), []);
});

test("a room of a pattern is not joined by its name while the pattern is joined again", () => {
  const hand = new ByHand({ limit: 16 }).up();
  const pattern = new RoomPattern("p.*", hand.machine);
  const comes = () => hand.letIn("p.r", null, { ...LATEST, pattern: "p.*" });
  hand.machine.joinPattern(pattern, {});
  comes();
  hand.hear("reply", { re: pattern._joinKey, payload: { rooms: ["p.r"] } });
  const room = pattern.rooms.get("p.r");
  for (const [seq, key] of [[1, "a"], [2, "b"]]) hand.message("p.r", seq, { key });
  hand.machine.lost(1006, "", hand.now);
  hand.machine.opened(hand.now);
  const welcome = hand.hear("welcome", { payload: { session: "T", resumed: false, received: 0 } });
  assert.deepEqual(sent(welcome).filter(({ type }) => type == "join").map((join) => join.room), ["p.*"]);
  assert.equal(hand.take(room).gap.reason, "slow");
  assert.deepEqual(joins(hand), []);
  comes();
  assert.deepEqual(joins(hand), []);
});
