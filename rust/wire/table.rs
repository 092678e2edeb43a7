//! The words and numbers of the protocol. Made from protocol/protocol.toml by `make protocol`: change that file.

/// Types of messages.
pub mod kind {
    /// The client wants to be a member; with `*` in `room`, of all rooms that match: then there is a `joined` for each,
    /// and a `reply`.
    pub const JOIN: &str = "join";
    /// The client does not want to be a member any more.
    pub const LEAVE: &str = "leave";
    /// Changes what the client gets of a room that it is in; absent fields stay as they are.
    pub const CONFIGURE: &str = "configure";
    /// A message to all members of a room; `key` only in a room of latest values.
    pub const PUBLISH: &str = "publish";
    /// An input for the application's loop.
    pub const INPUT: &str = "input";
    /// Who is in the room.
    pub const PRESENCE: &str = "presence";
    /// The messages that the room keeps, a page at a time.
    pub const HISTORY: &str = "history";
    /// A published or sent message; without `room` and `seq` it is to this client alone.
    pub const MESSAGE: &str = "message";
    /// The client has processed a message that had `ack`.
    pub const ACK: &str = "ack";
    /// A new token in place of the old one.
    pub const TOKEN: &str = "token";
    /// The server has received so many messages.
    pub const RECEIVED: &str = "received";
    /// Sent every `heartbeat_ms`, unless that is 0.
    pub const PING: &str = "ping";
    /// The answer to `ping`, with `ts`; or a sign of life, without it.
    pub const PONG: &str = "pong";
    /// The first message of each connection.
    pub const WELCOME: &str = "welcome";
    /// The client is a member; `re` if it asked for it.
    pub const JOINED: &str = "joined";
    /// The client is not a member any more, and no message of the room follows; `re` if it asked for it.
    pub const LEFT: &str = "left";
    /// The request was done; from the client says what it has.
    pub const REPLY: &str = "reply";
    /// The request was not done; `re` and `room` if they are known.
    pub const ERROR: &str = "error";
    /// Messages that this client does not get.
    pub const SKIPPED: &str = "skipped";
    /// The key has no value any more.
    pub const FORGOTTEN: &str = "forgotten";
    /// A member joined, in a room with presence.
    pub const MEMBER_JOINED: &str = "member_joined";
    /// A member left, in a room with presence.
    pub const MEMBER_LEFT: &str = "member_left";
    /// A close frame follows; with code 4000 the client closes instead.
    pub const CLOSING: &str = "closing";
    /// The client may show a new token.
    pub const TOKEN_EXPIRING: &str = "token_expiring";
    /// The client's identity has ended.
    pub const TOKEN_EXPIRED: &str = "token_expired";
    /// What the message `seq` of the room, and those after it, include.
    pub const INPUTS: &str = "inputs";
    /// How much of the room may be under way.
    pub const WINDOW: &str = "window";
}

/// Types that neither side counts.
pub const UNCOUNTED: [&str; 5] = [kind::RECEIVED, kind::PING, kind::PONG, kind::WELCOME, kind::WINDOW];

/// Delivery classes.
pub mod delivery {
    /// Nothing is dropped; a client for which more waits than `connection_bytes` is closed with 4008, to come back.
    pub const RELIABLE: &str = "reliable";
    /// A newer message replaces the waiting one of its key.
    pub const LATEST: &str = "latest";
    /// Over the limit the oldest waiting message goes.
    pub const DROP_OLDEST: &str = "drop-oldest";
    /// Over the limit a new message is not queued.
    pub const DROP_NEWEST: &str = "drop-newest";
}

/// Delivery classes by their numbers between nodes, from 1.
pub const DELIVERIES: [&str; 4] = [delivery::RELIABLE, delivery::LATEST, delivery::DROP_OLDEST, delivery::DROP_NEWEST];

/// Reasons in the payload of `welcome`.
pub mod welcome_reason {
    /// It never existed, ended too long ago, or belongs to another identity; or what is kept of sessions cannot be
    /// read.
    pub const UNKNOWN: &str = "unknown";
    /// The grace period was over.
    pub const EXPIRED: &str = "expired";
    /// More waited for it than the limits allow, or sent messages are no longer kept.
    pub const OVERFLOW: &str = "overflow";
    /// One side had ended it.
    pub const CLOSED: &str = "closed";
    /// It uses the other of the two encodings, and still waits for a client of that encoding.
    pub const CODEC: &str = "codec";
    /// It was at another node of the cluster, which lets it go. `rooms` has its rooms, each with `epoch` and `seq` as
    /// far as they are known here.
    pub const OTHER_NODE: &str = "other node";
}

