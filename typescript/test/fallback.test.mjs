// SSE and long-polling against a small HTTP server that plays a script.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { msgpack } from "../build/msgpack.js";
import { json } from "../build/codec.js";
import { openFallback, retryAfter } from "../build/transport/fallback.js";
import { sleep, until } from "./helpers/world.mjs";

const openEventStream = openFallback("sse");
const openLongPoll = openFallback("long-poll");
const WELCOME = { type: "welcome", payload: { session: "s", resumed: false, link: "n1.secret" } };
const event = (envelope) => `data: ${JSON.stringify(envelope)}\n\n`;
const CLOSE = 'event: close\ndata: {"code":4008,"reason":"too slow"}\n\n';

/** A server whose requests are answered by `answer(request, response, body)`; they are kept in `requests`. */
async function play(t, answer) {
  const requests = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const piece of request) body += piece;
    const { searchParams, pathname } = new URL(request.url, "http://x");
    const { method, headers } = request;
    const seen = { method, headers, pathname, query: Object.fromEntries(searchParams), body };
    requests.push(seen);
    response.setHeader("Connection", "close");
    await answer(seen, response, requests);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => {
    server.closeAllConnections();
    return new Promise((done) => server.close(done));
  });
  return { requests, url: `http://127.0.0.1:${server.address().port}/live` };
}

/** Opens a link; what it reports is in `frames` and `ends`. */
function open(t, dial, url, more = {}) {
  const frames = [];
  const ends = [];
  const link = dial({
    _url: (_, query) => `${url}?${new URLSearchParams(query)}`,
    _query: {},
    _codec: json,
    _token: undefined,
    _headers: {},
    _credentials: "same-origin",
    _fetch: fetch,
    _received: async () => frames.length,
    _onFrame: (frame) => frames.push(frame),
    _onBytes() {},
    _onEnd: (...end) => ends.push(end),
    ...more,
  });
  t.after(() => link._drop(4000));
  return { link, frames, ends };
}

const bodies = (requests) => requests.filter(({ method }) => method == "POST").map(({ query, body }) => [query, body]);

test("SSE: the request, the events, and the messages by POST", async (t) => {
  let stream;
  const { requests, url } = await play(t, ({ method }, response) => {
    if (method == "POST") return response.writeHead(204).end();
    response.writeHead(200, { "Content-Type": "text/event-stream; charset=utf-8" });
    stream = response;
    stream.write(event(WELCOME) + ":\n\n" + 'data: {"a":"é');
  });
  const more = { _query: { session: "s", received: 7 }, _token: "t", _headers: { "X-Own": "1" } };
  const { link, frames, ends } = open(t, openEventStream, url, more);
  await until(() => frames.length, "welcome");
  assert.deepEqual(requests[0].query, { transport: "sse", protocol: "fanwire.v1.json", session: "s", received: "7" });
  assert.equal(requests[0].headers.authorization, "Bearer t");
  assert.equal(requests[0].headers["x-own"], "1");
  // In the middle of a character.
  stream.write(Buffer.from("é€", "utf8").subarray(0, 3));
  await sleep(5);
  stream.write(Buffer.from("é€", "utf8").subarray(3));
  stream.write('"}\n\n');
  await until(() => frames.length == 2, "the message");
  assert.deepEqual(JSON.parse(frames[1]), { a: "éé€" });
  link._send('{"n":1}');
  link._send('{"n":2}');
  await until(() => requests.length == 2, "the batch");
  assert.deepEqual(bodies(requests), [[{ link: "n1.secret", number: "1" }, '{"n":1}\n{"n":2}']]);
  assert.match(requests[1].headers["content-type"], /^text\/plain/);
  assert.equal(requests[1].headers.authorization, undefined);
  assert.equal(requests[1].headers["x-own"], "1");
  stream.end(CLOSE);
  await until(() => ends.length, "the end");
  assert.deepEqual(ends, [[4008, "too slow"]]);
});

test("SSE: a stream that just ends is a lost connection", async (t) => {
  const { url } = await play(t, (_, response) => response.end(event(WELCOME)));
  const { ends, frames } = open(t, openEventStream, url);
  await until(() => ends.length, "the end");
  assert.equal(frames.length, 1);
  assert.equal(ends[0][0], 1006);
});

