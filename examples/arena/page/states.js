// What is near: the newest states of the cells in sight, and where the others are between two of them.
const BEHIND = 100; // milliseconds that others are shown late, so that there are two states to be between
const GONE = 500; // milliseconds without a word after which another player is not drawn

export class States {
  /** The server's word on this client's player; null: none yet. */
  mine = null;
  /** Gems by cell. */
  gems = new Map();
  #others = new Map();
  #id;
  #hz;

  constructor(id, hz) {
    this.#id = id;
    this.#hz = hz;
  }

  /** A state of a cell; returns whether it has moved this client's player. */
  take(cell, { tick, players, gems }, now) {
    this.gems.set(cell, gems);
    let isMine = false;
    for (const [id, [x, y, done, score, name]] of Object.entries(players)) {
      if (id == this.#id) {
        // Of a cell that the player has left there may be an older state.
        if (!this.mine || tick > this.mine.tick) {
          this.mine = { tick, place: [x, y], done, score, name };
          isMine = true;
        }
        continue;
      }
      const other = this.#others.get(id) ?? { name, path: [] };
      if ((other.path.at(-1)?.tick ?? 0) >= tick) continue;
      other.path = [...other.path, { tick, place: [x, y], at: now }].slice(-8);
      this.#others.set(id, other);
    }
    return isMine;
  }

  /** A cell is out of sight. */
  drop(cell) {
    this.gems.delete(cell);
  }

  /** The other players, each between the two states that it had a moment ago. */
  *others(now) {
    for (const [id, { name, path }] of this.#others) {
      const last = path.at(-1);
      if (now - last.at > GONE) {
        this.#others.delete(id);
        continue;
      }
      const wanted = last.tick + ((now - last.at - BEHIND) * this.#hz) / 1000;
      const later = path.find(({ tick }) => tick >= wanted) ?? last;
      const earlier = path.findLast(({ tick }) => tick <= wanted) ?? later;
      const part = later.tick == earlier.tick ? 0 : (wanted - earlier.tick) / (later.tick - earlier.tick);
      yield { id, name, place: [0, 1].map((n) => earlier.place[n] + part * (later.place[n] - earlier.place[n])) };
    }
  }
}
