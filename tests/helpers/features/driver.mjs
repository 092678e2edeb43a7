// The TypeScript client, told what to do by lines of JSON: {id, do, ...}; each is answered by {id, value} or {id, error}.
// It is bundled from the sources when it starts, or is the bundle that is shipped, with FANWIRE_BUNDLE=1.
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";

const ROOT = fileURLToPath(new URL("../../../typescript/", import.meta.url));
const load = createRequire(join(ROOT, "package.json"));
const { WebSocket } = load("ws");
const { connect, msgpack } = await library();

// The dice of the client: it comes back at once.
Math.random = () => 0;

const clients = new Map();
const rooms = new Map();
const readers = new WeakMap();
const EVENTS = ["gap", "skipped", "member", "behind", "end"];

/** What is done for each command. */
const commands = {
  async connect({ client, url, transport, codec, options }) {
    const made = connect(url, {
      ...{ WebSocket, transports: [transport], codec: codec == "msgpack" ? msgpack : undefined, maxAttempts: null },
      ...options,
    });
    clients.set(client, { made, rooms: new Set() });
    await made.opened;
  },
  async join({ client, room, options }) {
    const { made, rooms: own } = clients.get(client);
    const joined = await made.join(room, options);
    const key = `${client} ${room}`;
    if (rooms.get(key)?.joined !== joined) {
      const told = [];
      for (const kind of EVENTS)
        joined.on(kind, (report) => {
          const { code, text } = report ?? {};
          told.push(object({ kind, ...(kind == "end" ? { code, text } : report) }));
        });
      rooms.set(key, { joined, told });
      own.add(key);
    }
  },
  call: ({ client, room, method, args }) => {
    const target = of(client, room);
    if (typeof target[method] != "function") throw new TypeError(`there is no method ${method}`);
    return target[method](...args);
  },
  get: ({ client, room, name }) => of(client, room)[name],
  events: ({ client, room }) => rooms.get(`${client} ${room}`).told,
  async take({ client, room, count, part }) {
    const target = of(client, room);
    if (!readers.has(target)) readers.set(target, target.messages());
    const reader = readers.get(target);
    while (part.length < count) {
      const { value, done } = await reader.next();
      if (done) throw Object.assign(new Error(`after ${part.length}`), { name: "Ended" });
      part.push(value);
    }
    return part;
  },
  async close({ client }) {
    const { made, rooms: own } = clients.get(client);
    clients.delete(client);
    for (const key of own) rooms.delete(key);
    await made.close();
  },
};

const of = (client, room) => (room == null ? clients.get(client).made : rooms.get(`${client} ${room}`).joined);

createInterface({ input: process.stdin })
  .on("line", async (line) => {
    const command = JSON.parse(line, untagged);
    const { id } = command;
    // Those that a `take` has got before it was too late are told, too.
    const part = [];
    const late = setTimeout(() => answer({ id, late: part }), command.seconds * 1000);
    try {
      answer({ id, value: (await commands[command.do]({ ...command, part })) ?? null });
    } catch (error) {
      const { name, message, code, text, retry, path, data, room, retryAfterMs } = error;
      answer({ id, error: { name, message, code, text, retry, path, data, room, retryAfterMs, stack: error.stack } });
    } finally {
      clearTimeout(late);
    }
  })
  .on("close", () => process.exit());
process.stdout.write('"ready"\n');

const answer = (document) => process.stdout.write(JSON.stringify(tagged(document)) + "\n");
const object = (fields) => ({ $object: fields });

/** A value in JSON. What JSON has not, and what the library has made, is marked. */
function tagged(value) {
  if (typeof value == "bigint") return { $int: String(value) };
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString("base64") };
  if (value instanceof Map) return { $map: tagged([...value]) };
  if (value instanceof Set) return tagged([...value]);
  if (Array.isArray(value)) return value.map(tagged);
  if (value == null || typeof value != "object") return value ?? null;
  const fields = Object.fromEntries(Object.entries(value).map(([name, one]) => [name, tagged(one)]));
  if (!("isForgotten" in value && "gap" in value)) return fields;
  // A message, and its gap.
  return object({ ...fields, gap: fields.gap && object(fields.gap) });
}

function untagged(_, value) {
  return value?.$bytes == null ? value : new Uint8Array(Buffer.from(value.$bytes, "base64"));
}

/** The library: both entries in one bundle, so that they share what they import. */
async function library() {
  if (process.env.FANWIRE_BUNDLE) {
    const [core, more] = await Promise.all(["index", "msgpack"].map((name) => import(pathToFileURL(join(ROOT, "dist", `${name}.js`)))));
    return { ...core, ...more };
  }
  // Within the package, so that what it imports is found.
  const folder = mkdtempSync(join(tmpdir(), "fanwire-driver-"));
  try {
    const outfile = join(folder, "library.mjs");
    const contents = 'export * from "./index"; export * from "./msgpack";';
    await load("esbuild").build({
      ...{ stdin: { contents, resolveDir: join(ROOT, "src"), loader: "ts" }, outfile, logLevel: "warning" },
      ...{ bundle: true, format: "esm", target: "es2022", platform: "node" },
    });
    return await import(pathToFileURL(outfile));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
