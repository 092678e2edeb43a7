// A client and a real server over WebSockets.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { msgpack } from "../build/msgpack.js";
import { client, Closed, ConnectionFailed, RequestFailed, RoomEnded, sleep, startProxy, startServer, until, within } from "./helpers/world.mjs";

let server;
before(async () => {
  server = await startServer();
});
after(() => server?.stop());

test("a client opens, and says what it is", async (t) => {
  const one = client(t, server.port);
  assert.equal(one.state, "connecting");
  const states = [];
  one.on("state", (state) => states.push(state));
  await within(one.opened, "welcome");
  assert.equal(one.state, "open");
  assert.equal(one.transport, "websocket");
  assert.ok(one.session);
  await within(one.close(), "close");
  assert.deepEqual(states, ["open", "closing", "closed"]);
  assert.equal(one.error, null);
});

for (const [name, codec] of [["json", undefined], ["msgpack", msgpack]]) {
  test(`a room's messages come in order, in ${name}`, async (t) => {
    const one = client(t, server.port, { codec });
    const room = await within(one.join(`chat.order-${name}`), "join");
    assert.equal(room.delivery, "reliable");
    assert.equal(room.count, 1);
    const bytes = new Uint8Array([0, 255, 7]);
    const values = [{ a: 1, b: [null, true, "é", 1.5] }, "text", bytes, null];
    const seqs = await within(Promise.all(values.map((value) => one.publish(room.name, value))), "publish");
    assert.deepEqual(seqs, [1, 2, 3, 4]);
    const got = [];
    for await (const message of room) {
      got.push(message.data);
      if (message.seq == 4) break;
    }
    assert.deepEqual(got, values);
    assert.equal(room.seq, 4);
  });
}

test("a request has its reply, or the application's error", async (t) => {
  const one = client(t, server.port);
  assert.deepEqual(await within(one.request("echo", { a: [1] }), "reply"), { a: [1] });
  await assert.rejects(within(one.request("refuse"), "refusal"), (error) => {
    assert.ok(error instanceof RequestFailed);
    assert.equal(error.code, "out_of_stock");
    assert.equal(error.retry, true);
    assert.equal(error.retryAfterMs, 2000);
    assert.deepEqual(error.data, { left: 3 });
    return true;
  });
  await assert.rejects(one.join("closed.room"), { code: "forbidden" });
  await assert.rejects(one.publish("feed.x", 1), { code: "forbidden" });
  assert.equal(one.rooms.size, 0);
});

test("wrong arguments are refused at once", async (t) => {
  const one = client(t, server.port);
  await assert.rejects(one.join(""), (error) => error instanceof TypeError || error instanceof RangeError);
  await assert.rejects(one.publish("chat.a", NaN), TypeError);
  await assert.rejects(one.request("join"), (error) => error instanceof TypeError || error instanceof RangeError);
  assert.throws(() => client(t, server.port, { token: "a b" }), TypeError);
});

test("a token goes with the upgrade", async (t) => {
  const one = client(t, server.port, { token: "user.anna(1)" });
  assert.equal((await within(one.request("whoami"), "reply")).subject, "user.anna(1)");
});

test("a token is renewed in place", async (t) => {
  let calls = 0;
  const one = client(t, server.port, { token: async () => `short.${++calls}` });
  const session = (await within(one.opened, "welcome"), one.session);
  const states = [];
  one.on("state", (state) => states.push(state));
  await until(() => calls >= 3, "renewals");
  assert.equal(await within(one.request("echo", 1), "reply"), 1);
  assert.equal(one.session, session);
  assert.deepEqual(states, []);
});

test("callbacks get messages, and no iteration is needed", async (t) => {
  const one = client(t, server.port);
  const room = await within(one.join("chat.callbacks"), "join");
  const got = [];
  const off = room.on("message", (message) => got.push(message.data));
  await Promise.all([1, 2, 3].map((value) => one.publish(room.name, value)));
  await until(() => got.length == 3, "three messages");
  off();
  await one.publish(room.name, 4);
  assert.deepEqual(got, [1, 2, 3]);
  assert.equal((await within(room.messages().next(), "the fourth")).value.data, 4);
});

test("a callback that returns a promise gets one message at a time", async (t) => {
  const one = client(t, server.port);
  const room = await within(one.join("chat.slow"), "join");
  let running = 0;
  let count = 0;
  room.on("message", async () => {
    assert.equal(++running, 1);
    await sleep(2);
    running--;
    count++;
  });
  for (let value = 0; value < 10; value++) void one.publish(room.name, value);
  await until(() => count == 10, "ten messages");
});

test("presence: members come and go", async (t) => {
  const one = client(t, server.port);
  const other = client(t, server.port);
  const room = await within(one.join("chat.members"), "join");
  const changes = [];
  room.on("member", (member) => changes.push(member.isHere));
  await within(other.join(room.name), "join");
  await until(() => room.count == 2, "two");
  assert.equal(await within(one.count(room.name), "count"), 2);
  assert.equal((await within(one.presence(room.name), "presence")).size, 2);
  await other.leave(room.name);
  await until(() => room.count == 1, "one");
  assert.deepEqual(changes, [true, false]);
});

test("messages to one client alone", async (t) => {
  const one = client(t, server.port);
  await one.request("to_me", "a");
  const { value } = await within(one.messages().next(), "the message");
  assert.equal(value.data, "a");
  assert.equal(value.room, null);
  const got = [];
  one.on("message", (message) => got.push(message.data));
  await one.request("to_me", "b");
  await until(() => got.length, "the callback");
  assert.deepEqual(got, ["b"]);
});

