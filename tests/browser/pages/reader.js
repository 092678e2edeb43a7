// Reads the room "feed" and keeps a book of what has come. The address says how, as JSON in `options`:
//   module    where the client is; default "/fanwire.js"
//   codec     where the module of MessagePack is; default: none, JSON
//   url       where to connect to; default: the client's own
//   client    options of `connect`
//   token     shown by a function, as applications have it
//   dice      what random numbers are multiplied by, so that waits before attempts are short; default 1
//   patience  timers of at least so many milliseconds take four times as long, so that the client takes no slow machine
//             for a network without WebSockets; default: none
const asked = JSON.parse(new URLSearchParams(location.search).get("options") ?? "{}");

const random = Math.random;
if (asked.dice !== undefined) Math.random = () => random() * asked.dice;

const setTimer = setTimeout;
globalThis.setTimeout = (call, ms, ...given) => setTimer(call, ms >= asked.patience ? 4 * ms : ms, ...given);

/** The events `message` of all WebSockets. */
window.events = 0;
globalThis.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", () => window.events++);
  }
};

/** Each message of the feed: its number, that in the room, the transport, and when it came (ms since 1970). */
const got = (window.got = []);
const gaps = (window.gaps = []);
const states = (window.states = []);
const transports = (window.transports = []);

const fanwire = (window.fanwire = await import(asked.module ?? "/fanwire.js"));
const options = { maxAttempts: null, firstAttempts: null, ...asked.client };
if (asked.codec) options.codec = (await import(asked.codec)).msgpack;
if (asked.token) options.token = () => asked.token;
const client = (window.client = fanwire.connect(asked.url, options));
client.on("state", (state, reason) => states.push([state, reason && String(reason)]));
client.on("transport", (transport) => transports.push(transport));

// A client that is refused has no room; `client.error` says why.
const room = await client.join("feed").catch(() => new Promise(() => {}));
room.on("gap", (gap) => gaps.push(gap));
room.on("message", ({ seq, data, gap }) => {
  if (gap) gaps.push(gap);
  got.push({ n: data.n, seq, transport: client.transport, at: Date.now() });
});
window.room = room;

/** Publishes [1], [2], ... into "up", three at a time and in order, until `window.enough`; how many were acknowledged
 * is in `published`. The pause keeps a fast machine below the server's `message_rate`. */
window.published = 0;
window.publishAll = async () => {
  for (let number = 1; !window.enough; number += 3) {
    await Promise.all([number, number + 1, number + 2].map((one) => client.publish("up", [one])));
    window.published = number + 2;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};

/** Asks for an echo once; how long that took, in ms. */
window.ask = async () => {
  const start = performance.now();
  await client.request("echo", { a: [1, "\u20ac", null] });
  return performance.now() - start;
};
