// Replaces a token that runs out, and decides when to try again.
//
// An attempt is a call of the application's function and then the server's answer to the token. There is one at a time,
// and it belongs to its connection: the next one shows a token of its own. It never gives up: the server does.
import { delayOf } from "./backoff";
import { act, type Core } from "./core";

/** In milliseconds. */
const enum Token {
  /** The shortest time between two attempts, however often a server asks: five calls a second do not overload an issuer of
   * tokens, and a grace period is longer. */
  PAUSE = 200,
  /** The longest delay between attempts: a server gives a minute's notice by default. */
  CAP = 30_000,
  /** Before the end of a token, or a quarter of its time if that is less: there has to be a new one though the server has
   * not asked. Its notice may wait behind messages that the application is slow to take. */
  LAST_NOTICE = 30_000,
}

/** There is a new connection. */
export function forgetToken(core: Core): void {
  core._tokenKey = null;
  core._isTokenAsked = core._isTokenLate = false;
  core._tokenFailures = 0;
  core._tokenPause = -Infinity;
  core._tokenAt = core._tokenNotice = core._lifetime = Infinity;
}

/** The token is valid for so many milliseconds; null: the server does not say. */
export function tokenExpires(core: Core, now: number, lifetime: number | null): void {
  core._lifetime = lifetime ?? Infinity;
  core._tokenNotice =
    now + Math.max(Token.PAUSE, core._lifetime - Math.min(Token.LAST_NOTICE, core._lifetime / 4));
}

/** The server asks for a new token. `isLate`: the old one has expired. */
export function tokenWanted(core: Core, now: number, isLate: boolean): void {
  // The attempt under way may be the answer to this notice, too.
  if (core._isTokenAsked || core._tokenKey) core._isTokenLate ||= isLate;
  else if (isLate || core._tokenAt == Infinity) core._tokenAt = Math.max(now, core._tokenPause);
  renew(core, now);
}

/** Asks the application for a new token, if it is time. */
export function renew(core: Core, now: number): void {
  if (now < Math.min(core._tokenAt, core._tokenNotice)) return;
  // The answer may wait behind messages. Until it comes, the new token counts as valid as long as the old one.
  tokenExpires(core, now, core._lifetime);
  if (core._isTokenAsked) return;
  core._tokenAt = Infinity;
  core._tokenPause = now + Token.PAUSE;
  core._isTokenAsked = true;
  act(core, { type: "renew" });
}

/** The function has failed, or the server has refused its token; `after`: as many milliseconds to wait at least. */
export function tokenFailed(core: Core, now: number, after: number | null): void {
  const delay = delayOf(core._random, core._tokenFailures++ - 1, Token.CAP, after);
  // The grace period is short.
  core._tokenAt = Math.max(now + (core._isTokenLate ? (after ?? 0) : delay), core._tokenPause);
  core._tokenKey = null;
  core._isTokenAsked = core._isTokenLate = false;
  core._tokenNotice = Infinity;
}
