// The public room. It is the record of one membership, too: the machine keeps its state in the private fields.
import type { RoomEnded } from "./errors";
import type { Core } from "./machine/core";
import { take } from "./machine/feeds";
import { pendingAt, sendInput, type Inputs, type PendingInput } from "./machine/inputs";
import type { History, HistoryOptions } from "./machine/history";
import type { Numbers } from "./machine/positions";
import { createQueue, type Queue } from "./machine/queue";
import type { Report } from "./machine/reports";
import type { Values } from "./machine/values";
import type { Envelope } from "./codec";
import type { Filter, Gap, Member, Message, Position, RoomRates, Skipped } from "./message";
import { type Callback, MessageStream } from "./stream";

const enum Limit {
  /** Messages kept of a room that the server has joined, until the application asks for it. */
  UNCLAIMED = 128,
}

/** The events of a room, and what their callbacks get. */
export interface RoomEvents {
  /** A message. It counts as taken when the callback has returned, and the promise that it returns has ended. */
  message: (message: Message) => unknown;
  /** Messages are missing, told as soon as the client knows. What a full queue drops is told by `Message.gap` only. */
  gap: (gap: Gap) => unknown;
  /** The server has not delivered some messages, by the rules of the room. */
  skipped: (skipped: Skipped) => unknown;
  /** A member has joined or left. */
  member: (member: Member) => unknown;
  /** The queue of a reliable room is full (`isBehind`). */
  behind: () => unknown;
  /** The room has ended. */
  end: (ended: RoomEnded) => unknown;
}

/** What the rooms need of the client. */
export interface Owner {
  /** Messages of a room that may wait for the application. */
  _limit: number;
  /** Whether rooms that the server joins are the application's at once: it listens to "room". */
  _claims?: boolean;
  /** Does the machine's actions. */
  _perform(): void;
  /** Waits until one more message may be sent. */
  _gate(): Promise<void>;
  _leave(room: string): Promise<void>;
  _configure(room: string, rates: RoomRates): Promise<void>;
  _history(room: string, options: HistoryOptions): History;
}

/** The application's queue for a reliable room. */
export const enum Behind {
  /** It has space. */
  NOT,
  /** It is full: new messages are not kept, and the position stays. */
  FULL,
  /** It has space for the missed messages again. */
  HAS_PLACE,
  /** They are asked for. */
  ASKED,
}

/** What the application wants of a membership besides its position. */
export interface Wishes {
  /** The first join begins with so many of the messages that the room keeps. */
  last?: number;
  /** What it wants in place of missed messages. */
  repair?: Repair;
}

/** What a client may want in place of the messages that it has missed: these messages, the state of the room, or
 * whichever is fewer bytes. */
export type Repair = "replay" | "snapshot" | "cheapest";

/** What the machine knows of a membership. */
export interface Room extends Numbers, Report {
  _wishes?: Wishes;
  /** The pattern because of which the server has joined it. */
  _pattern?: string;
  /** The ids of the join and of the leave that are not answered. */
  _joinKey?: string;
  _leaveKey?: string;
  /** Whether the stream has begun in this session. */
  _isIn: boolean;
  /** When to join again; undefined: not at all. And how many joins in a row have failed. */
  _retryAt?: number;
  _retries: number;
  /** Whether asking for missed messages has failed, and nothing has come since. */
  _isBroken: boolean;
  /** Whether newest values were dropped that come again only with the answer to the next join. */
  _isRefreshing: boolean;
  _joinedAt: number;
  /** When values that the queue has dropped may be asked for again, and the pause before that; undefined: never dropped. */
  _restoreAt?: number;
  _pause?: number;
  /** What the next message has to report. */
  _gap: Gap | null;
  /** The gap that no callback and no message has told of yet. */
  _untold?: Gap | null;
  /** A `joined` that the server sent by itself, and the messages after it, until the client's own join is answered. */
  _offered: Envelope[];
  /** The newest values, if messages of the room may be deltas to them; and whether newest values are not here: that of a
   * delta, of another filter, or of a full queue. */
  _values?: Values;
  _lacksValue?: boolean;
  /** Whether the application has asked for the room. Before, its newest messages are kept, whatever the class. */
  _isClaimed?: boolean;
  /** Whether it has joined the room by its name. */
  _isOwn?: boolean;
  /** Messages up to this number come from the room's history. */
  _upto: number;
  /** What the application has sent to it. */
  _inputs?: Inputs;
}

/**
 * A room that the client has joined. `Client.join` makes it.
 *
 * Iterate over it from one loop, or use `on("message", ...)`, not both. When the room ends, the messages that came before
 * are still handed out. Then the iteration ends, if the application has left the room or closed the client; otherwise it
 * throws `RoomEnded`, or `ConnectionFailed` if the client has given up. A lost connection does not end a room.
 *
 * In a room with reliable delivery no message comes twice, and `Message.gap` tells of messages that do not come.
 *
 * ```js
 * const room = await client.join("prices");
 * for await (const message of room) console.log(message.seq, message.data);
 * ```
 */
