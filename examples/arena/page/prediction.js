// Prediction, as prediction.py has it: the player moves at once, and is corrected when the server says otherwise.
import { step } from "./rules.js";

const KEPT = 120; // inputs that the server has not done yet, at most: four seconds
const WRONG = 0.5; // pixels from which a difference counts as a correction: places are rounded on the wire

export class Prediction {
  /** Where the player will be when the server has done all of its inputs; null: not known yet. */
  place = null;
  corrections = 0;
  #number = 0;
  #pending = [];
  #rules;

  constructor(rules) {
    this.#rules = rules;
  }

  /** Inputs that the server has not done yet. */
  get pending() {
    return this.#pending.length;
  }

  /** Moves at once; returns the number to be sent with the input. */
  input(direction) {
    this.#pending.push([++this.#number, direction]);
    if (this.#pending.length > KEPT) this.#pending.shift();
    if (this.place) this.place = step(this.place, direction, this.#rules);
    return this.#number;
  }

  /** The server's place after the input `done`: from there all later inputs are done again. */
  reconcile(place, done) {
    this.#pending = this.#pending.filter(([number]) => number > done);
    for (const [, direction] of this.#pending) place = step(place, direction, this.#rules);
    if (this.place && Math.hypot(place[0] - this.place[0], place[1] - this.place[1]) > WRONG) this.corrections++;
    this.place = place;
  }
}
