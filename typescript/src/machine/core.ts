// What the parts of one machine share, and how it sends. `Machine` is one.
import type { Action, State } from "./actions";
import type { ClockState } from "./clock";
import { reportOf } from "./reports";
import type { OwnFrame } from "./session";
import type { Codec, Envelope } from "../codec";
import type { FanwireError } from "../errors";
import { checkText, sizeOf } from "../fields";
import type { Position } from "../message";
import type { RoomPattern } from "../pattern";
import type { Owner, Room } from "../room";
import { KEY_MAX, ROOM_MAX, TYPE_MAX } from "../table";

/** A request that the server has not answered. */
export interface Request {
  /** Its type; "": it is a join of the machine itself. */
  _kind: string;
  /** The room that it is about; "": no room. */
  _room: string;
  _own: OwnFrame;
  /** No caller waits any more. Its answer counts, and it is not asked in a new session. */
  _isAbandoned?: boolean;
}

export interface Core extends Owner, ClockState {
  readonly _codec: Codec;
  readonly _random: () => number;
  /** Begins the ids of own messages. */
  readonly _name: string;
  _ids: number;
  state: State;
  /** Why the client is closed; null: it is not, or the application has closed it. */
  error: FanwireError | null;
  /** Whether the welcome of the present connection has come. Counted messages wait for it; others need it. */
  _isOpen: boolean;
  /** Whether the client is closed, or about to be. */
  _isOver?: boolean;
  _actions: Action[];
  /** Requests by their ids, in their order. */
  readonly _requests: Map<string, Request>;
  /** The ids of messages to this client alone that want an `ack`, the newest of them; true: the application has processed
   * the message. */
  readonly _receipts: Map<string, boolean>;
  readonly _rooms: Map<string, Room>;
  readonly _patterns: Map<string, RoomPattern>;
  /** The largest message that the server accepts in bytes; 0: not known yet. */
  _maxMessage: number;
  /** The window of each room at first, in bytes; 0: the server has none. */
  _window: number;
  /** When the last of the rooms is joined again that were refused because of the rate. */
  _nextRejoin: number;
  /** Positions of the page before, until the application joins their rooms. */
  readonly _saved: Map<string, Position | null>;
  /** When the rooms are left that the page before had joined and this one has not. */
  _leavesAt: number;

  // The session: session.ts.

  /** Its id; null: there is none. */
  session: string | null;
  /** Counted messages received in it. */
  _received: number;
  /** Of those, the ones that the server may be told. A server that sends messages again over another link knows of no
   * higher count than what it has sent over this one. */
  _confirmed: number;
  /** While another link is dialled: the count in its query. */
  _held: number | null;
  /** The count in the last query, and whether the server may have gone back to it for a link that was given up. */
  _dialled: number;
  _isUnsure: boolean;
  /** Counted messages received in this session and those before it, and the bytes of the last. */
  _total: number;
  _size: number;
  /** The count that the server was told last, and the bytes that came since then; and when to tell it again. */
  _acked: number;
  _unackedBytes: number;
  _ackFrames: number;
  _ackBytes: number;
  /** The own frames that the server has not acknowledged. */
  _frames: OwnFrame[];
  /** How many frames before these it has; NaN: unknown, because the page before has sent them. */
  _base: number;
  /** How many of these the connection was given. */
  _sent: number;
  /** Own frames that are kept for sending them again: as many ids as the server remembers, and 32 times what it
   * acknowledges at once. And their bytes: what a server takes as one message by default. */
  _maxFrames: number;
  _maxBytes: number;

  // The token: renewal.ts.

  /** Whether the application is being asked; and the id of the one that was sent and not answered. */
  _isTokenAsked: boolean;
  _tokenKey: string | null;
  /** Attempts that have failed in a row. */
  _tokenFailures: number;
  /** The next attempt is not before. */
  _tokenPause: number;
  /** Whether the old one has expired while an attempt was under way. */
  _isTokenLate: boolean;
  /** When to begin: because the server has asked or an attempt has failed, and by the client's clock. */
  _tokenAt: number;
  _tokenNotice: number;
  /** Milliseconds that it is valid for. */
  _lifetime: number;
}