test("SSE: a refusal has its status, and when to come back", async (t) => {
  const { url } = await play(t, (_, response) => response.writeHead(503, { "Retry-After": "7" }).end("{}"));
  const { ends } = open(t, openEventStream, url);
  await until(() => ends.length, "the end");
  assert.equal(ends[0][2], 503);
  assert.equal(ends[0][3], 7000);
});

test("SSE: 421 is asked again at once", async (t) => {
  const { url, requests } = await play(t, (_, response) => {
    if (requests.length == 1) response.writeHead(421).end();
    else response.write(event(WELCOME));
  });
  const { frames } = open(t, openEventStream, url);
  await until(() => frames.length, "welcome");
  assert.equal(requests.length, 2);
});

for (const [name, dial] of Object.entries({ openEventStream, openLongPoll })) {
  test(`${name}: a session of MessagePack is base64`, async (t) => {
    const binary = (envelope) => `event: binary\ndata: ${Buffer.from(msgpack.encode(envelope)).toString("base64")}\n\n`;
    const { url, requests } = await play(t, async ({ method, query }, response) => {
      if (method == "POST") return response.writeHead(204).end();
      if (query.link) return;
      response.write(binary(WELCOME));
      if (query.transport == "long-poll") response.end();
    });
    const { link, frames } = open(t, dial, url, { _codec: msgpack });
    await until(() => frames.length, "welcome");
    assert.equal(requests[0].query.protocol, "fanwire.v1.msgpack");
    assert.deepEqual(msgpack.decode(frames[0]), WELCOME);
    link._send(new Uint8Array([0, 255]));
    await until(() => bodies(requests).length, "the batch");
    assert.equal(bodies(requests)[0][1], "AP8=");
  });

  test(`${name}: a link that the server does not know any more is a lost connection`, async (t) => {
    const { url } = await play(t, ({ method, query }, response) => {
      if (method == "POST") return response.writeHead(404).end('{"code":"unknown_link"}');
      if (!query.link) response.write(event(WELCOME));
      if (query.transport == "long-poll") response.end();
    });
    const { link, frames, ends } = open(t, dial, url);
    await until(() => frames.length, "welcome");
    link._send("{}");
    await until(() => ends.length, "the end");
    assert.equal(ends[0][0], 1006);
  });

  test(`${name}: a close that ends the session is told, after what was sent`, async (t) => {
    const { url, requests } = await play(t, ({ method, query }, response) => {
      if (method == "POST") return response.writeHead(204).end();
      if (!query.link) response.write(event(WELCOME));
      if (query.transport == "long-poll") response.end();
    });
    const { link, frames, ends } = open(t, dial, url);
    await until(() => frames.length, "welcome");
    link._send("{}");
    link._close(1000);
    await until(() => ends.length, "the end");
    assert.deepEqual(bodies(requests), [[{ link: "n1.secret", number: "1", close: "1000" }, "{}"]]);
    assert.equal(ends[0][0], 1000);
  });

  test(`${name}: a link that is dropped reports nothing, and ends its requests`, async (t) => {
    let isClosed = false;
    const { url, requests } = await play(t, ({ query }, response) => {
      response.on("close", () => (isClosed ||= !response.writableFinished));
      if (!query.link) response.write(event(WELCOME));
      if (query.transport == "long-poll") response.end();
    });
    const { link, frames, ends } = open(t, dial, url);
    await until(() => frames.length && requests.length == (dial == openLongPoll ? 2 : 1), "the welcome and a request");
    link._drop(4000);
    await until(() => isClosed, "the end of the request");
    assert.deepEqual(ends, []);
  });
}

