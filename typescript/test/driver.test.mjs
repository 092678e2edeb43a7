// Which transport is tried when, and what a client makes of failures: with sockets and a network that are played.
import assert from "node:assert/strict";
import { test } from "node:test";
import { client, ConnectionFailed, sleep, until, within } from "./helpers/world.mjs";

const welcome = (more) =>
  JSON.stringify({ type: "welcome", payload: { session: "s", resumed: false, heartbeat_ms: 0, ...more } });

/** A network: the sockets that were opened, the requests that were made, and how requests are answered. */
function network(answer = () => new Promise(() => {})) {
  const sockets = [];
  const requests = [];
  class FakeSocket extends EventTarget {
    readyState = 0;
    sent = [];
    constructor(url, protocols) {
      super();
      Object.assign(this, { url, protocols });
      sockets.push(this);
    }
    send(frame) {
      this.sent.push(JSON.parse(frame));
    }
    close(code) {
      this.closed = code;
    }
    open(more) {
      this.readyState = 1;
      this.onmessage({ data: welcome(more) });
    }
    end(code, reason = "") {
      this.readyState = 3;
      this.onclose({ code, reason });
    }
  }
  const fetch = (url, init) => {
    const { searchParams } = new URL(url);
    requests.push(Object.fromEntries(searchParams));
    init.signal.addEventListener("abort", () => {});
    return answer(Object.fromEntries(searchParams));
  };
  return { sockets, requests, options: { WebSocket: FakeSocket, fetch } };
}

const start = (t, net, options) => client(t, 9, { transports: undefined, closeTimeout: 1, ...net.options, ...options });
const status = (code, headers) => async () => new Response("{}", { status: code, headers });

test("a WebSocket that does not open in time is given up, and the next transports are tried", async (t) => {
  const net = network();
  const one = start(t, net, { openTimeout: 20, firstAttempts: 1 });
  await assert.rejects(within(one.opened, "the end"), ConnectionFailed);
  assert.equal(net.sockets.length, 1);
  assert.equal(net.sockets[0].closed, 4000);
  assert.deepEqual(net.requests.map(({ transport }) => transport), ["sse", "long-poll"]);
});

test("a WebSocket whose welcome does not come is given up, too", async (t) => {
  const net = network();
  start(t, net, { openTimeout: 20 });
  await until(() => net.sockets.length, "the socket");
  net.sockets[0].readyState = 1;
  await until(() => net.requests.length, "the next transport");
});

for (const code of [401, 403]) {
  test(`a ${code} ends the round and the client: another transport would not change it`, async (t) => {
    const net = network(status(code));
    const one = start(t, net);
    await until(() => net.sockets.length, "the socket");
    net.sockets[0].end(1006);
    await assert.rejects(within(one.opened, "the end"), { status: code });
    assert.equal(net.requests.length, 1);
  });
}

test("a 503 ends the round, and says when to come back", async (t) => {
  const net = network(status(503, { "Retry-After": "3600" }));
  const one = start(t, net);
  await until(() => net.sockets.length, "the socket");
  net.sockets[0].end(1006);
  await until(() => net.requests.length, "SSE");
  await sleep(300);
  assert.equal(one.state, "connecting");
  assert.equal(net.requests.length, 1);
  assert.equal(net.sockets.length, 1);
});

test("an answer with a status says more than the last failure", async (t) => {
  const net = network(({ transport }) => (transport == "sse" ? status(404)() : Promise.reject(new Error("reset"))));
  const one = start(t, net);
  await until(() => net.sockets.length, "the socket");
  net.sockets[0].end(1006);
  await assert.rejects(within(one.opened, "the end"), { status: 404 });
  assert.equal(net.requests.length, 2);
});

test("a close frame before the welcome ends the round, with its code", async (t) => {
  const net = network();
  const one = start(t, net);
  await until(() => net.sockets.length, "the socket");
  net.sockets[0].end(4501, "expired");
  await assert.rejects(within(one.opened, "the end"), { code: 4501 });
  assert.equal(net.requests.length, 0);
});

test("a page that may not open a WebSocket uses another transport", async (t) => {
  const net = network();
  const forbidden = class {
    constructor() {
      throw new Error("mixed content");
    }
  };
  start(t, net, { WebSocket: forbidden });
  await until(() => net.requests.length, "SSE");
});

test("4503 is final, except right after an attempt with this session was given up", async (t) => {
  const net = network();
  const one = start(t, net, { transports: ["websocket"], maxAttempts: null, openTimeout: 30 });
  await until(() => net.sockets.length, "the socket");
  net.sockets[0].open();
  await within(one.opened, "welcome");
  net.sockets[0].end(1006);
  await until(() => net.sockets.length == 2, "the second attempt");
  assert.match(net.sockets[1].url, /session=s/);
  // It is given up, and the server takes it for the newest link all the same.
  await until(() => net.sockets.length == 3, "the third attempt");
  net.sockets[2].open({ resumed: true });
  assert.equal(one.state, "open");
  net.sockets[2].end(4503);
  assert.equal(one.state, "reconnecting");
  const other = start(t, net, { transports: ["websocket"] });
  await until(() => net.sockets.some(({ url }) => !url.includes("session") && url != net.sockets[0].url) || net.sockets.length >= 4, "a socket");
  await until(() => net.sockets.find((socket, place) => place > 2 && !socket.url.includes("session")), "the other client");
  const socket = net.sockets.find((socket, place) => place > 2 && !socket.url.includes("session"));
  socket.open();
  await within(other.opened, "welcome");
  socket.end(4503);
  assert.equal(other.error.code, 4503);
});