/** Adds an action. */
export const act = (core: Core, action: Action): unknown => core._actions.push(action);

/** Answers a call. */
export const resolve = (core: Core, key: string, value?: unknown) => act(core, { type: "resolve", key, value });

/** Fails a call. */
export const reject = (core: Core, key: string, error: FanwireError) => act(core, { type: "reject", key, error });

const sendFrame = (core: Core, frame: OwnFrame["_frame"]) => act(core, { type: "send", frame });

/** Sends a message that is not counted. */
export const send = (core: Core, envelope: Envelope) => sendFrame(core, core._codec.encode(envelope));

/** Gives the connection all frames that it has not got. */
export function flush(core: Core): void {
  while (core._sent < core._frames.length) sendFrame(core, core._frames[core._sent++]!._frame);
}

/**
 * Sends a counted message; it waits for a connection.
 * @throws TypeError, RangeError, URIError: it cannot be encoded or is too large.
 */
export function say(core: Core, envelope: Envelope): OwnFrame {
  const own = ownFrame(core, envelope);
  checkSize(core, own);
  push(core, own);
  return own;
}

/** Leaves a room without waiting for the answer. The id lets the machine ignore an error that answers it. */
export const sayLeave = (core: Core, room: string) => say(core, { type: "leave", id: newId(core), room });

/** The server ends a connection with a message that is too large, and the client would not come back. */
function checkSize(core: Core, { _size }: OwnFrame): void {
  if (core._maxMessage && _size > core._maxMessage)
    throw new RangeError(`the message must have at most ${core._maxMessage} bytes`);
}

/**
 * Sends a message that the server answers; returns its id.
 * @param isAgain whether the machine itself joins again: no caller could be told that it is too large.
 * @throws TypeError, RangeError, URIError: it cannot be encoded or is too large, or an argument is wrong.
 */
export function ask(
  core: Core,
  type: string,
  room?: string,
  payload?: unknown,
  key?: string | null,
  isAgain?: boolean,
): string {
  checkText("type", type, TYPE_MAX);
  if (room !== undefined) checkText("room", room, ROOM_MAX);
  if (key != null) checkText("key", key, KEY_MAX);
  const id = newId(core);
  const own = ownFrame(core, { type, id, room, key: key ?? undefined, payload });
  if (!isAgain) checkSize(core, own);
  core._requests.set(id, { _kind: type, _room: room ?? "", _own: own });
  push(core, own);
  return id;
}

/** Removes and returns a request; undefined: it does not exist or was answered. */
export function answered(core: Core, key: string | undefined | null): Request | undefined {
  const request = core._requests.get(key!);
  core._requests.delete(key!);
  return request;
}

/** Reports how many messages were received and, where the server wants to know, what the application has taken of this
 * room, or of all. While another link is dialled the count is that of its query: the server would forget what it has to
 * send again over that link. */
export function tell(core: Core, now: number, room?: Room): void {
  core._unackedBytes = 0;
  const count = (core._acked = core._held ?? core._confirmed);
  send(core, { type: "received", payload: { count, taken: core._window ? reportOf(core, now, room) : undefined } });
}

const newId = (core: Core): string => `${core._name}-${++core._ids}`;

function ownFrame(core: Core, envelope: Envelope): OwnFrame {
  const frame = core._codec.encode(envelope);
  return { _frame: frame, _size: sizeOf(frame), _isWithdrawn: false };
}

/** Takes an own frame, and sends it once there is a connection. */
export function push(core: Core, own: OwnFrame): void {
  own._isWithdrawn = false;
  core._frames.push(own);
  if (core._isOpen) flush(core);
}
