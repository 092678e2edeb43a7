// All rooms of a pattern: those that exist, and each that comes to exist.
import assert from "node:assert/strict";
import { test } from "node:test";
import { client, RequestFailed, startProxy, startServer, until, within } from "./helpers/world.mjs";

/** The data of the next messages, by room. */
async function take(pattern, count) {
  const found = {};
  for await (const { room, data, gap } of pattern) {
    assert.equal(gap, null);
    (found[room] ??= []).push(data);
    if (!--count) break;
  }
  return found;
}

test("rooms that exist and rooms that come, over each transport", async (t) => {
  const { port, stop } = await startServer();
  t.after(stop);
  for (const transport of ["websocket", "sse", "long-poll"]) {
    const one = client(t, port, { transports: [transport] });
    const name = (room) => `live.${transport}.${room}`;
    await one.publish(name("old"), 0);
    const pattern = await within(one.joinPattern(`live.${transport}.*`), "the pattern");
    assert.deepEqual([...pattern.rooms.keys()], [name("old")]);
    for (let number = 0; number < 5; number++) {
      await one.publish(name("new"), number);
      await one.publish(name("old"), number);
    }
    const all = [0, 1, 2, 3, 4];
    assert.deepEqual(await within(take(pattern, 10), "messages"), { [name("new")]: all, [name("old")]: all });
    await assert.rejects(one.joinPattern(`live.${transport}.*`), RangeError);
    // The messages of its rooms come to it, so nothing else may take them.
    const room = pattern.rooms.get(name("new"));
    assert.throws(() => room.on("message", () => {}), /another takes/);
    await assert.rejects(room.messages().next(), /another takes/);
    await pattern.leave();
    assert.equal(pattern.ended.code, "left");
    assert.deepEqual(await within(take(pattern, 1), "the end"), {});
    assert.equal(one.rooms.size, 0);
  }
  await assert.rejects(client(t, port).joinPattern("a b*"), RequestFailed);
  await assert.rejects(client(t, port).join("a.*"), RangeError);
});

test("callbacks, a cut connection, and the end of the client", async (t) => {
  const { port, stop } = await startServer();
  t.after(stop);
  const proxy = await startProxy(port);
  t.after(proxy.stop);
  const one = client(t, proxy.port);
  const pattern = await within(one.joinPattern("chat.*"), "the pattern");
  const other = client(t, port);
  const [rooms, data] = [[], []];
  pattern.on("room", (room) => rooms.push(room.name));
  pattern.on("message", (message) => data.push(message.data));
  for (let number = 0; number < 20; number++) {
    await other.publish("chat.a", number);
    if (number % 7 == 3) proxy.cut();
  }
  await until(() => data.length == 20, () => `${data}`);
  assert.deepEqual(data, [...Array(20).keys()]);
  assert.deepEqual([rooms, pattern.ended], [["chat.a"], null]);
  await one.close();
  assert.equal(pattern.ended.code, "closed");
});
