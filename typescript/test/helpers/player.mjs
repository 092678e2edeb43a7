// Plays the scripts of tests/vectors to the machine: what a script says is translated here, and what the machine does.
import { createMachine } from "../../build/machine/machine.js";
import { refresh, report } from "../../build/machine/feeds.js";
import * as queues from "../../build/machine/queue.js";
import { begun, isDue } from "../../build/machine/reports.js";
import { catchUp, joinAnew } from "../../build/machine/rooms.js";
import { json } from "../../build/codec.js";
import { msgpack as packed } from "../../build/msgpack.js";
import { Message } from "../../build/message.js";
import { RoomPattern } from "../../build/pattern.js";
import { Closed, ConnectionFailed, RequestFailed, RoomEnded } from "../../build/errors.js";
import { decode, encode } from "@msgpack/msgpack";

const msgpack = {
  subprotocol: "fanwire.v1.msgpack",
  encode: (envelope) => encode(envelope, { ignoreUndefined: true }),
  decode: (frame) => {
    if (typeof frame == "string") throw new Error("text");
    return decode(frame);
  },
  split: (frame) => (typeof frame == "string" ? [frame] : packed.split(frame)),
};

/** What a step has besides its arguments. */
const SHOWN = ["state", "deadline", "is_full", "session", "received"];
const SHOWN_BY_QUEUE = ["length", "taken", "taken_bytes", "is_over"];

const seconds = (ms) => (ms === Infinity ? null : ms / 1000);

/** A value from its form: bytes stand in it as text. */
function value(form) {
  if (Array.isArray(form)) return form.map(value);
  if (form === null || typeof form != "object") return form;
  if ("$bytes" in form) return new Uint8Array(Buffer.from(form.$bytes, "base64"));
  return Object.fromEntries(Object.entries(form).map(([name, each]) => [name, value(each)]));
}

/** The form of a value. */
function form(value) {
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString("base64") };
  if (value instanceof Map) return form(Object.fromEntries(value));
  if (Array.isArray(value)) return value.map(form);
  if (value === null || typeof value != "object") return value ?? null;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, form(each)]));
}

/** A form without what is null, false or absent. */
function bare(value) {
  if (Array.isArray(value)) return value.map(bare);
  if (value === null || typeof value != "object") return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, each]) => each !== null && each !== false && each !== undefined)
      .map(([name, each]) => [name, bare(each)]),
  );
}

function errorForm(error) {
  if (!error) return null;
  const { code, retry, text, data } = error;
  if (error instanceof RequestFailed)
    return { kind: "request_failed", code, retry, path: error.path, retry_after_ms: error.retryAfterMs, data, text: text || null };
  if (error instanceof RoomEnded) return { kind: "room_ended", room: error.room, code, retry, text: text || null };
  if (error instanceof ConnectionFailed) return { kind: "connection_failed", status: error.status, code };
  return { kind: error instanceof Closed ? "closed" : "invalid" };
}

function messageForm(message) {
  const { data, room, seq, id, time, key, gap, isForgotten, prev } = message;
  return { data, room, seq, id, ts: time, key, gap, forgotten: isForgotten, prev };
}

const ratesOf = ({ maxRate, maxBytes, filter }) => ({ max_rate: maxRate, max_bytes: maxBytes, filter });

/** What an action is called, and its fields. */
const ACTIONS = {
  send: ({ frame }) => ({ frame: typeof frame == "string" ? JSON.parse(frame) : decode(frame) }),
  connect: ({ query, delay }) => ({ query, delay: delay / 1000 }),
  drop: ({ code }) => ({ code }),
  close: ({ code }) => ({ code }),
  renew: () => ({}),
  state: ({ state, error }) => ({ state, error: errorForm(error) }),
  resolve: ({ key, value }) => ({ call: key, value }),
  reject: ({ key, error }) => ({ call: key, error: errorForm(error) }),
  joined: ({ room, value }) => {
    const { name, delivery, members, count, snapshot, _upto, replayed, repair, _pattern: pattern } = room;
    const begun = { upto: _upto, last: replayed || null, repair, pattern };
    return { room: name, ...value, delivery, members, count, snapshot, ...begun, ...ratesOf(room) };
  },
  configured: ({ room }) => ({ room: room.name, ...ratesOf(room) }),
  caught_up: ({ room }) => ({ room: room.name }),
  left: ({ room, value }) => ({ room: room.name, error: errorForm(value) }),
  pattern_ended: ({ pattern, value }) => ({ pattern: pattern.name, error: errorForm(value) }),
  deliver: ({ value }) => ({ message: messageForm(value), ack: false }),
  told: ({ message, ack }) => ({ action: "deliver", message: messageForm(message), ack }),
  gap: ({ room, value }) => ({ room: room.name, gap: value }),
  skipped: ({ room, value }) => ({ room: room.name, ...value }),
  member: ({ room, value: { id, info, isHere } }) => ({ room: room.name, id, info, is_here: isHere }),
  complained: ({ error }) => ({ error: errorForm(error) }),
};

