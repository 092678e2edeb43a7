// The application's token: a text, or a function that is called for each attempt to connect.
import { abortable } from "./timers";

export type Token = string | (() => string | Promise<string>);

/**
 * Returns a function that returns the token of the next request; undefined: there is none.
 * @param timeout milliseconds that a function of the application may take.
 */
export function tokenSource(token: Token | undefined, timeout: number): () => Promise<string | undefined> {
  let last: Promise<string | undefined> = Promise.resolve(undefined);
  // One call at a time: what a token is refreshed with is often valid for one call.
  return () =>
    (last = last
      .catch(() => {})
      .then(async () =>
        typeof token == "function"
          ? checkToken(await abortable((async () => token())(), AbortSignal.timeout(timeout)))
          : token,
      ));
}

/** @throws TypeError: it cannot be sent. */
export function checkToken(token: unknown): string {
  if (typeof token != "string" || !/^[!-~]+$/.test(token)) throw new TypeError("token must be printable ASCII without spaces");
  return token;
}
