// Connections that are cut at any byte, over and over, with forced changes of transport in between, while messages flow
// both ways: nothing is lost, doubled or reordered. FANWIRE_CUTS has their number: 40, and 1,000 in the long form.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { msgpack } from "../build/msgpack.js";
import { client, sleep, startProxy, startServer, until, within } from "./helpers/world.mjs";

const CUTS = Number(process.env.FANWIRE_CUTS ?? 40);
const TRANSPORTS = ["websocket", "sse", "long-poll"];
const CLIENTS = 3;
const RATE = 400;

let server;
const { random } = Math;
before(async () => {
  server = await startServer();
  // The client's dice: otherwise it would wait for a minute after ten cuts in ten seconds, as it should elsewhere.
  Math.random = () => 0;
});
after(async () => {
  Math.random = random;
  await server?.stop();
});

const pick = (list) => list[Math.floor(random() * list.length)];

test("random cuts lose, double and reorder nothing", { timeout: 60_000 + CUTS * 2000 }, async (t) => {
  const proxy = await startProxy(server.port, random);
  t.after(proxy.stop);
  const watcher = client(t, server.port);
  const up = await within(watcher.join("live.up"), "join");
  const taken = [];
  up.on("message", (message) => taken.push(message.data));

  const count = Math.round(RATE * (CUTS * 0.05 + 1));
  let isDone = false;
  const readers = Array.from({ length: CLIENTS }, (_, number) => {
    const one = client(t, proxy.port, {
      maxAttempts: null,
      heartbeat: 500,
      openTimeout: 2000,
      codec: number % 2 ? msgpack : undefined,
      transports: TRANSPORTS,
    });
    return { number, one, got: [], gaps: [], published: 0, switches: 0 };
  });
  for (const reader of readers) {
    const room = await within(reader.one.join("feed.cuts"), "join");
    room.on("gap", (gap) => reader.gaps.push(gap));
    room.on("message", (message) => reader.got.push(message));
  }
  const publishing = readers.map(async (reader) => {
    while (!isDone) {
      const numbers = [0, 1, 2].map((ahead) => reader.published + ahead);
      const seqs = await Promise.all(numbers.map((number) => reader.one.publish("live.up", [reader.number, number])));
      assert.ok(seqs[0] < seqs[1] && seqs[1] < seqs[2]);
      reader.published += 3;
      await sleep(2);
    }
  });
  const switching = readers.map(async (reader) => {
    while (!isDone) {
      await sleep(random() * 300);
      await reader.one.switchTo(pick(TRANSPORTS)).then(
        () => reader.switches++,
        () => {},
      );
    }
  });
  await watcher.request("feed", { room: "feed.cuts", count, rate: RATE });
  for (let made = 0; made < CUTS; made++) {
    await sleep(random() * 50);
    const pair = pick([...proxy.pairs]);
    if (!pair) continue;
    // Silent, and open on both sides: only the heartbeat can tell.
    if (random() < 0.03) pair.held = true;
    else pair.left = Math.floor(random() * 20_000);
  }
  isDone = true;
  await within(Promise.all([...publishing, ...switching]), "the last acknowledgements", 60_000);
  await until(() => readers.every(({ got }) => got.at(-1)?.seq >= count), () => `all: ${readers.map(({ got }) => got.at(-1)?.seq)} of ${count}`, 60_000);
  const total = readers.reduce((sum, { published }) => sum + published, 0);
  await until(() => taken.length >= total, "all that was published", 60_000);
  // Whatever would come twice comes now.
  await sleep(100);
  for (const { number, got, gaps, published } of readers) {
    assert.deepEqual(gaps, []);
    assert.deepEqual(got.map(({ seq }) => seq), Array.from({ length: count }, (_, place) => place + 1));
    assert.ok(got.every(({ seq, data }) => data.n == seq));
    const own = taken.filter(([who]) => who == number).map(([, one]) => one);
    assert.deepEqual(own, Array.from({ length: published }, (_, place) => place));
  }
  t.diagnostic(`${CUTS} cuts, ${readers.map(({ switches }) => switches)} switches, ${count} messages to each, ${total} published`);
});
