// The page: its clients and panels, and the loop that draws them.

import { connect } from "/fanwire.js";
import { startChat } from "./chat.js";
import { wall } from "./clock.js";
import { showCode } from "./code.js";
import { startFan } from "./fan.js";
import { hour } from "./format.js";
import { startQuotes } from "./quotes.js";
import { startReadings } from "./readings.js";
import { watch, writeStates } from "./state.js";
import { startTransports } from "./transports.js";

const byId = (id) => document.getElementById(id);
const isCalm = matchMedia("(prefers-reduced-motion: reduce)");

// One session for the fast reader and all readings: a session may be in many rooms.
const client = connect();
const server = watch(client, document.body);
watch(client, byId("readings"));

const panels = [startQuotes(client), startChat(), startTransports(), ...startReadings(client), startFan(client)];

function writeServer() {
  const isAway = client.state !== "open" && server.wasOpen;
  byId("status").classList.toggle("live", client.state === "open");
  byId("status").textContent = client.state === "open" ? "live" : server.wasOpen ? "no server" : "connecting";
  byId("gone").hidden = !isAway;
  // A screen reader reads it once: it has no seconds, which the panels have.
  const text = isAway ? `The server has been gone since ${hour(server.since)}. What you see is old. The page goes on by itself when the server is back.` : "";
  if (byId("gone").textContent !== text) byId("gone").textContent = text;
}

// Numbers change four times a second, which can still be read; charts run at 20 pictures a second.
let written = 0, drawn = 0;
function frame(at) {
  if (at - written > 250) {
    written = at;
    writeServer();
    writeStates();
    for (const panel of panels) panel.write?.();
  }
  if (at - drawn > (isCalm.matches ? 1000 : 45)) {
    drawn = at;
    const now = wall();
    for (const panel of panels) panel.draw?.(now);
  }
  requestAnimationFrame(frame);
}
requestAnimationFrame(frame);
byId("origin").textContent = location.origin;
showCode();
