// The client's side of the protocol (docs/protocol.md) as a state machine. Pure: no socket, no clock. Times are
// milliseconds of a clock that never goes back (performance.now). After each call take the actions and do them.
import type { Action, Query, State } from "./actions";
import { delayOf, spread, Wait } from "./backoff";
import { forgetClock, ping } from "./clock";
import { commandsOf, type Commands } from "./commands";
import { act, flush, reject, tell, type Core } from "./core";
import { handle } from "./incoming";
import { forgetToken, renew, tokenExpires } from "./renewal";
import { endPattern, patternsDeadline, REJOIN } from "./patterns";
import { postpone } from "./positions";
import { welcomed } from "./reports";
import { beginAgain, deadlineOf, end, tickRooms } from "./rooms";
import type { Saved } from "./saved";
import { areTooMany, forgetSession, isAckDue, isNew, linkLost, resumed } from "./session";
import type { Codec, Envelope, Frame } from "../codec";
import { shouldReconnect } from "../codes";
import { Closed, ConnectionFailed, type FanwireError } from "../errors";
import { check, checkEnvelope, milliseconds, sizeOf, wrong } from "../fields";
import { CloseCode, UNCOUNTED } from "../table";

/** In milliseconds. */
const enum Time {
  /** Until the server's first message. */
  WELCOME = 10_000,
  /** Of silence until a ping, where neither side says how many. */
  SILENCE = 25_000,
  /** Until the rooms of the page before are left that this one has not joined. */
  SAVED_FOR = 5000,
}

export interface MachineOptions {
  codec: Codec;
  /** Begins the ids of this client's messages: 12 random characters, since the server recognizes repeated ids. */
  name: string;
  /** A number from 0 up to 1, as Math.random. */
  random?: () => number;
  /** Attempts to connect that fail in a row before the client gives up; null: never. */
  maxAttempts?: number | null;
  /** The same for the first connection; null: as `maxAttempts`. */
  firstAttempts?: number | null;
  /** Milliseconds; the longest delay between attempts that fail. */
  maxDelay?: number;
  /** Milliseconds of silence until a ping, and again as many until the connection is lost; null: as the server says. */
  heartbeat?: number | null;
  /** Whether there is a new token for each attempt to connect (`token` is a function). */
  isRenewable?: boolean;
  /** What `snapshotOf` has returned in the page before. */
  saved?: Saved | null;
}

/** One client, across all its connections. */
export interface Machine extends Core, Commands {
  /** Whether a caller should wait before it gives the machine more. Nothing is refused because of it. */
  readonly isFull: boolean;
  /** When to call `tick`, at the latest; Infinity: nothing is due. It may be farther away than a timer can wait. */
  readonly deadline: number;
  /** The pending actions, each once. */
  take(): Action[];

  // Events of the connection.

  /** Asks for the first connection. */
  start(): void;
  /** The connection that was asked for is established. The welcome has not come yet. */
  opened(now: number): void;
  /**
   * Another link of the session is about to be dialled, while the present one goes on. Until `switched` or `stayed` the
   * server is told no higher count than the returned query has; a poll must not be asked for meanwhile.
   * @returns its query; null: the session is not open now.
   */
  switching(): Query | null;
  /** The other link has taken over: all that comes from now on comes over it, the welcome first. What the present link
   * brings from here on must not be reported. The state stays open. */
  switched(now: number): void;
  /** The other link has failed. The present one goes on. */
  stayed(now: number): void;
  /** The server has closed the present link, because it has taken one that was given up for the newest: that of
   * `switching`, or of an attempt before the present link. */
  overtaken(now: number): void;
  /** The server has answered with an HTTP status instead. `isRenewable`: the next attempt has another token. */
  refused(status: number, retryAfterMs: number | null, now: number, isRenewable?: boolean): void;
  /** The connection is lost, or the attempt has failed. 1006: there was no close frame, 1005: it had no code. */
  lost(code: number, reason: string, now: number): void;
  /** Bytes of a message have come (transports that can tell): a sign of life. */
  heard(now: number): void;
  /** A whole message has come. Of a batch, `between` is called before each envelope but the first: it does what the one
   * before has asked for. */
  received(frame: Frame, now: number, between: () => void): void;
  /** The server has broken a rule. The session is not resumed, because its counts cannot be trusted. */
  violated(code: number, reason: string, now: number): void;
  /** The deadline may have come. */
  tick(now: number): void;
  /** Closes the client, with a closing handshake if there is a connection. */
  close(): void;
}

