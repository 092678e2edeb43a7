// The machine's clock with fractions. Date.now() counts whole milliseconds and performance.now() starts anywhere: the
// largest difference seen is the one between their ticks. It is looked for anew, since clocks are set now and then.

const kept = { now: 0, before: 0, since: 0 };

export function wall() {
  const here = performance.now();
  const gap = Date.now() - here;
  if (here - kept.since > 10000) Object.assign(kept, { before: kept.now || gap, now: gap, since: here });
  kept.now = Math.max(kept.now, gap);
  // A clock that was set back shows after two turns.
  return here + Math.max(kept.now, kept.before);
}
