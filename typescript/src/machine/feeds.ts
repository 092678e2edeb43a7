// The rooms as the application has them: what waits for it, what it takes, and what it is told. Pure, but for callbacks.
import type { RoomAction } from "./actions";
import { tell, type Core } from "./core";
import { isOver, dropValues, hasValueBefore, pop, put, release } from "./queue";
import { begun, tellIfDue } from "./reports";
import { catchUp, rejoin } from "./rooms";
import { joint, type Message, RELIABLE } from "../message";
import { Behind, type Room } from "../room";
import { KEYED } from "../table";

const enum Limit {
  /** Times its limits that a queue may have of what comes from the room's history, or of newest values once it has dropped
   * some: a reader that has fallen behind would otherwise be sent the same again and again. */
  CATCHING_UP = 16,
  /** Milliseconds that a newest value may wait in the client until it is asked for anew, and at least as many between two
   * times that a room is joined for that. */
  STALE = 1000,
  /** Milliseconds between two times that a room is joined again for values which its queue has dropped, at most. */
  PAUSE = 64_000,
  /** The part of the application's limit that a room of a pattern may have: there may be a thousand of them. */
  SHARE = 16,
}

/** Returns the next message, and counts the one before it as taken; undefined: none waits. Then do the machine's
 * actions. */
export function take(room: Room, now: number): Message | undefined {
  const { _core: core, _waiting: queue } = room;
  release(queue, now);
  if (queue._isLatest && hasValueBefore(queue, now - Limit.STALE) && refresh(core, room, now)) {
    // The server has newer values, which wait behind these.
    dropValues(queue);
    report(core, room, now);
  }
  tellIfDue(core, room, now);
  const item = pop(queue);
  if (!item) return;
  const { _message: message, _note: epoch } = item;
  if (message.gap) room._untold = null;
  // The newest values at the beginning of a stream have older numbers than the stream.
  if (message.seq! > room.seq || epoch != room.epoch) Object.assign(room, { seq: message.seq, epoch });
  if (!isOver(queue, 0.5) && (room._behind || restores(room, now))) catchUp(core, room);
  return message;
}

/** Whether to ask for the values again that the queue has dropped: ever more seldom if they do not fit. */
function restores(room: Room, now: number): boolean {
  const { _waiting: queue, _restoreAt: at = -Infinity } = room;
  if (!queue._lacksValues || now < at) return false;
  room._pause = now > at + Limit.PAUSE ? Limit.STALE : Math.min(2 * room._pause!, Limit.PAUSE);
  room._restoreAt = now + room._pause;
  queue._times = Limit.CATCHING_UP;
  return true;
}

/** Reports what the application has taken of a room. */
export function report(core: Core, room: Room, now: number): void {
  if (core._isOpen) tell(core, now, room);
}

/** The newest values of a room have waited for too long. Returns whether the server sends them again; then drop those
 * that wait. A server without windows has nothing newer. */
export function refresh(core: Core, room: Room, now: number): boolean {
  if (!isLatest(room) || room.ended || room._leaveKey || core._isOver || !core._window) return false;
  const isAsked = room._joinKey ?? room._retryAt;
  if (isAsked == null && now < room._joinedAt + Limit.STALE) return false;
  room._isRefreshing = true;
  if (isAsked == null) rejoin(core, room);
  return true;
}

/** Whether a room is one of latest values. */
export const isLatest = (room: Room): boolean => KEYED.includes(room.delivery);

/** The room is the application's now. */
export function claim(core: Core, room: Room): Room {
  room._isClaimed = true;
  Object.assign(room._waiting, { _limit: core._limit, _drops: room.delivery });
  return room;
}

/** Does an action that is about a room. */
export function performOfRoom(core: Core, action: RoomAction, now: number, onRoom: (room: Room) => void): void {
  const { type, room, value } = action;
  const queue = room._waiting;
  if (type == "joined") {
    // All newest values come behind this.
    queue._lacksValues = false;
    begun(core, room, queue, room.delivery != RELIABLE);
    tellIfDue(core, room, now);
    const pattern = core._patterns.get(room._pattern!);
    if (pattern && !room._isClaimed) {
      claim(core, room);
      queue._limit = Math.ceil(core._limit / Limit.SHARE);
      (pattern.rooms as Map<string, Room>).set(room.name, room);
      pattern._outlet._tell("room", room);
    }
    if (core._claims && !room._isClaimed) onRoom(claim(core, room));
  } else if (type == "left") {
    (core._patterns.get(room._pattern!)?.rooms as Map<string, Room>)?.delete(room.name);
    room._end(value);
  } else if (type == "deliver") {
    const dropped = put(queue, value, core._total, core._size, room._epoch!, now);
    if (dropped[0] != null) tellIfDue(core, room, now);
    const pattern = core._patterns.get(room._pattern!);
    if (pattern) {
      pattern._ready.add(room);
      pattern._outlet._wake();
    } else room._outlet._wake();
    if (queue._drops == RELIABLE && !room._behind && isOver(queue, value.seq! > room._upto ? 1 : Limit.CATCHING_UP)) {
      room._behind = Behind.FULL;
      room._outlet._tell("behind");
    }
  } else if (type != "caught_up") {
    const { length } = room._outlet._tell(type, value);
    // Where nobody listens yet, the first who does is told.
    if (type == "gap" && !length) room._untold = joint(room._untold, value);
  }
}
