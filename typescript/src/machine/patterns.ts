// The patterns of rooms: asked for, held, and asked for again in a new session.
import { act, answered, ask, reject, resolve, sayLeave, type Core } from "./core";
import { end, forget, retriesLater, sinceOf } from "./rooms";
import { RoomEnded, type FanwireError, type RequestFailed } from "../errors";
import { check, wrong } from "../fields";
import type { Position } from "../message";
import type { RoomPattern } from "../pattern";
import type { Room, Wishes } from "../room";

/** The kinds of the join of a pattern: by the application, and by the machine itself. */
export const PATTERN = "*";
export const REJOIN = "**";

/** What the machine knows of a pattern. */
export interface PatternState {
  readonly name: string;
  _wishes?: Wishes;
  /** The ids of the join and of the leave that are not answered. */
  _joinKey?: string;
  _leaveKey?: string;
  /** The rooms that the server has told of since the join was sent, and those of its answer that it has not told of;
   * undefined: it has not answered. */
  _came: Set<string>;
  _lacking?: Set<string>;
  /** Whether the server has answered once. */
  _isHeld?: boolean;
  _retryAt?: number;
  _retries: number;
}

/** Sends the join of a pattern. @throws RangeError: it is joined already, or has no `*`. */
export function joinPattern(core: Core, pattern: RoomPattern, wishes: Wishes): void {
  if (!pattern.name.includes("*") || core._patterns.has(pattern.name)) throw new RangeError("no pattern, or joined already");
  pattern._wishes = wishes;
  askFor(core, pattern, PATTERN);
  core._patterns.set(pattern.name, pattern);
}

/** Sends a leave; returns its id. */
export const leavePattern = (core: Core, name: string): string | null => {
  const state = core._patterns.get(name);
  return state ? (state._leaveKey ??= ask(core, "leave", name)) : null;
};

/** No caller waits for a join: it is left. */
export function abandonPattern(core: Core, name: string): void {
  core._patterns.delete(name);
  for (const room of roomsOf(core, name)) forget(core, room);
  sayLeave(core, name);
}

/** The server has joined the rooms of this payload, and no others of those that were asked for. It may tell of some of them
 * later, because messages of rooms with a low priority come behind others. */
export function patternAnswered(core: Core, key: string, name: string, payload: unknown): void {
  const state = core._patterns.get(name);
  if (state?._joinKey != key) return done(core, key);
  const { rooms } = check(payload, {}, { rooms: [] as string[] });
  const joined = new Set(Array.isArray(rooms) ? rooms : wrong("rooms"));
  state._lacking = new Set([...joined].filter((room) => !state._came.has(room)));
  // The server has not let the client in again.
  for (const room of roomsOf(core, name))
    if (!room._isIn && !room._joinKey && !joined.has(room.name)) end(core, room, new RoomEnded(room.name, "forbidden"));
  look(core, state);
}

/** The server has told of a room: that the client is in it, or is not any more. */
export function cameOfPattern(core: Core, room: string): void {
  for (const state of core._patterns.values())
    if (state._joinKey) {
      state._came.add(room);
      if (state._lacking?.delete(room)) look(core, state);
    }
}

/** Ends the join of a pattern when all of its rooms have come. */
function look(core: Core, state: PatternState): void {
  const key = state._joinKey!;
  if (state._lacking!.size) return;
  state._joinKey = undefined;
  state._isHeld = true;
  state._retries = 0;
  beginAgain(state);
  done(core, key);
}

function done(core: Core, key: string): void {
  if (answered(core, key)?._kind == PATTERN) resolve(core, key);
}

function beginAgain(state: PatternState): void {
  state._came.clear();
  state._lacking = undefined;
}

/** The join of a pattern was answered with an error. */
export function patternFailed(core: Core, key: string, kind: string, name: string, error: RequestFailed, now: number): void {
  const state = core._patterns.get(name);
  const isIt = state?._joinKey == key;
  if (isIt) state._joinKey = undefined;
  if (kind == PATTERN) {
    if (isIt) drop(core, name);
    reject(core, key, error);
  } else if (isIt && !retriesLater(core, state, error, now))
    endPattern(core, state, new RoomEnded(name, error.code, error.text, error.retry));
}

/** The server has answered a leave, or no caller waits for its answer. `stays`: it has refused it, or never got it. */
export function patternLeft(core: Core, key: string, stays = false): void {
  for (const state of core._patterns.values())
    if (state._leaveKey == key) {
      if (stays) state._leaveKey = undefined;
      else endPattern(core, state, null);
    }
}

/** The server has a new session: joins the patterns again, with the positions of their rooms. */
export function joinPatternsAgain(core: Core): void {
  for (const state of core._patterns.values()) {
    beginAgain(state);
    if (state._isHeld) joinAgain(core, state);
  }
}

/** A deadline may have come. */
export function tickPatterns(core: Core, now: number): void {
  for (const state of core._patterns.values()) if (dueOf(state) <= now) joinAgain(core, state);
}

/** When to call it. */
export const patternsDeadline = (core: Core): number =>
  Math.min(...Array.from(core._patterns.values(), dueOf));

/** While a leave is not answered, nothing is asked: a join sent after it would remain in effect. */
const dueOf = ({ _leaveKey, _retryAt }: PatternState): number => (_leaveKey ? Infinity : (_retryAt ?? Infinity));

/** Ends a pattern and its rooms. */
export function endPattern(core: Core, state: PatternState, error: FanwireError | null): void {
  if (state._lacking) done(core, state._joinKey!);
  drop(core, state.name, error);
  act(core, { type: "pattern_ended", pattern: state as RoomPattern, value: error });
}

function drop(core: Core, name: string, error?: FanwireError | null): void {
  core._patterns.delete(name);
  for (const room of roomsOf(core, name)) end(core, room, error);
}

function joinAgain(core: Core, state: PatternState): void {
  state._retryAt = undefined;
  const rooms: Record<string, Position> = {};
  for (const room of roomsOf(core, state.name)) {
    const since = sinceOf(room);
    if (since) rooms[room.name] = since;
  }
  answered(core, state._joinKey);
  askFor(core, state, REJOIN, Object.keys(rooms)[0] ? rooms : undefined);
}

function askFor(core: Core, state: PatternState, kind: string, rooms?: Record<string, Position>): void {
  const { last, repair } = state._wishes!;
  state._came.clear();
  const first = kind == PATTERN ? last : undefined;
  const payload = rooms || first || repair ? { rooms, last: first, repair } : undefined;
  state._joinKey = ask(core, "join", state.name, payload, null, kind == REJOIN);
  core._requests.get(state._joinKey)!._kind = kind;
}

const roomsOf = (core: Core, pattern: string): Room[] =>
  [...core._rooms.values()].filter(({ _pattern }) => _pattern == pattern);
