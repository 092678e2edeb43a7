// One session over any transport, with a real server.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import net from "node:net";
import { after, before, test } from "node:test";
import { msgpack } from "../build/msgpack.js";
import { client, sleep, startProxy, startServer, until, within } from "./helpers/world.mjs";

const ALL = ["websocket", "sse", "long-poll"];
let server;
before(async () => {
  server = await startServer();
});
after(() => server?.stop());

for (const transport of ["sse", "long-poll"]) {
  for (const [name, codec] of [["json", undefined], ["msgpack", msgpack]]) {
    test(`${transport}: a session in ${name}`, async (t) => {
      const one = client(t, server.port, { transports: [transport], codec, token: "user.anna" });
      const room = await within(one.join(`chat.${transport}-${name}`), "join");
      assert.equal(one.transport, transport);
      assert.equal((await within(one.request("whoami"), "reply")).subject, "user.anna");
      const bytes = new Uint8Array([0, 255, 7]);
      const values = [{ a: "é€😀" }, "two\nlines", bytes];
      const seqs = await within(Promise.all(values.map((value) => one.publish(room.name, value))), "publish");
      assert.deepEqual(seqs, [1, 2, 3]);
      const got = [];
      for await (const message of room) if (got.push(message.data) == 3) break;
      assert.deepEqual(got, values);
    });
  }

  test(`${transport}: a close ends the session`, async (t) => {
    const one = client(t, server.port, { transports: [transport] });
    const other = client(t, server.port);
    await within(one.join(`chat.close-${transport}`), "join");
    assert.equal(await other.count(`chat.close-${transport}`), 1);
    await within(one.close(), "close");
    for (const end = Date.now() + 20_000; (await other.count(`chat.close-${transport}`)) && Date.now() < end; ) await sleep(20);
    assert.equal(await other.count(`chat.close-${transport}`), 0);
  });

  test(`${transport}: the server's close has its code`, async (t) => {
    const one = client(t, server.port, { transports: [transport] });
    await within(one.opened, "welcome");
    one.request("close_me", 4502).catch(() => {});
    await until(() => one.state == "closed", "the end");
    assert.equal(one.error.code, 4502);
  });

  test(`${transport}: a connection that is cut comes back, with nothing missed`, async (t) => {
    const proxy = await startProxy(server.port);
    t.after(proxy.stop);
    const one = client(t, proxy.port, { transports: [transport] });
    const other = client(t, server.port);
    const room = await within(one.join(`chat.cut-${transport}`), "join");
    const { session } = one;
    for (let round = 0; round < 3; round++) {
      proxy.cut();
      const published = [other.publish(room.name, round), one.publish(room.name, round)];
      await within(Promise.all(published), "publish");
    }
    const got = [];
    for await (const message of room) if (got.push(message.seq) == 6) break;
    assert.deepEqual(got, [1, 2, 3, 4, 5, 6]);
    assert.equal(one.session, session);
  });

  test(`${transport}: a token that is refused ends the client, with the status`, async (t) => {
    const one = client(t, server.port, { transports: [transport], token: "wrong" });
    await assert.rejects(within(one.opened, "the end"), { status: 401 });
  });
}

test("without a WebSocket class the client falls back by itself", async (t) => {
  const one = client(t, server.port, { WebSocket: undefined, transports: undefined });
  await within(one.opened, "welcome");
  // On a busy machine SSE may be given up for the next.
  assert.ok((globalThis.WebSocket ? ["websocket"] : ["sse", "long-poll"]).includes(one.transport));
});

test("switchTo moves the session without a loss, again and again", async (t) => {
  const one = client(t, server.port, { transports: ALL });
  const other = client(t, server.port);
  const room = await within(one.join("chat.switch"), "join");
  // On a busy machine it may have been given up for the next.
  await within(one.switchTo("websocket"), "websocket");
  const { session } = one;
  const transports = [];
  const states = [];
  one.on("transport", (transport) => transports.push(transport));
  one.on("state", (state) => states.push(state));
  const got = [];
  room.on("message", (message) => got.push(message.data));
  room.on("gap", (gap) => assert.fail(gap.reason));
  let isDone = false;
  let count = 0;
  const publishing = [one, other].map(async (who) => {
    while (!isDone) await who.publish(room.name, ++count);
  });
  const wanted = ["sse", "long-poll", "websocket", "long-poll", "sse", "websocket"];
  for (const transport of wanted) {
    await within(one.switchTo(transport), transport);
    assert.equal(one.transport, transport);
    await sleep(50);
  }
  isDone = true;
  await within(Promise.all(publishing), "publish");
  await until(() => got.length >= count, () => `${got.length} of ${count}`);
  await sleep(50);
  assert.deepEqual([...got].sort((a, b) => a - b), Array.from({ length: count }, (_, place) => place + 1));
  assert.deepEqual(transports, wanted);
  assert.deepEqual(states, []);
  assert.equal(one.session, session);
});