/// Reasons in the payload of `joined`.
pub mod joined_reason {
    /// `since` is of another numbering.
    pub const EPOCH: &str = "epoch";
    /// `since` is older than the history.
    pub const HISTORY: &str = "history";
    /// `since` is newer than the room.
    pub const POSITION: &str = "position";
    /// This client gets nothing from before it joined.
    pub const FORBIDDEN: &str = "forbidden";
    /// The client gets the state of the room instead, because `repair` of its join has asked for it.
    pub const SNAPSHOT: &str = "snapshot";
}

/// Reasons in the payload of `left`.
pub mod left_reason {
    /// The client may no longer be in the room, or the application's `on_join` has refused it.
    pub const FORBIDDEN: &str = "forbidden";
    /// The application has taken the client out of the room; a `left` without a reason and without `re` means the same.
    pub const REMOVED: &str = "removed";
    /// `authorize` failed when it was asked again; the client may join again.
    pub const INTERNAL: &str = "internal";
}

/// Reasons in the payload of `skipped`.
pub mod skipped_reason {
    /// Newer values of their keys have taken their places.
    pub const REPLACED: &str = "replaced";
    /// Dropped as the oldest that waited, because the queue was full.
    pub const OLDEST: &str = "oldest";
    /// Dropped when it came, because the queue was full.
    pub const NEWEST: &str = "newest";
    /// Dropped because more waited in all than `engine_bytes` allows.
    pub const BUDGET: &str = "budget";
    /// The publisher has excluded this client.
    pub const EXCLUDED: &str = "excluded";
    /// Lost on the way from another node; in rooms with holes not each number was a message.
    pub const BACKPLANE: &str = "backplane";
}

/// Codes in the payload of `error`.
pub mod error_code {
    /// A binary message to a JSON session, or the reverse.
    pub const BAD_ENCODING: &str = "bad_encoding";
    /// The message is not a valid document or envelope; `path` names the field.
    pub const BAD_MESSAGE: &str = "bad_message";
    /// Neither the protocol nor the application has the type.
    pub const UNKNOWN_TYPE: &str = "unknown_type";
    /// The payload does not match its type, or holds a value that is refused; `path` names the value.
    pub const INVALID_PAYLOAD: &str = "invalid_payload";
    /// The room's policy, or the application, does not allow it.
    pub const FORBIDDEN: &str = "forbidden";
    /// The token is refused, or belongs to another subject.
    pub const UNAUTHORIZED: &str = "unauthorized";
    /// The name of the room does not match `room_name`.
    pub const BAD_ROOM: &str = "bad_room";
    /// The client has reached its limit of rooms.
    pub const ROOM_LIMIT: &str = "room_limit";
    /// The client exceeds a rate; the message was not done, and may be sent again after `retry_after_ms`. A session
    /// that keeps exceeding it is closed with 1008; a client without one is only read more slowly.
    pub const RATE_LIMITED: &str = "rate_limited";
    /// The room has reached its limit of members.
    pub const ROOM_FULL: &str = "room_full";
    /// The client is not in the room.
    pub const NOT_JOINED: &str = "not_joined";
    /// A limit of the server is reached, or the application takes too long.
    pub const OVERLOADED: &str = "overloaded";
    /// The server cannot reach the room's history: the room was not joined, or it is not known whether the message was
    /// stored; the same message with the same `id` may be sent again.
    pub const UNAVAILABLE: &str = "unavailable";
    /// The application's handler failed. `retry` is true if `authorize` failed for a message of the protocol's own
    /// types: that may pass.
    pub const INTERNAL: &str = "internal";
}

