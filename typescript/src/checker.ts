// Proves that what a reader of numbered messages has got is complete, or says what is missing, and why. Each number of the
// stream is counted once.
import type { Gap, Message, Position, Skipped } from "./message";

const enum Limit {
  /** Ranges of numbers that have not come, and tellings that are not assigned; with more the oldest are settled. */
  MOST = 1024,
  /** Ranges in a report. */
  SHOWN = 64,
}

/** What a `SequenceChecker` has found. */
export interface Completeness {
  /** The numbering; "": none is known. */
  epoch: string;
  /** The number after which the stream began, and the highest that it has come to. */
  start: number;
  highest: number;
  /** Messages that have come, each number once. */
  received: number;
  /** Numbers that no message has (`Message.prev`). */
  absent: number;
  /** By reason, messages that the sender has told it does not send. */
  skipped: Record<string, number>;
  /** By reason, messages that the client has reported as a gap. */
  lost: Record<string, number>;
  /** Messages in place of which a snapshot has come. */
  restored: number;
  /** Times that the numbering began anew, or that the reader's position was not one of it, and no snapshot came. Messages are
   * missing there, and their numbers cannot tell how many. */
  breaks: number;
  /** Messages of which nobody has said anything, and their numbers: pairs of the first and the last, at most 64. */
  missing: number;
  ranges: [number, number][];
  /** Instead of `missing`, where the reader has asked for a part of the messages only. */
  unverified: number;
  /** Messages that have come again. */
  duplicates: number;
  /** Messages that were told not to come, and of which there is no missing one: one side counts wrong. */
  surplus: number;
  /** From `start` on everything up to here has come, does not exist, or is part of a snapshot. */
  completeUpto: number;
  /** Whether nothing is missing, lost or skipped, and nothing broke. */
  isComplete: boolean;
  /** Whether each number that has not come has a reason. */
  isExplained: boolean;
}

/** Reasons of a gap after which the numbers are not those of before, but may be lower. */
const ANEW = ["epoch", "position"];

interface Told {
  reason: string;
  first: number;
  last: number;
  count: number;
}

type Counts = Record<string, number>;
const add = (counts: Counts, reason: string, count: number) => count && (counts[reason] = (counts[reason] ?? 0) + count);
const sorted = (counts: Counts): Counts => Object.fromEntries(Object.entries(counts).sort(([one], [other]) => (one < other ? -1 : 1)));

/**
 * Checks the numbers of one stream: of a room, or of a feed that numbers its messages itself, such as that of an exchange.
 *
 * ```js
 * const room = await client.join("trades");
 * const checker = new SequenceChecker(room.position);
 * room.on("skipped", (skipped) => checker.skipped(skipped));
 * for await (const message of room) checker.message(message);
 * ```
 */
export class SequenceChecker {
  #epoch = "";
  #start?: number;
  #highest = 0;
  #holes: [number, number][] = [];
  #told: Told[] = [];
  #received = 0;
  #absent = 0;
  #restored = 0;
  #breaks = 0;
  #duplicates = 0;
  #surplus = 0;
  readonly #skipped: Counts = {};
  readonly #lost: Counts = {};
  #firstGone?: number;
  #isFiltered: boolean;

  /**
   * @param position of the reader, or a number; null: the first number begins the stream.
   * @param options.isFiltered the reader gets only a part of the messages by its own wish: only what is told counts.
   */
  constructor(position: Position | number | null = null, { isFiltered = false } = {}) {
    this.#isFiltered = isFiltered;
    if (typeof position == "number") this.#begin("", position);
    else if (position) this.#begin(position.epoch, position.seq);
  }

  /** Takes a message of a room, with the gap before it. */
  message({ seq, prev, gap }: Pick<Message, "seq" | "prev" | "gap">): void {
    if (seq == null) throw new RangeError("a message to one client has no number");
    if (gap) this.gap(gap);
    this.number(seq, prev);
  }

