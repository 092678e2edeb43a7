// The public client: what the application asks for, and what it is told.
import { restore, watchPage } from "./browser";
import { createDriver } from "./driver";
import { Closed, type FanwireError } from "./errors";
import type { Action, State } from "./machine/actions";
import { clockOf, readClock, type ServerClock } from "./machine/clock";
import { claim, performOfRoom } from "./machine/feeds";
import { ALL, readHistory, type History, type HistoryOptions } from "./machine/history";
import { createInbox } from "./machine/inbox";
import { createMachine } from "./machine/machine";
import { countMembers, readMembers } from "./machine/presence";
import { snapshotOf } from "./machine/saved";
import type { Message, Position, RoomRates } from "./message";
import { type ClientOptions, settingsOf } from "./options";
import { RoomPattern } from "./pattern";
import type { Repair, Room, Wishes } from "./room";
import { outlet, type Callback } from "./stream";
import { abortable, now, timer } from "./timers";
import type { Transport } from "./transport/link";

/** The events of a client, and what their callbacks get. */
export interface ClientEvents {
  /** The state is another one; with "closed", why: null: the application has closed the client. */
  state: (state: State, error: FanwireError | null) => unknown;
  /** The server has joined this client to a room. Without a callback such rooms wait for `join`. */
  room: (room: Room) => unknown;
  /** A message to this client alone. */
  message: (message: Message) => unknown;
  /** The session goes on over another transport. */
  transport: (transport: Transport) => unknown;
}

/** A call with a signal: aborting it withdraws what was not sent yet, and the call fails with the signal's reason. */
export interface CallOptions {
  signal?: AbortSignal;
}

/** One session with a server, across lost connections. `connect` makes it. */
export interface Client {
  /** Fulfilled by the first welcome; rejected if the client has given up before, or was closed. */
  readonly opened: Promise<void>;
  /** "connecting" at first, "open", "reconnecting" after a loss, "closing" and "closed". */
  readonly state: State;
  /** Why the client has given up; null: it has not, or the application has closed it. */
  readonly error: FanwireError | null;
  /** The transport in use, or that was in use last; null: none was yet. */
  readonly transport: Transport | null;
  /** The id of the session, which is secret; null: there is none at present. */
  readonly session: string | null;
  /**
   * The server's clock: its time now, and how exactly it is known. From the first use on the client asks the server more
   * often: five times within the first second of a connection, then every 30 seconds.
   *
   * ```js
   * const age = client.clock.now() - state.time;
   * ```
   */
  readonly clock: ServerClock;
  /** The rooms of the application by name: joined with `join`, or given to a callback of "room". */
  readonly rooms: ReadonlyMap<string, Room>;

  /** Calls a function for each event of a kind. Returns the function that ends this. */
  on<E extends keyof ClientEvents>(event: E, callback: ClientEvents[E]): () => void;

  /**
   * Joins a room, and returns it. There is one `Room` for each name: a room that is joined already is returned as it is.
   *
   * ```js
   * const room = await client.join("prices", { since: stored });
   * ```
   *
   * @param options.maxRate how often the server sends a value of each key, see `RoomRates`; only in rooms that are not
   *   "reliable". `Room.configure` changes it.
   * @param options.maxBytes how many bytes of the room it sends in a second, likewise.
   * @param options.filter the messages that the server sends, by their tags; in rooms with interest.
   * @param options.since the position to continue from (`Room.position`). Default: only new messages.
   * @param options.last without `since`: begins with so many of the messages that the room keeps; "all": from the oldest.
   * @param options.repair what comes in place of missed messages, now (with `since`) and whenever the client has to join
   *     again; a snapshot is in `Message.gap`, with the reason "snapshot". Default: what was missed, if the server can.
   * @throws RequestFailed: the server refuses.
   * @throws RangeError, TypeError: the name is empty or too long; or the room is joined and at another position, or with
   *   another `last`, `repair`, `filter` or rate. What is not given is as the room has it.
   */
  join(
    room: string,
    options?: CallOptions & RoomRates & { since?: Position | null; last?: number | "all" | null; repair?: Repair },
  ): Promise<Room>;

  /** The messages that a room keeps, as `Room.history`; it need not be joined. Numbers are of the numbering `epoch`, or of
   * whichever the room has. */
  history(room: string, options?: HistoryOptions): History;

  /**
   * Joins all rooms whose names match a pattern: those that exist, and each that comes to exist. The server decides about
   * each room as if it was joined alone, and leaves out those that the client may not join.
   *
   * @param pattern the name of a room, in which each `*` stands for any characters, also dots, or none.
   * @param options.last rooms that exist begin with so many of the messages that they keep, where that is possible.
   * @param options.repair as in `join`, for each room.
   * @throws RequestFailed: the server refuses.
   * @throws RangeError: it is joined already, or has no `*`.
   */
  joinPattern(pattern: string, options?: CallOptions & { last?: number | "all" | null; repair?: Repair }): Promise<RoomPattern>;

