// Links by plain HTTP: server-sent events, whose one response does not end, and long-polling, whose requests wait until
// there is something. The client's messages go by POST in both.
import { fromBase64, toBase64 } from "../base64";
import { sleep, timer } from "../timers";
import { eventStream } from "./event-stream";
import { ABNORMAL, type Dialling, type Link, type Query } from "./link";
import { insist, postQueue } from "./posts";

/** Milliseconds between two requests where nothing has come: a proxy may answer in the place of the server. */
const PAUSE = 1000;
/** Milliseconds for the answer to a POST. The server may take its time while the application is busy; a proxy that has
 * lost the request never answers. A poll that is not answered is a link without a sign of life. */
const ANSWER = 15_000;

/** Makes a link of one of the two transports. */
export const openFallback =
  (transport: "sse" | "long-poll") =>
  (to: Dialling): Link => {
    const abort = new AbortController();
    // The secret name of the link, once the welcome has come.
    let link: string | undefined;
    let closing: number;
    let isOver = false;
    let isDropped = false;
    let hasCome: boolean;

    const end: Dialling["_onEnd"] = (...why) => {
      if (isOver) return;
      isOver = true;
      abort.abort();
      if (!isDropped) to._onEnd(...why);
    };
    const refused = (answer?: Response) =>
      end(
        answer?.status == 413 ? 1009 : ABNORMAL,
        "the server answered " + answer?.status,
        answer?.status,
        retryAfter(answer?.headers.get("Retry-After")),
      );
    const request = (query: Query, more?: RequestInit) =>
      to._fetch.call(globalThis, to._url("http", query), {
        cache: "no-store",
        credentials: to._credentials,
        signal: abort.signal,
        headers: to._headers,
        ...more,
      });

    /** Reads the events of a response, up to its end or to where it was cut. */
    const consume = async (response: Response) => {
      const decoder = new TextDecoder();
      const read = eventStream((data, name) => {
        if (isOver) return;
        hasCome = true;
        if (name == "close") {
          const { code, reason } = JSON.parse(data);
          return end(code, reason);
        }
        const frame = name == "binary" ? fromBase64(data) : data;
        link ??= (to._codec.decode(frame) as any).payload.link;
        to._onFrame(frame);
      });
      const reader = response.body!.getReader();
      for (let piece; !(piece = await reader.read()).done; to._onBytes()) read(decoder.decode(piece.value, { stream: true }));
    };

    const run = async () => {
      let query: Query = { transport, protocol: to._codec.subprotocol, ...to._query };
      const open = () => request(query, to._token ? { headers: { ...to._headers, Authorization: "Bearer " + to._token } } : {});
      let response: Response | undefined = await open();
      // This connection could not carry a stream; the server has closed it.
      if (response.status == 421) response = await open();
      for (;;) {
        const began = Date.now();
        hasCome = false;
        if (response?.status == 200) {
          // What was cut in a poll comes again with the next.
          await consume(response).catch((error) => transport == "sse" && end(ABNORMAL, "" + error));
        } else if (response?.status != 204) return refused(response);
        if (isOver || !link || transport == "sse") return end(ABNORMAL, "the stream has ended");
        if (!hasCome && Date.now() - began < PAUSE) await sleep(PAUSE);
        query = { link, received: await to._received() };
        response = await insist(() => request(query));
      }
    };
    run().catch((error) => end(ABNORMAL, "" + (error.cause ?? error)));

    const push = postQueue(async (number, lines) => {
      // No message is empty: an empty line is the close.
      const body = lines.replace(/\n?$/, "");
      const isClose = lines != body || !body;
      const query: Query = { link: link!, number };
      if (isClose) query.close = closing;
      // The page may be going. Browsers let requests of 64 KiB outlive it, and refuse larger ones.
      const { signal } = abort;
      const one = new AbortController();
      const giveUp = () => one.abort();
      const stop = timer(ANSWER, giveUp);
      signal.addEventListener("abort", giveUp, { signal: one.signal });
      if (isOver) giveUp();
      const more = { method: "POST", body, keepalive: isClose && body.length < 9999, signal: one.signal };
      const answer = await request(query, more).finally(() => {
        stop();
        // Nobody reads the rest, and the listener goes.
        giveUp();
      });
      if (isClose) end(closing, "");
      return answer;
    }, refused);
    const close = (code: number) => {
      closing = code;
      push("");
    };
    return {
      _send: (frame) => push(typeof frame == "string" ? frame : toBase64(frame)),
      _close: close,
      _drop(code) {
        isDropped = true;
        // With 4000 to 4499 the server keeps the session, as it does when the request just ends.
        if (link && (code < 4000 || code > 4499)) close(code);
        else end(code, "");
      },
    };
  };

/** Reads `Retry-After`, seconds or a date (RFC 9110 section 10.2.3), as milliseconds; null: there is none. */
export function retryAfter(text: string | null | undefined, now = Date.now()): number | null {
  const ms = text ? (+text * 1000 || Date.parse(text) - now) : NaN;
  return ms == ms ? Math.max(0, ms) : null;
}
