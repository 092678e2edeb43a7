// A page that goes on with the session of the page before.
import assert from "node:assert/strict";
import { test } from "node:test";
import { RoomPattern } from "../build/pattern.js";
import { snapshotOf } from "../build/machine/saved.js";
import { ByHand, sent } from "./helpers/by_hand.mjs";

const saved = { session: "S", received: 7, positions: { r: { epoch: "e", seq: 3 }, s: { epoch: "f", seq: 4 } } };

test("a snapshot has what the next page needs", () => {
  const hand = new ByHand();
  assert.equal(snapshotOf(hand.machine), null);
  hand.up();
  hand.join("r", {}, 3);
  assert.deepEqual(snapshotOf(hand.machine), {
    session: "S",
    received: 1,
    positions: { r: { epoch: "e", seq: 3 } },
  });
});

test("the session is resumed, whatever the page before has sent, and rooms go on where they were", () => {
  const hand = new ByHand({ saved });
  assert.deepEqual(hand.perform()[0].query, { session: "S", received: "7" });
  hand.machine.join("r", null);
  hand.up({ resumed: true, received: 12 });
  const [join] = sent(hand.welcome);
  assert.deepEqual([join.type, join.payload], ["join", { since: { epoch: "e", seq: 3 } }]);
  hand.hear("received", { payload: { count: 13 } });
  assert.equal(hand.machine.state, "open");
  assert.equal(hand.machine._confirmed, 7);
});

test("rooms that the new page does not join are left after a while", () => {
  const hand = new ByHand({ saved });
  hand.perform();
  hand.up({ resumed: true, received: 0 });
  hand.machine.join("r", null);
  hand.perform();
  assert.equal(hand.machine.deadline, hand.now + 5000);
  hand.now += 5000;
  hand.machine.tick(hand.now);
  assert.deepEqual(sent(hand.perform()).map(({ type, room }) => [type, room]), [["leave", "s"]]);
});

test("a room that the server has joined anew is not left if the new page joins it, too", () => {
  const hand = new ByHand({ saved });
  hand.perform();
  hand.up({ resumed: true, received: 0 });
  hand.letIn("s", null, {}, 9);
  hand.machine.join("s", null);
  hand.perform();
  hand.now += 5000;
  hand.machine.tick(hand.now);
  assert.deepEqual(sent(hand.perform()).map(({ type, room }) => [type, room]), [["leave", "r"]]);
});

test("in a new session the positions are good, and nothing has to be left", () => {
  const hand = new ByHand({ saved });
  hand.perform();
  hand.up({ session: "T" });
  hand.machine.join("s", null);
  assert.deepEqual(sent(hand.perform())[0].payload, { since: { epoch: "f", seq: 4 } });
  hand.now += 5000;
  hand.machine.tick(hand.now);
  assert.deepEqual(sent(hand.perform()), []);
});

test("a count that the session cannot have ends it", () => {
  const hand = new ByHand({ saved });
  hand.perform();
  hand.up({ resumed: true, received: 12 });
  hand.hear("received", { payload: { count: 13 } });
  assert.equal(hand.machine.session, null);
});

test("a page that is left before its rooms are joined again leaves their positions to the next", () => {
  const hand = new ByHand({ saved });
  hand.perform();
  hand.machine.join("r", null);
  assert.deepEqual(snapshotOf(hand.machine), saved);
  hand.machine.join("new", null);
  hand.machine.join("from", { epoch: "g", seq: 5 });
  assert.deepEqual(snapshotOf(hand.machine).positions, { ...saved.positions, new: null, from: { epoch: "g", seq: 5 } });
});

test("a room of latest values goes on with the newest value of each key, so without a position", () => {
  const hand = new ByHand();
  hand.up();
  hand.join("v", { delivery: "latest" }, 3);
  const left = snapshotOf(hand.machine);
  assert.deepEqual(left.positions, { v: null });
  const next = new ByHand({ saved: left });
  next.perform();
  next.machine.join("v", null);
  next.up({ resumed: true, received: 1 });
  const [join] = sent(next.welcome);
  assert.deepEqual([join.type, join.room, join.payload?.since], ["join", "v", undefined]);
});

for (const [what, begin] of [
  ["a pattern is held", (hand) => hand.machine.joinPattern(new RoomPattern("quotes.*", hand.machine), {})],
  ["the server has joined a room", (hand) => hand.letIn("theirs", null, {}, 2)],
  ["the server has joined a room, and the application listens to such rooms", (hand) => {
    hand.machine._claims = true;
    hand.letIn("theirs", null, {}, 2);
  }],
]) {
  test(`the next page begins a new session if ${what}: nothing would tell it of these rooms`, () => {
    const hand = new ByHand();
    hand.up();
    hand.join("r", {}, 3);
    begin(hand);
    const left = snapshotOf(hand.machine);
    assert.deepEqual(left, { session: null, received: 0, positions: { r: { epoch: "e", seq: 3 } } });
    const next = new ByHand({ saved: left });
    assert.deepEqual(next.perform()[0].query, {});
    next.machine.join("r", null);
    next.up();
    assert.deepEqual(sent(next.welcome)[0].payload, { since: { epoch: "e", seq: 3 } });
    next.letIn("r", next.machine._rooms.get("r")._joinKey, { recovered: true }, 3);
    assert.deepEqual(snapshotOf(next.machine), { session: "S", received: 1, positions: left.positions });
  });
}

test("a room that the server has joined goes on if the application joins it, too", () => {
  const hand = new ByHand();
  hand.up();
  hand.letIn("theirs", null, {}, 2);
  hand.machine.join("theirs", null);
  assert.deepEqual(snapshotOf(hand.machine), { session: "S", received: 1, positions: { theirs: { epoch: "e", seq: 2 } } });
});
