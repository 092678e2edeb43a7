// What the application gets: messages on their way from a queue to a loop or to callbacks of "message", and other events.
import { RoomEnded, type FanwireError } from "./errors";
import type { Core } from "./machine/core";
import type { Message } from "./message";
import { abortable, now, turn } from "./timers";

/** Milliseconds that an application that never waits may take messages until the connection has its turn: pings are
 * answered then, and what has come is read. */
const TURN = 20;

export type Callback = (...values: any[]) => unknown;

/** Where the messages of an outlet come from. */
export interface Source {
  /** Returns the next message; undefined: none waits. */
  _take(now: number): Message | undefined;
  /** undefined: more messages come; otherwise the error with which they end, or null. */
  _error?: FanwireError | null;
  /** Whether something else takes the messages. */
  _isTaken?(): boolean;
}

/** The way out of a room, or of a client. */
export interface Outlet {
  /** Adds a callback; returns the function that removes it. */
  _on(event: string, callback: Callback): () => void;
  /** Calls the callbacks; returns what they return. One that throws is reported, and the others are called. */
  _tell(event: string, ...values: unknown[]): unknown[];
  /** A message waits, or no more come. */
  _wake(): void;
  /** Returns an iterator of the messages. */
  _messages(options?: { signal?: AbortSignal }): AsyncGenerator<Message, void>;
}

/** @param perform does the machine's actions. */
export function outlet(source: Source, perform: () => void): Outlet {
  const callbacks: Record<string, Set<Callback>> = {};
  let wake = () => {};
  let woken: Promise<void>;
  let isPumping = false;
  let turnEnds = 0;
  /** Whether a loop waits for the next message. */
  let isIterated = false;
  const of = (event: string) => (callbacks[event] ??= new Set());

  const only = (isUsed: unknown) => {
    if (isUsed || source._isTaken?.()) throw new Error("one loop, or callbacks of message: another takes these messages");
  };
  const ready = async () => {
    if (now() > turnEnds) {
      await turn();
      turnEnds = now() + TURN;
    }
  };

  const made: Outlet = {
    _on(event, callback) {
      if (event == "message") only(isIterated);
      of(event).add(callback);
      made._wake();
      return () => of(event).delete(callback);
    },
    _tell: (event, ...values) =>
      Array.from(of(event), (callback) => {
        try {
          return callback(...values);
        } catch (error) {
          return console.error(error);
        }
      }),
    async _wake() {
      wake();
      woken = new Promise((done) => (wake = done));
      if (isPumping || !of("message").size) return;
      for (isPumping = true; ; ) {
        await ready();
        // From here to the call nothing else runs: a callback that is removed before leaves the message to others.
        const message = of("message").size ? source._take(now()) : undefined;
        const done = message && made._tell("message", message);
        isPumping = !!done;
        perform();
        if (!done) return;
        // A message counts as taken when all callbacks are done with it, and what they return too.
        await Promise.all(done).catch(console.error);
      }
    },
    async *_messages({ signal } = {}) {
      for (;;) {
        only(isIterated || of("message").size);
        isIterated = true;
        try {
          let message;
          for (;;) {
            const waiting = woken;
            signal?.throwIfAborted();
            await ready();
            message = source._take(now());
            perform();
            if (message) break;
            const { _error } = source;
            if (_error) throw _error;
            if (_error === null) return;
            await abortable(waiting, signal);
          }
          isIterated = false;
          yield message;
        } finally {
          isIterated = false;
        }
      }
    },
  };
  made._wake();
  return made;
}

/** The messages of one room, or of all rooms of a pattern, up to their end. `Room` and `RoomPattern` are its classes. */
export abstract class MessageStream<Events extends { end: (ended: RoomEnded) => unknown }> implements AsyncIterable<Message> {
  /** Why it has ended; null: it has not. */
  ended: RoomEnded | null = null;
  /** Why it has ended; null: the application wanted it; undefined: it has not ended.
   * @internal */
  _error?: FanwireError | null;
  /** @internal */
  readonly _outlet: Outlet = outlet(this, () => this._core._perform());
  /**
   * The messages; the signal ends the iteration with its reason.
   *
   * ```js
   * for await (const message of room.messages({ signal })) console.log(message.data);
   * ```
   */
  readonly messages = this._outlet._messages;

  /** @internal */
  constructor(
    /** Of the room; or the pattern. */
    readonly name: string,
    readonly _core: Core,
  ) {}

  /** @internal */
  abstract _take(now: number): Message | undefined;

  /** Calls a function for each event of a kind. Returns the function that ends this. */
  on<E extends keyof Events>(event: E, callback: Events[E]): () => void {
    if (event == "end" && this.ended) (callback as Callback)(this.ended);
    return this._outlet._on(event as string, callback as Callback);
  }

  [Symbol.asyncIterator](): AsyncGenerator<Message, void> {
    return this.messages();
  }

  /**
   * Leaves the room, or all rooms of the pattern, and ends the iteration after the messages that came before.
   * @throws RequestFailed: the server refuses.
   */
  async leave(): Promise<void> {
    if (!this.ended) await this._core._leave(this.name);
  }

  /** No more messages come. null: the application has left it, or has closed the client.
   * @internal */
  _end(error: FanwireError | null): void {
    this._error = error;
    const code = error ? "connection_failed" : this._core.state == "closed" ? "closed" : "left";
    this.ended = error instanceof RoomEnded ? error : new RoomEnded(this.name, code, error?.message);
    this._outlet._wake();
    this._outlet._tell("end", this.ended);
  }
}
