// What the machine wants done: plain values, done in their order.
import type { FanwireError, RequestFailed } from "../errors";
import type { Frame } from "../codec";
import type { Gap, Member, Message, Position, Skipped } from "../message";
import type { RoomPattern } from "../pattern";
import type { Room } from "../room";

export type State = "connecting" | "open" | "reconnecting" | "closing" | "closed";

/** What connects to a session again; empty: a new session. `received` is the count of received messages. */
export interface Query {
  session?: string;
  received?: string;
  /** Refuse instead of beginning a new session: for another link of an open one. */
  must_resume?: string;
}

/** For the transport. */
export type LinkAction =
  /** Give a frame to the connection. */
  | { type: "send"; frame: Frame }
  /** Connect after `delay` milliseconds. There is no connection now. */
  | { type: "connect"; query: Query; delay: number }
  /** Close the connection at once, with this code if it can still be sent. No more events of it are reported. */
  | { type: "drop"; code: number; reason: string }
  /** Begin the closing handshake, or end the attempt to connect. `lost` says when it is done. */
  | { type: "close"; code: number }
  /** Call the application for a new token; then `renewed` or `renewalFailed`. */
  | { type: "renew" };

/** For the caller of a call. */
export type CallAction =
  /** The value is the number of a publish, the payload of a request, undefined otherwise. */
  | { type: "resolve"; key: string; value: unknown }
  | { type: "reject"; key: string; error: FanwireError };

/** About a room. The room has the new state when the action is taken. */
export type RoomAction =
  /** The stream begins, or goes on after the room was joined again, from this position. */
  | { type: "joined"; room: Room; value: Position }
  /** A room that was behind delivers messages again. */
  | { type: "caught_up"; room: Room; value?: undefined }
  /** The server has changed the rates, as the client has asked. */
  | { type: "configured"; room: Room; value?: undefined }
  /** No more messages of the room come. null: the application has left it, or has closed the client. */
  | { type: "left"; room: Room; value: FanwireError | null }
  /** A message for the application. */
  | { type: "deliver"; room: Room; value: Message }
  /** Messages of the room are missing. The next message reports it, too. */
  | { type: "gap"; room: Room; value: Gap }
  | { type: "skipped"; room: Room; value: Skipped }
  | { type: "member"; room: Room; value: Member };

/** A pattern has ended, and its rooms before. null: the application has left it, or has closed the client. */
export type PatternAction = { type: "pattern_ended"; pattern: RoomPattern; value: FanwireError | null };

export type Action =
  | PatternAction
  | LinkAction
  | CallAction
  | RoomAction
  /** A message to this client alone. With `ack` the application reports it by `processed`. */
  | { type: "told"; message: Message; ack: boolean }
  /** The client is in another state. `error`: why it is closed; null: the application has closed it. */
  | { type: "state"; state: State; error: FanwireError | null }
  /** The server has sent an error that answers no request. */
  | { type: "complained"; error: RequestFailed };
