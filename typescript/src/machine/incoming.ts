// Handles the messages of a server in an open session. A message is checked before it has an effect.
import { Wait } from "./backoff";
import { learnTime } from "./clock";
import { act, answered, reject, resolve, say, send, tell, type Core } from "./core";
import { isLatest } from "./feeds";
import { processed, refused } from "./inputs";
import { member, messageOf, skipped } from "./membership";
import { cameOfPattern, patternAnswered } from "./patterns";
import { tokenExpires, tokenFailed, tokenWanted } from "./renewal";
import { setRates } from "./rates";
import { changed } from "./reports";
import { failed, goOn, ofRoom, onJoined, onLeft, onMessage, unreadable } from "./rooms";
import { acknowledged, takeBack } from "./session";
import { Unreadable, type Envelope } from "../codec";
import { RequestFailed } from "../errors";
import { check, milliseconds, seqOf, wrong } from "../fields";

type Handler = (core: Core, envelope: Envelope, now: number) => unknown;

const enum Limit {
  /** Ids remembered of messages to this client alone: a server sends again only what it has no `ack` for, and that is
   * bounded by what may wait for one connection. */
  RECEIPTS = 1024,
}

/** Remembers an id as the newest. */
export function note({ _receipts }: Core, id: string, isProcessed: boolean): void {
  _receipts.delete(id);
  _receipts.set(id, isProcessed);
  if (_receipts.size > Limit.RECEIPTS) _receipts.delete(_receipts.keys().next().value!);
}

const onToken: Handler = (core, { type }, now) => tokenWanted(core, now, type == "token_expired");

/** What follows for patterns from an answer about a room. */
const told =
  (handle: Handler): Handler =>
  (core, envelope, now) => {
    handle(core, envelope, now);
    cameOfPattern(core, envelope.room!);
  };

const HANDLERS: Record<string, Handler> = {
  // Names of objects' own methods are no types.
  __proto__: null as never,
  message(core, envelope, now) {
    const { id, ack, room, payload } = envelope;
    if (room !== undefined) return onMessage(core, envelope, now);
    if (payload instanceof Unreadable) return;
    const key = (ack && id) || "";
    const isProcessed = core._receipts.get(key);
    if (key) note(core, key, !!isProcessed);
    if (isProcessed == null) act(core, { type: "told", message: messageOf(core, envelope, null, null), ack: !!key });
    else if (isProcessed) say(core, { type: "ack", re: id });
  },
  forgotten: onMessage,
  joined: told(onJoined),
  left: told(onLeft),
  reply(core, envelope, now) {
    const { re, payload } = envelope;
    const request = core._requests.get(re ?? wrong("no re"));
    const { _kind: kind, _room } = request ?? {};
    if (kind?.[0] == "*" && !(payload instanceof Unreadable)) return patternAnswered(core, re!, _room!, payload);
    // Checked first: another message must not count as the answer.
    const value = kind == "publish" ? seqOf(envelope) : payload;
    if (!answered(core, re)) return;
    if (kind == "token") {
      const lifetime = milliseconds((check(payload, {}) as any).expires_in_ms);
      core._tokenKey = null;
      core._isTokenLate = false;
      core._tokenFailures = 0;
      tokenExpires(core, now, lifetime);
    } else if (value instanceof Unreadable) reject(core, re!, unreadable(value));
    else if (kind == "configure") {
      const room = core._rooms.get(_room!);
      if (room) {
        setRates(room, payload);
        act(core, { type: "configured", room });
        // The newest values that match another filter are not here.
        room._lacksValue ||= isLatest(room) && (payload as { filter?: unknown } | null)?.filter !== undefined;
        goOn(core, room);
      }
      resolve(core, re!);
    } else resolve(core, re!, value);
  },
  error(core, envelope, now) {
    const { re, payload } = envelope;
    if (payload instanceof Unreadable) envelope.payload = { code: "unreadable", text: payload.why };
    const { code, text, retry, retry_after_ms, path, data } = check(envelope.payload, { code: "" }, { text: "", retry: false });
    const after = milliseconds(retry_after_ms, Wait.MAX_AFTER);
    const error = new RequestFailed(code, text, {
      ...{ retry, retryAfterMs: after, path: path == null ? null : `${path}`, data: data ?? null },
    });
    const request = answered(core, re);
    const kind = request?._kind;
    // Without a request the call was withdrawn.
    const isInput = !request && re && refused(core._rooms.get(envelope.room!)?._inputs, re);
    if (re === undefined || isInput || kind == "token") act(core, { type: "complained", error });
    // A message over the rate is refused before its turn. The server would do it if it came again.
    if (request) takeBack(core, request._own);
    if (kind == "token") tokenFailed(core, now, after);
    else if (request) failed(core, re!, request, error, now);
  },
  skipped: ofRoom((core, room, envelope) => {
    skipped(core, room, envelope);
    goOn(core, room);
  }),
  member_joined: ofRoom(member),
  member_left: ofRoom(member),
  token_expiring: onToken,
  token_expired: onToken,
  received: (core, envelope) => acknowledged(core, Math.max(core._base, check(envelope.payload, { count: 0 }).count)),
  ping(core, _, now) {
    send(core, { type: "pong" });
    tell(core, now);
  },
  pong: (core, { ts }, now) => ts !== undefined && learnTime(core, ts, now),
  inputs: ofRoom((_, room, envelope) => {
    const { number } = check(envelope.payload, { number: 0 });
    if (room._inputs) processed(room._inputs, number, seqOf(envelope));
  }),
  window(core, envelope, now) {
    const { bytes } = check(envelope.payload, { bytes: 0 });
    const room = core._rooms.get(envelope.room!);
    if (room?._queue) changed(core, room, bytes, now);
  },
  welcome: () => wrong("a second welcome"),
};

/** Handles one message. A message of an unknown type is ignored. */
export const handle: Handler = (core, envelope, now) => HANDLERS[envelope.type]?.(core, envelope, now);
