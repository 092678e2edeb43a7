// How numbers and times read. Pure.

export const whole = (n) => Math.round(n).toLocaleString("en");
export const percent = (n) => n.toFixed(n < 10 ? 1 : 0) + " %";
export const fixed = (n) => n.toFixed(n < 10 ? 2 : 1);

export function bytes(n) {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (n < 1000) return (unit === "B" || n >= 100 ? n.toFixed(0) : n.toFixed(1)) + " " + unit;
    n /= 1000;
  }
  return n.toFixed(1) + " TB";
}

export const rate = (n) => bytes(n) + "/s";

// Milliseconds, in the unit in which they are short.
export function time(ms) {
  if (ms == null) return "–";
  if (ms < 0.95) return "< 1 ms";
  if (ms < 1000) return Math.round(ms) + " ms";
  return (ms < 10000 ? (ms / 1000).toFixed(1) : Math.round(ms / 1000)) + " s";
}

// Fractions of milliseconds count for a latency on one machine.
export const latency = (ms) =>
  ms == null ? "–" : ms < 0.1 ? "< 0.1 ms" : ms < 10 ? ms.toFixed(1) + " ms" : ms.toFixed(0) + " ms";

// The engine counts in powers of two: a bound, not a value.
export const bound = (us) =>
  us == null ? "–" : us < 1000 ? `< ${us} µs` : `< ${(us / 1000).toFixed(us < 10000 ? 1 : 0)} ms`;

export const plural = (n, one, many = one + "s") => `${whole(n)} ${n === 1 ? one : many}`;

export const hour = (ms) => new Date(ms).toLocaleTimeString("en-GB");
