// One order book, as book.py has it: the size at each price. It applies numbered changes, and finds a hole.
export class Book {
  /** @param whole a whole book; null: nothing is known yet, and changes wait for one. */
  constructor(whole) {
    this.isComplete = false;
    this.seq = 0;
    this.bids = new Map();
    this.asks = new Map();
    if (whole) this.take(whole);
  }

  /** Takes a message of a room; returns whether a whole book was what this one was already. */
  take({ full, seq, bids, asks }) {
    if (full) {
      const before = this.isComplete && this.#text();
      this.bids = new Map(bids);
      this.asks = new Map(asks);
      this.seq = seq;
      this.isComplete = true;
      return before == this.#text();
    }
    if (seq != this.seq + 1) this.isComplete = false;
    if (!this.isComplete) return false;
    this.seq = seq;
    for (const [levels, changes] of [[this.bids, bids], [this.asks, asks]]) {
      for (const [price, size] of changes) {
        if (size) levels.set(price, size);
        else levels.delete(price);
      }
    }
    return false;
  }

  /** The best prices of a side, each with its size. */
  best(side, count) {
    const sign = side == "bids" ? -1 : 1;
    return [...this[side]].sort(([one], [other]) => sign * (one - other)).slice(0, count);
  }

  #text() {
    return JSON.stringify([this.seq, this.best("bids"), this.best("asks")]);
  }
}
