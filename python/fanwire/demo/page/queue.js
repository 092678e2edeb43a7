// What a queue without replacement would do to a slow reader: every message waits for its turn. Pure: it is computed from
// how many messages came, and how long the reader needs for each.

const MOST = 6000; // samples: twenty minutes at five a second

export class Queue {
  #came = []; // [time, how many had come]
  #taken = 0;
  #at = null;

  get waiting() {
    return Math.max(0, Math.round((this.#came.at(-1)?.[1] ?? 0) - this.#taken));
  }

  // Takes the time and the count of messages in all; returns the age, in milliseconds, of the message that is read now.
  advance(now, count, pause) {
    const seconds = this.#at === null ? 0 : now - this.#at;
    if (this.#at === null || count < this.#taken) this.#taken = count;
    this.#at = now;
    this.#came.push([now, count]);
    this.#taken = Math.min(count, pause ? this.#taken + seconds / pause : count);
    let old = Math.max(0, this.#came.length - MOST);
    while (old < this.#came.length - 1 && this.#came[old][1] < this.#taken) old++;
    this.#came.splice(0, old);
    return now - this.#came[0][0];
  }
}