test("long-poll: each request says what has come, and the events come in order", async (t) => {
  const { url, requests } = await play(t, ({ query }, response) => {
    if (!query.link) return response.end(event(WELCOME));
    if (requests.length == 2) return response.end(event({ n: 1 }) + event({ n: 2 }));
    if (requests.length == 3) return response.end(CLOSE);
  });
  const { frames, ends } = open(t, openLongPoll, url, { _token: "t" });
  await until(() => ends.length, "the end");
  assert.deepEqual(requests[0].query, { transport: "long-poll", protocol: "fanwire.v1.json" });
  assert.equal(requests[0].headers.authorization, "Bearer t");
  assert.deepEqual(requests.slice(1).map(({ query }) => query), [
    { link: "n1.secret", received: "1" },
    { link: "n1.secret", received: "3" },
  ]);
  assert.equal(requests[1].headers.authorization, undefined);
  assert.deepEqual(frames.slice(1).map((frame) => JSON.parse(frame)), [{ n: 1 }, { n: 2 }]);
  assert.deepEqual(ends, [[4008, "too slow"]]);
});

test("long-poll: a request that fails is repeated; an answer that was cut counts up to the cut", async (t) => {
  const { url, requests } = await play(t, ({ query }, response) => {
    if (!query.link) return response.end(event(WELCOME));
    if (requests.length == 2) return response.destroy();
    if (requests.length == 3) return response.writeHead(502).end("<html>");
    if (requests.length == 4) return response.end(event({ n: 1 }) + 'data: {"n":');
    if (requests.length == 5) return response.end(event({ n: 2 }));
  });
  const { frames } = open(t, openLongPoll, url);
  await until(() => frames.length == 3, "the messages");
  assert.deepEqual(requests.slice(1, 5).map(({ query }) => query.received), ["1", "1", "1", "2"]);
});

test("long-poll: what is no answer of Fanwire is no link", async (t) => {
  const { url, requests } = await play(t, (_, response) => response.end("<html>Log in</html>"));
  const { ends } = open(t, openLongPoll, url);
  await until(() => ends.length, "the end");
  assert.equal(ends[0][0], 1006);
  assert.equal(requests.length, 1);
});

test("Retry-After is seconds or a date", () => {
  const now = Date.parse("Sun, 29 Nov 2026 12:00:00 GMT");
  assert.equal(retryAfter("7", now), 7000);
  assert.equal(retryAfter("Sun, 29 Nov 2026 12:00:30 GMT", now), 30_000);
  assert.equal(retryAfter("Sun, 29 Nov 2026 11:00:30 GMT", now), 0);
  for (const none of [null, undefined, "", "soon"]) assert.equal(retryAfter(none, now), null, none);
});

for (const [name, dial] of Object.entries({ openEventStream, openLongPoll })) {
  test(`${name}: a POST that is not answered is given up and sent again; the link's end gives it up, too`, async (t) => {
    const posts = [];
    let last;
    // As `fetch` does: never an answer, or an error when the request is given up.
    const never = (signal) => new Promise((_, fail) => signal.addEventListener("abort", () => fail(signal.reason)));
    const play = async (url, { method, body, signal }) => {
      const { searchParams } = new URL(url);
      signal.throwIfAborted();
      if (method != "POST") return searchParams.has("link") ? never(signal) : new Response(stream());
      posts.push([searchParams.get("number"), body]);
      last = signal;
      return posts.length == 2 ? new Response(null, { status: 204 }) : never(signal);
    };
    const stream = () =>
      new ReadableStream({
        start(controller) {
          controller.enqueue(new TextEncoder().encode(event(WELCOME)));
          if (dial == openLongPoll) controller.close();
        },
      });
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const turns = async () => {
      for (let times = 0; times < 50; times++) await new Promise(setImmediate);
    };
    const { link, frames, ends } = open(t, dial, "http://x/live", { _fetch: play });
    await turns();
    assert.equal(frames.length, 1);
    link._send("{}");
    await turns();
    t.mock.timers.tick(15_000);
    await turns();
    t.mock.timers.tick(100);
    await turns();
    assert.deepEqual(posts, [["1", "{}"], ["1", "{}"]]);
    link._send("[]");
    await turns();
    assert.deepEqual(posts[2], ["2", "[]"]);
    link._drop(4000);
    assert.equal(last.aborted, true);
    await turns();
    t.mock.timers.tick(100);
    await turns();
    assert.equal(posts.length, 3);
    assert.deepEqual(ends, []);
  });
}