export class Player {
  constructor({ encoding, options = {} }) {
    this.at = 0;
    this.draws = [];
    this.pongDue = Infinity;
    this.queues = new Map();
    const ms = (value) => (value == null ? null : value * 1000);
    if (encoding)
      this.machine = createMachine({
        codec: encoding == "json" ? json : msgpack,
        name: options.name ?? "c",
        random: () => this.draws.shift(),
        maxAttempts: options.max_attempts === undefined ? 20 : options.max_attempts,
        heartbeat: ms(options.heartbeat),
        isRenewable: options.is_renewable,
      });
    if (options.max_frames) this.machine._maxFrames = options.max_frames;
    if (options.max_bytes) this.machine._maxBytes = options.max_bytes;
  }

  /** Does a step; returns what came of it, under the names that the step has for it. */
  play(step) {
    this.at = step.at ?? this.at;
    if (step.do.startsWith("queue.")) return this.playQueue(step);
    this.draws = [...(step.random ?? [])];
    const came = {};
    const { machine } = this;
    try {
      const result = COMMANDS[step.do](machine, step, this.now, this);
      if (result != null) came.result = result;
    } catch (error) {
      return { raises: errorForm(error) };
    }
    const actions = machine.take().map((action) => ({ action: action.type, ...form(ACTIONS[action.type](action)) }));
    if (actions.length) came.actions = actions;
    if (step.random) came.random = step.random.slice(0, step.random.length - this.draws.length);
    came.state = machine.state;
    this.lookForPings(step);
    came.deadline = seconds(machine._isOpen ? Math.min(machine.deadline, this.pongDue) : machine.deadline);
    came.is_full = machine.isFull;
    came.session = machine.session;
    came.received = machine._received;
    return came;
  }

  /** Milliseconds; the times of scripts may differ in their last digits. */
  get now() {
    return Math.round(this.at * 1e6) / 1e3;
  }

  /** When the Python client looks whether to send a pong without being asked, which a browser cannot: it counts for the
   * deadlines of the scripts. */
  lookForPings(step) {
    const { now } = this;
    if (step.do == "opened" || step.do == "switched") this.pongDue = Infinity;
    if (!this.machine._isOpen) return;
    const { type, payload } = step.frame?.$bytes ? decode(value(step.frame)) : (step.frame ?? {});
    if (type == "welcome") this.pingEvery = payload.heartbeat_ms ?? 25_000;
    if (type == "ping" || type == "welcome") this.pongDue = now + (this.pingEvery || Infinity);
    if (step.do == "tick" && now >= this.pongDue) this.pongDue = now + this.pingEvery / 10;
  }

  playQueue(step) {
    const name = step.do.slice("queue.".length);
    if (name == "new") {
      this.queues.set(step.queue, queues.createQueue(step.max_messages ?? 16_384, DROPS[step.drops ?? ""]));
      return {};
    }
    const queue = this.queues.get(step.queue);
    const result = QUEUE[name](queue, step, this);
    if (name == "set") return {};
    return {
      ...(result === undefined ? {} : { result: form(result) }),
      length: queue._items.length,
      taken: queues.taken(queue)._count,
      taken_bytes: queues.taken(queue)._before,
      is_over: queues.isOver(queue),
    };
  }
}

/** The frame that comes, from its form. */
function frameOf(form) {
  const frame = value(form);
  return typeof frame == "string" || frame instanceof Uint8Array ? frame : JSON.stringify(form);
}

/** The classes of rooms whose queues drop so. */
const DROPS = { "": "reliable", newest: "drop-newest", oldest: "drop-oldest" };

/** Does something with the room of a step, if there is one. */
const ofRoom = (act) => (machine, step, now, player) => {
  const room = machine._rooms.get(step.room);
  return room && act(machine, room, now, step, player);
};

