// What the driver and the transports know of each other. A link is one transport connection of a session.
import type { Frame } from "../codec";
import type { Settings } from "../options";

export type Transport = "websocket" | "sse" | "long-poll";

/** Fields of the URL's query. */
export type Query = Record<string, string | number>;

/** Why a link has ended, or why there is none. */
export type OnEnd = (
  /** A close code; 1006: there was no close frame. */
  code: number,
  reason: string,
  /** The HTTP status of a refusal. */
  status?: number,
  /** Milliseconds, from `Retry-After`. */
  after?: number | null,
) => void;

/** What a transport needs for one link. */
export interface Dialling extends Settings {
  /** The fields that resume a session. */
  _query: Query;
  _token: string | undefined;
  /** The counted messages that have come by this link, and before it. Not while another link is dialled: the server would
   * forget what it has to send again over that one. */
  _received(): Promise<number>;
  /** A whole message has come. The first says that the link is open. */
  _onFrame(frame: Frame): void;
  /** Bytes have come, of a message or of none: a sign of life. */
  _onBytes(): void;
  /** The link has ended. Called once. */
  _onEnd: OnEnd;
}

/** One link, from the attempt on. */
export interface Link {
  /** Sends a message. */
  _send(frame: Frame): void;
  /** Begins the closing handshake; `_onEnd` is called at its end. */
  _close(code: number, reason?: string): void;
  /** Closes without waiting, with a close frame where that can still be sent. */
  _drop(code: number, reason?: string): void;
}

/** The code of an end without a close frame. */
export const ABNORMAL = 1006;
