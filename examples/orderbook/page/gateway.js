// The page: one client for what is shown, and one that reads slowly. It needs no build step.
import { connect } from "/fanwire.js";
import { Book } from "./book.js";

const $ = (id) => document.getElementById(id);
/** The decimals of each price: on the wire there are whole numbers, which no format rounds. */
const DECIMALS = { EURUSD: 5, GBPUSD: 5, USDJPY: 3 };
const SYMBOLS = Object.keys(DECIMALS);
const SHOWN = 12;
const price = (of, ticks) => (ticks / 10 ** DECIMALS[of]).toFixed(DECIMALS[of]);
const client = connect();
const counts = { verified: 0, repaired: 0 };
let symbol = SYMBOLS[0];
let book = new Book();

client.on("state", (state) => {
  $("state").textContent = state;
  document.body.classList.toggle("away", state != "open");
  $("transport").textContent = client.transport ?? "";
});
$("node").textContent = location.port;

// The books. One is shown; another one is joined when it is chosen.
async function show(name) {
  await client.leave(`book.${symbol}`);
  symbol = name;
  for (const button of $("symbols").children) button.ariaPressed = String(button.dataset.symbol == name);
  const room = await client.join(`book.${name}`, { repair: "cheapest" });
  if (symbol != name) return;
  book = new Book(room.snapshot);
  $("symbol").textContent = name;
  for await (const { data, gap, seq } of room) {
    if (gap) {
      // The whole book is fewer bytes than the changes that were missed, or these are no longer kept: begin with it.
      counts.repaired++;
      book = new Book(gap.snapshot);
    }
    counts.verified += book.take(data);
    $("check").textContent =
      `Change ${book.seq} of the exchange, message ${seq} of the room. ` +
      (book.isComplete ? "Nothing is missing. " : "Waiting for the whole book. ") +
      `Compared with the whole book: ${counts.verified}. Repaired: ${counts.repaired}.`;
  }
}

for (const name of SYMBOLS) {
  const button = document.createElement("button");
  button.dataset.symbol = name;
  button.append(Object.assign(document.createElement("b"), { textContent: name }), document.createElement("span"));
  button.onclick = () => name != symbol && show(name);
  $("symbols").append(button);
}

// Depth is drawn once for each frame of the screen, however many changes came.
function draw() {
  const [bids, asks] = [book.best("bids", SHOWN), book.best("asks", SHOWN)];
  const largest = Math.max(1, ...[...bids, ...asks].map(([, size]) => size));
  const rows = $("ladder").rows;
  while (rows.length < SHOWN) for (let cell = $("ladder").insertRow(), n = 0; n < 4; n++) cell.insertCell();
  for (let n = 0; n < SHOWN; n++) {
    const [[bid, bidSize] = [], [ask, askSize] = []] = [bids[n], asks[n]];
    const texts = [bidSize, bid && price(symbol, bid), ask && price(symbol, ask), askSize];
    texts.forEach((text, place) => {
      const cell = rows[n].cells[place];
      if (cell.textContent != String(text ?? "")) cell.textContent = text ?? "";
      cell.className = place < 2 ? "bid" : "ask";
    });
    for (const [place, size] of [[0, bidSize], [3, askSize]]) {
      rows[n].cells[place].style.setProperty("--share", `${(100 * (size ?? 0)) / largest}%`);
    }
    rows[n].cells[1].style.background = rows[n].cells[2].style.background = "none";
  }
  requestAnimationFrame(draw);
}

async function trades() {
  for await (const { data } of await client.join("trades")) {
    const row = $("trades").insertRow(0);
    for (const text of [new Date(data.at * 1000).toLocaleTimeString(), data.symbol, price(data.symbol, data.price), data.size]) {
      row.insertCell().textContent = text;
    }
    row.className = data.side;
    if ($("trades").rows.length > 14) $("trades").deleteRow(14);
  }
}

// Three readers of the same quotes, each with a client of its own, as other programs would have.
const ages = { fast: [], slow: [], phone: [] };
const reads = { fast: 0, slow: 0, phone: 0 };
const phoneRate = () => Number($("rate").value);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function quotes(name, reader, work, options) {
  const room = await reader.join("quotes", options);
  // The server sends so many from now on. All that is between is newer already when it would come.
  if (name == "phone") $("rate").onchange = () => room.configure({ maxRate: phoneRate() });
  let [replaced, last] = [0, room.seq];
  for await (const message of room) {
    reads[name]++;
    // The values that a reader begins with have lower numbers.
    replaced += Math.max(0, message.seq - last - 1);
    last = Math.max(last, message.seq);
    ages[name] = [...ages[name], message.age ?? 0].slice(-100);
    $(`${name}-read`).textContent = reads[name];
    $(`${name}-replaced`).textContent = replaced;
    $(`${name}-age`).textContent = `${Math.round(message.age ?? 0)} ms`;
    await work(message);
  }
}

function drawAges() {
  const highest = Math.max(100, ...ages.fast, ...ages.slow);
  $("highest").textContent = Math.round(highest);
  $("rate-text").textContent = phoneRate();
  for (const name of ["fast", "slow", "phone"]) {
    const points = ages[name].map((age, place) => `${place * 3},${80 - (76 * age) / highest}`);
    $(`${name}-line`).setAttribute("points", points.join(" "));
  }
  const pause = Number($("pause").value);
  $("pause-text").textContent = `${pause} ms`;
  $("queue").textContent = `${(((reads.fast - reads.slow) * pause) / 1000).toFixed(0)} s`;
}
setInterval(drawAges, 100);

show(symbol);
trades();
quotes("fast", client, ({ data }) => {
  const button = [...$("symbols").children].find((one) => one.dataset.symbol == data.symbol);
  button.lastChild.textContent = `${price(data.symbol, data.bid)} / ${price(data.symbol, data.ask)}`;
});
quotes("slow", connect(undefined, { maxQueue: 64 }), () => sleep(Number($("pause").value)));
quotes("phone", connect(), () => {}, { maxRate: phoneRate() });
requestAnimationFrame(draw);