test("rooms that the server joins", async (t) => {
  const one = client(t, server.port);
  await one.request("put_me", "chat.server");
  await one.publish("chat.server", "first");
  const rooms = [];
  one.on("room", (room) => rooms.push(room));
  assert.equal(rooms[0].name, "chat.server");
  assert.equal((await within(rooms[0].messages().next(), "the first")).value.data, "first");
  assert.equal(await one.join("chat.server"), rooms[0]);
});

test("a room ends with its reason, or without one if the application leaves", async (t) => {
  const one = client(t, server.port);
  const room = await within(one.join("chat.end"), "join");
  const ends = [];
  room.on("end", (ended) => ends.push(ended.code));
  void one.request("remove_me", room.name);
  await assert.rejects(within((async () => {
    for await (const _ of room);
  })(), "the end"), RoomEnded);
  assert.deepEqual(ends, ["removed"]);
  const again = await within(one.join("chat.end"), "join");
  assert.notEqual(again, room);
  await within(again.leave(), "leave");
  for await (const _ of again) assert.fail("no message comes");
  assert.equal(one.rooms.size, 0);
});

test("an aborted call ends with the signal's reason, and is withdrawn", async (t) => {
  const proxy = await startProxy(server.port);
  t.after(proxy.stop);
  const one = client(t, proxy.port);
  await within(one.opened, "welcome");
  const room = await within(one.join("chat.abort"), "join");
  const abort = new AbortController();
  const waiting = one.request("wait", 30, { signal: abort.signal });
  proxy.refused = true;
  proxy.cut();
  await until(() => one.state == "reconnecting", "the loss");
  const published = one.publish(room.name, "never", { signal: abort.signal });
  const joined = one.join("chat.never", { signal: abort.signal });
  const read = room.messages({ signal: abort.signal }).next();
  abort.abort(new Error("enough"));
  for (const call of [waiting, published, joined, read]) await assert.rejects(within(call, "the abort"), /enough/);
  await assert.rejects(one.publish(room.name, "never", { signal: abort.signal }), /enough/);
  proxy.refused = false;
  await one.publish(room.name, "after");
  assert.equal((await within(room.messages().next(), "a message")).value.data, "after");
  assert.deepEqual([...one.rooms.keys()], [room.name]);
});

test("a signal of the client closes it", async (t) => {
  const abort = new AbortController();
  const one = client(t, server.port, { signal: abort.signal });
  await within(one.opened, "welcome");
  const waiting = one.request("wait", 30);
  abort.abort();
  await assert.rejects(within(waiting, "the close"), Closed);
  assert.equal(one.error, null);
});

test("a connection that is cut comes back, with nothing missed", async (t) => {
  const proxy = await startProxy(server.port);
  t.after(proxy.stop);
  const one = client(t, proxy.port);
  const other = client(t, server.port);
  const room = await within(one.join("chat.cut"), "join");
  const session = one.session;
  const states = [];
  one.on("state", (state) => states.push(state));
  proxy.cut();
  await until(() => one.state == "reconnecting", "the loss");
  const seqs = await Promise.all(["a", "b"].map((value) => other.publish(room.name, value)));
  const own = one.publish(room.name, "c");
  const got = [];
  for await (const message of room) if (got.push(message.data) == 3) break;
  assert.deepEqual(got, ["a", "b", "c"]);
  assert.equal(await own, seqs[1] + 1);
  assert.equal(one.session, session);
  assert.deepEqual(states, ["reconnecting", "open"]);
});

test("the client gives up after its attempts, and says why", async (t) => {
  const proxy = await startProxy(server.port);
  t.after(proxy.stop);
  proxy.refused = true;
  const one = client(t, proxy.port, { firstAttempts: 1 });
  await assert.rejects(within(one.opened, "the end"), ConnectionFailed);
  assert.equal(one.state, "closed");
  assert.ok(one.error instanceof ConnectionFailed);
  await assert.rejects(one.join("chat.x"), ConnectionFailed);
});

test("a close code of the server that is final ends the client", async (t) => {
  const one = client(t, server.port);
  const room = await within(one.join("chat.final"), "join");
  one.request("close_me", 4502).catch(() => {});
  await until(() => one.state == "closed", "the end");
  assert.equal(one.error.code, 4502);
  assert.equal(room.ended.code, "connection_failed");
});

test("a server that has gone silent is left", async (t) => {
  const proxy = await startProxy(server.port);
  t.after(proxy.stop);
  const one = client(t, proxy.port, { heartbeat: 100 });
  await within(one.opened, "welcome");
  const { session } = one;
  for (const pair of proxy.pairs) pair.held = true;
  await until(() => one.state == "reconnecting", "the loss");
  await until(() => one.state == "open", "the next link");
  assert.equal(one.session, session);
});

test("close does not wait for a server that does not answer", async (t) => {
  const proxy = await startProxy(server.port);
  t.after(proxy.stop);
  // Each waits for its own time: the first until the connection is lost.
  const clients = [600_000, 50].map((closeTimeout) => client(t, proxy.port, { closeTimeout }));
  await within(Promise.all(clients.map((one) => one.opened)), "welcome");
  for (const pair of proxy.pairs) pair.held = true;
  const ends = clients.map((one) => one.close());
  await within(ends[1], "close");
  assert.deepEqual(clients.map((one) => one.state), ["closing", "closed"]);
  proxy.cut();
  await within(ends[0], "the loss");
  assert.equal(clients[0].state, "closed");
});
