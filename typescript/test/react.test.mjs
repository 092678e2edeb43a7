// The hooks in a small DOM, with a real server.
import { Window } from "happy-dom";
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { client, startServer, until, within } from "./helpers/world.mjs";

let server;
let react;
let render;
let hooks;
const window = new Window();
before(async () => {
  server = await startServer();
  // React looks for a DOM when it is loaded. The client's module was loaded before, and has none.
  Object.assign(globalThis, { window, navigator: window.navigator, document: window.document, IS_REACT_ACT_ENVIRONMENT: true });
  react = await import("react");
  hooks = await import("../build/react.js");
  const { createRoot } = await import("react-dom/client");
  render = async (t, element) => {
    const place = window.document.createElement("div");
    const root = createRoot(place);
    await react.act(async () => root.render(element));
    const unmount = () => react.act(async () => root.unmount());
    t.after(unmount);
    return { place, unmount, again: (next) => react.act(async () => root.render(next)) };
  };
});
after(async () => {
  delete globalThis.window;
  delete globalThis.navigator;
  delete globalThis.document;
  await window.happyDOM.close();
  await server?.stop();
});

const provided = (one, ...children) =>
  react.createElement(react.StrictMode, null, react.createElement(hooks.FanwireProvider, { client: one }, ...children));
const shows = (place, text) =>
  until(() => place.textContent == text, () => `${JSON.stringify(text)}, not ${JSON.stringify(place.textContent)}`);

/** A client that knows nothing of the page: here only React has one. */
function pageless(t, port) {
  const { document } = globalThis;
  delete globalThis.document;
  try {
    return client(t, port);
  } finally {
    globalThis.document = document;
  }
}

test("useConnection shows the state and the transport", async (t) => {
  const one = pageless(t, server.port);
  const Shown = () => {
    const { state, isOpen, transport } = hooks.useConnection();
    return `${state} ${isOpen} ${transport}`;
  };
  const { place } = await render(t, provided(one, react.createElement(Shown)));
  await shows(place, "open true websocket");
  await react.act(() => one.close());
  await shows(place, "closed false websocket");
});

test("useRoom joins once, shows the newest messages, and leaves when no component uses the room", async (t) => {
  const one = pageless(t, server.port);
  const other = pageless(t, server.port);
  const got = [];
  const Shown = ({ keep }) => {
    const { room, messages, error } = hooks.useRoom("chat.react", { keep, onMessage: (message) => got.push(message.data) });
    return `${room?.name ?? "-"} ${messages.map(({ data }) => data).join()} ${error?.message ?? ""};`;
  };
  const two = provided(one, react.createElement(Shown, { keep: 2, key: 1 }), react.createElement(Shown, { keep: 0, key: 2 }));
  const { place, unmount } = await render(t, two);
  await shows(place, "chat.react  ;chat.react  ;");
  assert.equal(await other.count("chat.react"), 1);
  for (const data of ["a", "b", "c"]) await other.publish("chat.react", data);
  await shows(place, "chat.react b,c ;chat.react  ;");
  assert.deepEqual(got, ["a", "a", "b", "b", "c", "c"]);
  await unmount();
  await until(() => !one.rooms.size, "the leave");
});

test("useRoom keeps the newest value of each key, also for a component that comes later", async (t) => {
  const one = pageless(t, server.port);
  const other = pageless(t, server.port);
  const Shown = () => {
    const { values } = hooks.useRoom("latest.react", { keep: 0 });
    return [...values].join(" ") + ";";
  };
  const { place, again } = await render(t, provided(one, react.createElement(Shown, { key: 1 })));
  await until(() => one.rooms.size, "join");
  await other.publish("latest.react", 1, { key: "eur" });
  await other.publish("latest.react", 2, { key: "usd" });
  await other.publish("latest.react", 3, { key: "eur" });
  await shows(place, "eur,3 usd,2;");
  await again(provided(one, react.createElement(Shown, { key: 1 }), react.createElement(Shown, { key: 2 })));
  await shows(place, "eur,3 usd,2;eur,3 usd,2;");
});

/** A client whose one room is played; `tell` gives it a message. */
function played() {
  const told = {};
  const room = { name: "r", on: (event, callback) => ((told[event] = callback), () => {}), leave: async () => {} };
  const tell = (message) => react.act(() => told.message({ gap: null, key: null, isForgotten: false, ...message }));
  return { one: { join: async () => room }, tell };
}

const fail = () => {
  throw new Error("mine");
};
for (const [how, failing] of [["throws", fail], ["rejects", async () => fail()]]) {
  test(`useRoom: an onMessage that ${how} is reported, and the others are called`, async (t) => {
    const { one, tell } = played();
    const reported = t.mock.method(console, "error", () => {});
    const got = [];
    const Shown = ({ onMessage }) => {
      const { messages } = hooks.useRoom("r", { onMessage });
      return messages.map(({ data }) => data).join() + ";";
    };
    const shown = [failing, async ({ data }) => got.push(data)].map((onMessage, key) => react.createElement(Shown, { key, onMessage }));
    const { place } = await render(t, provided(one, ...shown));
    await tell({ data: 1 });
    await tell({ data: 2 });
    await shows(place, "1,2;1,2;");
    assert.deepEqual(got, [1, 2]);
    const errors = reported.mock.calls.map(({ arguments: [error] }) => error).filter((error) => error instanceof Error);
    assert.deepEqual(errors.map(({ message }) => message), ["mine", "mine"]);
  });
}

for (const [reason, stay] of Object.entries({ epoch: 0, history: 0, oldest: 0, slow: 0, unreadable: 1, unhealed: 1 })) {
  test(`useRoom: with a gap "${reason}" the values ${stay ? "stay" : "begin anew, because all follow"}`, async (t) => {
    const { one, tell } = played();
    const Shown = () => [...hooks.useRoom("r").values].join(" ") + ";";
    const { place } = await render(t, provided(one, react.createElement(Shown)));
    await tell({ key: "eur", data: 1 });
    await shows(place, "eur,1;");
    await tell({ key: "usd", data: 2, gap: { reason } });
    await shows(place, stay ? "eur,1 usd,2;" : "usd,2;");
  });
}

test("useRoom says why a room is not joined", async (t) => {
  const one = pageless(t, server.port);
  const Shown = () => hooks.useRoom("closed.react").error?.code ?? "-";
  const { place } = await render(t, provided(one, react.createElement(Shown)));
  await shows(place, "forbidden");
});

test("usePresence counts the members", async (t) => {
  const one = pageless(t, server.port);
  const other = pageless(t, server.port);
  const Shown = () => {
    const { members, count } = hooks.usePresence("chat.presence");
    return `${count} ${members.size}`;
  };
  const { place } = await render(t, provided(one, react.createElement(Shown)));
  await shows(place, "1 1");
  await within(other.join("chat.presence"), "join");
  await shows(place, "2 2");
  await other.leave("chat.presence");
  await shows(place, "1 1");
});

test("without a provider a hook says so", async () => {
  const { renderToString } = await import("react-dom/server");
  const Shown = () => hooks.useConnection().state;
  assert.throws(() => renderToString(react.createElement(Shown)), /FanwireProvider/);
});
