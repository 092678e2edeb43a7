// The arguments of `connect`, checked.
import { type Codec, json } from "./codec";
import { checkToken, type Token, tokenSource } from "./token";
import type { Query, Transport } from "./transport/link";

/** What `connect` takes. All of it is optional. */
export interface ClientOptions {
  /**
   * Identifies the client. A function is called before each attempt to connect, and when the token expires: the new token
   * replaces the old one, and the connection goes on. One call at a time; a call that fails is tried again. A string
   * cannot be renewed: the client ends with the code 4501 when it has expired. Default: none.
   */
  token?: Token;
  /** What may be used, the best first. Default: `["websocket", "sse", "long-poll"]`, as far as the platform has them. */
  transports?: Transport[];
  /** The encoding. Default: JSON. `msgpack` of `fanwire/msgpack` is the other one. */
  codec?: Codec;
  /** Attempts to connect that fail in a row before the client gives up; null: it never does. A session that opens ends
   * the row. Default: 20. */
  maxAttempts?: number | null;
  /** The same for the first connection. Default: as `maxAttempts`. */
  firstAttempts?: number | null;
  /** Milliseconds between two attempts at most; what the server asks for may be more. Each delay is random, up to a bound
   * that begins with 1 second and doubles with each attempt that fails. Default: 60,000. */
  maxDelay?: number;
  /** Milliseconds without data until the client asks for a sign of life, and again as many until the connection counts
   * as lost. Default: null, as the server says. */
  heartbeat?: number | null;
  /** Messages that may wait for the application in each room. Default: 16,384. */
  maxQueue?: number;
  /** Milliseconds for an attempt to connect, and for a call of `token`. Default: 10,000. */
  openTimeout?: number;
  /** Milliseconds for the server's answer to a close. Default: 5,000. */
  closeTimeout?: number;
  /** Whether a page that is loaded again goes on with its session, unless it held a pattern or a room that the server had
   * joined. Default: false. */
  resumeOnReload?: boolean;
  /** Cookies of SSE and long-polling, as in `fetch`. Default: "same-origin". */
  credentials?: RequestCredentials;
  /** More headers: of SSE and long-polling, and of WebSockets of the package `ws`. Default: none. */
  headers?: Record<string, string>;
  /** The class for WebSockets, such as that of the package `ws`. Default: the platform's. */
  WebSocket?: new (url: string, protocols?: any, ...more: any[]) => any;
  /** Default: the platform's. */
  fetch?: typeof fetch;
  /** Closes the client. */
  signal?: AbortSignal;
}

const ALL: Transport[] = ["websocket", "sse", "long-poll"];

/** The checked arguments. */
export interface Settings {
  /** Where it is remembered which transport works; a host and its port. */
  _host: string;
  /** The URL for a scheme, with more fields in its query. */
  _url(scheme: "ws" | "http", query: Query): string;
  _transports: Transport[];
  _codec: Codec;
  _fetchToken: () => Promise<string | undefined>;
  _isRenewable: boolean;
  _openTimeout: number;
  _headers: Record<string, string> | undefined;
  _credentials: RequestCredentials | undefined;
  _WebSocket: ClientOptions["WebSocket"];
  _fetch: typeof fetch;
}

/** @throws TypeError: the URL, a transport or the token cannot be used. */
export function settingsOf(url: string | URL | undefined, options: ClientOptions): Settings {
  const { token, openTimeout = 10_000, WebSocket: _WebSocket = globalThis.WebSocket } = options;
  const base = url ? new URL(url, globalThis.location?.href) : new URL(".", import.meta.url);
  const scheme = /^(http|ws)(s?):/.exec(base.protocol);
  const _transports = (options.transports ?? ALL).filter(
    (transport) => _WebSocket || transport != "websocket",
  );
  if (!scheme || base.username || base.password || base.hash) {
    throw new TypeError(`url must be ws, wss, http or https, without user and fragment, got ${base}`);
  }
  if (!_transports[0] || _transports.some((transport) => !ALL.includes(transport))) {
    throw new TypeError(`transports must be of ${ALL}; websocket needs the option WebSocket where the platform has none`);
  }
  const _isRenewable = typeof token == "function";
  if (token && !_isRenewable) checkToken(token);
  return {
    _host: base.host,
    _url(name, query) {
      const full = new URL(base);
      full.protocol = name + scheme[2];
      for (const field in query) full.searchParams.set(field, query[field] as string);
      return full.href;
    },
    _transports,
    _codec: options.codec ?? json,
    _fetchToken: tokenSource(token, openTimeout),
    _isRenewable,
    _openTimeout: openTimeout,
    _headers: options.headers,
    _credentials: options.credentials,
    _WebSocket,
    _fetch: options.fetch ?? fetch,
  };
}
