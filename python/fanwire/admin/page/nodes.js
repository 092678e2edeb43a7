// The readings of all nodes: the newest of each, their sum, and the history of the last five minutes. Pure: the time is
// an argument. docs/dashboard.md describes a reading.

import { SECONDS } from "./chart.js";

const FRESH = 3500; // milliseconds; a node publishes once a second
const MOST = 64; // nodes whose history is kept: 300 points of 14 numbers each
const LISTED = 20;

export const ALL = "";

export class Nodes {
  #newest = new Map(); // id to { reading, at }
  #histories = new Map(); // id, or ALL, to a list of { at, values }

  // Takes a reading that has come at a time.
  take(reading, at) {
    const id = reading.node.id;
    this.#newest.set(id, { reading, at });
    this.#keep(id, reading, at);
    // The first node gives the beat for the sum.
    if (this.fresh(at)[0]?.node.id === id) this.#keep(ALL, merged(this.fresh(at)), at);
    for (const [old, entry] of this.#newest) {
      if (at - entry.at > SECONDS * 1000) this.#newest.delete(old);
    }
    for (const old of this.#histories.keys()) if (old !== ALL && !this.#newest.has(old)) this.#histories.delete(old);
  }

  // The readings of nodes that are heard, in the order of their ids.
  fresh(at) {
    const found = [...this.#newest.values()].filter((entry) => at - entry.at < FRESH).map(({ reading }) => reading);
    return found.sort((a, b) => (a.node.id < b.node.id ? -1 : 1));
  }

  // All nodes of the last five minutes, with when they were heard last.
  get all() {
    return [...this.#newest.values()].sort((a, b) => (a.reading.node.id < b.reading.node.id ? -1 : 1));
  }

  // What is shown for a node, or for all; the last one that there was, if none is heard.
  shown(choice, at) {
    if (choice !== ALL) return this.#newest.get(choice)?.reading ?? null;
    const found = this.fresh(at);
    const known = found.length ? found : this.all.map(({ reading }) => reading);
    return known.length ? merged(known) : null;
  }

  history(choice) {
    return this.#histories.get(choice) ?? [];
  }

  #keep(id, reading, at) {
    if (!this.#histories.has(id)) {
      if (this.#histories.size > MOST) return;
      this.#histories.set(id, []);
    }
    const history = this.#histories.get(id);
    history.push({ at, values: valuesOf(reading) });
    while (history.length > 1 && history[0].at < at - (SECONDS + 2) * 1000) history.shift();
  }
}

// The numbers of a reading that have a line in a chart.
export function valuesOf(reading) {
  const { now, rates } = reading;
  return {
    connections: now.connections, published: rates.published, received: rates.received, delivered: rates.delivered,
    out: rates.delivered_bytes, in: rates.received_bytes, p50: reading.p50_ms, p99: reading.p99_ms, p999: reading.p999_ms,
    drops: total(reading.drops), waiting: now.waiting_bytes, slow: now.slow, late: reading.loop_late_ms, cpu: reading.cpu,
  };
}

export const total = (counts) => Object.values(counts).reduce((sum, n) => sum + n, 0);

// One reading for several nodes. Counts are added; the room's messages, which each node counts, and the loop's lateness
// are those of the node with most.
export function merged(readings) {
  if (readings.length === 1) return readings[0];
  const latency = sumLatency(readings.map((reading) => reading.latency_us));
  const rooms = new Map();
  for (const [name, members, messages, deliveries] of readings.flatMap((reading) => reading.rooms)) {
    const [, m, n, d] = rooms.get(name) ?? [name, 0, 0, 0];
    rooms.set(name, [name, m + members, Math.max(n, messages), d + deliveries]);
  }
  const most = (name) => Math.max(...readings.map((reading) => reading[name]));
  const sum = (name) => readings.reduce((all, reading) => all + reading[name], 0);
  const together = (name) => sumCounts(readings.map((reading) => reading[name]));
  const told = (name) => readings.flatMap(({ node }) => node[name].map((why) => `${node.id}: ${why}`));
  return {
    node: { id: ALL, ready: readings.every(({ node }) => node.ready), reasons: told("reasons"), troubles: told("troubles") },
    seconds: most("seconds"), now: { ...together("now"), nodes: readings.length }, rates: together("rates"), drops: together("drops"),
    handshakes: together("handshakes"), closes: together("closes"), transports: together("transports"), latency_us: latency,
    p50_ms: quantile(latency, 0.5), p99_ms: quantile(latency, 0.99), p999_ms: quantile(latency, 0.999),
    rooms: [...rooms.values()].sort((a, b) => b[3] - a[3] || b[1] - a[1]).slice(0, LISTED),
    readers: readings.flatMap((reading) => reading.readers).sort((a, b) => b[4] - a[4]).slice(0, LISTED),
    loop_late_ms: most("loop_late_ms"), cpu: sum("cpu"), memory: sum("memory"),
  };
}

function sumCounts(several) {
  const all = {};
  for (const counts of several) for (const [name, n] of Object.entries(counts)) all[name] = (all[name] ?? 0) + n;
  return all;
}

function sumLatency(several) {
  const all = new Map();
  for (const [below, n] of several.flat()) all.set(below, (all.get(below) ?? 0) + n);
  return [...all].sort((a, b) => a[0] - b[0]);
}

// As `quantile` of the server's readings, in milliseconds.
export function quantile(buckets, share) {
  let rest = share * buckets.reduce((sum, [, n]) => sum + n, 0);
  if (rest <= 0) return null;
  for (const [below, n] of buckets) {
    if (rest <= n) {
      const least = below > 1 ? below / 2 : 0;
      return (least + ((below - least) * rest) / n) / 1000;
    }
    rest -= n;
  }
  return buckets.at(-1)[0] / 1000;
}
