// All rooms of a client: what joins and ends them, what is asked, and when a room is joined again.
import { act, answered, ask, push, reject, resolve, sayLeave, type Core, type Request } from "./core";
import { claim, isLatest } from "./feeds";
import { dropInputs } from "./inputs";
import { giveUp, joined, lose, message, takeOffer } from "./membership";
import { joinPatternsAgain, patternFailed, patternLeft, REJOIN, tickPatterns } from "./patterns";
import { positionOf } from "./positions";
import { fieldsOf, isSame, joinPayload, setRates } from "./rates";
import { ended, passed } from "./reports";
import { Unreadable, type Envelope } from "../codec";
import { RequestFailed, RoomEnded, type FanwireError } from "../errors";
import { check, roomOf } from "../fields";
import type { Position, RoomRates } from "../message";
import { Behind, Room, type Wishes } from "../room";

const enum Retry {
  /** Times that a room is joined again when the server answers "later", until it ends with that error: two to three minutes
   * in all. */
  MOST = 10,
  /** Milliseconds before a room is joined again that the server could not let in, doubled with each time up to the cap. */
  FIRST = 1000,
  CAP = 30_000,
  /** Milliseconds between two rooms that are joined again, at least, once the server has refused one for its rate. */
  INTERVAL = 20,
}
/** The error that may be gone the next time, even if the server does not say so: a failing `authorize` is mended. */
const PASSING = "internal";

// What the application wants.

/**
 * Joins a room, or claims one that is there already; callers who join the same room at once get the same. While it has no
 * `delivery`, wait for the answer to its `_joinKey`.
 * @throws RangeError: the room is joined, or being joined, at another position than `since` or with other rates.
 */
export function join(core: Core, name: string, since: Position | null, rates: RoomRates = {}, wishes?: Wishes): Room {
  const known = core._rooms.get(name);
  if (known?._pattern) throw new RangeError(`read by ${known._pattern}: leave that first`);
  const isOther = known && !(isSame(known, rates) && serves(known._wishes, wishes));
  if (!known || known._leaveKey || ((since || isOther) && !known._isClaimed)) return joinAnew(core, name, since, rates, wishes);
  if (isOther) throw new RangeError("the room is joined with other options: leave it, or use configure");
  const at = known.delivery ? known.position : known._asked;
  if (since && (since.epoch != at?.epoch || since.seq != at.seq))
    throw new RangeError("since: the room is joined, at another position");
  return own(core, known);
}

/** The application has joined a room. */
function own(core: Core, room: Room): Room {
  room._isOwn = true;
  core._saved.delete(room.name);
  return claim(core, room);
}

/** Whether another join gets what it wants of a membership. What it does not name is as it is. */
const serves = (mine: Wishes = {}, { last = mine.last, repair }: Wishes = {}): boolean =>
  last == mine.last && (!repair || repair == (mine.repair ?? "replay"));

/** Joins a room whether or not there is one. If that is being left, later messages belong to the new membership. */
export function joinAnew(core: Core, name: string, since: Position | null, rates: RoomRates = {}, wishes?: Wishes): Room {
  const room = new Room(name, core, since ?? core._saved.get(name));
  setRates(room, fieldsOf(rates));
  room._wishes = wishes;
  askToJoin(core, room, "join");
  const old = core._rooms.get(name);
  if (old) {
    forget(core, old, leftMeanwhile());
    old._end(null);
  }
  core._rooms.set(name, room);
  return own(core, room);
}

/** The application's queue has space again: the missed messages or values are asked for. */
export function catchUp(core: Core, room: Room): void {
  if (room.ended || core._isOver) return;
  if (room._behind == Behind.FULL) room._behind = Behind.HAS_PLACE;
  // A queue of newest values has dropped some.
  room._lacksValue ||= isLatest(room) && room._isIn;
  goOn(core, room);
}

/** Asks for missed messages or values, if there is space for them. Unanswered requests and planned attempts come first: a
 * join sent after a leave would remain in effect. */
export function goOn(core: Core, room: Room): void {
  if ((room._behind >= Behind.HAS_PLACE || room._lacksValue) && (room._joinKey ?? room._leaveKey ?? room._retryAt) == null) rejoin(core, room);
}

// What the server sends.

/** Handles what comes of a room; nothing, if it is none of the client's: it may still be under way. */
export const ofRoom =
  (handle: (core: Core, room: Room, envelope: Envelope, now: number) => void) =>
  (core: Core, envelope: Envelope, now: number): void => {
    const room = core._rooms.get(roomOf(envelope));
    if (room) handle(core, room, envelope, now);
  };