export class Room extends MessageStream<RoomEvents> {
  /** Id to info; null: the room has no presence. */
  members: Map<string, unknown> | null = null;
  /** How many members there are, listed or not; null: the room has no presence. */
  count: number | null = null;
  /** The delivery class: "reliable", "latest", "drop-oldest" or "drop-newest"; "": the server has not let the client in. */
  delivery = "";
  /** The values of each key a second that the server sends at most; null: all. */
  maxRate: number | null = null;
  /** The bytes of the room a second that the server sends at most; null: no limit. */
  maxBytes: number | null = null;
  /** The filter that decides which messages the server sends; null: all. */
  filter: Filter | null = null;
  /** The state of the room before its first message, if the server supplies one. */
  snapshot: unknown = null;
  /** How many messages that the room has kept the last join has begun with (`last` of `Client.join`). */
  replayed = 0;
  /** What the last join has brought in place of missed messages: "replay" or "snapshot"; null: `Client.join` was called
   * without `repair`, or nothing was missed: then there is no gap either. */
  repair: string | null = null;
  /** The id of the numbering that `seq` belongs to. */
  epoch = "";
  /** The number of the last message that the application has taken. */
  seq = 0;
  /** @internal */
  _behind = Behind.NOT;
  /** @internal */
  readonly _waiting: Queue = createQueue(Limit.UNCLAIMED, "");

  /** @internal */
  constructor(
    name: string,
    core: Core,
    /** The position that the application has asked for, or that of the last join. */
    public _asked: Position | null = null,
  ) {
    super(name, core);
    this._told = this._toldBytes = 0;
    this._missing = [];
    this._excused = [];
    this._offered = [];
  }

  /** Whether the queue of a reliable room is full, so that new messages are not kept at present. */
  get isBehind(): boolean {
    return !!this._behind;
  }

  /** Whether a number that does not come may be that of a message that is not for this client: the room has interest, or a
   * rate. For `isFiltered` of a `SequenceChecker`. */
  get isFiltered(): boolean {
    return !!(this._isFiltered || this.maxRate || this.maxBytes);
  }

  /** Store it and give it to `join` as `since`, to continue after the last message taken. */
  get position(): Position {
    return { epoch: this.epoch, seq: this.seq };
  }

  /**
   * Sends an input to the application's loop (`Server.inputs`).
   *
   * ```js
   * const number = await room.sendInput({ left: true });
   * ```
   *
   * Resolves when the input was given to the connection. While the connection is lost, inputs wait; if the session is
   * lost, they are dropped.
   *
   * @param data a value of docs/values.md that JSON can hold, at most 4 kB.
   * @returns the number of the input in this room: 1, 2, 3...
   * @throws TypeError, RangeError: it cannot be encoded. RoomEnded: the room has ended. Closed: the client is closed.
   */
  async sendInput(data: unknown): Promise<number> {
    await this._core._gate();
    if (this.ended) throw this.ended;
    const number = sendInput(this._core, this, data);
    this._core._perform();
    return number;
  }

  /**
   * The inputs that the last message taken does not include, oldest first, at most 256: to predict the present, apply them
   * to the values of the server.
   *
   * ```js
   * let state = message.data;
   * for (const { data } of room.pendingInputs) state = apply(state, data);
   * ```
   */
  get pendingInputs(): PendingInput[] {
    return this.ended || !this._inputs ? [] : pendingAt(this._inputs, this.seq);
  }

  /** Calls a function for each event of a kind. Returns the function that ends this. The first for "gap" gets at once what
   * the client has found before, such as at the join itself, unless a message that was taken has told of it. */
  override on<E extends keyof RoomEvents>(event: E, callback: RoomEvents[E]): () => void {
    if (event == "gap" && this._untold) {
      (callback as Callback)(this._untold);
      this._untold = null;
    }
    return super.on(event, callback);
  }

  /**
   * The messages that the room keeps. Await it for a list, oldest first; or iterate over it, from the oldest on with
   * `after`, otherwise from the newest back.
   *
   * ```js
   * const newest = await room.history({ limit: 50 });
   * for await (const message of room.history({ before: newest[0].seq })) console.log(message.data);
   * ```
   *
   * @param options.before only messages with lower numbers. Default: all.
   * @param options.after only messages with higher numbers. Default: all.
   * @param options.limit the most messages. Default: all, and 100 of a list.
   * @throws RequestFailed: from reading: the server refuses, or the room keeps no history.
   */
  history(options: HistoryOptions = {}): History {
    return this._core._history(this.name, { epoch: this.epoch, ...options });
  }

  /**
   * Changes what the server sends of the room. What is not given stays as it is; null takes a limit away.
   *
   * ```js
   * await room.configure({ maxRate: document.hidden ? 1 : null });
   * ```
   *
   * @throws RequestFailed: the server refuses, "invalid_payload" in a "reliable" room.
   * @throws RangeError: a rate is no number above 0.
   */
  async configure(rates: RoomRates): Promise<void> {
    await this._core._configure(this.name, rates);
  }

  /** @internal */
  _take(now: number): Message | undefined {
    return take(this, now);
  }

  /** @internal */
  _isTaken(): boolean {
    return this._core._patterns.has(this._pattern!);
  }
}
