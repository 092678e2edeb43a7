// The public stream of all rooms whose names match a pattern.
import type { RoomEnded } from "./errors";
import { take } from "./machine/feeds";
import { tellIfDue } from "./machine/reports";
import { release } from "./machine/queue";
import type { Message } from "./message";
import type { Room, Wishes } from "./room";
import { type Callback, MessageStream } from "./stream";

/** The events of a pattern, and what their callbacks get. */
export interface PatternEvents {
  /** A message of one of the rooms. It counts as taken when the callback has returned, and its promise has ended. */
  message: (message: Message) => unknown;
  /** A room was joined because of the pattern; also told of those that are there already. */
  room: (room: Room) => unknown;
  /** The pattern has ended. */
  end: (ended: RoomEnded) => unknown;
}

/**
 * All rooms whose names match a pattern: those that exist, and each that comes to exist. `Client.joinPattern` makes it.
 *
 * Iterate over it, or use `on("message", ...)`, for the messages of all; `Message.room` says of which. Those of one room come
 * in their order, and between rooms the stream takes turns. Each room is as if it was joined alone, with its own numbers,
 * gaps, snapshot and queue. A room that ends leaves `rooms`; the pattern goes on.
 *
 * ```js
 * const quotes = await client.joinPattern("quotes.*");
 * for await (const message of quotes) console.log(message.room, message.data);
 * ```
 */
export class RoomPattern extends MessageStream<PatternEvents> {
  /** The rooms that the client is in because of it. A loop over one of them, or its `on("message", ...)`, is an
   * error: its messages come here. */
  readonly rooms: ReadonlyMap<string, Room> = new Map();
  /** @internal */
  _wishes?: Wishes;
  /** @internal */
  _joinKey?: string;
  /** @internal */
  _leaveKey?: string;
  /** @internal */
  _isHeld?: boolean;
  /** @internal */
  _retryAt?: number;
  /** @internal */
  _retries = 0;
  /** @internal */
  readonly _came = new Set<string>();
  /** @internal */
  _lacking?: Set<string>;
  /** The rooms that have messages, each once, in turns; and the one whose message the application has.
   * @internal */
  readonly _ready = new Set<Room>();
  /** @internal */
  _hand?: Room;

  /** Calls a function for each event of a kind. Returns the function that ends this. */
  override on<E extends keyof PatternEvents>(event: E, callback: PatternEvents[E]): () => void {
    if (event == "room") this.rooms.forEach((room) => (callback as Callback)(room));
    return super.on(event, callback);
  }

  /** @internal */
  _take(now: number): Message | undefined {
    const hand = this._hand;
    this._hand = undefined;
    if (hand) {
      release(hand._waiting, now);
      tellIfDue(this._core, hand, now);
    }
    for (const room of this._ready) {
      this._ready.delete(room);
      const message = take(room, now);
      if (!message) continue;
      if (room._waiting._items.length) this._ready.add(room);
      this._hand = room;
      return message;
    }
    return;
  }
}