test("a switch: the old link goes on until the welcome, and what comes again is dropped", async (t) => {
  let stream;
  const body = new ReadableStream({ start: (controller) => (stream = controller) });
  const net = network(async ({ transport, link }) => (link ? new Response(null, { status: 204 }) : new Response(body)));
  const one = start(t, net);
  await until(() => net.sockets.length, "the socket");
  const [socket] = net.sockets;
  socket.open();
  await within(one.opened, "welcome");
  const got = [];
  one.on("message", ({ data }) => got.push(data));
  const message = (payload) => JSON.stringify({ type: "message", id: `m${payload}`, payload });
  socket.onmessage({ data: message(1) });
  const switched = one.switchTo("sse");
  await until(() => net.requests.length, "SSE");
  const { session, received, must_resume } = net.requests[0];
  assert.deepEqual({ session, received, must_resume }, { session: "s", received: "1", must_resume: "1" });
  socket.onmessage({ data: message(2) });
  await until(() => got.length == 2, "the second, by the old link");
  const event = (frame) => stream.enqueue(new TextEncoder().encode(`data: ${frame}\n\n`));
  event(welcome({ resumed: true, link: "l" }));
  await within(switched, "the switch");
  assert.equal(socket.closed, 4000);
  socket.end(4503);
  event(message(2));
  event(message(3));
  await until(() => got.length == 3, "the third");
  assert.deepEqual(got, [1, 2, 3]);
  assert.equal(one.state, "open");
  assert.equal(one.transport, "sse");
});

test("a transport that is not there is no transport", async (t) => {
  const net = network();
  const one = start(t, net, { transports: ["sse"] });
  await until(() => net.requests.length, "SSE");
  assert.equal(net.sockets.length, 0);
  assert.equal(one.transport, null);
  assert.throws(() => start(t, net, { transports: [] }), TypeError);
});

test("a switch that fails wants nothing: a WebSocket is tried as before", async (t) => {
  const page = new EventTarget();
  globalThis.addEventListener = page.addEventListener.bind(page);
  t.after(() => delete globalThis.addEventListener);
  const stream = new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode(`data: ${welcome({ link: "l" })}\n\n`)),
  });
  const net = network(async ({ transport, link }) => {
    if (link) return new Response(null, { status: 204 });
    return transport == "sse" ? new Response(stream) : new Response("{}", { status: 404 });
  });
  const one = start(t, net);
  await until(() => net.sockets.length, "the socket");
  net.sockets[0].end(1006);
  await within(one.opened, "welcome");
  assert.equal(one.transport, "sse");
  await assert.rejects(within(one.switchTo("long-poll"), "the failure"));
  page.dispatchEvent(new Event("online"));
  await until(() => net.sockets.length == 2, "the attempt");
  assert.equal(one.state, "open");
});

test("a switch to a transport that is not among those of the client fails", async (t) => {
  const net = network();
  const one = start(t, net, { transports: ["websocket"] });
  await until(() => net.sockets.length, "the socket");
  net.sockets[0].open();
  await within(one.opened, "welcome");
  await assert.rejects(one.switchTo("sse"), RangeError);
  assert.equal(net.requests.length, 0);
});

for (const code of [1006, 4008]) {
  test(`a link that is lost with ${code} during a switch that fails: the session goes back to the count of the switch`, async (t) => {
    let answer;
    const net = network(() => new Promise((done) => (answer = done)));
    const one = start(t, net);
    const message = (payload) => JSON.stringify({ type: "message", id: `m${payload}`, payload });
    await until(() => net.sockets.length, "the socket");
    const [socket] = net.sockets;
    socket.open({ ack_frames: 1 });
    await within(one.opened, "welcome");
    socket.onmessage({ data: message(1) });
    const failed = assert.rejects(within(one.switchTo("sse"), "the failure"));
    await until(() => answer, "the attempt");
    assert.equal(net.requests[0].received, "1");
    socket.onmessage({ data: message(2) });
    socket.end(code);
    answer(new Response("{}", { status: 409 }));
    await failed;
    await until(() => net.sockets.length == 2, "the next link");
    assert.match(net.sockets[1].url, /session=s&received=1(&|$)/);
  });
}

test("long-poll: what a poll reports counts, so a later loss does not go back behind it", async (t) => {
  const polls = [];
  const events = (...frames) => new Response(frames.map((frame) => `data: ${frame}\n\n`).join(""));
  const net = network(({ transport, link, received }) => {
    if (transport) return Promise.resolve(events(welcome({ resumed: polls.length > 0, link: `l${polls.length}` })));
    if (received == null) return Promise.resolve(new Response(null, { status: 204 }));
    return new Promise((answer) => polls.push({ link, received, answer }));
  });
  const one = start(t, net, { transports: ["long-poll", "websocket"] });
  const got = [];
  one.on("message", ({ data }) => got.push(data));
  const message = (payload) => JSON.stringify({ type: "message", id: `m${payload}`, payload });
  await until(() => polls.length == 1, "the first poll");
  polls[0].answer(events(message(1)));
  await until(() => polls.length == 2, "the second poll");
  const switched = one.switchTo("websocket");
  await until(() => net.sockets.length, "the attempt");
  assert.match(net.sockets[0].url, /received=1&/);
  net.sockets[0].end(1006);
  await assert.rejects(within(switched, "the failure"));
  polls[1].answer(events(message(2), message(3)));
  await until(() => polls.length == 3, "the third poll");
  assert.equal(polls[2].received, "3");
  polls[2].answer(events(message(4)));
  await until(() => polls.length == 4, "the fourth poll");
  polls[3].answer(new Response(null, { status: 404 }));
  await until(() => polls.length == 5, "the next link");
  const [, resumed] = net.requests.filter(({ transport }) => transport);
  assert.deepEqual([resumed.session, resumed.received], ["s", "4"]);
  assert.deepEqual(got, [1, 2, 3, 4]);
});
