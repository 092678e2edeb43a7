// What a room keeps: before the stream, and page by page.
import assert from "node:assert/strict";
import { test } from "node:test";
import { RequestFailed } from "../build/errors.js";
import { readHistory } from "../build/machine/history.js";
import { client, RequestFailed as ClientsRequestFailed, startServer, within } from "./helpers/world.mjs";

/** A server with these pages: the numbers of their messages; `asked` has the payloads. */
function server(...pages) {
  const asked = [];
  const ask = async (payload) => {
    asked.push(payload);
    const place = Math.min(asked.length, pages.length) - 1;
    const messages = pages[place].map((seq) => ({ type: "message", seq, ts: 1, payload: seq }));
    return { epoch: "e", messages, more: asked.length < pages.length };
  };
  return { asked, ask };
}

const numbers = async (history) => {
  const found = [];
  for await (const { seq } of history) found.push(seq);
  return found;
};

test("pages follow each other in both directions", async () => {
  const back = server([7, 8], [5, 6], [4]);
  assert.deepEqual(await numbers(readHistory({}, "r", back.ask, {})), [8, 7, 6, 5, 4]);
  assert.deepEqual(back.asked.map(({ before, epoch }) => [before, epoch]), [[undefined, undefined], [7, "e"], [5, "e"]]);
  const on = server([1, 2], [3, 4], [5]);
  assert.deepEqual(await numbers(readHistory({}, "r", on.ask, { after: 0 })), [1, 2, 3, 4, 5]);
  assert.deepEqual(on.asked.map(({ after }) => after), [0, 2, 4]);
});

test("a list is in the order of the numbers and keeps to its limit", async () => {
  const { ask, asked } = server([7, 8], [5, 6], [4], [1]);
  assert.deepEqual((await readHistory({}, "r", ask, { limit: 5 })).map(({ seq }) => seq), [4, 5, 6, 7, 8]);
  assert.deepEqual(asked.map(({ limit }) => limit), [5, 3, 1]);
});

test("a server that has nothing new does not keep the client", async () => {
  const ask = async () => ({ epoch: "e", messages: [{ type: "message", seq: 9 }], more: true });
  assert.deepEqual([...(await readHistory({}, "r", ask, { before: 7 }))], []);
});

test("an answer that cannot be read fails", async () => {
  for (const answer of [null, 5, {}, { epoch: "e", messages: 1 }, { epoch: "e", messages: [{}] }])
    await assert.rejects(Promise.resolve(readHistory({}, "r", async () => answer, {})), RequestFailed);
  assert.throws(() => readHistory({}, "r", async () => null, { limit: -1 }), RangeError);
});

test("a client reads it from a server", async (t) => {
  const { port, stop } = await startServer();
  t.after(stop);
  const { msgpack } = await import("../build/msgpack.js");
  for (const codec of [undefined, msgpack])
    for (const transport of ["websocket", "sse", "long-poll"]) {
      const name = `chat.${transport}.${codec ? 1 : 0}`;
      const one = client(t, port, { codec, transports: [transport] });
      for (let number = 0; number < 8; number++) await one.publish(name, number);
      await one.publish(name, new Uint8Array([0, 1]));
      const room = await one.join(name, { last: 3 });
      assert.deepEqual([room.replayed, room.seq], [3, 6]);
      const data = [];
      for await (const message of room) if (data.push(message.data) == 3) break;
      assert.deepEqual(data, [6, 7, new Uint8Array([0, 1])]);
      assert.deepEqual((await within(room.history({ limit: 2 }), "a list")).map((message) => message.data), [7, data[2]]);
      assert.deepEqual(await numbers(room.history()), [9, 8, 7, 6, 5, 4, 3, 2, 1]);
      assert.deepEqual(await numbers(one.history(name, { after: 6 })), [7, 8, 9]);
      await assert.rejects(Promise.resolve(one.history(name, { before: 3, epoch: "none" })), ClientsRequestFailed);
      await room.leave();
      const again = await one.join(name, { last: "all" });
      assert.equal(again.replayed, 9);
      // A joined room is not returned to who wants it otherwise.
      await assert.rejects(one.join(name, { last: 3 }), RangeError);
      await assert.rejects(one.join(name, { repair: "snapshot" }), RangeError);
      assert.equal(await one.join(name, { repair: "replay" }), again);
    }
  await assert.rejects(async () => client(t, port).join("chat.a", { last: 0 }), RangeError);
});