/// Close codes.
pub mod close_code {
    /// Done.
    pub const NORMAL: u16 = 1000;
    /// The server stops, and `closing` has said when to come back; or a browser leaves the page.
    pub const GOING_AWAY: u16 = 1001;
    /// RFC 6455 was broken, or the server's envelopes cannot be right.
    pub const PROTOCOL_ERROR: u16 = 1002;
    /// A close frame without a code.
    pub const NO_CODE: u16 = 1005;
    /// No close frame.
    pub const ABNORMAL: u16 = 1006;
    /// A text message was not UTF-8.
    pub const INVALID_DATA: u16 = 1007;
    /// The client broke a rule of the application, kept exceeding its rates, or did not finish a message in time.
    pub const POLICY: u16 = 1008;
    /// A message was larger than `max_message`, or had too many fragments.
    pub const TOO_BIG: u16 = 1009;
    /// The server, or a handler of the application, failed.
    pub const INTERNAL_ERROR: u16 = 1011;
    /// A proxy, or another server on the way, restarts.
    pub const SERVICE_RESTART: u16 = 1012;
    /// The server has no memory for more, or the application asks the client to come back later.
    pub const TRY_AGAIN_LATER: u16 = 1013;
    /// A proxy cannot reach the server.
    pub const BAD_GATEWAY: u16 = 1014;
    /// Reconnect; the session continues, unless the application has closed the connection.
    pub const RECONNECT: u16 = 4000;
    /// More waited for the client than `connection_bytes` or `engine_bytes` allow; join again with `since`.
    pub const SLOW_CONSUMER: u16 = 4008;
    /// The client's token has expired, and the client showed no new one.
    pub const TOKEN_EXPIRED: u16 = 4501;
    /// The application has revoked the session or the user.
    pub const REVOKED: u16 = 4502;
    /// Another connection uses the client's session.
    pub const TAKEN_OVER: u16 = 4503;
}

/// Codes of an application with which the other side comes back.
pub const RECONNECT: std::ops::RangeInclusive<u16> = 4000..=4499;

/// Subprotocols by their codecs.
pub mod subprotocol {
    /// A session; each message is a text message with a JSON document.
    pub const JSON: &str = "fanwire.v1.json";
    /// A session; each message is a binary message with a MessagePack document.
    pub const MSGPACK: &str = "fanwire.v1.msgpack";
    /// Raw rooms: each message is one frame with the publisher's bytes, and there are no envelopes.
    pub const RAW: &str = "fanwire.v1.raw";
}

/// All of them.
pub const SUBPROTOCOLS: [&str; 3] = [subprotocol::JSON, subprotocol::MSGPACK, subprotocol::RAW];

/// Limits that no setting changes.
pub mod limit {
    /// A type; an application declares types of at most 64 bytes (characters).
    pub const TYPE_MAX: usize = 64;
    /// The id of a message (characters).
    pub const ID_MAX: usize = 64;
    /// The name of a room (bytes).
    pub const ROOM_MAX: usize = 255;
    /// A key that a client publishes with (characters).
    pub const KEY_MAX: usize = 255;
    /// The token of `token` (characters).
    pub const TOKEN_MAX: usize = 8192;
    /// A number of a message, or a count.
    pub const SEQ_MAX: u64 = 9_223_372_036_854_775_807;
    /// Rooms in `taken` of one report; others come with the next one.
    pub const TAKEN_ROOMS: usize = 1024;
    /// Rooms in `taken` for which a report counts as one; a report with more counts as one for every so many.
    pub const REPORT_ROOMS: usize = 16;
    /// Counted messages after which the server sends `received`.
    pub const REPORT_MESSAGES: usize = 32;
    /// Messages after which it sends `received` (bytes).
    pub const REPORT_BYTES: usize = 65_536;
    /// The window of a room at first (bytes).
    pub const INITIAL_WINDOW: usize = 16_384;
    /// `max_rate`: values of each key a second.
    pub const RATE_MAX: usize = 1000;
    /// Between two values of a key: `max_rate` is at least 0.01 (seconds).
    pub const RATE_INTERVAL_MAX: usize = 100;
    /// `max_bytes`: bytes of a room a second (bytes).
    pub const RATE_BYTES_MAX: usize = 1_000_000_000;
    /// Members in `joined`, and in one page of `presence`.
    pub const MEMBERS_LISTED: usize = 1000;
    /// The list of these members, about (bytes).
    pub const MEMBERS_BYTES: usize = 65_536;
    /// `info` of a member, as JSON (bytes).
    pub const INFO_MAX: usize = 4096;
    /// Ids of one identity whose publishes are not done twice.
    pub const IDS_REMEMBERED: usize = 1024;
    /// The `code` of an application's error (characters).
    pub const ERROR_CODE_MAX: usize = 64;
    /// The `text` of an application's error; the rest is cut off (characters).
    pub const ERROR_TEXT_MAX: usize = 1000;
}

#[cfg(test)]
mod tests;
