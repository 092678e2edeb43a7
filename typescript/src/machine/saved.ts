// What a page leaves to the next one, so that this can go on with the session.
import type { Core } from "./core";
import { isLatest } from "./feeds";
import type { Position } from "../message";

/** What survives a reload of the page. */
export interface Saved {
  /** null: the next page begins a new one. */
  session: string | null;
  received: number;
  /** Where its rooms go on; null: with what is new. */
  positions: Record<string, Position | null>;
}

/** Returns what the next page needs to go on; null: there is no session. */
export function snapshotOf(core: Core): Saved | null {
  let { session, _confirmed: received } = core;
  if (session == null) return null;
  // Of the page before this one: the rooms that this one has not joined yet.
  const positions = new Map(core._saved);
  // The server would not tell the next page again of the rooms that it has joined.
  if (core._patterns.size) session = null;
  for (const room of core._rooms.values())
    if (!room._isOwn) session = null;
    // Newest values come out of order: all are asked for.
    else positions.set(room.name, isLatest(room) ? null : room.delivery ? room.position : room._asked);
  return { session, received: session == null ? 0 : received, positions: Object.fromEntries(positions) };
}
