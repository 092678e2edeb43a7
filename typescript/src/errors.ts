// All errors of the client, sorted by who must act. A lost connection is none: the client comes back by itself.

/** The base of all errors. Wrong arguments are `TypeError`, `RangeError` or `URIError` instead. */
export class FanwireError extends Error {
  /** @internal */
  constructor(name: string, text: string, fields?: object) {
    super(text.trim());
    Object.assign(this, fields, { name });
  }
}

/** The caller must act: the application has closed this client. */
export class Closed extends FanwireError {
  constructor() {
    super("Closed", "the client is closed");
  }
}

/** The operator must act: the client has given up. It has no connection, and makes no more attempts. */
export class ConnectionFailed extends FanwireError {
  /** The reason in the close frame, or a description of what happened. */
  declare readonly reason: string;
  /** The close code that ended the last connection; null: there was none. */
  declare readonly code: number | null;
  /** The HTTP status with which the server has refused; null: it has not refused. */
  declare readonly status: number | null;

  constructor(reason: string, code: number | null = null, status: number | null = null) {
    super("ConnectionFailed", `${code ?? status ?? ""} ${reason}`, { reason, code, status });
  }
}

/** The server has answered a request with an error. The connection goes on. */
export class RequestFailed extends FanwireError {
  /** For programs, such as "forbidden", or of the application. */
  declare readonly code: string;
  /** For people. */
  declare readonly text: string;
  /** Whether the same request can succeed later. */
  declare readonly retry: boolean;
  /** Milliseconds after which to try again; null: the server does not say. */
  declare readonly retryAfterMs: number | null;
  /** The wrong field, such as "$.since.seq"; null: the error is not about a field. */
  declare readonly path: string | null;
  /** What the server's handler has added; null: nothing. */
  declare readonly data: unknown;

  constructor(code: string, text: string, fields?: Partial<RequestFailed>) {
    super("RequestFailed", `${code}: ${text}`, {
      ...{ code, text, retry: false, retryAfterMs: null, path: null, data: null },
      ...fields,
    });
  }
}

/** The client is no longer a member of a room: no more messages come. Joining it again may succeed. */
export class RoomEnded extends FanwireError {
  /** The name of the room. */
  declare readonly room: string;
  /** "left" or "closed": the application has left the room or closed the client. "removed", "forbidden": the server has
   * ended it. "connection_failed": the client has given up. Any other: the server has refused to let the client in again. */
  declare readonly code: string;
  /** For people. */
  declare readonly text: string;
  /** Whether joining the room again can succeed later. */
  declare readonly retry: boolean;

  constructor(room: string, code: string, text = "", retry = false) {
    super("RoomEnded", `room ${room} has ended: ${code} ${text}`, { room, code, text, retry });
  }
}