  /**
   * Leaves a room. Does nothing if the room is not joined.
   * @throws RequestFailed: the server refuses.
   */
  leave(room: string): Promise<void>;

  /**
   * Publishes to a room, once, even if the connection is lost before the answer. The room need not be joined.
   *
   * ```js
   * const seq = await client.publish("chat", { text: "hello" });
   * ```
   *
   * @param data any value of docs/values.md; an ArrayBuffer or a view of one is bytes.
   * @param options.key in a room of latest values, the key whose newest value this is.
   * @returns the number of the message in the room.
   * @throws RequestFailed: the server refuses.
   * @throws TypeError, RangeError: the data cannot be encoded, or is too large.
   */
  publish(room: string, data: unknown, options?: CallOptions & { key?: string | null }): Promise<number>;

  /**
   * Sends a message of a type that the application declares, and returns the payload of the reply. If the session was
   * lost before the reply, the message is sent again with the same id, and the server gives the answer of the first call.
   * The handler is called again only if the first call has failed, at another node, or after 256 KiB of other answers.
   *
   * ```js
   * const { id } = await client.request("order", { buy: "eur" });
   * ```
   *
   * @throws RequestFailed: the server, or its handler, refuses.
   */
  request<T = unknown>(type: string, payload?: unknown, options?: CallOptions): Promise<T>;

  /**
   * The members of a room with presence, on all nodes: id to info, in the order in which they joined.
   * @param options.limit members to read at most. Default: 10,000.
   */
  presence(room: string, options?: CallOptions & { limit?: number }): Promise<Map<string, unknown>>;

  /** How many members a room with presence has, on all nodes. */
  count(room: string, options?: CallOptions): Promise<number>;

  /** The messages to this client alone. One counts as processed when the next is asked for. */
  messages(options?: CallOptions): AsyncGenerator<Message, void>;

  /** Moves the session to another transport, without a loss, and stays there. Rejected if that cannot be reached, and with a
   * RangeError if it is not among `transports`; then all is as before. */
  switchTo(transport: Transport): Promise<void>;

  /** Ends the session. Waiting calls reject with `Closed`, and iterations end. Waits up to `closeTimeout` milliseconds for
   * the server's answer. */
  close(): Promise<void>;
}

/** A message whose answer one or more callers wait for. */
interface Call {
  _promise: Promise<any>;
  _resolve: (value: unknown) => void;
  _reject: (error: Error) => void;
  _callers: number;
}

