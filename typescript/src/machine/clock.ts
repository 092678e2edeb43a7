// How far the server's clock is from the client's, and so how old its messages are.
//
// The server's answer to a ping says what its clock shows. It was written somewhere in the round trip, so the middle of
// that is wrong by half of it at most.
import { send, type Core } from "./core";

/** In milliseconds. */
const enum Clock {
  /** What two clocks may part in a millisecond: what an estimate is worth less with time. */
  DRIFT = 1e-4,
  /** An error that is good enough. */
  GOOD = 50,
  /** Until the server is asked again after an answer that was not good enough, and after one that was. */
  AGAIN = 5000,
  SELDOM = 300_000,
  /** Answers that come soon after each other at the beginning, for an application that reads the clock. */
  FIRST = 5,
  SOON = 200,
  /** Until the server is asked again for such an application. */
  PRECISE = 30_000,
  /** The server's time is cut to milliseconds, so on average it is later by this. */
  TRUNCATED = 0.5,
  /** How much faster or slower than real time the shown clock goes while it is wrong; FAST: by more than FAR. */
  SLOW = 0.05,
  FAST = 0.5,
  FAR = 500,
}

/** The server's clock as the application reads it. What is not known yet is null: the server has not answered a ping. Times
 * are milliseconds. */
export interface ServerClock {
  /** What the server's clock is ahead of this machine's (`Date.now`). */
  readonly offset: number | null;
  /** The shortest round trip, which the estimate is from. */
  readonly roundTrip: number | null;
  /** How wrong `now` may be: half of that round trip, and half a millisecond. */
  readonly error: number | null;
  /** The server's time now, since 1970. It never goes back and never jumps. */
  now(): number | null;
}

/** What the machine keeps for it. */
export interface ClockState {
  /** What the server's clock is ahead of the client's; null: unknown. */
  _offset: number | null;
  /** How wrong that may be, and since when it is known. */
  _offsetError: number;
  _offsetAt: number;
  /** When to ask. */
  _clockAt: number;
  /** When the first ping was sent that was not answered when the last one was sent, and how many there are. */
  _askedAt: number;
  _unanswered: number;
  /** Whether the application reads the clock; the answers of this connection; and the error of the offset that holds. */
  _isClockRead?: boolean;
  _clockAnswers: number;
  _clockError: number;
  /** The offset that the application is shown, and since when. */
  _shown: number;
  _shownAt: number;
}

/** The application reads the clock from now on, so the server is asked more often. */
export function readClock(core: ClockState, now: number): void {
  if (!core._isClockRead && core._clockAt < Infinity) core._clockAt = now;
  core._isClockRead = true;
}

/** The server's time, which never goes back. What is learned anew is made up for a little at a time. */
export function serverTime(core: ClockState, now: number): number | null {
  if (core._offset == null) return null;
  const wrong = core._offset - core._shown;
  const most = (Math.abs(wrong) > Clock.FAR ? Clock.FAST : Clock.SLOW) * Math.max(0, now - core._shownAt);
  core._shown += Math.max(-most, Math.min(most, wrong));
  core._shownAt = Math.max(core._shownAt, now);
  return core._shownAt + core._shown + Clock.TRUNCATED;
}

/** The public clock. */
export const clockOf = (core: ClockState, read: () => number): ServerClock => ({
  get offset() {
    const time = serverTime(core, read());
    return time == null ? null : time - Date.now();
  },
  get roundTrip() {
    return core._offset == null ? null : 2 * core._clockError;
  },
  get error() {
    return core._offset == null ? null : core._clockError + Clock.TRUNCATED;
  },
  now: () => serverTime(core, read()),
});

/** There is another connection, perhaps to another server. What is known holds until that has answered. */
export function forgetClock(core: ClockState): void {
  core._unanswered = core._clockAnswers = 0;
  core._offsetError = core._clockAt = Infinity;
}

/** Asks for the server's time, and for a sign of life. */
export function ping(core: Core, now: number): void {
  send(core, { type: "ping" });
  core._clockAt = Infinity;
  if (!core._unanswered++) core._askedAt = now;
}

/** The answer has come, with the server's time in milliseconds since 1970. */
export function learnTime(core: ClockState, time: number, now: number): void {
  // A server that does not read for a while sends some of its own accord.
  if (!core._unanswered) return;
  core._unanswered--;
  const error = (now - core._askedAt) / 2;
  if (error <= core._offsetError + Clock.DRIFT * (now - core._offsetAt)) {
    const isFirst = core._offset == null;
    core._offset = time - (core._askedAt + now) / 2;
    core._offsetError = core._clockError = error;
    core._offsetAt = now;
    if (isFirst) [core._shown, core._shownAt] = [core._offset, now];
  }
  core._clockAnswers++;
  core._clockAt =
    now +
    (core._isClockRead
      ? core._clockAnswers < Clock.FIRST
        ? Clock.SOON
        : Clock.PRECISE
      : core._offsetError <= Clock.GOOD
        ? Clock.SELDOM
        : Clock.AGAIN);
}
