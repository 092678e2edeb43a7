// The fourth panel: readings of this machine and of the engine, each a room of latest values.

import { Chart } from "./chart.js";
import { wall } from "./clock.js";
import { bound, bytes, fixed, latency, percent, plural, rate, whole } from "./format.js";
import { Meter } from "./meter.js";

const byId = (id) => document.getElementById(id);
const small = (text) => `<small>${text}</small>`;

export const members = new Map(); // how many members each room has

// #region readings
async function follow(client, name, take) {
  const room = await client.join(name);
  for await (const message of room) take(message.data);
}
// #endregion

// Writes names and values into a list of tiles.
export function writeTiles(list, pairs) {
  if (list.childElementCount !== pairs.length) {
    list.innerHTML = pairs.map(() => "<div><dt></dt><dd></dd></div>").join("");
  }
  pairs.forEach(([name, value], n) => {
    const [term, text] = list.children[n].children;
    if (term.textContent !== name) term.textContent = name;
    if (text.dataset.v !== value) text.innerHTML = text.dataset.v = value;
  });
}

function writeFoot(foot, meter, room) {
  const [half, most] = meter.quantiles;
  const count = members.get(room);
  foot.innerHTML =
    `<span><b>${meter.rate.toFixed(meter.rate < 10 ? 1 : 0)}</b> messages/s</span>` +
    `<span>latency: median <b>${latency(half)}</b>, p99 <b>${latency(most)}</b></span>` +
    `<span>${count == null ? "–" : plural(count, "subscriber")}</span>`;
}

class Card {
  #latest = new Map();
  #meter = new Meter();
  #parts;

  // options: title, room, format, axis (of the chart), lines (the values of a message by name), value (as text).
  constructor(client, options) {
    const card = document.createElement("article");
    card.className = "card " + (options.size ?? "");
    card.innerHTML = `<div class="top"><h3></h3><code></code></div><div class="value">–</div>
      <canvas role="img"></canvas><ul class="legend"></ul><div class="foot"></div>`;
    card.querySelector("h3").textContent = options.title;
    card.querySelector("code").textContent = options.room;
    card.querySelector("canvas").ariaLabel = `${options.title}, last 30 seconds. The arrow keys read the values.`;
    byId("cards").append(card);
    const [value, legend, foot] = ["value", "legend", "foot"].map((name) => card.querySelector("." + name));
    this.#parts = { value, legend, foot };
    this.options = options;
    this.chart = new Chart(card.querySelector("canvas"), { format: options.format, ...options.axis });
    const seen = new Set();
    follow(client, options.room, (data) => {
      const lines = Object.entries(options.lines(data));
      // The first of each key is the room's memory, not news: it tells nothing of latency.
      this.#meter.add(seen.has(lines[0][0]) ? Math.max(0, wall() - data.t) : null);
      for (const [name, number] of lines) {
        seen.add(name);
        this.#latest.set(name, number);
        this.chart.push(name, data.t, number);
      }
      this.data = data;
    });
  }

  get values() {
    return [...this.#latest.values()];
  }

  write() {
    if (this.data) this.#parts.value.innerHTML = this.options.value(this.data, this.values);
    const shown = this.#latest.size > 8 || this.#latest.size < 2 ? [] : [...this.#latest];
    while (this.#parts.legend.childElementCount < shown.length) this.#parts.legend.append(document.createElement("li"));
    shown.forEach(([name, number], n) => (this.#parts.legend.children[n].textContent = `${name} ${this.options.format(number)}`));
    writeFoot(this.#parts.foot, this.#meter, this.options.room);
  }

  draw(now) {
    this.chart.draw(now);
  }
}

const sum = (values) => values.reduce((total, value) => total + value, 0);

const CARDS = [
  {
    title: "Processor", room: "machine.cpu", size: "half", format: percent, axis: { max: 100 },
    lines: (data) => ({ ["core " + data.core]: data.percent }),
    value: (_, values) => `${percent(sum(values) / values.length)} ${small(`of ${plural(values.length, "core")}; each core is a key`)}`,
  },
  {
    title: "Network", room: "machine.network", size: "half", format: rate, axis: { least: 1000 },
    // Over the loopback what is sent is what is received.
    lines: (data) => (data.interface === "loopback" ? { loopback: data.received } : { received: data.received, sent: data.sent }),
    value: (_, values) => rate(sum(values)),
  },
  {
    title: "Memory", room: "machine.memory", format: percent, axis: { max: 100 },
    lines: (data) => ({ "in use": data.percent }),
    value: (data) => `${percent(data.percent)} ${small(`${bytes(data.used)} of ${bytes(data.total)}`)}`,
  },
  {
    title: "Disk", room: "machine.disk", format: rate, axis: { least: 1000 },
    lines: (data) => ({ read: data.read, written: data.written }),
    value: (data) => `${rate(data.read + data.written)} ${small(percent(data.percent) + " full")}`,
  },
  {
    title: "Load", room: "machine.load", format: fixed, axis: { least: 1 },
    lines: (data) => ({ "1 min": data.one, "5 min": data.five, "15 min": data.fifteen }),
    value: (data) => fixed(data.one),
  },
];

class EngineCard {
  #data = null;
  #chart = new Chart(byId("engine-chart"), { format: (n) => whole(n), least: 100 });

  constructor(client) {
    follow(client, "engine.stats", (data) => {
      this.#data = data;
      this.#chart.push("delivered in a second", data.t, data.per_second.delivered);
    });
    follow(client, "machine.rooms", (data) => members.set(data.room, data.members));
  }

  write() {
    const data = this.#data;
    if (!data) return;
    const drops = sum(Object.entries(data.drops).filter(([name]) => name !== "closed").map(([, n]) => n));
    byId("engine-value").innerHTML = `${whole(data.per_second.delivered)} ${small("messages delivered per second")}`;
    writeTiles(byId("engine-tiles"), [
      ["Publish to kernel, p99", bound(data.p99_us)],
      ["Published", `${whole(data.per_second.published)} ${small("per second")}`],
      ["Messages per write", fixed(data.per_second.delivered / Math.max(1, data.per_second.writes))],
      ["Connections", whole(data.connections)],
      ["Replaced or dropped", whole(drops)],
      ["Delivered in all", whole(data.delivered)],
    ]);
  }

  draw(now) {
    this.#chart.draw(now);
  }
}

export function startReadings(client) {
  return [new EngineCard(client), ...CARDS.map((options) => new Card(client, options))];
}
