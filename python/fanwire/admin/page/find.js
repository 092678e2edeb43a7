// Finds connections and rooms by the admin API, one page at a time. The server looks through all of them.

import { ask } from "./api.js";
import { byId, bytes, count, element, plural, seconds, write } from "./format.js";
import { Table } from "./table.js";

const LIMIT = 100;

const KINDS = {
  connections: {
    by: { subject: "Subject", address: "Address", room: "Room", via: "Transport", state: "State" },
    query: (by, text) => ({ [by]: text }),
    columns: [
      { name: "Connection", value: (one) => one.id, text: (one) => one.id },
      { name: "Subject", value: (one) => one.subject, text: (one) => one.subject || "–" },
      { name: "Address", value: (one) => one.address, text: (one) => one.address || "Unix socket" },
      { name: "Transport", value: (one) => one.transport, text: (one) => one.transport },
      { name: "State", value: (one) => one.state, text: (one) => one.state },
      { name: "Rooms", value: (one) => one.rooms, text: (one) => count(one.rooms), isNumber: true },
      { name: "Received", value: (one) => one.received_bytes, text: (one) => bytes(one.received_bytes), isNumber: true },
      { name: "Lasts for", value: (one) => one.duration, text: (one) => seconds(one.duration), isNumber: true },
    ],
    key: (one) => one.id,
  },
  rooms: {
    by: { members: "by members", name: "by name" },
    query: (by, text) => ({ sort: by, ...(text ? { pattern: text } : {}) }),
    columns: [
      { name: "Room", value: (one) => one.name, text: (one) => one.name },
      { name: "Members", value: (one) => one.members, text: (one) => count(one.members), isNumber: true },
    ],
    key: (one) => one.name,
  },
};

// open: is called with what was chosen: "connections" or "rooms", and an id or a name.
export function startFind(open) {
  const what = byId("what"), by = byId("by"), text = byId("text"), found = byId("found"), next = byId("next");
  let table = null, asked = null, cursor = null;
  let turn = 0; // the question whose answer is shown; those of earlier ones may come later

  function choose() {
    const kind = KINDS[what.value];
    by.replaceChildren(...Object.entries(kind.by).map(([value, label]) => Object.assign(element("option", "", label), { value })));
    turn++;
    const place = byId("results");
    place.tBodies[0].replaceChildren();
    table = new Table(place, { columns: kind.columns, empty: "Nothing matches.", open: (row) => open(what.value, kind.key(row)) });
    next.hidden = true;
    write(found, "");
  }

  async function page() {
    const mine = ++turn, kind = KINDS[asked.what];
    const query = new URLSearchParams({ ...asked.query, limit: LIMIT, ...(cursor ? { cursor } : {}) });
    write(found, "Looking…");
    try {
      const answer = await ask(`${asked.what}?${query}`);
      if (mine !== turn) return;
      table.show(answer[asked.what], kind.key);
      cursor = answer.next;
      next.hidden = !cursor;
      const missing = answer.unanswered?.length ? `; without ${plural(answer.unanswered.length, "node")}, which did not answer` : "";
      write(found, `${plural(answer.count, asked.what.slice(0, -1))} in all${missing}`);
    } catch (error) {
      if (mine === turn) write(found, error.message);
    }
  }

  what.addEventListener("change", choose);
  byId("find").addEventListener("submit", (event) => {
    event.preventDefault();
    const kind = KINDS[what.value], wanted = text.value.trim();
    asked = { what: what.value, query: wanted || what.value === "rooms" ? kind.query(by.value, wanted) : {} };
    cursor = null;
    page();
  });
  next.addEventListener("click", page);
  choose();
}