const COMMANDS = {
  start: (machine) => machine.start(),
  opened: (machine, _, now) => machine.opened(now),
  refused: (machine, { status, retry_after: after, is_renewable }, now) =>
    machine.refused(status, after == null ? null : after * 1000, now, is_renewable || undefined),
  lost: (machine, { code, reason }, now) => machine.lost(code, reason, now),
  received: (machine, { frame }, now) => machine.received(frameOf(frame), now, () => {}),
  violated: (machine, { code, reason }, now) => machine.violated(code, reason, now),
  tick: (machine, _, now) => machine.tick(now),
  close: (machine) => machine.close(),
  switching: (machine) => machine.switching(),
  switched: (machine, _, now) => machine.switched(now),
  stayed: (machine, _, now) => machine.stayed(now),
  overtaken: (machine, _, now) => machine.overtaken(now),
  // A room that is joined already is returned as it is. The scripts have machines that refuse instead.
  join: (machine, { room, since, options, is_new, last, repair }) => {
    if (machine._rooms.get(room) && !machine._rooms.get(room)._leaveKey && !is_new) throw new RangeError("joined already");
    const rates = ratesFrom(options);
    const wishes = { last: last ?? undefined, repair: repair ?? undefined };
    return (is_new ? joinAnew(machine, room, since, rates, wishes) : machine.join(room, since, rates, wishes))._joinKey;
  },
  join_pattern: (machine, { pattern, last, repair }) => {
    const made = new RoomPattern(pattern, machine);
    machine.joinPattern(made, { last: last ?? undefined, repair: repair ?? undefined });
    return made._joinKey;
  },
  configure: (machine, { room, options }) => machine.configure(room, ratesFrom(options)),
  leave: (machine, { room }) => machine.leave(room),
  publish: (machine, { room, payload, key }) => machine.publish(room, value(payload), key),
  request: (machine, { kind, payload, room }) =>
    machine.request(kind, payload?.$unset ? undefined : value(payload), room),
  withdraw: (machine, { key }) => machine.withdraw(key),
  processed: (machine, { key }) => machine.processed(key),
  dropped: (machine, { key }) => machine.dropped(key),
  fall_behind: ofRoom((_, room) => {
    if (room.delivery) room._behind ||= 1;
  }),
  catch_up: ofRoom(catchUp),
  refresh: ofRoom(refresh),
  watch: ofRoom((machine, room, _, { queue, has_window }, { queues }) => begun(machine, room, queues.get(queue), has_window)),
  report: ofRoom(report),
  renewed: (machine, { token }) => machine.renewed(token),
  renewal_failed: (machine, _, now) => machine.renewalFailed(now),
};

const ratesFrom = ({ max_rate, max_bytes, filter } = {}) => ({ maxRate: max_rate, maxBytes: max_bytes, filter });

const QUEUE = {
  set: (queue, { is_latest, drops, max_messages }) => {
    queue._isLatest = is_latest ?? queue._isLatest;
    queue._drops = DROPS[drops] ?? queue._drops;
    queue._limit = max_messages ?? queue._limit;
  },
  put: (queue, { message, count, size, note = "", now = 0 }) => {
    const { data, room, seq, id, ts, key, gap, forgotten } = message;
    const whole = gap && { after: null, upto: null, snapshot: null, count: null, ...gap };
    const made = new Message({
      ...{ data: value(data), room, seq: seq ?? null, id, time: ts ?? null },
      ...{ key: key ?? null, gap: whole ?? null, isForgotten: forgotten },
    });
    return queues.put(queue, made, count, size, note, now * 1000);
  },
  passed: (queue, { count, size }) => queues.pass(queue, count, size),
  pop: (queue) => {
    const { _message, _note } = queues.pop(queue);
    return { message: messageForm(_message), note: _note };
  },
  release: (queue, { now = 0 }, { machine }) => {
    const { _hand } = queue;
    queues.release(queue, now * 1000);
    return !!_hand && [...(machine?._rooms.values() ?? [])].some((room) => room._queue == queue && isDue(room));
  },
  has_value_before: (queue, { time }) => queues.hasValueBefore(queue, time * 1000),
  drop_values: (queue) => queues.dropValues(queue),
};

/** What a step says must come, and what came, in forms that are equal if they are the same. */
export function compared(step, came, shown) {
  const names = step.do.startsWith("queue.") ? SHOWN_BY_QUEUE : SHOWN;
  const expected = {};
  for (const name of ["result", "raises", "random"]) expected[name] = step[name];
  // This client has no use for the rest.
  const actions = step.actions?.filter(({ action }) => action != "not_read").map(({ is_asked, ...rest }) => rest);
  if (actions?.length) expected.actions = actions;
  const actual = { result: came.result, raises: came.raises, actions: came.actions, random: came.random };
  for (const name of names) {
    if (name in step) shown[name] = step[name];
    if (name in came) {
      expected[name] = shown[name];
      actual[name] = came[name];
    }
  }
  return [rounded(bare(expected)), rounded(bare(actual))];
}

/** Times may differ in their last digits. */
function rounded(form) {
  return JSON.parse(JSON.stringify(form), (_, each) =>
    typeof each == "number" && !Number.isInteger(each) ? Math.round(each * 1e6) / 1e6 : each,
  );
}
