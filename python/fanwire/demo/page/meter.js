// What came in the last seconds: how often, and how late. It keeps SPAN milliseconds, and 20,000 values at most: more
// than a page can read in that time.

const SPAN = 5000;
const MOST = 20000;

export class Meter {
  #times = [];
  #delays = [];
  #begun = performance.now();

  // Takes a message; a delay of null says nothing of latency.
  add(delay) {
    this.#times.push(performance.now());
    this.#delays.push(delay);
    if (this.#times.length > MOST) this.#trim();
  }

  get rate() {
    this.#trim();
    return this.#times.length / (Math.max(500, Math.min(SPAN, performance.now() - this.#begun)) / 1000);
  }

  // The median and the 99th percentile; null where nothing came.
  get quantiles() {
    this.#trim();
    const known = this.#delays.filter((delay) => delay != null).sort((a, b) => a - b);
    const at = (share) => known[Math.min(known.length - 1, Math.floor(known.length * share))];
    return known.length ? [at(0.5), at(0.99)] : [null, null];
  }

  #trim() {
    const from = performance.now() - SPAN;
    let old = Math.max(0, this.#times.length - MOST);
    while (old < this.#times.length && this.#times[old] < from) old++;
    this.#times.splice(0, old);
    this.#delays.splice(0, old);
  }
}