/** A message of a room. What reaches no queue counts as taken at once: otherwise the server would wait. */
export const onMessage = ofRoom((core, room, envelope, now) => {
  if (!message(core, room, envelope, now)) passed(core, room, now);
  if (room._lacksValue) goOn(core, room);
});

/** The answer to a join, or the server has joined a room of its own accord. */
export function onJoined(core: Core, envelope: Envelope, now: number): void {
  const name = roomOf(envelope);
  const { re, payload } = envelope;
  let room = core._rooms.get(name);
  if (payload instanceof Unreadable) {
    // Without `re` the server has joined by itself; an answer that is still to come overrules it.
    if (room && room._joinKey == re) {
      if (!room._leaveKey) sayLeave(core, name);
      if (room._epoch == null) forget(core, room, unreadable(payload));
      else end(core, room, unreadable(payload));
    }
    return;
  }
  if (re !== undefined) {
    if (room?._joinKey != re) return;
  } else if (!room) {
    const { pattern } = payload as { pattern?: string };
    const held = core._patterns.get(pattern!);
    // The application does not hold it any more.
    if (pattern && !held) return;
    room = new Room(name, core);
    room._pattern = pattern;
    room._wishes = held?._wishes;
  }
  else if (room._joinKey) {
    // The answer to the client's own join is still to come, with the messages before the stream.
    room._offered = [envelope];
    return;
  } else sinceOf(room);
  joined(core, room!, envelope, now);
  core._rooms.set(name, room!);
  if (answered(core, re)?._kind) resolve(core, re!);
  goOn(core, room!);
}

/** What a call is told whose answer has come and cannot be read. */
export const unreadable = (payload: Unreadable) => new RequestFailed("unreadable", payload.why);

/** The answer to a leave, or the server has ended a membership. */
export function onLeft(core: Core, envelope: Envelope, now: number): void {
  const { re } = envelope;
  const room = core._rooms.get(roomOf(envelope));
  if (re !== undefined) {
    if (answered(core, re)) resolve(core, re);
    if (room?._leaveKey == re) end(core, room!);
    patternLeft(core, re);
  } else if (room && (room._isIn || !room._joinKey)) {
    // Otherwise it belongs to an earlier membership.
    const { reason, text } = check(envelope.payload, {}, { reason: "removed", text: "" });
    if (reason == PASSING && room._epoch != null && !room._leaveKey) {
      // The server could not find out whether the client may still be there.
      outside(room);
      ended(room);
      room._joinKey = undefined;
      room._retryAt = now + Retry.FIRST * half(core);
    } else end(core, room, new RoomEnded(room.name, reason, text));
  }
}

/** A join or a leave was answered with an error. */
export function failed(core: Core, key: string, { _kind, _room }: Request, error: RequestFailed, now: number): void {
  const room = core._rooms.get(_room);
  const isJoin = room?._joinKey == key;
  if (_kind[0] == "*") return patternFailed(core, key, _kind, _room, error, now);
  if (_kind == "leave") {
    const isCurrent = room?._leaveKey == key;
    const isOut = error.code == "not_joined";
    if (isOut) resolve(core, key);
    if (isCurrent) {
      room!._leaveKey = undefined;
      if (isOut) end(core, room!);
      else goOn(core, room!);
    }
    patternLeft(core, key, !isOut);
    if (!isOut) reject(core, key, error);
  } else if (isJoin && takeOffer(core, room!, now)) {
    if (_kind) resolve(core, key);
    else goOn(core, room!);
  } else if (_kind) {
    if (isJoin) forget(core, room!);
    reject(core, key, error);
  } else if (isJoin) {
    room!._joinKey = undefined;
    if (!retriesLater(core, room!, error, now)) {
      if (!room!._isIn) return end(core, room!, error);
      // The failed join asked only for missing messages; the stream itself goes on.
      room!._retries = 0;
      giveUp(core, room!);
    }
    goOn(core, room!);
  }
}

// Events.

/** The server has no memberships any more. Joins the rooms again that were joined; then the session gets all requests that
 * were not answered, first joins first. */
export function beginAgain(core: Core): void {
  core._nextRejoin = 0;
  for (const [key, { _kind, _room, _isAbandoned }] of [...core._requests]) {
    if (!_kind || _isAbandoned || _kind == "leave" || _kind == REJOIN) answered(core, key);
    if (_kind == "leave") {
      resolve(core, key);
      const room = core._rooms.get(_room);
      if (room?._leaveKey == key) end(core, room!);
      patternLeft(core, key);
    }
  }
  for (const room of core._rooms.values()) {
    outside(room);
    // Those of a pattern are joined again with it.
    if (room._pattern) room._joinKey = room._retryAt = undefined;
    else if (room._epoch != null) rejoin(core, room);
  }
  joinPatternsAgain(core);
  const requests = [...core._requests.values()].filter(({ _kind }) => _kind && _kind != REJOIN);
  for (const isFirst of [true, false])
    for (const { _kind, _own } of requests) if ((_kind == "join") == isFirst) push(core, _own);
}

