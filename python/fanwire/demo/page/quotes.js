// The first panel: a fast and a slow reader of one room of latest values.

import { connect } from "/fanwire.js";
import { Chart } from "./chart.js";
import { wall } from "./clock.js";
import { percent, plural, time, whole } from "./format.js";
import { Meter } from "./meter.js";
import { Queue } from "./queue.js";
import { watch } from "./state.js";

const byId = (id) => document.getElementById(id);
const LINES = ["fast reader", "slow reader", "if the slow reader had to read all (computed)"];
const FADE = 0.95; // four times a second: half of it in three seconds
const PAUSES = [0, 2, 5, 10, 20, 50, 100, 200, 500];

class Reader {
  #tiles = new Map();
  #place;
  meter = new Meter();
  worst = null; // the largest age since the chart's last point
  taken = 0;
  #recent = { taken: 0, skipped: 0 }; // the latest count most

  constructor(place, work) {
    this.#place = place;
    this.work = work;
  }

  take(symbol, quote, age) {
    let tile = this.#tiles.get(symbol);
    if (!tile) {
      const element = document.createElement("li");
      element.append(...["b", "span", "i"].map((name) => document.createElement(name)));
      element.firstChild.textContent = symbol;
      const after = [...this.#place.children].find((other) => other.firstChild.textContent > symbol);
      this.#place.insertBefore(element, after ?? null);
      this.#tiles.set(symbol, (tile = { element, n: quote.n - 1 }));
    }
    this.taken++;
    this.#recent.taken++;
    // After a restart of the server the numbers begin anew.
    if (quote.n > tile.n) this.#recent.skipped += quote.n - tile.n - 1;
    Object.assign(tile, { n: quote.n, price: quote.price, at: performance.now() - (age ?? 0) });
    this.meter.add(age);
    if (age !== null) this.worst = Math.max(this.worst ?? 0, age);
  }

  write(numbers) {
    const now = performance.now();
    for (const { element, price, at } of this.#tiles.values()) {
      const [, value, age] = element.children;
      value.textContent = price.toFixed(2);
      age.textContent = time(now - at);
      element.className = now - at < 400 ? "" : now - at < 2000 ? "old" : "stale";
    }
    const [median] = this.meter.quantiles;
    const { taken, skipped } = this.#recent;
    const share = (100 * skipped) / Math.max(1, skipped + taken);
    this.#recent = { taken: taken * FADE, skipped: skipped * FADE };
    numbers.innerHTML = `<b>${time(median)}</b> old when read · <b>${whole(this.meter.rate)}</b> messages/s · ${percent(share)} replaced by newer ones`;
  }
}

// #region quotes
async function read(client, reader) {
  const room = await client.join("quotes");
  for await (const message of room) {
    reader.take(message.key, message.data, message.age);
    await reader.work(); // as long as the slider says
  }
}
// #endregion

export function startQuotes(client) {
  const slider = byId("pause");
  let pause = 0;
  const fast = new Reader(byId("fast"), () => {});
  const slow = new Reader(byId("slow"), () => pause && new Promise((done) => setTimeout(done, pause)));
  const queue = new Queue();
  const chart = new Chart(byId("quotes-chart"), { format: time, log: [1, 100000], names: LINES });

  slider.oninput = () => {
    pause = PAUSES[slider.value];
    slow.meter = new Meter();
    byId("pause-text").textContent = slider.ariaValueText = pause ? `${pause} ms for each message` : "as fast as it can";
  };
  slider.oninput();

  // #region quotes
  const slowClient = connect();
  read(client, fast);
  read(slowClient, slow);
  // #endregion
  watch(slowClient, byId("quotes"));

  setInterval(() => {
    const now = wall();
    if (client.state !== "open" || slowClient.state !== "open") return;
    if (fast.worst !== null) chart.push(LINES[0], now, fast.worst);
    if (slow.worst !== null) chart.push(LINES[1], now, slow.worst);
    chart.push(LINES[2], now, queue.advance(performance.now(), fast.taken, pause));
    fast.worst = slow.worst = null;
  }, 200);

  return {
    write() {
      fast.write(byId("fast-numbers"));
      slow.write(byId("slow-numbers"));
      const behind = queue.waiting;
      byId("queue-text").textContent = behind > 50
        ? `Without this, ${plural(behind, "old price")} would wait for the slow reader now.` : "Move the slider to make the reader slower.";
    },
    draw: (now) => chart.draw(now),
  };
}
