// The page: what the player presses goes to the server, and what the server says is drawn. It needs no build step.
import { connect } from "/fanwire.js";
import { draw } from "./draw.js";
import { Prediction } from "./prediction.js";
import { States } from "./states.js";

const $ = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.search);
const name = asked.get("name") ?? `guest ${Math.floor(Math.random() * 1000)}`;
const client = connect();
const cells = new Set();
const ms = (number) => (number == null ? "-" : `${Math.round(number)} ms`);
let came = 0;
let myAge = null;

client.on("state", (state) => {
  $("state").textContent = state;
  document.body.classList.toggle("away", state != "open");
  $("transport").textContent = client.transport ?? "";
});
$("node").textContent = location.port;

// What is pressed. With ?bot the player walks by itself.
const KEYS = {
  ArrowLeft: [-1, 0], KeyA: [-1, 0], ArrowRight: [1, 0], KeyD: [1, 0],
  ArrowUp: [0, -1], KeyW: [0, -1], ArrowDown: [0, 1], KeyS: [0, 1],
};
const pressed = new Set();
addEventListener("keydown", ({ code }) => KEYS[code] && pressed.add(code));
addEventListener("keyup", ({ code }) => pressed.delete(code));
addEventListener("blur", () => pressed.clear());
let walk = [1, 0];
function direction() {
  if (asked.has("bot")) {
    if (Math.random() < 0.03) walk = [0, 1].map(() => Math.floor(Math.random() * 3) - 1);
    return walk;
  }
  return [0, 1].map((n) => Math.sign([...pressed].reduce((sum, code) => sum + KEYS[code][n], 0)));
}

// The server joins this client to the cells around its player, and takes it out of those that are far. They are listened
// to before the player enters.
let [states, prediction] = [null, null];
client.on("room", (room) => {
  const cell = room.name.replace("zone.", "");
  cells.add(cell);
  room.on("message", ({ data, age }) => {
    came++;
    if (!states?.take(cell, data, performance.now())) return;
    prediction.reconcile(states.mine.place, states.mine.done);
    myAge = age;
  });
  room.on("end", () => {
    cells.delete(cell);
    states?.drop(cell);
  });
});

const { player, rules } = await client.request("enter", { name });
states = new States(player, rules.hz);
prediction = new Prediction(rules);

// One input for each tick of the server, by the clock: timers are not that exact.
let due = performance.now();
setInterval(() => {
  const now = performance.now();
  if (now - due > 500) due = now;
  for (; due <= now; due += 1000 / rules.hz) {
    const [dx, dy] = direction();
    const n = prediction.input([dx, dy]);
    client.request("walk", { n, dx, dy }).catch((error) => console.warn(error.message));
  }
}, 5);

function frame() {
  const server = states.mine?.place;
  const place = ($("predict").checked ? prediction.place : server) ?? server;
  if (place) {
    draw($("world"), {
      ...{ rules, place, cells, others: states.others(performance.now()), gems: [...states.gems.values()].flat() },
      ...{ me: { id: player, name }, ghost: $("ghost").checked && server },
    });
  }
  requestAnimationFrame(frame);
}
requestAnimationFrame(frame);

setInterval(() => {
  $("score").textContent = states.mine?.score ?? 0;
  $("pending").textContent = prediction.pending;
  $("corrections").textContent = prediction.corrections;
  $("trip").textContent = ms(client.clock.roundTrip);
  $("age").textContent = ms(myAge);
  $("cells").textContent = cells.size;
  $("rate").textContent = came;
  came = 0;
}, 1000);

const scores = await client.join("scores");
for await (const { data } of scores) {
  $("players").textContent = data.players;
  $("best").replaceChildren(
    ...data.best.slice(0, 5).map(([who, score]) => {
      const row = document.createElement("li");
      for (const textContent of [who, score]) row.append(Object.assign(document.createElement("span"), { textContent }));
      return row;
    }),
  );
}