  /** Takes the number of a message; returns whether it is new. `prev`: the number of the message before it. */
  number(seq: number, prev: number | null = null): boolean {
    const before = prev == null || prev < 0 || prev >= seq ? seq - 1 : prev;
    if (this.#start == null) this.#begin(this.#epoch, before);
    let isNew = true;
    if (seq > this.#highest) {
      this.#absent += seq - 1 - Math.max(before, this.#highest) + this.#remove(before + 1, this.#highest);
      if (before > this.#highest) this.#holes.push([this.#highest + 1, before]);
      this.#highest = seq;
      this.#received++;
    } else if (this.#remove(seq, seq)) {
      this.#received++;
      this.#absent += this.#remove(before + 1, seq - 1);
    } else {
      isNew = false;
      // Values of keys from before the stream are no duplicates.
      if (seq > this.#start!) this.#duplicates++;
    }
    this.#settle();
    return isNew;
  }

  /** Takes what the server has told it does not deliver; for the event "skipped" of a room. */
  skipped({ reason, first, last, count }: Skipped): void {
    this.told(reason, first, last, count);
  }

  /** Takes what a sender has told it does not send: `count` messages with numbers from `first` to `last`; default: all. */
  told(reason: string, first: number, last: number, count = last - first + 1): void {
    if (this.#start == null || last < first) return;
    this.#told.push({ reason, first, last, count });
    this.#settle();
  }

  /** Takes a gap that the client has reported. `message` does it for the gap of a message. */
  gap({ reason, after, upto, snapshot }: Pick<Gap, "reason" | "after" | "upto" | "snapshot">): void {
    if (after == null || upto == null) return;
    if (ANEW.includes(reason)) return this.#break(reason == "epoch" ? "" : this.#epoch, upto, reason, snapshot != null);
    if (this.#start == null) return this.#begin(this.#epoch, upto);
    if (upto > this.#highest) {
      this.#holes.push([this.#highest + 1, upto]);
      this.#highest = upto;
    }
    this.#settle();
    this.#giveUp(upto, reason, after + 1, snapshot != null);
  }

  /** Takes what a `joined` of the protocol says, for a reader that has no client. `after`: messages after this number
   * follow, all of them; null: after `seq`. `filtered`: messages may be for some members only, from then on `isFiltered` holds. */
  joined(
    epoch: string,
    seq: number,
    { after = null as number | null, reason = "history", hasSnapshot = false, filtered = false } = {},
  ): void {
    this.#isFiltered ||= filtered;
    if (this.#start == null) this.#begin(epoch, after ?? seq);
    else if (this.#epoch && this.#epoch != epoch) this.#break(epoch, after ?? seq, "epoch", hasSnapshot);
    else if (after == null) {
      this.#epoch = epoch;
      const upto = ANEW.includes(reason) ? seq : Math.max(seq, this.#highest);
      this.gap({ reason, after: this.#start, upto, snapshot: hasSnapshot || null });
    }
  }

  /** What was found so far. */
  report(): Completeness {
    const [holes, more] = this.#matched();
    const missing = holes.reduce((sum, [first, last]) => sum + last - first + 1, 0);
    const skipped = { ...this.#skipped };
    for (const reason in more) add(skipped, reason, more[reason]!);
    const gone = Math.min(this.#holes[0]?.[0] ?? Infinity, this.#firstGone ?? Infinity);
    const isExplained = !(this.#isFiltered ? 0 : missing) && !this.#surplus;
    return {
      epoch: this.#epoch,
      start: this.#start ?? 0,
      highest: this.#highest,
      received: this.#received,
      absent: this.#absent,
      skipped: sorted(skipped),
      lost: sorted(this.#lost),
      restored: this.#restored,
      breaks: this.#breaks,
      missing: this.#isFiltered ? 0 : missing,
      ranges: this.#isFiltered ? [] : holes.slice(0, Limit.SHOWN),
      unverified: this.#isFiltered ? missing : 0,
      duplicates: this.#duplicates,
      surplus: this.#surplus,
      completeUpto: gone == Infinity ? this.#highest : gone - 1,
      isComplete: isExplained && !this.#breaks && !Object.keys(skipped).length && !Object.keys(this.#lost).length,
      isExplained,
    };
  }

  #begin(epoch: string, seq: number): void {
    this.#epoch = epoch;
    this.#start = this.#highest = seq;
  }

  /** The numbers go on elsewhere: those of before say nothing about them. */
  #break(epoch: string, seq: number, reason: string, isRestored: boolean): void {
    this.#giveUp(this.#highest, reason, 0, isRestored);
    this.#breaks += +!isRestored;
    this.#begin(epoch, seq);
    this.#told = [];
    this.#firstGone = undefined;
  }

  /** Removes numbers from the holes. Returns how many of them there were. */
  #remove(first: number, last: number): number {
    if (first > last || !this.#holes[0] || this.#holes.at(-1)![1] < first) return 0;
    let count = 0;
    this.#holes = this.#holes.flatMap(([low, high]): [number, number][] => {
      if (high < first || low > last) return [[low, high]];
      count += Math.min(high, last) - Math.max(low, first) + 1;
      const parts: [number, number][] = [[low, first - 1], [last + 1, high]];
      return parts.filter(([from, to]) => from <= to && from >= low && to <= high);
    });
    return count;
  }

  #count(first: number, last: number): number {
    return this.#holes.reduce((sum, [low, high]) => sum + Math.max(0, Math.min(high, last) - Math.max(low, first) + 1), 0);
  }

  #lowest(first: number, last: number): number | undefined {
    const hole = this.#holes.find(([low, high]) => high >= first && low <= last);
    return hole && Math.max(hole[0], first);
  }

  #noteGone(number: number | undefined): void {
    if (number != null) this.#firstGone = Math.min(this.#firstGone ?? Infinity, number);
  }

  /** Assigns what can only be assigned in one way, and keeps to the limits. */
  #settle(): void {
    for (let isChanged = true; isChanged; ) {
      isChanged = false;
      for (const told of [...this.#told])
        if (told.last <= this.#highest && this.#count(told.first, told.last) <= told.count) {
          this.#told.splice(this.#told.indexOf(told), 1);
          this.#assign(told);
          isChanged = true;
        }
    }
    while (this.#told.length > Limit.MOST) this.#assign(this.#told.shift()!);
    while (this.#holes.length > Limit.MOST) this.#giveUp(this.#holes[0]![1], "unknown");
  }

  /** Counts as many numbers as were told, the lowest first. */
  #assign({ reason, first, last, count }: Told): void {
    let left = count;
    for (let lowest; left && (lowest = this.#lowest(first, last)) != null; ) {
      this.#noteGone(lowest);
      const run = this.#holes.find(([low, high]) => low <= lowest! && lowest! <= high)![1];
      left -= this.#remove(lowest, Math.min(run, last, lowest + left - 1));
    }
    add(this.#skipped, reason, count - left);
    // What was told of numbers before the stream is not looked at.
    if (first > this.#start!) this.#surplus += left;
  }

  /** Counts what has not come up to a number as lost for this reason, or as part of a snapshot. */
  #giveUp(upto: number, reason: string, first = 0, isRestored = false): void {
    if (this.#told[0]) {
      // At first what was told, as much of it as possible.
      const [holes, skipped, told, gone] = this.#matched();
      this.#holes = holes;
      this.#noteGone(gone);
      for (const reason in skipped) add(this.#skipped, reason, skipped[reason]!);
      for (const { first, last, count } of told) if (last <= upto && first > (this.#start ?? 0)) this.#surplus += count;
      this.#told = told.filter(({ last, count }) => last > upto && count);
    }
    const lowest = this.#lowest(first, upto);
    const count = this.#remove(first, upto);
    if (isRestored) this.#restored += count;
    else if (count) {
      add(this.#lost, reason, count);
      this.#noteGone(lowest);
    }
  }

  /** What is missing if as much as possible of what was told is assigned; and that, by reason. Numbers between two bounds are
   * alike, so each is given to the telling that ends first. Then what is left of each telling, and the lowest number that was
   * assigned. */
  #matched(): [[number, number][], Counts, Told[], number | undefined] {
    let gone: number | undefined;
    const told = this.#told.map((each) => ({ ...each }));
    const bounds = [...new Set(told.flatMap(({ first, last }) => [first, last + 1]))].sort((one, other) => one - other);
    const skipped: Counts = {};
    const left: [number, number][] = [];
    for (const [low, high] of this.#holes) {
      const edges = [low, ...bounds.filter((bound) => low < bound && bound <= high), high + 1];
      for (let index = 0; index + 1 < edges.length; index++) {
        let place = edges[index]!;
        const [begin, end] = [place, edges[index + 1]!];
        const over = told.filter(({ first, last }) => first <= begin && last >= end - 1);
        for (const each of over.sort((one, other) => one.last - other.last)) {
          const taken = Math.min(each.count, end - place);
          if (taken) gone ??= begin;
          each.count -= taken;
          place += taken;
          add(skipped, each.reason, taken);
        }
        if (place >= end) continue;
        const newest = left.at(-1);
        if (newest && newest[1] == place - 1) newest[1] = end - 1;
        else left.push([place, end - 1]);
      }
    }
    return [left, skipped, told, gone];
  }
}
