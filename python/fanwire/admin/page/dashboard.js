// The dashboard: asks for a key, subscribes to the readings of all nodes by Fanwire's own client, and writes them.

import { ask, forget, keep, kept } from "./api.js";
import { Chart, SECONDS } from "./chart.js";
import { connect } from "./fanwire.js";
import { startFind } from "./find.js";
import { byId, bytes, clock, count, element, ms, percent, plural, seconds, write } from "./format.js";
import { ALL, Nodes, total } from "./nodes.js";
import { Story, WAITS_FOR } from "./story.js";
import { Table, writeBars } from "./table.js";

const ROOM = "$admin.readings";
const QUIET = 3500; // milliseconds without a reading until the page is grey

// Names of close codes (docs/protocol.md).
const CODES = {
  1000: "normal", 1001: "going away", 1002: "protocol error", 1003: "unsupported data", 1006: "lost", 1007: "invalid data",
  1008: "policy", 1009: "too large", 1011: "internal error", 1012: "service restart", 1013: "try again later",
  4008: "too slow", 4501: "expired", 4502: "revoked", 4503: "taken over",
};

const nodes = new Nodes();
let client = null, heard = 0, choice = ALL;

// The tiles.

const TILES = [
  { title: "Connections", lines: { connected: "connections" }, format: count, figure: (r) => [count(r.now.connections), r.now.parked_sessions ? `${count(r.now.parked_sessions)} away` : ""] },
  { title: "Deliveries", lines: { delivered: "delivered" }, format: count, figure: (r) => [count(r.rates.delivered), `/s, ${count(r.rates.delivered / Math.max(1, r.rates.writes))} in a write`] },
  { title: "Messages", lines: { published: "published", "from clients": "received" }, format: count, figure: (r) => [count(r.rates.published), `published/s, ${count(r.rates.received)} from clients`] },
  { title: "Traffic", lines: { out: "out", in: "in" }, format: bytes, least: 1024, base: 1024, figure: (r) => [`${bytes(r.rates.delivered_bytes)}/s`, `out, ${bytes(r.rates.received_bytes)}/s in`] },
  { title: "Latency, publish to kernel", lines: { p50: "p50", p99: "p99", "p99.9": "p999" }, format: ms, log: [0.01, 10_000], figure: (r) => [ms(r.p99_ms), `p99, ${ms(r.p50_ms)} p50, ${ms(r.p999_ms)} p99.9`] },
  { title: "Drops", lines: { dropped: "drops" }, format: count, figure: (r) => [count(total(r.drops)), `/s, ${plural(r.now.slow, "slow reader")}`] },
  { title: "Waiting in queues", lines: { waiting: "waiting" }, format: bytes, least: 1024 ** 2, base: 1024, figure: (r) => [bytes(r.now.waiting_bytes), `of ${bytes(r.now.waiting_bytes_limit)}`] },
  { title: "Event loop lateness", lines: { late: "late" }, format: ms, least: 10, figure: (r) => [ms(r.loop_late_ms), `${percent(r.cpu)} of a core, ${bytes(r.memory)}`] },
];

let drawings = [];
const tiles = TILES.map((options) => {
  const tile = element("article", "card tile"), figure = element("div", "figure"), legend = element("div", "legend");
  const names = Object.keys(options.lines);
  if (names.length > 1) {
    legend.append(...names.map((name, n) => {
      const entry = element("span", "", name);
      entry.style.setProperty("--line", `var(--s${n})`);
      return entry;
    }));
  }
  const tip = element("output");
  tip.hidden = true;
  const number = document.createTextNode(""), rest = element("small");
  figure.append(number, rest);
  tile.append(element("h2", "", options.title), figure, legend, element("canvas"), tip);
  byId("tiles").append(tile);
  const chart = new Chart(tile, options);
  return (reading, history) => {
    const [text, small] = options.figure(reading);
    if (number.data !== text) number.data = text;
    write(rest, small ? ` ${small}` : "");
    drawings.push(() => chart.draw(history));
  };
});

// One chart in a frame: a reading makes no long task.
function drawNext() {
  drawings.shift()?.();
  if (drawings.length) requestAnimationFrame(drawNext);
}

// The tables.

const rooms = new Table(byId("rooms"), {
  columns: [
    { name: "Room", value: ([name]) => name, text: ([name]) => name },
    { name: "Members", value: (row) => row[1], text: (row) => count(row[1]), isNumber: true },
    { name: "Messages/s", value: (row) => row[2], text: (row) => count(row[2]), isNumber: true },
    { name: "Deliveries/s", value: (row) => row[3], text: (row) => count(row[3]), isNumber: true },
  ],
  sort: [3, -1], empty: "There are no rooms.", open: ([name]) => open("rooms", name),
});

