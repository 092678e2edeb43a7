// The life of a page, with the events and the storage of a browser played, and a real server.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import WebSocket from "ws";
import { client, sleep, startProxy, startServer, until, within } from "./helpers/world.mjs";

let server;
let page;
const real = { now: Date.now, navigator: Object.getOwnPropertyDescriptor(globalThis, "navigator") };

before(async () => {
  server = await startServer();
});
after(() => server?.stop());

beforeEach(() => {
  page = new EventTarget();
  globalThis.addEventListener = page.addEventListener.bind(page);
  globalThis.document = Object.assign(new EventTarget(), { hidden: false });
  globalThis.localStorage = {};
  globalThis.sessionStorage = {};
});
afterEach(() => {
  for (const name of ["addEventListener", "document", "localStorage", "sessionStorage"]) delete globalThis[name];
  Date.now = real.now;
  if (real.navigator) Object.defineProperty(globalThis, "navigator", real.navigator);
  else delete globalThis.navigator;
});

const fire = (target, name) => target.dispatchEvent(new Event(name));

/** A client behind a proxy, open. */
async function open(t, options) {
  const proxy = await startProxy(server.port);
  t.after(proxy.stop);
  const one = client(t, proxy.port, { maxAttempts: null, ...options });
  await within(one.opened, "welcome");
  return { proxy, one };
}

/** A client outside the page. */
function outside(t) {
  const { document, addEventListener } = globalThis;
  delete globalThis.document;
  delete globalThis.addEventListener;
  const one = client(t, server.port);
  Object.assign(globalThis, { document, addEventListener });
  return one;
}

test("a page that is shown again finds a dead connection at once", async (t) => {
  const { proxy, one } = await open(t);
  const { session } = one;
  for (const pair of proxy.pairs) pair.held = true;
  fire(document, "visibilitychange");
  await until(() => one.state == "reconnecting", "the loss");
  await until(() => one.state == "open", "the next link");
  assert.equal(one.session, session);
});

test("a page that is shown again keeps a connection that answers", async (t) => {
  const { one } = await open(t);
  const states = [];
  one.on("state", (state) => states.push(state));
  // The timer of the question rings by hand, after the answer, however busy the machine is.
  const { setTimeout } = globalThis;
  const timers = [];
  globalThis.setTimeout = (ring) => timers.push(ring);
  try {
    fire(document, "visibilitychange");
    fire(page, "online");
  } finally {
    globalThis.setTimeout = setTimeout;
  }
  assert.equal(timers.length, 1);
  assert.equal(await within(one.request("echo", 1), "what comes behind the answer"), 1);
  timers[0]();
  assert.deepEqual(states, []);
});

test("a clock that has jumped means that the computer has slept", async (t) => {
  const { proxy, one } = await open(t);
  for (const pair of proxy.pairs) pair.held = true;
  Date.now = () => real.now() + 120_000;
  await until(() => one.state == "reconnecting", "the loss");
  await until(() => one.state == "open", "the next link");
});

test("in the background late timers are usual", async (t) => {
  document.hidden = true;
  const { proxy, one } = await open(t);
  for (const pair of proxy.pairs) pair.held = true;
  Date.now = () => real.now() + 61_000;
  await sleep(2300);
  assert.equal(one.state, "open");
});

test("online: an attempt is made at once, whatever the delay", async (t) => {
  let attempts = 0;
  class Counted extends WebSocket {
    constructor(...given) {
      super(...given);
      attempts++;
    }
  }
  const { proxy, one } = await open(t, { WebSocket: Counted });
  Math.random = () => 0.999_999;
  t.after(() => (Math.random = random));
  proxy.refused = true;
  proxy.cut();
  await until(() => one.state == "reconnecting", "the loss");
  await sleep(400);
  proxy.refused = false;
  const before = attempts;
  fire(page, "online");
  // In the same turn: no timer rings before.
  await new Promise(setImmediate);
  assert.equal(attempts, before + 1);
  await until(() => one.state == "open", "the next link");
});
const { random } = Math;

test("attempts of a page that is offline do not count, and none is made until it is online", async (t) => {
  const sockets = [];
  class Kept extends WebSocket {
    constructor(...given) {
      super(...given);
      sockets.push(this);
    }
  }
  const { proxy, one } = await open(t, { maxAttempts: 1, WebSocket: Kept });
  Object.defineProperty(globalThis, "navigator", { value: { onLine: false }, configurable: true });
  proxy.refused = true;
  proxy.cut();
  await until(() => sockets[1]?.readyState == WebSocket.CLOSED, "an attempt that fails");
  assert.equal(one.state, "reconnecting");
  proxy.refused = false;
  await sleep(300);
  assert.deepEqual([one.state, sockets.length], ["reconnecting", 2]);
  fire(page, "online");
  await until(() => one.state == "open", "the next link");
});

