// What a panel says about its connection: live, or since when it is away. A panel without a connection is grey.

import { hour, plural } from "./format.js";

const watched = [];

// Watches a client for an element, which gets the class `away` while the client has no connection.
export function watch(client, element) {
  const entry = { client, element, since: Date.now(), wasOpen: false };
  watched.push(entry);
  client.on("state", (state) => {
    if (state === "open") entry.wasOpen = true;
    else if (!element.classList.contains("away")) entry.since = Date.now();
    element.classList.toggle("away", state !== "open");
  });
  element.classList.toggle("away", client.state !== "open");
  return entry;
}

// How a client's connection is, in words.
function told({ client, since, wasOpen }) {
  if (client.state === "open") return "live";
  if (client.state === "closed") return `given up: ${client.error?.message ?? "closed"}. Reload the page.`;
  if (!wasOpen) return "connecting";
  return `no connection since ${hour(since)}, ${plural(Math.round((Date.now() - since) / 1000), "second")} ago`;
}

// Writes the state of each client into the `.state` of its element.
export function writeStates() {
  for (const entry of watched) {
    const place = entry.element.querySelector(":scope .state");
    const text = told(entry);
    if (place && place.textContent !== text) place.textContent = text;
  }
}
