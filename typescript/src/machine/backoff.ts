// How long to wait before the next attempt. Pure: the random numbers are arguments.
//
// Full jitter (uniform between 0 and a bound that doubles) spreads the clients that one failing server has lost better
// than any jitter around a fixed delay, for the same number of attempts.

/** In milliseconds. */
export const enum Wait {
  /** Within this time the first attempt comes: people do not notice it, and thousands of clients that lost their
   * connections together do not come back in the same millisecond. */
  AT_ONCE = 200,
  /** The bound of the second attempt, doubled with each one after it. */
  BASE = 1000,
  /** The longest delay between attempts to connect, unless `maxDelay` says another. */
  CAP = 60_000,
  /** So long a connection must have been open for its loss to come alone. Shorter ones one after the other are a server
   * that accepts and drops: the wait after each doubles. */
  SETTLED = 5000,
  /** The wait after such a short connection grows no further. It is well below the server's `grace` of 30 s: whoever was
   * connected comes back before its session is gone, as soon as the network lets it. */
  MAX_DROPPED = 5000,
  /** The longest wait that a server can ask for: a wrong number must not keep a client away for ever. */
  MAX_AFTER = 3_600_000,
}

/** The delay that a server asks for. All clients of a draining server are told the same, so a part of it is random. */
export const spread = (random: () => number, after: number, least: number = Wait.AT_ONCE): number => {
  after = Math.min(after, Wait.MAX_AFTER);
  return after + random() * Math.max(least, after / 10);
};

/**
 * The delay before the next attempt.
 * @param doublings of the bound; below 0: the attempt comes at once.
 * @param cap the bound grows no further.
 * @param after milliseconds that the server asked for; they take the place of the computed ones.
 */
export const delayOf = (random: () => number, doublings: number, cap: number, after?: number | null): number =>
  after != null
    ? spread(random, after)
    : random() * Math.min(cap, doublings < 0 ? Wait.AT_ONCE : Wait.BASE * 2 ** doublings);
