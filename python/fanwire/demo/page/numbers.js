// Whether every number of a room came, once. It looks at the numbers only, and knows nothing of the client.

export class Numbers {
  #last = null;
  came = 0;
  missing = 0;
  double = 0;

  take({ seq, gap }) {
    this.came++;
    // The server was started anew, and its numbers began anew.
    if (gap?.reason === "epoch") this.#last = null;
    if (this.#last !== null && seq > this.#last) this.missing += seq - this.#last - 1;
    if (this.#last !== null && seq <= this.#last) this.double++;
    this.#last = Math.max(seq, this.#last ?? 0);
  }
}
