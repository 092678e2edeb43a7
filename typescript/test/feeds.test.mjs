// The rooms as the application has them, and the messages to one client alone.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ByHand, sent } from "./helpers/by_hand.mjs";

const seqs = (messages) => messages.map(({ seq }) => seq);

test("a room hands out its messages in their order and knows its position", () => {
  const hand = new ByHand().up();
  const room = hand.join("r", { count: 2, members: [{ id: "a", info: 1 }], snapshot: { all: 5 } }, 5);
  assert.deepEqual([room.epoch, room.seq, room.count, [...room.members], room.snapshot], ["e", 5, 2, [["a", 1]], { all: 5 }]);
  hand.message("r", 6);
  hand.message("r", 7);
  assert.equal(hand.take(room).data, 6);
  assert.deepEqual(room.position, { epoch: "e", seq: 6 });
  assert.deepEqual(seqs(hand.takeAll(room)), [7]);
});

test("callers who join at once get the same room, and one request is sent", () => {
  const hand = new ByHand().up();
  const room = hand.machine.join("r", null);
  assert.equal(hand.machine.join("r", null), room);
  assert.equal(sent(hand.perform()).length, 1);
  assert.throws(() => hand.machine.join("r", { epoch: "e", seq: 1 }), RangeError);
  hand.letIn("r", room._joinKey);
  assert.equal(hand.machine.join("r", null), room);
  assert.equal(hand.machine.join("r", room.position), room);
  assert.equal(room._joinKey, undefined);
  assert.deepEqual(sent(hand.perform()), []);
});

test("a room that no caller waits for any more is left", () => {
  const hand = new ByHand().up();
  const room = hand.machine.join("r", null);
  hand.perform();
  hand.machine.withdraw(room._joinKey);
  assert.deepEqual(sent(hand.perform()).map(({ type }) => type), ["leave"]);
  assert.equal(hand.machine._rooms.size, 0);
});

test("a room whose join was refused is none, and can be asked for again", () => {
  const hand = new ByHand().up();
  const room = hand.machine.join("r", null);
  hand.hear("error", { re: room._joinKey, room: "r", payload: { code: "forbidden" } });
  assert.equal(hand.machine._rooms.size, 0);
  assert.notEqual(hand.machine.join("r", null), room);
});

test("a room that the server joins waits for the application with its newest messages", () => {
  const hand = new ByHand().up();
  hand.letIn("r", null);
  for (let seq = 1; seq <= 200; seq++) hand.message("r", seq);
  const room = hand.machine.join("r", null);
  assert.equal(room.delivery, "reliable");
  assert.deepEqual(sent(hand.perform()), []);
  const messages = hand.takeAll(room);
  assert.deepEqual(seqs(messages), Array.from({ length: 128 }, (_, index) => index + 73));
  assert.deepEqual(messages[0].gap, { reason: "slow", after: 0, upto: 72, snapshot: null, count: null });
});

test("a room that is left and joined again is another one", () => {
  const hand = new ByHand().up();
  const old = hand.join("r");
  hand.machine.leave("r");
  const room = hand.machine.join("r", null);
  assert.notEqual(room, old);
  assert.equal(old.ended.code, "left");
  hand.letIn("r", room._joinKey);
  hand.message("r", 1);
  assert.deepEqual([hand.takeAll(old).length, hand.takeAll(room).length], [0, 1]);
});

test("a reliable room that is read slowly falls behind and catches up", () => {
  const hand = new ByHand({ limit: 4 }).up();
  const room = hand.join("r");
  let count = 0;
  room.on("behind", () => count++);
  for (let seq = 1; seq <= 8; seq++) hand.message("r", seq);
  assert.equal(room.isBehind, true);
  assert.equal(count, 1);
  assert.equal(hand.take(room).seq, 1);
  assert.deepEqual(hand.perform(), []);
  for (const seq of [2, 3]) assert.equal(hand.take(room).seq, seq);
  const [join] = sent(hand.perform());
  assert.deepEqual(join.payload, { since: { epoch: "e", seq: 5 } });
  hand.letIn("r", join.id, { recovered: true }, 8);
  assert.equal(room.isBehind, false);
  for (let seq = 6; seq <= 9; seq++) hand.message("r", seq);
  assert.deepEqual(seqs(hand.takeAll(room)), [4, 5, 6, 7, 8, 9]);
});