export function createClient(url: string | URL | undefined, options: ClientOptions = {}): Client {
  const { maxQueue = 16_384, maxAttempts = 20, closeTimeout = 5000, signal } = options;
  const settings = settingsOf(url, options);
  const key = options.resumeOnReload ? "fanwire:" + settings._url("http", {}) : "";
  const machine = createMachine({
    ...options,
    codec: settings._codec,
    name: Array.from(crypto.getRandomValues(new Uint8Array(6)), (byte) => (byte + 256).toString(16).slice(1)).join(""),
    maxAttempts,
    isRenewable: settings._isRenewable,
    saved: key ? restore(key) : null,
  });
  const calls = new Map<string, Call>();
  const inbox = createInbox(machine, maxQueue);
  // What settles `opened`.
  let settle!: [() => void, (error: Error) => void];
  let onClosed = () => {};
  let turn: Promise<unknown> = Promise.resolve();
  let pass = () => {};
  const isFull = () => machine.isFull && machine.state != "closed";

  const driver = createDriver(
    machine,
    settings,
    act,
    () => isFull() || pass(),
    (transport) => tell("transport", transport),
  );
  const perform = driver._perform;
  Object.assign(machine, {
    _limit: maxQueue,
    _perform: perform,
    _gate: gate,
    _leave: leave,
    _configure: configure,
    _history: (room: string, options: HistoryOptions) => history(room, options),
  });
  const { _on, _tell: tell, _wake, _messages } = outlet(inbox, perform);
  const clock = clockOf(machine, now);
  const tellRoom = (room: Room) => tell("room", room);
  const closed = new Promise<void>((done) => (onClosed = done));
  const stopWatching = watchPage(driver, key, () => snapshotOf(machine));

  /** The rooms of the application. */
  const roomsOf = () => [...machine._rooms.values()].filter((room) => room._isClaimed && room.delivery);

  /** Waits until one more message may be sent. Callers pass in the order of their calls. */
  function gate(signal?: AbortSignal): Promise<void> {
    const passed = turn.then(async () => {
      while (isFull() && !signal?.aborted) await abortable(new Promise<void>((done) => (pass = done)), signal);
      signal?.throwIfAborted();
    });
    turn = passed.catch(() => {});
    return abortable(passed, signal);
  }

  /** Waits for the answer to a message. It is withdrawn when all its callers have gone. */
  async function answer(key: string, signal?: AbortSignal): Promise<any> {
    let call = calls.get(key)!;
    if (!call) {
      call = { _callers: 0 } as Call;
      call._promise = new Promise((done, fail) => {
        call._resolve = done;
        call._reject = fail;
      });
      // All callers may have gone.
      call._promise.catch(() => {});
      calls.set(key, call);
    }
    call._callers++;
    perform();
    try {
      return await abortable(call._promise, signal);
    } finally {
      if (!--call._callers && calls.delete(key)) {
        machine.withdraw(key);
        perform();
      }
    }
  }

  const ask = async (send: () => string, signal?: AbortSignal) => {
    await gate(signal);
    return answer(send(), signal);
  };

  /** @throws RangeError: an option is out of range. */
  function wishesOf({ last, repair }: { last?: number | "all" | null; repair?: Repair }, since?: unknown): Wishes {
    if (last == "all") last = ALL;
    if (last != null && (!Number.isInteger(last) || last < 1 || last > ALL || since))
      throw new RangeError("last must be 1 to 1,000,000 or all, without since");
    return { last: last ?? undefined, repair };
  }

  async function leave(room: string): Promise<void> {
    await gate();
    const key = machine.leave(room);
    if (key) await answer(key);
  }

  async function configure(room: string, rates: RoomRates): Promise<void> {
    await ask(() => machine.configure(room, rates));
  }

  const askOf =
    (type: string) =>
    (room: string, { signal }: CallOptions) =>
    (payload: unknown) =>
      ask(() => machine.request(type, payload, room), signal);
  const askPresence = askOf("presence");
  const history = (room: string, options: HistoryOptions = {}) =>
    readHistory(machine, room, askOf("history")(room, options), options);

  function act(action: Action): void {
    const { type } = action;
    if (type == "state") {
      const { state, error } = action;
      if (state == "open") settle[0]();
      if (state == "closed") {
        settle[1](error ?? new Closed());
        inbox._error = error;
        _wake();
        stopWatching();
        onClosed();
      }
      tell(type, state, error);
    } else if (type == "resolve" || type == "reject") {
      const call = calls.get(action.key);
      calls.delete(action.key);
      if (type == "resolve") call?._resolve(action.value);
      else call?._reject(action.error);
    } else if (type == "pattern_ended") action.pattern._end(action.value);
    else if (type == "complained") console.warn(action.error);
    else if (type == "told") {
      inbox._put(action.message, action.ack, now());
      _wake();
    } else if ("room" in action) performOfRoom(machine, action, now(), tellRoom);
  }

  const client: Client = {
    opened: new Promise<void>((...both) => (settle = both)),
    get state() {
      return machine.state;
    },
    get error() {
      return machine.error;
    },
    get transport() {
      return driver._transport;
    },
    get session() {
      return machine.session;
    },
    get clock() {
      readClock(machine, now());
      perform();
      return clock;
    },
    get rooms() {
      return new Map(roomsOf().map((room) => [room.name, room]));
    },
    on(event, callback) {
      const off = _on(event, callback as Callback);
      if (event == "room") {
        machine._claims = true;
        for (const room of machine._rooms.values()) if (!room._isClaimed) tellRoom(claim(machine, room));
        perform();
      }
      return off;
    },
    async join(name, { since, signal, last, repair, ...rates } = {}) {
      const wishes = wishesOf({ last, repair }, since);
      if (name.includes("*")) throw new RangeError("a pattern: use joinPattern");
      await gate(signal);
      const room = machine.join(name, since ?? null, rates, wishes);
      if (!room.delivery) await answer(room._joinKey!, signal);
      perform();
      return room;
    },
    async joinPattern(name, { signal, ...rest } = {}) {
      const wishes = wishesOf(rest);
      await gate(signal);
      const pattern = new RoomPattern(name, machine);
      machine.joinPattern(pattern, wishes);
      await answer(pattern._joinKey!, signal);
      return pattern;
    },
    leave,
    publish: (room, data, { key, signal } = {}) => ask(() => machine.publish(room, data, key), signal),
    request: (type, payload, { signal } = {}) => ask(() => machine.request(type, payload), signal),
    history,
    presence: (room, options = {}) => readMembers(askPresence(room, options), options.limit),
    count: (room, options = {}) => countMembers(askPresence(room, options)),
    messages: _messages,
    switchTo: driver._switchTo,
    async close() {
      machine.close();
      perform();
      const stop = timer(closeTimeout, driver._finish);
      await closed;
      stop();
      driver._finish();
    },
  };
  // An application that looks at `state` only has no unhandled rejection.
  client.opened.catch(() => {});
  signal?.addEventListener("abort", client.close);
  machine.start();
  perform();
  if (signal?.aborted) void client.close();
  return client;
}
