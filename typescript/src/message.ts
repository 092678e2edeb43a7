// The messages that an application gets, and the reports of messages that it does not get.

/** The class of which nothing is dropped. A class that this client does not know is taken for one that drops. */
export const RELIABLE = "reliable";

/** The position of a reader in a room. Store it, and give it to `join` as `since` later. */
export interface Position {
  /** The id of the numbering. */
  epoch: string;
  /** The number of the last message that the reader has. */
  seq: number;
}

/** How much of a room the server sends. It leaves out what newer values have replaced; that is no gap. */
export interface RoomRates {
  /** Values of each key a second at most, 0.01 to 1,000; null: all. */
  maxRate?: number | null;
  /** Bytes of the room a second at most, 1 to 1,000,000,000; null: no limit. */
  maxBytes?: number | null;
  /** The messages that the server sends, by their tags (docs/interest.md); null: all. For rooms with interest. */
  filter?: Filter | null;
}

/** A filter over the tags of messages, such as `{ symbol: { in: ["EURUSD"] } }`; with several names all must hold. */
export interface Filter {
  [name: string]: unknown;
}

/** Messages that were missed and do not come any more. */
export interface Gap {
  /**
   * From the server: "epoch", "history", "position", "snapshot" (asked for by `repair`), or a reason of `Skipped`. From the client: "unhealed" (messages
   * were missing and could not be read again), "slow" (the application did not take them in time) or "unreadable".
   */
  reason: string;
  /** The number of the last message before the gap; null: the messages are to this client alone and have no numbers. */
  after: number | null;
  /** The number of the last message in the gap; null: as `after`. With the reason "epoch" `after` is a number of the old
   * numbering, and this one of the new, so it may be lower; 0: nothing of the new numbering is missing. */
  upto: number | null;
  /** The state of the room at `upto`; null: the server sends none. */
  snapshot: unknown;
  /** How many messages to this client alone are missing; null: the gap is in a room. */
  count: number | null;
}

/** What a message consists of. */
interface Parts<T> {
  /** The published value; null: there is none. */
  readonly data: T;
  /** null: the message is to this client alone. */
  readonly room: string | null;
  /** Its number in the room; null: the message is to this client alone. */
  readonly seq: number | null;
  /** null: the server has sent none. */
  readonly id: string | null;
  /** When it was sent, in milliseconds since 1970 by the server's clock; null: the server does not say. */
  readonly time: number | null;
  /** In a room of latest values: the key whose newest value `data` is; null: it has none. */
  readonly key: string | null;
  /** The number of the room's message before it, if that is not `seq` less one: numbers between the two do not exist. null:
   * there are none. */
  readonly prev: number | null;
  /** The messages that are missing before this one; null: none is missing. */
  gap: Gap | null;
  /** The key has no value any more, and `data` is null. */
  readonly isForgotten: boolean;
}

/** A message of a room, or to this client alone. */
export interface Message<T = any> extends Parts<T> {}
export class Message<T = any> {
  readonly #clock: Clock;

  constructor(parts: Parts<T>, clock: Clock) {
    Object.assign(this, parts);
    this.#clock = clock;
  }

  /** Milliseconds since it was sent, by the server's clock; null: unknown. The error is at most half the round trip of a
   * ping, and what the two clocks drift. */
  get age(): number | null {
    const { _offset } = this.#clock;
    return this.time == null || _offset == null ? null : Math.max(0, performance.now() + _offset - this.time);
  }
}

/** Messages of a room that the server did not deliver to this client, by the rules of the room. */
export interface Skipped {
  reason: string;
  count: number;
  first: number;
  last: number;
}

/** A member that joined a room, or left it. */
export interface Member {
  id: string;
  info: unknown;
  /** true: it joined; false: it left. */
  isHere: boolean;
}

/** What the server's clock is ahead of the client's; null: unknown. */
interface Clock {
  _offset: number | null;
}

/** A gap; by default it has no snapshot, and is in a room. */
export const gapOf = (
  reason: string,
  after: number | null,
  upto: number | null,
  snapshot: unknown = null,
  count: number | null = null,
): Gap => ({ reason, after, upto, snapshot, count });

/** Two gaps as one: from the start of the first to the end of the second. */
export const joint = (first: Gap | null | undefined, second: Gap | null): Gap | null =>
  first && second
    ? { ...second, after: first.after, snapshot: second.snapshot ?? first.snapshot }
    : (first ?? second);
