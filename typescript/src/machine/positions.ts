// The numbers of one room that have arrived, and those that should have.
//
// A number is *missing* if a higher one has arrived before it, unless the message with the higher one says that the number
// does not exist (`prev`). It is *excused* if the server has said that it will not come. A message is a duplicate if its
// number is neither missing nor new. Only in a reliable room whose messages are for all members every number is expected; of others the highest is kept.
import { type Position, RELIABLE } from "../message";

const enum Limit {
  /** Milliseconds for a missing number to be explained by `skipped`, which comes once the server has caught up. */
  GRACE = 1000,
  /** Ranges kept of each sort. One bad moment of a server makes one range; with more the oldest is given up. */
  RANGES = 64,
}

/** Numbers from the first to the last. */
export interface Range {
  _first: number;
  _last: number;
}

/** Numbers that should have arrived. */
export interface Missing extends Range {
  /** The time to act. */
  _deadline: number;
  /** Whether the room was joined again to get them. */
  _isAsked: boolean;
}

/** The part of a room that is about numbers. */
export interface Numbers {
  readonly delivery: string;
  /** Whether messages may be for some members only, so that a missing number is no loss. */
  _isFiltered?: boolean;
  /** The id of the numbering; undefined: the stream has never begun. */
  _epoch?: string;
  /** The highest number that has arrived. */
  _highest: number;
  _missing: Missing[];
  _excused: Range[];
  /** Missing ranges over the limit, joined to one from the lowest to the highest number. */
  _givenUp?: Missing;
  /** In a room whose numbers have holes: the server has said that nothing is missing up to here. */
  _vouched: number;
}

/** Whether every number is expected. */
export const isWhole = ({ delivery, _isFiltered }: Pick<Numbers, "delivery" | "_isFiltered">): boolean =>
  delivery == RELIABLE && !_isFiltered;

/** The stream begins, after this number. */
export const startAt = (room: Numbers, epoch: string, seq: number): unknown =>
  Object.assign(room, { _epoch: epoch, _highest: seq, _vouched: seq, _missing: [], _excused: [], _givenUp: undefined });

/** Where to continue: everything up to here has arrived or was excused. null: the stream has never begun. */
export function positionOf({ _epoch: epoch, _highest, _missing: [oldest], _excused }: Numbers): Position | null {
  let seq = oldest ? oldest._first - 1 : _highest;
  if (!oldest) for (const { _first, _last } of _excused) if (_first <= seq + 1) seq = Math.max(seq, _last);
  return epoch == null ? null : { epoch, seq };
}

/** A message has come; returns whether it is new to the application. There are no numbers between `prev` and its own. */
export function arrived(room: Numbers, seq: number, now: number, prev: number | undefined): boolean {
  const { _highest, _missing } = room;
  if (!isWhole(room)) {
    room._highest = Math.max(_highest, seq);
    return true;
  }
  const before = prev ?? seq - 1;
  if (seq <= _highest) {
    const isNew = remove(room, before + 1, seq);
    // The requested messages are coming: a long answer is not a missing one.
    if (isNew) postpone(room, now);
    return isNew;
  }
  // Within what was vouched for, only `prev` tells a hole from a message that has not come.
  const first = Math.max(_highest, prev == null && seq <= room._vouched ? 0 : room._vouched) + 1;
  if (first <= before) _missing.push({ _first: first, _last: before, _deadline: now + Limit.GRACE, _isAsked: false });
  for (const { _first, _last } of room._excused) remove(room, _first, _last);
  while (room._missing.length > Limit.RANGES) {
    // The oldest is the first that the history loses.
    const oldest = room._missing.shift()!;
    room._givenUp = { ...oldest, _first: (room._givenUp ?? oldest)._first };
  }
  room._highest = seq;
  room._excused = room._excused.filter(({ _last }) => _last > seq);
  return true;
}

/** The server has said that the numbers will not come, though some of them may have, and some still may. */
export function excuse(room: Numbers, first: number, last: number): void {
  const { _excused, _highest } = room;
  if (!isWhole(room)) return;
  remove(room, first, last);
  if (last <= _highest) return;
  // They do not count as arrived: if one comes, it is new.
  _excused.push({ _first: Math.max(first, _highest + 1), _last: last });
  _excused.sort((one, other) => one._first - other._first);
  // What is forgotten here counts as missing, and is asked for.
  if (_excused.length > Limit.RANGES) _excused.shift();
}

/** Nothing could come meanwhile: each grace period begins again. */
export function postpone(room: Numbers, now: number): void {
  for (const gap of room._missing) gap._deadline = now + Limit.GRACE;
}

/** Gives up the numbers that were asked for in vain until now; Infinity: all. Returns them. */
export function giveUpNumbers(room: Numbers, now: number): Missing[] {
  const lost: Missing[] = room._givenUp ? [room._givenUp] : [];
  room._givenUp = undefined;
  room._missing = room._missing.filter((gap) => {
    const isLost = gap._deadline <= now && (gap._isAsked || now == Infinity);
    if (isLost) lost.push(gap);
    return !isLost;
  });
  return lost;
}

/** Removes numbers from the missing ones. Returns whether one of them was missing. */
function remove(room: Numbers, first: number, last: number): boolean {
  let isChanged = false;
  room._missing = room._missing.flatMap((gap) => {
    if (gap._last < first || gap._first > last) return gap;
    isChanged = true;
    return [
      { ...gap, _last: first - 1 },
      { ...gap, _first: last + 1 },
    ].filter(({ _first, _last }) => _first <= _last);
  });
  return isChanged;
}
