// What the application has taken of each room, and when to report it to the server.
//
// A server sends droppable messages only as far as the application has taken earlier ones: each room has a window of bytes
// that may be under way (docs/protocol.md).
import { tell, type Core } from "./core";
import { pass, taken, type Queue } from "./queue";
import { sizeOf } from "../fields";
import type { Room } from "../room";
import { TAKEN_ROOMS } from "../table";

const enum Bytes {
  /** Of a room in a report besides its name, at most. */
  ENTRY = 64,
  /** Of the window of a reader that keeps up. Half of it may be taken until it is reported, for it is never full. */
  FAST = 65_536,
  /** Of the largest message, until the server says how many. */
  MESSAGE = 1 << 20,
}
/** A room is reported when a part so many times smaller than its window was taken: the server never waits for it. */
const enum Window {
  PART = 4,
}

/** What one room has told, and may have under way. `Room` is one. */
export interface Report {
  /** What its messages go through; undefined: its stream has not begun. */
  _queue?: Queue;
  /** Bytes that may be under way; 0: no limit, as far as the server has said. */
  _window: number;
  /** The reported count of all messages, and the bytes of all messages up to there. */
  _told: number;
  _toldBytes: number;
  /** The count at the last message of the room that came before its stream began, and the bytes of all such messages; 0:
   * there was none. */
  _early: number;
  _earlyBytes: number;
}

/** A connection is there, and `core._window` is its first window. */
export function welcomed(core: Core): void {
  for (const room of core._rooms.values()) {
    // The last report and the last window may have been lost with the connection.
    room._early = room._earlyBytes = room._told = 0;
    room._window &&= core._window;
  }
}

/** The stream of a room begins, or goes on, through this queue. `hasWindow`: it has one from the first message on. Every
 * other room is told besides, until the server tells it a window. */
export function begun(core: Core, room: Report, queue: Queue, hasWindow: boolean): void {
  const { _early: early, _earlyBytes: bytes } = room;
  if (room._queue != queue) ended(room);
  room._queue = queue;
  if (hasWindow) room._window ||= core._window;
  if (early) pass(queue, early, bytes);
  room._early = room._earlyBytes = 0;
}

/** The server has no membership for this room any more. */
export function ended(room: Report): void {
  room._queue = undefined;
  room._window = room._told = room._toldBytes = room._early = room._earlyBytes = 0;
}

/** The last message has come and does not reach the queue of its room. */
export function passed(core: Core, room: Room, now: number): void {
  const { _total, _size } = core;
  if (room._queue) pass(room._queue, _total, _size);
  else {
    room._early = _total;
    room._earlyBytes += _size;
  }
  tellIfDue(core, room, now);
}

/** The server has changed the window of a room. */
export function changed(core: Core, room: Room, window: number, now: number): void {
  room._window = window || 1;
  tellIfDue(core, room, now);
}

/** Whether a part of the window was taken since the server was told. */
export function isDue({ _window: window, _queue: queue, _toldBytes }: Report): boolean {
  const part = Math.max(1, Math.floor(window / Window.PART), window < Bytes.FAST ? 0 : Bytes.FAST / 2);
  return !!window && !!queue && taken(queue)._before >= _toldBytes + part;
}

/** Reports what the application has taken of a room, if it is due. */
export function tellIfDue(core: Core, room: Room, now: number): void {
  if (core._isOpen && isDue(room)) tell(core, now, room);
}

/** What was taken of a room, or of all, since the last report. Rooms that do not fit come first in the next one. */
export function reportOf(core: Core, now: number, only?: Room): Record<string, { count: number; ts?: number }> {
  const base = core._total - core._received;
  const told = Object.create(null);
  const rooms: Room[] = [];
  let space = (core._maxMessage || Bytes.MESSAGE) / 2;
  for (const room of only ? [only] : core._rooms.values()) {
    const queue = room._queue;
    if (!queue) continue;
    const count = Math.min(taken(queue)._count, base + core._acked);
    if (count > Math.max(room._told, base)) {
      space -= Bytes.ENTRY + sizeOf(JSON.stringify(room.name));
      if (rooms.length == TAKEN_ROOMS || (space < 0 && rooms[0])) {
        for (const first of rooms) {
          core._rooms.delete(first.name);
          core._rooms.set(first.name, first);
        }
        break;
      }
      rooms.push(room);
      // The server takes the age of a message when it hears of it, and it was younger when it was taken.
      const ts = queue._time == null ? undefined : queue._time + Math.round(Math.max(0, now - queue._timeAt));
      told[room.name] = { count: count - base, ts };
      room._told = count;
    }
    room._toldBytes = taken(queue)._before;
  }
  return told;
}
