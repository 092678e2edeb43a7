// What the application wants of the machine. A returned key is that of the `resolve` or `reject` that follows.
import { answered, ask, say, sayLeave, type Core } from "./core";
import { note } from "./incoming";
import { fieldsOf } from "./rates";
import { abandonPattern, joinPattern, leavePattern, patternLeft, PATTERN } from "./patterns";
import { tokenFailed } from "./renewal";
import { end, forget, goOn, join } from "./rooms";
import { takeBack } from "./session";
import { Closed } from "../errors";
import type { Position, RoomRates } from "../message";
import type { RoomPattern } from "../pattern";
import type { Room, Wishes } from "../room";
import { CLIENT_TYPES } from "../table";

/** The application's side of a machine. All calls with a key throw the client's error (or `Closed`) once it is closed, and
 * TypeError, RangeError or URIError for wrong arguments. */
export interface Commands {
  /** Joins a room, see rooms.ts. */
  join(room: string, since?: Position | null, rates?: RoomRates, wishes?: Wishes): Room;
  /** Joins all rooms of a pattern, see patterns.ts. */
  joinPattern(pattern: RoomPattern, wishes: Wishes): void;
  /** Changes what the client gets of a room. */
  configure(room: string, rates: RoomRates): string;
  /** null: the room is not joined. A room that is being left has the key of the first call. */
  leave(room: string): string | null;
  /** Publishes a message once, however often the connection is lost meanwhile. */
  publish(room: string, payload: unknown, key?: string | null): string;
  /** Sends a message of the application's own type, or "presence" or "history" with a room. `payload` undefined: none. */
  request(type: string, payload?: unknown, room?: string): string;
  /** No caller waits for the answer any more. What was not sent yet is not sent. A join that was sent is left. */
  withdraw(key: string): void;
  /** The application has processed the message with this id that was delivered with `ack`. */
  processed(id: string): void;
  /** The message with this id was dropped; the server may send it again. */
  dropped(id: string): void;
  /** The application has returned the token that `renew` asked for. */
  renewed(token: string): void;
  /** The application has no new token. */
  renewalFailed(now: number): void;
}

/** The commands of a machine. */
export function commandsOf(core: Core): Commands {
  const rooms = core._rooms;
  const check = () => {
    if (core._isOver) throw core.error ?? new Closed();
  };
  /** Sends a message whose answer a caller waits for. */
  const call: typeof ask = (...message) => (check(), ask(...message));
  const commands: Commands = {
    joinPattern(pattern, wishes) {
      check();
      joinPattern(core, pattern, wishes);
    },
    join(name, since, rates, wishes) {
      check();
      return join(core, name, since ?? null, rates, wishes);
    },
    configure: (room, rates) => call(core, "configure", room, fieldsOf(rates)),
    leave(name) {
      check();
      if (core._patterns.has(name)) return leavePattern(core, name);
      const room = rooms.get(name);
      return room ? (room._leaveKey ??= ask(core, "leave", name)) : null;
    },
    publish: (room, payload, key) => call(core, "publish", room, payload, key),
    request(type, payload, room) {
      if (CLIENT_TYPES.includes(type) && !["message", "presence", "history"].includes(type))
        throw new RangeError(`${type} is a type of the protocol`);
      return call(core, type, room, payload);
    },
    withdraw(key) {
      const request = answered(core, key);
      if (!request) return;
      const { _kind, _room, _own } = request;
      const isUnsent = takeBack(core, _own);
      if (_kind == "configure" && !isUnsent) {
        // The server may do it, and its answer says what holds.
        _own._isWithdrawn = false;
        core._requests.set(key, { ...request, _isAbandoned: true });
      }
      const room = rooms.get(_room);
      if (_kind == PATTERN) abandonPattern(core, _room);
      else if (_kind == "join" && room?._joinKey == key) {
        forget(core, room);
        if (!isUnsent) sayLeave(core, _room);
      } else if (_kind == "leave") {
        patternLeft(core, key, isUnsent);
        if (room?._leaveKey != key) return;
        if (!isUnsent) return end(core, room);
        room._leaveKey = undefined;
        goOn(core, room);
      }
    },
    processed(id) {
      if (core._receipts.get(id)) return;
      note(core, id, true);
      if (!core._isOver) say(core, { type: "ack", re: id });
    },
    dropped(id) {
      core._receipts.delete(id);
    },
    renewed(token) {
      // After the connection is lost the token is of no use: the next one shows its own.
      if (!core._isOpen || !core._isTokenAsked) return;
      const key = ask(core, "token", undefined, { token });
      // A token that was sent before, and not answered, must not reach the server after this one.
      commands.withdraw(core._tokenKey!);
      core._isTokenAsked = false;
      core._tokenKey = key;
    },
    renewalFailed(now) {
      if (core._isTokenAsked) tokenFailed(core, now, null);
    },
  };
  return commands;
}
