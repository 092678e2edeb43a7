// The package: what an application may use.
import { type Client, createClient } from "./client";
import type { ClientOptions } from "./options";

/**
 * Makes a client, which connects at once. When the connection is lost the client comes back by itself, joins its rooms
 * again and continues where it was.
 *
 * ```js
 * const client = connect("wss://example.org");
 * for await (const message of await client.join("prices")) console.log(message.data);
 * ```
 *
 * @param url ws, wss, http or https, with a path and a query; relative to the page. Default: the directory that this module
 *     was loaded from.
 * @throws TypeError: the URL, or an option, cannot be used.
 */
export const connect = (url?: string | URL, options?: ClientOptions): Client => createClient(url, options);

export type { CallOptions, Client, ClientEvents } from "./client";
export type { Codec, Envelope, Frame } from "./codec";
export { Closed, ConnectionFailed, FanwireError, RequestFailed, RoomEnded } from "./errors";
export type { ServerClock } from "./machine/clock";
export type { PendingInput } from "./machine/inputs";
export type { State } from "./machine/actions";
export type { History, HistoryOptions } from "./machine/history";
export type { Filter, Gap, Member, Message, Position, RoomRates, Skipped } from "./message";
export type { ClientOptions } from "./options";
export { RoomPattern, type PatternEvents } from "./pattern";
export { type Repair, Room, type RoomEvents } from "./room";
export type { MessageStream } from "./stream";
export type { Token } from "./token";
export type { Transport } from "./transport/link";