test("newest values that have waited for a second are asked for anew", () => {
  const hand = new ByHand().up({ window: 16_384 });
  const room = hand.join("r", { delivery: "latest" });
  hand.perform();
  for (const [seq, key] of [[1, "a"], [2, "b"], [3, "a"]]) hand.message("r", seq, { key });
  assert.equal(hand.take(room).seq, 3);
  hand.now += 1500;
  assert.equal(hand.take(room), undefined);
  const [join] = sent(hand.perform()).filter(({ type }) => type == "join");
  assert.equal(join.payload, undefined);
  hand.letIn("r", join.id, { delivery: "latest" }, 9);
  hand.message("r", 8, { key: "b" });
  assert.equal(hand.take(room).seq, 8);
});

test("what the application has taken is reported", () => {
  const hand = new ByHand().up({ window: 16 });
  const room = hand.join("r", { delivery: "drop-oldest" });
  hand.perform();
  hand.message("r", 1);
  hand.perform();
  hand.take(room);
  assert.deepEqual(hand.perform(), []);
  hand.now += 30;
  hand.take(room);
  assert.deepEqual(sent(hand.perform()).map(({ payload }) => payload), [{ count: 2, taken: { r: { count: 2, ts: 1 } } }]);
});

test("members come and go, and those that are not listed count", () => {
  const hand = new ByHand().up();
  const room = hand.join("r", { count: 3, members: [{ id: "a", info: null }] });
  const member = (type, id) => hand.hear(type, { room: "r", seq: 0, payload: { id, info: 1 } });
  member("member_joined", "b");
  assert.deepEqual([room.count, room.members.size], [4, 2]);
  member("member_left", "unlisted");
  member("member_left", "a");
  assert.deepEqual([room.count, [...room.members.keys()]], [2, ["b"]]);
});

test("the end of a room has a reason, and what had come is still handed out", () => {
  const hand = new ByHand().up();
  const room = hand.join("r");
  hand.message("r", 1);
  hand.hear("left", { room: "r", payload: { reason: "forbidden", text: "no" } });
  assert.deepEqual([room.ended.code, room.ended.text, room._error], ["forbidden", "no", room.ended]);
  assert.equal(hand.takeAll(room).length, 1);
  const other = hand.join("s");
  hand.machine.close();
  hand.machine.lost(1000, "", hand.now);
  hand.perform();
  assert.deepEqual([other.ended.code, other._error], ["closed", null]);
});

test("a message to this client alone is acknowledged when the next one is asked for", () => {
  const hand = new ByHand().up();
  hand.hear("message", { id: "m1", payload: 1, ack: true });
  assert.equal(hand.inbox._take(hand.now).data, 1);
  assert.deepEqual(sent(hand.perform()), []);
  assert.equal(hand.inbox._take(hand.now), undefined);
  assert.deepEqual(sent(hand.perform()), [{ type: "ack", re: "m1" }]);
});

test("dropped messages to this client alone are counted, and come again", () => {
  const hand = new ByHand({ limit: 1 }).up();
  for (const id of ["m1", "m2", "m3"]) hand.hear("message", { id, payload: id, ack: true });
  const message = hand.inbox._take(hand.now);
  assert.equal(message.data, "m3");
  assert.deepEqual(message.gap, { reason: "slow", after: null, upto: null, snapshot: null, count: 2 });
  hand.hear("message", { id: "m1", payload: "m1", ack: true });
  assert.equal(hand.inbox._take(hand.now).data, "m1");
});

test("the age of a message is by the clock of the server", () => {
  const hand = new ByHand();
  hand.now = performance.now();
  hand.up({ window: 16_384 });
  const room = hand.join("r");
  hand.message("r", 1, { ts: 1_700_000_000_000 });
  const message = hand.take(room);
  assert.equal(message.age, null);
  hand.hear("pong", { ts: 1_700_000_005_000 });
  assert.ok(message.age >= 5000 && message.age < 60_000, `${message.age}`);
});

test("a gap at the join itself is told to the first who listens, unless a message has told of it", () => {
  for (const isTaken of [false, true]) {
    const hand = new ByHand().up();
    const room = hand.machine.join("r", { epoch: "e", seq: 3 });
    hand.letIn("r", room._joinKey, { reason: "history" }, 9);
    hand.message("r", 10);
    if (isTaken) assert.equal(hand.take(room).gap.upto, 9);
    const gaps = [];
    room.on("gap", (gap) => gaps.push(gap));
    room.on("gap", (gap) => gaps.push(gap));
    assert.deepEqual(gaps.map(({ reason, after, upto }) => [reason, after, upto]), isTaken ? [] : [["history", 3, 9]]);
  }
});

test("a room says whether numbers may be of messages for others", () => {
  const hand = new ByHand().up();
  assert.equal(hand.join("whole", {}).isFiltered, false);
  assert.equal(hand.join("interest", { filtered: true }).isFiltered, true);
  assert.equal(hand.join("rated", { delivery: "latest", max_rate: 4 }).isFiltered, true);
});
