// The third panel: one session, whose transport is chosen by hand.

import { connect } from "/fanwire.js";
import { Chart } from "./chart.js";
import { wall } from "./clock.js";
import { time } from "./format.js";
import { Numbers } from "./numbers.js";
import { watch } from "./state.js";

const byId = (id) => document.getElementById(id);
const NAMES = { websocket: "WebSocket", sse: "Server-Sent Events", "long-poll": "long-polling" };

export function startTransports() {
  const numbers = new Numbers();
  const chart = new Chart(byId("transport-chart"), { format: time, least: 20, names: Object.values(NAMES) });
  const sessions = new Set();

  // #region ticks
  const client = connect();
  async function count() {
    const room = await client.join("ticks");
    for await (const message of room) {
      numbers.take(message);
      show(message);
    }
  }
  const change = (transport) => client.switchTo(transport);
  // #endregion

  function show(message) {
    byId("number").textContent = message.data.n;
    if (message.age !== null) chart.push(NAMES[client.transport], wall(), message.age);
  }

  const choices = [...document.querySelectorAll("input[name=transport]")];
  for (const choice of choices) {
    choice.onchange = async () => {
      const begun = performance.now();
      byId("switched").textContent = `Switching to ${NAMES[choice.value]}…`;
      try {
        await change(choice.value);
        byId("switched").textContent = `Switched to ${NAMES[choice.value]} in ${time(performance.now() - begun)}, while messages came.`;
      } catch (error) {
        byId("switched").textContent = `Not switched: ${error.message}`;
      }
    };
  }
  client.on("transport", (transport) => {
    for (const choice of choices) choice.checked = choice.value === transport;
  });

  watch(client, byId("transports"));
  count().catch((error) => (byId("switched").textContent = `The room has ended: ${error.message}`));

  return {
    write() {
      if (client.session) sessions.add(client.session);
      byId("transport").textContent = NAMES[client.transport] ?? "none";
      byId("session").textContent = client.session ? client.session.slice(0, 8) + "…" : "none";
      byId("sessions").textContent = sessions.size;
      byId("ticks-came").textContent = numbers.came;
      byId("ticks-missing").textContent = numbers.missing;
      byId("ticks-double").textContent = numbers.double;
    },
    draw: (now) => chart.draw(now),
  };
}
