// The story of a connection or a room in a panel at the side, from the admin API; and what an operator may do to a
// connection, after a confirmation.

import { ask } from "./api.js";
import { byId, bytes, clock, count, element, ms, plural, seconds, write } from "./format.js";

const AGAIN = 3000; // milliseconds until the story is read again

const LABELS = {
  id: "Id", node: "Node", session: "Session", subject: "Subject", address: "Address", transport: "Transport", state: "State",
  codec: "Codec", path: "Path", opened: "Since", duration: "Lasts for", received_messages: "Messages received",
  received_bytes: "Bytes received", sent_messages: "Messages sent", sent_bytes: "Bytes sent", scopes: "Scopes", info: "Info",
  room_names: "Rooms", close_code: "Close code", closed_by: "Closed by", close_reason: "Close reason", tls: "TLS",
  user_agent: "User agent", resumes: "Resumes", moves: "Changes of transport", dropped: "Dropped",
  highest_queue: "Most bytes that waited", taken_age: "Median age when taken", waiting_bytes: "Bytes that wait",
  waiting_messages: "Messages that wait", waiting_age: "Age of the oldest", waits_for: "Waits for", log_id: "Id in the log",
  compressed: "Compressed", members: "Members", name: "Room", number: "Number at its node",
};
const HIDDEN = new Set(["rooms", "nodes", "unanswered", "number"]);

