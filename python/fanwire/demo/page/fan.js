// The fifth panel: many subscribers of one room, each with a WebSocket of its own.

import { connect } from "/fanwire.js";
import { isInSight, roundUp, surface, watchSight } from "./chart.js";
import { wall } from "./clock.js";
import { latency, whole } from "./format.js";
import { Meter } from "./meter.js";
import { members, writeTiles } from "./readings.js";

const byId = (id) => document.getElementById(id);
const STEP = 50;
const MOST = 200; // a browser opens 255 WebSockets
const ROOM = "machine.memory";

export function startFan() {
  let clients = [], bars = [], meter = new Meter(), turn = { t: 0, first: 0, last: 0 }, spread = null;

  // #region fan
  async function subscribe(place) {
    clients[place] = connect(location.origin, {
      transports: ["websocket"],
    });
    const room = await clients[place].join("machine.memory");
    for await (const message of room) take(place, message.data);
  }
  // #endregion

  function take(place, data) {
    const delay = Math.max(0, wall() - data.t);
    // The room's memory comes first. It is no news.
    if (delay > 1000) return;
    meter.add(delay);
    bars[place] = bars[place] ? bars[place] * 0.9 + delay * 0.1 : delay;
    const now = performance.now();
    if (data.t > turn.t) {
      // A new message: the one before has reached all that it will.
      if (turn.t) spread = spread === null ? turn.last - turn.first : spread * 0.9 + (turn.last - turn.first) * 0.1;
      turn = { t: data.t, first: now, last: now };
    } else if (data.t === turn.t) turn.last = now;
  }

  byId("more").onclick = () => {
    for (let n = 0; n < STEP && clients.length < MOST; n++) {
      bars.push(0);
      subscribe(clients.length).catch(() => {});
    }
  };
  byId("none").onclick = () => {
    for (const client of clients) client.close();
    clients = [], bars = [], meter = new Meter(), turn = { t: 0, first: 0, last: 0 }, spread = null;
  };

  watchSight(byId("fan-chart"));

  return {
    write() {
      const [half, most] = meter.quantiles;
      byId("more").disabled = clients.length >= MOST;
      byId("more").textContent = clients.length >= MOST ? `${MOST} is all a browser should` : `Open ${STEP} more sockets`;
      byId("none").disabled = !clients.length;
      writeTiles(byId("fan-tiles"), [
        ["Sockets open here", whole(clients.filter((client) => client.state === "open").length)],
        ["Received by them", `${whole(meter.rate)} <small>per second</small>`],
        ["First to last copy", latency(spread)],
        ["Latency, median", latency(half)],
        ["Latency, p99", latency(most)],
        ["Subscribers in all", whole(members.get(ROOM) ?? 0)],
      ]);
    },
    draw() {
      if (!isInSight(byId("fan-chart"))) return;
      const { pen, width, height, palette } = surface(byId("fan-chart"));
      const top = roundUp(Math.max(1, ...bars)), bottom = height - 22, left = 64;
      pen.strokeStyle = palette.grid;
      pen.fillStyle = palette.soft;
      pen.textAlign = "right";
      pen.beginPath();
      for (const share of [0, 0.5, 1]) {
        const y = Math.round(bottom - share * (bottom - 10)) + 0.5;
        pen.moveTo(left, y);
        pen.lineTo(width - 10, y);
        pen.fillText(`${share * top} ms`, left - 6, y);
      }
      pen.stroke();
      pen.textAlign = "center";
      pen.fillText(bars.length ? "one bar for each socket" : "no sockets yet", (left + width) / 2, height - 9);
      const step = (width - left - 10) / Math.max(STEP, bars.length);
      pen.fillStyle = palette.series[1];
      bars.forEach((delay, n) => {
        const tall = Math.min(1, delay / top) * (bottom - 10);
        pen.fillRect(left + n * step, bottom - tall, Math.max(1, step - (step > 4 ? 2 : 1)), tall);
      });
    },
  };
}