test("a switch that fails leaves the session where it is", async (t) => {
  const proxy = await startProxy(server.port);
  t.after(proxy.stop);
  const one = client(t, proxy.port, { transports: ALL });
  await within(one.opened, "welcome");
  await within(one.switchTo("websocket"), "websocket");
  const states = [];
  one.on("state", (state) => states.push(state));
  proxy.refused = true;
  await assert.rejects(within(one.switchTo("sse"), "the failure"));
  assert.equal(one.transport, "websocket");
  assert.equal(await within(one.request("echo", 1), "reply"), 1);
  assert.deepEqual(states, []);
});

/** A proxy that knows HTTP: it answers upgrades with 403 while `isBlocking`, and passes on whole responses only while
 * `isBuffering`. */
async function startHttpProxy(t, target) {
  const proxy = { isBlocking: true, isBuffering: false, port: 0 };
  const upgraded = new Set();
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const abort = new AbortController();
    response.on("close", () => abort.abort());
    try {
      const { host, connection, ...headers } = request.headers;
      const answer = await fetch(`http://127.0.0.1:${target}${request.url}`, {
        method: request.method,
        headers,
        body: request.method == "POST" ? Buffer.concat(chunks) : undefined,
        signal: abort.signal,
      });
      const { "content-length": _, "transfer-encoding": __, connection: ___, ...rest } = Object.fromEntries(answer.headers);
      if (proxy.isBuffering) {
        const body = Buffer.from(await answer.arrayBuffer());
        response.writeHead(answer.status, rest).end(body);
      } else {
        response.writeHead(answer.status, rest).flushHeaders();
        for await (const chunk of answer.body ?? []) response.write(chunk);
        response.end();
      }
    } catch {
      response.destroy();
    }
  });
  server.on("upgrade", (request, socket, head) => {
    socket.on("error", () => {});
    upgraded.add(socket);
    if (proxy.isBlocking) return socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    const far = net.connect(target, "127.0.0.1");
    const lines = [`${request.method} ${request.url} HTTP/1.1`];
    for (let at = 0; at < request.rawHeaders.length; at += 2) lines.push(`${request.rawHeaders[at]}: ${request.rawHeaders[at + 1]}`);
    far.write(lines.join("\r\n") + "\r\n\r\n");
    far.write(head);
    far.pipe(socket).pipe(far);
    far.on("error", () => socket.destroy());
    socket.on("close", () => far.destroy());
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => {
    server.closeAllConnections();
    for (const socket of upgraded) socket.destroy();
    return new Promise((done) => server.close(done));
  });
  proxy.port = server.address().port;
  return proxy;
}

test("upgrades blocked: the session is on SSE, and what worked is remembered for the next connection", async (t) => {
  const proxy = await startHttpProxy(t, server.port);
  const one = client(t, proxy.port, { transports: ["websocket", "sse"] });
  await within(one.opened, "welcome");
  assert.equal(one.transport, "sse");
  assert.equal(await within(one.request("echo", 1), "reply"), 1);
});

test("upgrades blocked and responses held back: the session is on long-poll", async (t) => {
  const proxy = await startHttpProxy(t, server.port);
  proxy.isBuffering = true;
  const one = client(t, proxy.port, { transports: ALL });
  const room = await within(one.join("chat.buffered"), "join", 40_000);
  assert.equal(one.transport, "long-poll");
  await within(one.publish(room.name, "a"), "publish");
  assert.equal((await within(room.messages().next(), "message")).value.data, "a");
});

test("a WebSocket that becomes possible is taken, without a loss", { timeout: 120_000 }, async (t) => {
  const proxy = await startHttpProxy(t, server.port);
  const one = client(t, proxy.port, { transports: ["websocket", "sse"] });
  const room = await within(one.join("chat.upgrade"), "join");
  assert.equal(one.transport, "sse");
  proxy.isBlocking = false;
  const got = [];
  room.on("message", (message) => got.push(message.data));
  let count = 0;
  while (one.transport != "websocket") {
    await within(one.publish(room.name, ++count), "publish", 40_000);
    await sleep(10);
  }
  await until(() => got.length == count, "all");
  assert.deepEqual(got, Array.from({ length: count }, (_, place) => place + 1));
});
