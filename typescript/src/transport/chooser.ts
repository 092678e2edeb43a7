// Which transport is tried next, for how long, and when to look for a better one. Pure: the clock and the dice are
// arguments.
//
// A round tries each transport once, beginning with the one that worked last. A failure leads to the next transport at
// once; the machine hears only of a round that has failed, and its delays are between rounds.
import type { Transport } from "./link";

/** Milliseconds until the welcome, while there is another transport to try; twice as long after each failed round. SSE and
 * long-polling have half as much again: theirs may take two connections. */
const LIMIT = 2000;
/** Milliseconds on a fallback transport until a WebSocket is tried: a proxy that blocks them does so for all of them,
 * but a network that has just changed is often back at once. */
const FIRST = 10_000;
/** The same for the attempts after it. */
const AGAIN = 30_000;

export interface Chooser {
  /** The transports of the next round, in their order, each with the milliseconds until its welcome. */
  _round(): [Transport, number][];
  /** The round has failed. */
  _failed(): void;
  /** A transport works. Returns whether to remember it for other clients: not if the application has wanted it. */
  _worked(transport: Transport, now: number): boolean;
  /** When to try a WebSocket; Infinity: not at all. */
  _upgradeAt: number;
  /** The attempt has failed. */
  _upgradeFailed(now: number): void;
  /** The application wants this transport, until it wants another. */
  _pin(transport: Transport): void;
}

/**
 * @param transports in the order in which they are preferred.
 * @param openTimeout milliseconds that the last transport of a round has.
 * @param random a number from 0 up to 1.
 * @param remembered what worked in the past, if anything.
 */
export function chooser(
  transports: Transport[],
  openTimeout: number,
  random: () => number,
  remembered?: string | null,
): Chooser {
  let canUpgrade = transports[0] == "websocket";
  let first = canUpgrade ? Math.max(0, transports.indexOf(remembered as Transport)) : 0;
  let limit = LIMIT;
  // Jitter: all clients behind a proxy that was restarted begin at once.
  const upgrade = (at: number, ms: number) => {
    self._upgradeAt = at + ms * (1 + random() / 5);
  };
  const self: Chooser = {
    _upgradeAt: Infinity,
    _round: () =>
      [...transports.slice(first), ...transports.slice(0, first)].map((transport, place, { length }) => [
        transport,
        place < length - 1 ? Math.min(openTimeout, transport == "websocket" ? limit : limit * 1.5) : openTimeout,
      ]),
    _failed() {
      limit *= 2;
    },
    _worked(transport, now) {
      first = transports.indexOf(transport);
      limit = LIMIT;
      upgrade(now, canUpgrade && transport != "websocket" ? FIRST : Infinity);
      return canUpgrade;
    },
    _upgradeFailed: (now) => upgrade(now, AGAIN),
    _pin(transport) {
      canUpgrade = false;
      self._upgradeAt = Infinity;
      first = transports.indexOf(transport);
    },
  };
  return self;
}