const NO_SIGN = "no sign of life";

export function createMachine(options: MachineOptions): Machine {
  const { saved, isRenewable: hasToken, heartbeat, random = Math.random, maxDelay = Wait.CAP } = options;
  const maxAttempts = options.maxAttempts ?? Infinity;
  // Whether there is a connection, and the client does not close it.
  let isLinked = false;
  // What the server has said about the end of this connection.
  let closing: { code: number; reason: string; reconnect: boolean; after?: number | null } | null = null;
  // Milliseconds of silence until the server is pinged, and again as many until the connection is lost; when something has
  // come, and when the server was pinged since then, or 0.
  let silence = 0;
  let heardAt = 0;
  let pingedAt = 0;
  // Attempts that have failed in a row, or a loss and such attempts, and when the first of them was; when the present
  // connection was open; and how many in a row were open for a short time only, the last one counted in any case.
  let failures = 0;
  let since = 0;
  let openedAt = Infinity;
  let drops = 0;
  // Whether a token was refused, since the last connection.
  let wasRefused = false;

  const machine = {
    _codec: options.codec,
    _name: options.name,
    _random: random,
    _ids: 0,
    state: "connecting",
    error: null,
    _actions: [] as Action[],
    _requests: new Map(),
    _receipts: new Map(),
    _rooms: new Map(),
    _patterns: new Map(),
    _saved: new Map(Object.entries(saved?.positions ?? {})),
    _maxMessage: 0,
    _window: 0,
    _total: 0,
    _offset: null,
    _offsetAt: 0,
    _maxFrames: 1024,
    _maxBytes: 1 << 20,

    get isFull() {
      const requested = [...machine._requests.values()].map(({ _own }) => _own);
      return areTooMany(machine, machine._frames) || areTooMany(machine, requested);
    },
    get deadline() {
      if (!isLinked) return Infinity;
      const { _isOpen, _tokenAt, _tokenNotice, _clockAt, _leavesAt, _rooms } = machine;
      return _isOpen
        ? Math.min(silentAt(), _tokenAt, _tokenNotice, _clockAt, _leavesAt, patternsDeadline(machine), ...[..._rooms.values()].map(deadlineOf))
        : silentAt();
    },
    take() {
      const actions = machine._actions;
      machine._actions = [];
      return actions;
    },
    start: () => connect(0),
    opened(now) {
      if (machine.state == "closed") return;
      isLinked = true;
      machine._isOpen = false;
      heard(now);
      forgetClock(machine);
      closing = null;
    },
    switching() {
      if (!machine._isOpen) return null;
      const fields = { ...query(), must_resume: "1" };
      machine._held = machine._dialled;
      return fields;
    },
    switched(now) {
      if (!machine._isOpen || machine._held == null) return;
      // The server sends again what came after the query.
      machine._confirmed = machine._held;
      machine._held = null;
      machine.opened(now);
    },
    stayed(now) {
      machine._isUnsure ||= machine._held != null;
      machine._held = null;
      // What was taken meanwhile could not be reported.
      if (machine._isOpen && (machine._window || isAckDue(machine))) tell(machine, now);
    },
    overtaken(now) {
      if (!machine._isOver) linkLost(machine, true);
      machine.lost(CloseCode.ABNORMAL, "another link of this client has come late", now);
    },
    refused(status, after, now, isRenewable = hasToken) {
      if (machine.state == "closed") return;
      const isBusy = status > 499 || [408, 425, 429].includes(status);
      if (status == 401 && isRenewable && !wasRefused) {
        wasRefused = true;
        connect(0);
      } else if (status == 401 || status == 403 || (!isBusy && machine.state == "connecting"))
        fail(
          new ConnectionFailed(
            status == 401
              ? "the token is refused, or there is none"
              : // An application answers 403 at paths that it does not know.
                `refused; is the ${status == 403 ? "token, the origin or the " : ""}path right?`,
            null,
            status,
          ),
        );
      else down(`the server answered ${status}`, now, after);
    },
    lost(code, reason, now) {
      if (machine._isOver) return finish();
      const end = closing ?? { code, reason, reconnect: shouldReconnect(code) };
      // It applies to this connection only, not to later attempts.
      closing = null;
      // The next attempt has another token, which the server checks.
      const isRenewed = hasToken && [code, end.code].includes(CloseCode.TOKEN_EXPIRED);
      // One that refuses what it has let in a moment ago was no success.
      if (isRenewed && now - openedAt < Wait.SETTLED) openedAt = Infinity;
      const error = new ConnectionFailed(end.reason, end.code);
      if (isRenewed || end.reconnect) down(error.message, now, isRenewed ? null : end.after);
      else fail(error);
    },
    heard,
    received(frame, now, between) {
      if (!isLinked) return;
      heard(now);
      // A wrong message ends the session, never the program.
      try {
        for (const [place, part] of (machine._codec.split?.(frame) ?? [frame]).entries()) {
          if (place) between();
          // The one before may have been the last that counts.
          if (!isLinked) break;
          const envelope = checkEnvelope(machine._codec.decode(part));
          if (!machine._isOpen) welcome(envelope, now);
          else if (UNCOUNTED.includes(envelope.type) || isNew(machine, sizeOf(part))) take(envelope, now);
          // What was taken of the repeated messages could not be reported before.
          else if (machine._confirmed == machine._received && machine._window) tell(machine, now);
          if (isLinked && isAckDue(machine)) tell(machine, now);
        }
      } catch (error) {
        machine.violated(CloseCode.PROTOCOL_ERROR, `${error}`, now);
      }
    },
    violated(code, reason, now) {
      if (machine._isOver) return;
      forgetSession(machine);
      drop(code, reason);
      // However long the connection had lasted, it was no success.
      openedAt = Infinity;
      down(`the server is wrong: ${reason}`, now);
    },
    tick(now) {
      if (!isLinked) return;
      const { _isOpen } = machine;
      const isSilent = now >= silentAt();
      if (isSilent && (!_isOpen || pingedAt || now >= silentAt() + silence)) {
        // 1000 and 1001 would end the session.
        drop(CloseCode.RECONNECT, NO_SIGN);
        machine.lost(CloseCode.ABNORMAL, NO_SIGN, now);
      } else if (_isOpen) {
        if (isSilent) pingedAt = now;
        if (isSilent || now >= machine._clockAt) ping(machine, now);
        renew(machine, now);
        tickRooms(machine, now);
      }
    },
    close() {
      if (machine._isOver) return;
      if (isLinked) become("closing");
      act(machine, { type: "close", code: CloseCode.NORMAL });
      if (!isLinked) finish();
      isLinked = false;
    },
  } as Machine;
  forgetSession(machine);
  if (saved) {
    machine.session = saved.session;
    machine._received = machine._confirmed = machine._total = saved.received;
    machine._base = NaN;
  }
  return Object.assign(machine, commandsOf(machine));

  // Messages about the connection.

  function welcome({ type, payload }: Envelope, now: number): void {
    if (type != "welcome") wrong(type);
    // A field that the server leaves out has the value of the example in docs/protocol.md.
    const info = check(
      payload,
      { session: "", resumed: true },
      { received: 0, heartbeat_ms: 25_000, ack_frames: 4096, ack_bytes: 524_288, max_message: 1_048_576, window: 0 },
    );
    const { session, received } = info;
    const lifetime = milliseconds(info.expires_in_ms);
    if (!info.resumed) {
      forgetSession(machine);
      machine.session = session;
    }
    if (machine.session != session || !(info.ack_frames * info.ack_bytes * info.max_message)) wrong(type);
    resumed(machine, received);
    machine._ackFrames = info.ack_frames;
    machine._ackBytes = info.ack_bytes;
    machine._maxMessage = info.max_message;
    machine._window = info.window;
    // The positions are good for a new session, too, but it has no rooms to be left.
    machine._leavesAt = info.resumed && machine._saved.size ? now + Time.SAVED_FOR : Infinity;
    silence = heartbeat ?? (info.heartbeat_ms || Time.SILENCE);
    openedAt = now;
    wasRefused = false;
    machine._isOpen = true;
    become("open");
    // The query has shown a newer token. The old one must not replace it.
    machine.withdraw(machine._tokenKey!);
    forgetToken(machine);
    tokenExpires(machine, now, lifetime);
    // Nothing could come meanwhile.
    if (info.resumed) for (const room of machine._rooms.values()) postpone(room, now);
    else beginAgain(machine);
    welcomed(machine);
    if (info.window) {
      // Sent even if nothing was taken yet, so that the server expects reports.
      tell(machine, now);
      // A server with windows sends its time in a pong.
      ping(machine, now);
    }
    flush(machine);
  }

  function take(envelope: Envelope, now: number): void {
    if (envelope.type != "closing") return void handle(machine, envelope, now);
    const { code, reason, reconnect, after_ms } = check(envelope.payload, { code: 0 }, { reason: "", reconnect: true });
    const after = milliseconds(after_ms, Wait.MAX_AFTER);
    if (code == CloseCode.RECONNECT && reconnect) {
      // What the server sends meanwhile comes over the next connection.
      drop(code, reason);
      // No failure, and no attempt, but a loss as far as the attempts after it are concerned. A server that asks again and
      // again is obeyed, but not as fast as it can ask.
      const least = settle(now) ? Wait.AT_ONCE : Wait.BASE;
      failures ||= 1;
      away(spread(random, after ?? 0, least));
    } else closing = { code, reason, reconnect, after };
  }

  // Consequences.

  function heard(now: number): void {
    heardAt = now;
    pingedAt = 0;
  }

  /** When the silence is too long: the server is pinged, or it is lost. */
  function silentAt(): number {
    return machine._isOpen ? (pingedAt || heardAt) + silence : heardAt + Time.WELCOME;
  }

  /** There is no connection any more. Returns whether it had lasted. */
  function settle(now: number): boolean {
    const hasSettled = now - openedAt >= Wait.SETTLED;
    if (openedAt < Infinity) {
      failures = 0;
      drops = hasSettled ? 1 : drops + 1;
    }
    openedAt = Infinity;
    // Who counts the failure comes right after this.
    if (!failures) since = now;
    return hasSettled;
  }

  function down(reason: string, now: number, after?: number | null): void {
    settle(now);
    const isFirst = machine.state == "connecting";
    // The first of the others is the loss.
    const attempts = ++failures - +!isFirst;
    if (attempts >= (isFirst ? (options.firstAttempts ?? maxAttempts) : maxAttempts)) {
      const row = `${attempts} attempts in a row, in ${Math.round((now - since) / 1000)} s`;
      fail(new ConnectionFailed(`given up after ${row}${isFirst ? "" : " since the connection was lost"}: ${reason}`));
    } else if (failures > 1) away(delayOf(random, failures - 2, maxDelay, after));
    else away(delayOf(random, drops - 2, Math.min(maxDelay, Wait.MAX_DROPPED), after));
  }

  function away(delay: number): void {
    isLinked = machine._isOpen = false;
    linkLost(machine);
    if (machine.state == "open") become("reconnecting");
    connect(delay);
  }

  function drop(code: number, reason: string): void {
    act(machine, { type: "drop", code, reason });
  }

  function query(): Query {
    const { session } = machine;
    machine._dialled = machine._confirmed;
    return session ? { session, received: `${machine._dialled}` } : {};
  }

  function connect(delay: number): void {
    act(machine, { type: "connect", query: query(), delay });
  }

  function fail(error: FanwireError): void {
    machine.error = error;
    finish();
  }

  function finish(): void {
    if (machine.state == "closed") return;
    isLinked = false;
    become("closed");
    const error = machine.error ?? new Closed();
    for (const [key, { _kind }] of machine._requests) if (_kind && _kind != REJOIN && _kind != "token") reject(machine, key, error);
    machine._requests.clear();
    for (const room of machine._rooms.values()) end(machine, room, machine.error);
    for (const state of machine._patterns.values()) endPattern(machine, state, machine.error);
    forgetSession(machine);
  }

  function become(state: State): void {
    if (machine.state == state) return;
    machine.state = state;
    machine._isOpen = state == "open";
    machine._isOver = state.startsWith("clos");
    act(machine, { type: "state", state, error: machine.error });
  }
}
