// The counts of a session, and the client's own frames that the server may not have.
import type { Core } from "./core";
import type { Frame } from "../codec";
import { wrong } from "../fields";

/** An own frame that counts. */
export interface OwnFrame {
  _frame: Frame;
  _size: number;
  /** It is not sent again. It counts until the server has acknowledged it. */
  _isWithdrawn: boolean;
}

/** Ends the session: all counts are 0, and no frame is kept. */
export function forgetSession(core: Core): void {
  core.session = core._held = null;
  core._isUnsure = false;
  core._frames = [];
  core._received = core._confirmed = core._acked = core._unackedBytes = core._dialled = core._base = core._sent = 0;
}

/** The server's welcome has come; it has received so many frames, and lacks all others. */
export function resumed(core: Core, count: number): void {
  acknowledged(core, count);
  core._frames = core._frames.filter((frame) => !frame._isWithdrawn);
  core._sent = 0;
  core._isUnsure = false;
}

/** The link is lost. The server may have gone back to the count of another link's query, and then knows of no higher one:
 * the session goes on from there, if the server has not been told a higher count. */
export function linkLost(core: Core, hasGoneBack = core._held != null): void {
  if (hasGoneBack || (core._isUnsure && core._acked <= core._dialled)) core._confirmed = core._dialled;
  core._held = null;
}

/** Returns the count for a poll. The server keeps nothing before it, so the session does not go back behind it. */
export function polled(core: Core): number {
  if (core._confirmed > core._dialled) core._isUnsure = false;
  return core._confirmed;
}

/** The server has received so many of the client's frames. */
export function acknowledged(core: Core, count: number): void {
  const more = count - core._base;
  if (more < 0 || more > core._sent) wrong("received");
  core._frames.splice(0, more);
  core._sent -= more || 0;
  core._base = count;
}

/** A counted message of so many bytes has come. Returns whether it is new: not one that came before, over another link. */
export function isNew(core: Core, size: number): boolean {
  core._unackedBytes += size;
  if (core._confirmed++ < core._received) return false;
  core._received++;
  core._total++;
  core._size = size;
  return true;
}

/** Whether to send `received` now. */
export const isAckDue = (core: Core): boolean =>
  core._held == null && (core._confirmed - core._acked >= core._ackFrames || core._unackedBytes >= core._ackBytes);

/** Takes a frame back. Returns whether no connection was given it; then it is as if it had never been sent. Otherwise it
 * counts, because the server may have it. */
export function takeBack(core: Core, own: OwnFrame): boolean {
  const place = core._frames.indexOf(own);
  const isUnsent = place >= core._sent;
  if (isUnsent) core._frames.splice(place, 1);
  else own._isWithdrawn = true;
  return isUnsent;
}

/** Whether these are too many, or too large. The bytes of withdrawn frames count, because they may still be in the
 * connection's buffer. Their number does not, or cancelled calls would block others. */
export function areTooMany(core: Core, frames: OwnFrame[]): boolean {
  let bytes = 0;
  let count = 0;
  for (const frame of frames) {
    bytes += frame._size;
    count += +!frame._isWithdrawn;
  }
  return bytes >= core._maxBytes || count >= core._maxFrames;
}