for (const [goes, comes, target] of [
  ["pagehide", "pageshow", () => page],
  ["freeze", "resume", () => document],
]) {
  test(`${goes}: no connection until ${comes}, and then the same session`, async (t) => {
    const { proxy, one } = await open(t);
    const room = await within(one.join("chat.page"), "join");
    const { session } = one;
    fire(target(), goes);
    await until(() => !proxy.pairs.size, "the end of the connection");
    assert.equal(one.state, "reconnecting");
    fire(page, "online");
    fire(document, "visibilitychange");
    await sleep(300);
    assert.equal(proxy.pairs.size, 0);
    const published = one.publish(room.name, "later");
    fire(target(), comes);
    await within(published, "the answer");
    assert.equal(one.session, session);
    assert.equal((await within(room.messages().next(), "the message")).value.data, "later");
  });
}

test("a page that is loaded again goes on with its session", async (t) => {
  const { one } = await open(t, { resumeOnReload: true });
  assert.deepEqual(sessionStorage, {});
  const room = await within(one.join("chat.reload"), "join");
  const other = outside(t);
  await other.publish(room.name, "a");
  assert.equal((await within(room.messages().next(), "a")).value.data, "a");
  // The next page has another client, so that the old one takes no part any more.
  void within(room.messages().next(), "nothing").catch(() => {});
  await sleep(20);
  const { session } = one;
  fire(page, "pagehide");
  const [key] = Object.keys(sessionStorage);
  assert.ok(key);
  await other.publish(room.name, "b");
  page = new EventTarget();
  globalThis.addEventListener = page.addEventListener.bind(page);
  const next = client(t, new URL(key.slice("fanwire:".length)).port, { resumeOnReload: true });
  assert.deepEqual(sessionStorage, {});
  const again = await within(next.join(room.name), "join");
  assert.equal(next.session, session);
  await other.publish(room.name, "c");
  const got = [];
  for await (const message of again) if (got.push([message.data, message.gap]) == 2) break;
  assert.deepEqual(got, [["b", null], ["c", null]]);
});

test("a page that is loaded again has the rooms of its pattern again, and goes on in those it joins by name", async (t) => {
  const { proxy, one } = await open(t, { resumeOnReload: true });
  const other = outside(t);
  await other.publish("live.reload-1", "before");
  const room = await within(one.join("chat.reload-pattern"), "join");
  const pattern = await within(one.joinPattern("live.reload-*"), "the pattern");
  assert.deepEqual([...pattern.rooms.keys()], ["live.reload-1"]);
  fire(page, "pagehide");
  await other.publish(room.name, "meanwhile");
  page = new EventTarget();
  globalThis.addEventListener = page.addEventListener.bind(page);
  const next = client(t, proxy.port, { resumeOnReload: true });
  const again = await within(next.joinPattern("live.reload-*"), "the pattern again");
  assert.deepEqual([...again.rooms.keys()], ["live.reload-1"]);
  const message = await within((await next.join(room.name)).messages().next(), "the message");
  assert.deepEqual([message.value.data, message.value.gap], ["meanwhile", null]);
});

test("a tab that is duplicated has no session to take", async (t) => {
  const { proxy, one } = await open(t, { resumeOnReload: true });
  fire(page, "pagehide");
  fire(page, "pageshow");
  await until(() => one.state == "open", "open again");
  const copy = client(t, proxy.port, { resumeOnReload: true });
  await within(copy.opened, "welcome");
  assert.notEqual(copy.session, one.session);
  assert.equal(one.state, "open");
});

test("which transport works is remembered", async (t) => {
  const { proxy } = await open(t);
  assert.deepEqual(localStorage, { [`fanwire:127.0.0.1:${proxy.port}`]: "websocket" });
});

test("which transport the application has chosen is not remembered", async (t) => {
  const { proxy, one } = await open(t, { transports: ["websocket", "sse"] });
  await within(one.switchTo("sse"), "the switch");
  assert.deepEqual(localStorage, { [`fanwire:127.0.0.1:${proxy.port}`]: "websocket" });
});

test("storage that is forbidden is no error", async (t) => {
  for (const name of ["localStorage", "sessionStorage"]) {
    Object.defineProperty(globalThis, name, {
      configurable: true,
      get() {
        throw new Error("forbidden");
      },
    });
  }
  await open(t, { resumeOnReload: true });
  fire(page, "pagehide");
  fire(page, "pageshow");
});

test("a closed client leaves no listener and no timer", async (t) => {
  const { proxy, one } = await open(t);
  await within(one.close(), "close");
  await until(() => !proxy.pairs.size, "the end of the connection");
  fire(page, "pagehide");
  fire(page, "pageshow");
  fire(page, "online");
  Date.now = () => real.now() + 120_000;
  await sleep(50);
  assert.equal(one.state, "closed");
  assert.equal(proxy.pairs.size, 0);
});
