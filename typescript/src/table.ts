// The words and numbers of the protocol. Made from protocol/protocol.toml by `make protocol`: change that file.

/** Types that a server sends. */
export type ServerType =
  | "welcome"
  | "message"
  | "joined"
  | "left"
  | "reply"
  | "error"
  | "skipped"
  | "forgotten"
  | "member_joined"
  | "member_left"
  | "closing"
  | "token_expiring"
  | "token_expired"
  | "received"
  | "inputs"
  | "window"
  | "ping"
  | "pong";

/** The delivery classes. */
export type Delivery =
  | "reliable"
  | "latest"
  | "drop-oldest"
  | "drop-newest";

/** Codes of the payload of `error`. */
export type ErrorCode =
  | "bad_encoding"
  | "bad_message"
  | "unknown_type"
  | "invalid_payload"
  | "forbidden"
  | "unauthorized"
  | "bad_room"
  | "room_limit"
  | "rate_limited"
  | "room_full"
  | "not_joined"
  | "overloaded"
  | "unavailable"
  | "internal";

/** Values of `reason` in the payload of `welcome`. */
export type WelcomeReason =
  | "unknown"
  | "expired"
  | "overflow"
  | "closed"
  | "codec"
  | "other node";

/** Values of `reason` in the payload of `joined`. */
export type JoinedReason =
  | "epoch"
  | "history"
  | "position"
  | "forbidden"
  | "snapshot";

/** Values of `reason` in the payload of `left`. */
export type LeftReason =
  | "forbidden"
  | "removed"
  | "internal";

/** Values of `reason` in the payload of `skipped`. */
export type SkippedReason =
  | "replaced"
  | "oldest"
  | "newest"
  | "budget"
  | "excluded"
  | "backplane";

/** Types that a client sends. All others are the application's. */
export const CLIENT_TYPES: readonly string[] = [
  "join",
  "leave",
  "configure",
  "publish",
  "input",
  "presence",
  "history",
  "message",
  "ack",
  "token",
  "received",
  "ping",
  "pong",
];

/** Types that neither side counts. */
export const UNCOUNTED: readonly string[] = [
  "received",
  "ping",
  "pong",
  "welcome",
  "window",
];

/** Classes with a value per key. */
export const KEYED: readonly string[] = [
  "latest",
];

/** The subprotocol of json. */
export const JSON_PROTOCOL = "fanwire.v1.json";

/** The subprotocol of msgpack. */
export const MSGPACK_PROTOCOL = "fanwire.v1.msgpack";

/** The subprotocol of raw. */
export const RAW_PROTOCOL = "fanwire.v1.raw";

/** What begins the offer that is a token. */
export const TOKEN_OFFER = "fanwire.token.";

/** A type; an application declares types of at most 64 bytes (characters). */
export const TYPE_MAX = 64;

/** The id of a message (characters). */
export const ID_MAX = 64;

/** The name of a room (bytes). */
export const ROOM_MAX = 255;

/** A key that a client publishes with (characters). */
export const KEY_MAX = 255;

/** The token of `token` (characters). */
export const TOKEN_MAX = 8_192;

/** Rooms in `taken` of one report; others come with the next one. */
export const TAKEN_ROOMS = 1_024;

/** Rooms in `taken` for which a report counts as one; a report with more counts as one for every so many. */
export const REPORT_ROOMS = 16;

/** Counted messages after which the server sends `received`. */
export const REPORT_MESSAGES = 32;

/** Messages after which it sends `received` (bytes). */
export const REPORT_BYTES = 65_536;

/** The window of a room at first (bytes). */
export const INITIAL_WINDOW = 16_384;

/** `max_rate`: values of each key a second. */
export const RATE_MAX = 1_000;

/** Between two values of a key: `max_rate` is at least 0.01 (seconds). */
export const RATE_INTERVAL_MAX = 100;

/** `max_bytes`: bytes of a room a second (bytes). */
export const RATE_BYTES_MAX = 1_000_000_000;

/** Members in `joined`, and in one page of `presence`. */
export const MEMBERS_LISTED = 1_000;

/** The list of these members, about (bytes). */
export const MEMBERS_BYTES = 65_536;

/** `info` of a member, as JSON (bytes). */
export const INFO_MAX = 4_096;

/** Ids of one identity whose publishes are not done twice. */
export const IDS_REMEMBERED = 1_024;

/** The `code` of an application's error (characters). */
export const ERROR_CODE_MAX = 64;

/** The `text` of an application's error; the rest is cut off (characters). */
export const ERROR_TEXT_MAX = 1_000;

/** Codes with which a client comes back, besides those of the range. */
export const RECONNECT: readonly number[] = [
  1001,
  1005,
  1006,
  1011,
  1012,
  1013,
  1014,
];

/** Codes of an application with which the other side comes back, first and last. */
export const RECONNECT_RANGE = [4000, 4499] as const;

/** The codes that are sent or reported. */
export const enum CloseCode {
  /** Done. */
  NORMAL = 1000,
  /** The server stops, and `closing` has said when to come back; or a browser leaves the page. */
  GOING_AWAY = 1001,
  /** RFC 6455 was broken, or the server's envelopes cannot be right. */
  PROTOCOL_ERROR = 1002,
  /** A close frame without a code. */
  NO_CODE = 1005,
  /** No close frame. */
  ABNORMAL = 1006,
  /** A text message was not UTF-8. */
  INVALID_DATA = 1007,
  /** The client broke a rule of the application, kept exceeding its rates, or did not finish a message in time. */
  POLICY = 1008,
  /** A message was larger than `max_message`, or had too many fragments. */
  TOO_BIG = 1009,
  /** The server, or a handler of the application, failed. */
  INTERNAL_ERROR = 1011,
  /** A proxy, or another server on the way, restarts. */
  SERVICE_RESTART = 1012,
  /** The server has no memory for more, or the application asks the client to come back later. */
  TRY_AGAIN_LATER = 1013,
  /** A proxy cannot reach the server. */
  BAD_GATEWAY = 1014,
  /** Reconnect; the session continues, unless the application has closed the connection. */
  RECONNECT = 4000,
  /** More waited for the client than `connection_bytes` or `engine_bytes` allow; join again with `since`. */
  SLOW_CONSUMER = 4008,
  /** The client's token has expired, and the client showed no new one. */
  TOKEN_EXPIRED = 4501,
  /** The application has revoked the session or the user. */
  REVOKED = 4502,
  /** Another connection uses the client's session. */
  TAKEN_OVER = 4503,
}
