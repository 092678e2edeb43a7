// What the tests of a whole client need: a server, a proxy that cuts, and waits that end.
import { spawn } from "node:child_process";
import { once } from "node:events";
import net from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import WebSocket from "ws";

// FANWIRE_BUNDLE=1 tests the bundle that is shipped, whose private names are shortened.
const { connect, ...rest } = await import(process.env.FANWIRE_BUNDLE ? "../../dist/index.js" : "../../build/index.js");
export const { Closed, ConnectionFailed, RequestFailed, RoomEnded } = rest;
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const PYTHON = process.env.FANWIRE_PYTHON ?? here("../../../.venv/bin/python");

/** Milliseconds after which something that should happen at once counts as not happening. Generous: machines are busy. */
const DEADLINE = 20_000;
/** Milliseconds for a process to begin or to end: first it has to import all that it needs, beside those of other files. */
const PROCESS = 3 * DEADLINE;

/** Starts a server of helpers/server.py; returns its port, and what ends it. */
export async function startServer() {
  const child = spawn(PYTHON, [here("server.py")], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout });
  const [port] = await within(once(lines, "line"), "the server's port", PROCESS).catch((error) => {
    // Node would wait for it, and the file would end by its own timeout.
    child.kill();
    throw error;
  });
  return {
    port: Number(port),
    async stop() {
      child.stdin.end();
      if (child.exitCode == null) await within(once(child, "exit"), "the server's end", PROCESS);
      lines.close();
    },
  };
}

/** A client of a port; closed at the end of the test. */
export function client(t, port, options = {}) {
  const made = connect(`ws://127.0.0.1:${port}`, { WebSocket, transports: ["websocket"], ...options });
  t.after(() => made.close());
  return made;
}

/** Waits for a promise, and fails at the deadline. */
export async function within(promise, what, ms = DEADLINE) {
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`not in time: ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits until something holds. */
export async function until(holds, what, ms = DEADLINE) {
  for (const end = Date.now() + ms; !holds(); await sleep(5)) {
    if (Date.now() > end) throw new Error(`not in time: ${typeof what == "function" ? what() : what}`);
  }
}

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** A TCP proxy to a port. `cut` ends connections, `held` forwards nothing, `refused` takes no new ones. */
export async function startProxy(target, random = Math.random) {
  const pairs = new Set();
  const proxy = { port: 0, held: false, refused: false, pairs, cut, stop };
  const server = net.createServer((near) => {
    if (proxy.refused) return near.resetAndDestroy();
    const far = net.connect(target, "127.0.0.1");
    const pair = { near, far, left: Infinity };
    pairs.add(pair);
    for (const [from, to] of [[near, far], [far, near]]) {
      from.on("data", (bytes) => {
        if (proxy.held || pair.held) return;
        const part = bytes.subarray(0, pair.left);
        pair.left -= part.length;
        to.write(part, () => pair.left <= 0 && end(pair));
      });
      from.on("close", () => end(pair));
      from.on("error", () => end(pair));
    }
  });
  function end(pair, isReset = random() < 0.5) {
    pairs.delete(pair);
    for (const socket of [pair.near, pair.far]) {
      if (isReset && socket.readyState == "open") socket.resetAndDestroy();
      else socket.destroy();
    }
  }
  function cut() {
    for (const pair of [...pairs]) end(pair);
  }
  async function stop() {
    cut();
    await new Promise((done) => server.close(done));
  }
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  proxy.port = server.address().port;
  return proxy;
}