const slow = new Table(byId("slow"), {
  columns: [
    { name: "Connection", value: (row) => row[0], text: (row) => row[0] },
    { name: "Subject", value: (row) => row[1], text: (row) => row[1] || "–" },
    { name: "Address", value: (row) => row[2], text: (row) => row[2] || "Unix socket" },
    { name: "Queue", value: (row) => row[4], text: (row) => bytes(row[4]), isNumber: true },
    { name: "Messages", value: (row) => row[5], text: (row) => count(row[5]), isNumber: true },
    { name: "Oldest", value: (row) => row[6], text: (row) => seconds(row[6]), isNumber: true, className: (row) => (row[6] > 5 ? "bad" : row[6] > 1 ? "warn" : "") },
    { name: "Waits for", value: (row) => row[7], text: (row) => WAITS_FOR[row[7]]?.split(/[:,]/)[0] ?? row[7] },
    { name: "Dropped", value: (row) => row[9], text: (row) => count(row[9]), isNumber: true },
  ],
  sort: [3, -1], empty: "No reader is slow: what was published has left.", open: ([id]) => open("connections", id),
});

const table = new Table(byId("nodes"), {
  columns: [
    { name: "Node", value: ({ reading: r }) => r.node.id, text: ({ reading: r }) => `${r.node.id} (${r.node.name})` },
    { name: "State", value: ({ state }) => state, text: ({ state }) => state, className: ({ kind }) => kind },
    { name: "Since", value: ({ reading: r }) => -r.node.started, text: ({ reading: r }) => seconds(Math.max(0, Date.now() / 1000 - r.node.started)) },
    { name: "Version", value: ({ reading: r }) => r.node.version, text: ({ reading: r }) => r.node.version },
    { name: "Connections", value: ({ reading: r }) => r.now.connections, text: ({ reading: r }) => count(r.now.connections), isNumber: true },
    { name: "Rooms", value: ({ reading: r }) => r.now.rooms, text: ({ reading: r }) => count(r.now.rooms), isNumber: true },
    { name: "Deliveries/s", value: ({ reading: r }) => r.rates.delivered, text: ({ reading: r }) => count(r.rates.delivered), isNumber: true },
    { name: "p99", value: ({ reading: r }) => r.p99_ms ?? 0, text: ({ reading: r }) => ms(r.p99_ms), isNumber: true },
    { name: "Slow", value: ({ reading: r }) => r.now.slow, text: ({ reading: r }) => count(r.now.slow), isNumber: true },
    { name: "Loop late", value: ({ reading: r }) => r.loop_late_ms, text: ({ reading: r }) => ms(r.loop_late_ms), isNumber: true },
    { name: "CPU", value: ({ reading: r }) => r.cpu, text: ({ reading: r }) => percent(r.cpu), isNumber: true },
    { name: "Memory", value: ({ reading: r }) => r.memory, text: ({ reading: r }) => bytes(r.memory), isNumber: true },
  ],
  empty: "No node is heard.",
});

const waiting = (id) => nodes.all.flatMap(({ reading }) => reading.readers).find(([name]) => name === id) ?? null;
const story = new Story(waiting, () => slow.choose(null));

function open(kind, id) {
  story.open(kind, id);
  slow.choose(kind === "connections" ? id : null);
}

startFind(open);

// Writing.

const costs = []; // milliseconds of the last writes

function writeAll() {
  const begun = performance.now(), now = Date.now(), reading = nodes.shown(choice, now);
  if (!reading) return;
  const history = nodes.history(choice);
  const isIdle = !drawings.length;
  drawings = [];
  tiles.forEach((writeTile) => writeTile(reading, history));
  if (isIdle) requestAnimationFrame(drawNext);
  rooms.show(reading.rooms, ([name]) => name);
  write(byId("rooms-note"), `${plural(reading.now.rooms, "room")} in all; these have most deliveries`);
  slow.show(reading.readers, ([id]) => id);
  slow.choose(story.id);
  write(byId("slow-note"), reading.now.slow > reading.readers.length ? `${count(reading.now.slow)} in all; for these most waits` : "");
  writeLists(reading);
  const fresh = new Set(nodes.fresh(now).map(({ node }) => node.id));
  table.show(nodes.all.map(({ reading: one, at }) => ({ reading: one, ...stateOf(one, fresh.has(one.node.id), at) })), ({ reading: one }) => one.node.id);
  writeChoice(nodes.all.map(({ reading: one }) => one.node.id));
  const { ready, reasons, troubles } = reading.node;
  const text = [...(ready ? [] : ["Not ready for new clients", ...reasons]), ...troubles].join("; ");
  byId("faults").hidden = !text;
  write(byId("faults"), text);
  story.tick();
  costs.push(performance.now() - begun);
  if (costs.length > SECONDS) costs.shift();
}