function valueOf(name, value) {
  if (value === null || value === "" || (Array.isArray(value) && !value.length)) return null;
  if (name === "opened") return `${new Date(value).toLocaleDateString("en-GB")} ${clock(value)}`;
  if (name === "duration") return seconds(value);
  if (name.endsWith("_bytes") || name === "highest_queue") return bytes(value);
  if (name.endsWith("_age")) return seconds(value);
  if (name === "waits_for") return WAITS_FOR[value] ?? value;
  if (name === "dropped") return Object.entries(value).map(([reason, n]) => `${count(n)} ${reason}`).join(", ") || null;
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return count(value);
  if (Array.isArray(value)) return value.slice(0, 50).join(", ") + (value.length > 50 ? `, and ${value.length - 50} more` : "");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

// A list of names and values; those without a value are left out.
function facts(pairs) {
  const list = element("dl", "facts");
  for (const [name, value] of pairs) if (value != null) list.append(element("dt", "", name), element("dd", "", value));
  return list;
}

const isEvents = (value) => Array.isArray(value) && value.length > 0 && typeof value[0] === "object" && value[0] !== null;

// What has happened, in order: a list of objects with a time and any other fields.
function events(list) {
  const lines = list.slice(-200).map(({ time, at, ...rest }) => {
    const when = element("time", "", clock(time ?? (typeof at === "number" && at < 1e11 ? at * 1000 : at)));
    const text = Object.entries(rest).filter(([, value]) => value !== null && value !== "");
    return element("li", "", [when, text.map(([name, value]) => (name === "event" || name === "what" ? value : `${name} ${value}`)).join(", ")]);
  });
  return element("ol", "", lines);
}

export class Story {
  #panel = byId("story");
  #shown = null; // { kind, id }
  #detail = null;
  #timer = null;
  #opener = null;
  #waiting = () => null;
  #closed;

  // waiting: returns the row of a slow reader by its id. closed: is called when the panel is closed.
  constructor(waiting, closed) {
    this.#waiting = waiting;
    this.#closed = closed;
    byId("story-close").addEventListener("click", () => this.close());
    this.#panel.addEventListener("keydown", (event) => event.key === "Escape" && this.close());
  }

  get id() {
    return this.#shown?.id ?? null;
  }

  // Opens the panel for a connection or a room.
  async open(kind, id) {
    this.#opener = document.activeElement;
    this.#shown = { kind, id };
    this.#detail = null;
    write(byId("story-title"), kind === "connections" ? `Connection ${id}` : `Room ${id}`);
    write(byId("story-note"), "Reading…");
    byId("story-body").replaceChildren();
    byId("story-actions").replaceChildren();
    this.#panel.hidden = false;
    this.#panel.focus();
    await this.#read();
  }

  close() {
    clearTimeout(this.#timer);
    this.#shown = null;
    this.#panel.hidden = true;
    byId("sure").close();
    this.#closed();
    this.#opener?.focus?.();
  }

  // Writes what waits for the connection now: a new reading has come.
  tick() {
    if (this.#shown?.kind !== "connections") return;
    const row = this.#waiting(this.#shown.id), place = byId("story-waiting");
    if (!place) return;
    const [, , , , size, messages, age, waitsFor, sent, dropped] = row ?? [];
    place.replaceChildren(
      element("h3", "", "Waits for it now"),
      row
        ? facts([["Queue", `${bytes(size)}, ${plural(messages, "message")}`], ["Age of the oldest", ms(age * 1000)], ["Waits for", WAITS_FOR[waitsFor] ?? waitsFor],
            ["Sent so far", plural(sent, "message")], ["Dropped so far", plural(dropped, "message")]])
        : element("p", "note", "It is not among the slowest readers."),
    );
  }

  async #read() {
    clearTimeout(this.#timer);
    const asked = this.#shown;
    try {
      const detail = await ask(`${asked.kind}/${encodeURIComponent(asked.id)}`);
      if (this.#shown !== asked) return;
      this.#show(detail);
    } catch (error) {
      if (this.#shown !== asked) return;
      write(byId("story-note"), error.status === 404 ? (this.#detail ? "It has ended." : error.message) : error.message);
      for (const button of byId("story-actions").children) button.disabled = true;
      if (error.status !== 0 && error.status !== 503) return;
    }
    this.#timer = setTimeout(() => this.#read(), AGAIN);
  }

  #show(detail) {
    const isNew = !this.#detail;
    this.#detail = detail;
    write(byId("story-note"), "");
    const waiting = element("div");
    waiting.id = "story-waiting";
    const parts = this.#shown.kind === "connections" ? [waiting] : [];
    const plain = Object.entries(detail).filter(([name, value]) => !HIDDEN.has(name) && !isEvents(value) && !(value && typeof value === "object" && !Array.isArray(value) && name !== "info"));
    parts.push(element("h3", "", "About it"), facts(plain.map(([name, value]) => [LABELS[name] ?? name, valueOf(name, value)])));
    for (const [name, value] of Object.entries(detail)) {
      if (HIDDEN.has(name)) continue;
      const title = name === "at" ? "At its nodes" : (LABELS[name] ?? name[0].toUpperCase() + name.slice(1).replaceAll("_", " "));
      if (isEvents(value) && ("time" in value[0] || "at" in value[0])) parts.push(element("h3", "", title), events(value));
      else if (isEvents(value)) parts.push(element("h3", "", title), ...value.map((one) => facts(Object.entries(flat(one)).map(([key, found]) => [key, valueOf(key, found)]))));
      else if (value && typeof value === "object" && !Array.isArray(value) && name !== "info") {
        parts.push(element("h3", "", title), facts(Object.entries(value).map(([key, found]) => [LABELS[key] ?? key.replaceAll("_", " "), valueOf(key, found)])));
      }
    }
    byId("story-body").replaceChildren(...parts);
    this.tick();
    if (isNew && this.#shown.kind === "connections") this.#actions(detail);
  }

  #actions(detail) {
    const button = (text, call) => {
      const made = element("button", "danger", text);
      made.type = "button";
      made.addEventListener("click", call);
      return made;
    };
    const who = detail.subject ? ` of ${detail.subject}` : "";
    const actions = [
      button("Disconnect…", () =>
        this.#act("Disconnect", `Connection ${detail.id}${who} is closed with code 4000, and its session ends. Its client may connect again.`, `connections/${encodeURIComponent(detail.id)}/disconnect`, { code: 4000 })),
    ];
    if (detail.session) {
      actions.push(
        button("Revoke session…", () =>
          this.#act("Revoke", `The session of connection ${detail.id}${who} ends at once. Its client does not come back by itself.`, `sessions/${encodeURIComponent(detail.id)}/revoke`, {})),
      );
    }
    byId("story-actions").replaceChildren(...actions);
  }

  async #act(verb, text, path, body) {
    const asked = this.#shown, reason = await confirmed(verb, text);
    if (reason === null) return;
    write(byId("story-note"), `${verb}…`);
    try {
      const done = await ask(path, { method: "POST", body: { ...body, reason } });
      // The panel may show another one by now.
      if (this.#shown !== asked) return;
      write(byId("story-note"), done?.connections === 0 ? "There was no such connection any more." : "Done.");
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#shown && this.#read(), 700);
    } catch (error) {
      if (this.#shown === asked) write(byId("story-note"), error.message);
    }
  }
}

// Objects within an object become names such as "position epoch".
function flat(found, before = "") {
  return Object.assign({}, ...Object.entries(found).map(([name, value]) =>
    value && typeof value === "object" && !Array.isArray(value) ? flat(value, `${before}${name} `) : { [before + name]: value }));
}

export const WAITS_FOR = {
  socket: "the network: the kernel takes no more",
  window: "its application, which has not taken what was sent",
  client: "the client, which is away",
};

// Asks whether to go on. Returns the reason that was given; null: no.
function confirmed(verb, text) {
  const dialog = byId("sure");
  write(byId("sure-title"), `${verb}?`);
  write(byId("sure-text"), text);
  write(byId("sure-yes"), verb);
  byId("sure-reason").value = byId("sure-reason").defaultValue;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    const closed = () => {
      // The event of an earlier question may come when this one is open already.
      if (dialog.open) return;
      dialog.removeEventListener("close", closed);
      resolve(dialog.returnValue === "yes" ? byId("sure-reason").value : null);
    };
    dialog.addEventListener("close", closed);
  });
}