/** When a room has to be looked at. While a request is not answered, nothing is asked or given up. */
export function deadlineOf({ _leaveKey, _joinKey, _behind, _givenUp, _missing, _retryAt }: Room): number {
  if (_leaveKey) return Infinity;
  if (_retryAt != null || _joinKey || _behind) return _retryAt ?? Infinity;
  return _givenUp?._deadline ?? Math.min(...dates(_missing));
}

const dates = (ranges: { _deadline: number }[]): number[] => ranges.map(({ _deadline }) => _deadline);

/** A deadline may have come. */
export function tickRooms(core: Core, now: number): void {
  for (const room of core._rooms.values())
    if (deadlineOf(room) <= now) {
      if (room._retryAt == null) lose(core, room, now);
      if (room._retryAt ?? Math.min(...dates(room._missing)) <= now) rejoin(core, room);
    }
  tickPatterns(core, now);
  if (now >= core._leavesAt) {
    // The page before had joined them, and this one has not.
    for (const name of core._saved.keys()) sayLeave(core, name);
    core._saved.clear();
    core._leavesAt = Infinity;
  }
}

/** Removes a room, and tells the application that it has ended; without an error the application wanted it. */
export function end(core: Core, room: Room, error: FanwireError | null = null): void {
  if (error instanceof RequestFailed) error = new RoomEnded(room.name, error.code, error.text, error.retry);
  forget(core, room, error ?? leftMeanwhile());
  act(core, { type: "left", room, value: error });
}

/** Removes a room, and fails a first join that waits with the error. */
export function forget(core: Core, room: Room, error?: FanwireError): void {
  core._rooms.delete(room.name);
  ended(room);
  const key = room._joinKey;
  if (answered(core, key)?._kind && error) reject(core, key!, error);
}

/** Why a room is not joined whose join was overtaken. */
const leftMeanwhile = () => new RequestFailed("not_joined", "left meanwhile");

/** Joins a room once more, from the application's position. */
export const rejoin = (core: Core, room: Room): void => askToJoin(core, room, "");

function askToJoin(core: Core, room: Room, kind: string): void {
  const since = sinceOf(room);
  room._joinKey = ask(core, "join", room.name, joinPayload(room, since, !!kind), null, !kind);
  core._requests.get(room._joinKey)!._kind = kind;
}

/** The room is joined again. Returns the `since` of the join. */
export function sinceOf(room: Room): Position | null {
  room._retryAt = undefined;
  room._lacksValue = false;
  room._offered = [];
  if (room._behind == Behind.HAS_PLACE) room._behind = Behind.ASKED;
  // With a full queue this join keeps the membership only. Newest values come out of order, so the highest number says
  // nothing about lower ones: all are asked for.
  return (room._asked =
    room._behind == Behind.FULL || room._waiting._isLatest ? null : (positionOf(room) ?? room._asked));
}

/** The server has no membership. */
function outside(room: Room): void {
  dropInputs(room._inputs);
  room._isIn = false;
  room._values = undefined;
  room._retries = 0;
  room._offered = [];
  // It is joined with its pattern, which has no options. What else holds is in `joined`.
  if (room._pattern) room.filter = null;
}

/** The server has refused to let the client into a room again. Sets the next time; returns whether there is one. */
export function retriesLater(core: Core, room: { _retryAt?: number; _retries: number }, { code, retry, retryAfterMs }: RequestFailed, now: number): boolean {
  if (code == "rate_limited" && retry) {
    // The rate belongs to the client, not to the room. If all rooms returned at once, all but the first would be refused
    // again, and a client that is refused too often is closed. So they queue.
    room._retryAt = core._nextRejoin =
      Math.max(now, core._nextRejoin) + Math.max(Retry.INTERVAL, retryAfterMs ?? Retry.FIRST);
    return true;
  }
  if (!(retry || code == PASSING) || room._retries >= Retry.MOST) return false;
  // Clients that a server has refused at the same time must not return at the same time.
  const bound = Math.min(Retry.CAP, Retry.FIRST * 2 ** room._retries++);
  room._retryAt = now + Math.max(retryAfterMs ?? 0, bound * half(core));
  return true;
}

/** A random number from a half to 1. */
const half = (core: Core): number => (1 + core._random()) / 2;