function stateOf(reading, isFresh, at) {
  if (!isFresh) return { state: `not heard since ${clock(at)}`, kind: "bad" };
  return reading.node.ready ? { state: "ready", kind: "good" } : { state: "not ready", kind: "warn" };
}

function writeLists(reading) {
  const { now } = reading, most = Math.max(1, ...Object.values(reading.transports));
  writeBars(byId("transports"), Object.entries(reading.transports).map(([name, n]) => [name, count(n), n / most]), "");
  const drops = Object.entries(reading.drops), dropped = Math.max(1, ...drops.map(([, n]) => n));
  writeBars(byId("drops"), drops.map(([name, n]) => [name, count(n), n / dropped]), "Nothing is dropped.");
  const closes = Object.entries(reading.closes), closed = Math.max(1, ...closes.map(([, n]) => n));
  writeBars(byId("closes"), closes.map(([code, n]) => [code === "0" ? "other codes" : `${code} ${CODES[code] ?? ""}`, count(n), n / closed]), "No connection has ended.");
  writeBars(byId("sizes"), [
    ["Waiting for clients", bytes(now.waiting_bytes), now.waiting_bytes / now.waiting_bytes_limit],
    ["Histories of rooms", bytes(now.history_bytes), now.history_bytes / Math.max(1, reading.memory)],
    ["Held by windows", plural(now.held, "connection"), now.held / Math.max(1, now.connections)],
    ["Handshakes under way", count(now.handshaking_connections), now.handshaking_connections / 100],
    ["Connections of plain HTTP", count(now.http_connections), now.http_connections / 100],
  ], "");
}

function writeChoice(ids) {
  const select = byId("node"), known = [...select.options].map(({ value }) => value).join();
  byId("node-choice").hidden = ids.length < 2;
  if (known === ["", ...ids].join()) return;
  select.replaceChildren(...["", ...ids].map((id) => Object.assign(element("option", "", id || `all ${ids.length}`), { value: id })));
  if (!ids.includes(choice)) choice = ALL;
  select.value = choice;
}

byId("node").addEventListener("change", () => {
  choice = byId("node").value;
  writeAll();
});

// Four times a second: whether readings still come.
function writeState() {
  if (!client) return;
  const quiet = Date.now() - heard > QUIET, isOpen = client.state === "open";
  const isAway = heard > 0 && (quiet || !isOpen);
  byId("status").className = `status ${isAway ? "away" : heard ? "live" : ""}`;
  write(byId("status"), isAway ? "no readings" : heard ? "live" : "connecting");
  document.body.classList.toggle("away", isAway);
  byId("gone").hidden = !isAway;
  const why = isOpen ? "No reading has come" : "The server has been gone";
  if (isAway) write(byId("gone"), `${why} since ${clock(heard)}. What you see is old. The page goes on by itself when readings come again.`);
}
setInterval(writeState, 250);
document.addEventListener("visibilitychange", () => document.hidden || writeAll());
let resizing = 0;
addEventListener("resize", () => {
  cancelAnimationFrame(resizing);
  resizing = requestAnimationFrame(writeAll);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTimeout(writeAll));

// The key and the connection.

function askForKey(text = "") {
  forget();
  client?.close();
  client = null;
  heard = 0;
  story.close();
  byId("board").hidden = byId("gone").hidden = byId("faults").hidden = byId("forget").hidden = true;
  byId("login").hidden = false;
  document.body.classList.remove("away");
  byId("status").className = "status";
  write(byId("status"), "no key");
  write(byId("login-error"), text);
  byId("key").value = "";
  byId("key").focus();
}

byId("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const key = byId("key").value.trim();
  const button = byId("login").querySelector("button");
  write(byId("login-error"), "");
  button.disabled = true;
  try {
    await ask("health?node=this", { key });
    keep(key);
    begin();
  } catch (error) {
    write(byId("login-error"), error.status === 401 ? "This key is wrong." : error.message);
    byId("key").select();
  } finally {
    button.disabled = false;
  }
});
byId("forget").addEventListener("click", () => askForKey());

async function begin() {
  byId("login").hidden = true;
  byId("board").hidden = byId("forget").hidden = false;
  write(byId("where"), location.host);
  const url = new URL("live", document.baseURI);
  url.protocol = url.protocol.replace("http", "ws");
  const own = (client = connect(url.href, { token: kept(), resumeOnReload: false }));
  own.on("state", (state, error) => {
    if (state === "closed" && client === own && error) askForKey(`${error.message}.`);
  });
  try {
    for await (const message of await own.join(ROOM)) {
      if (message.isForgotten) continue;
      heard = Date.now();
      nodes.take(message.data, heard);
      writeAll();
      writeState();
    }
  } catch (error) {
    if (client === own) askForKey(`${error.message}.`);
  }
}

// For tests and curious people: what the page shows.
globalThis.dashboard = { nodes, costs };

if (kept()) begin();
else askForKey();
