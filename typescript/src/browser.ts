// The life of a page: networks that come and go, tabs in the background, sleep, the back/forward cache, reloading. What
// a platform does not have is left out.
import type { Driver } from "./driver";
import type { Saved } from "./machine/saved";

/** Milliseconds between two looks at the clock. */
const LOOK = 1000;
/** Milliseconds that such a look may be late. More means that the computer has slept, or that the page is in the
 * background, where timers ring once a minute. */
const LATE = 3000;
const LATE_HIDDEN = 90_000;

/** Uses a page's storage, which may be full or forbidden, or not there. */
export function stored<T>(name: "localStorage" | "sessionStorage", use: (storage: Storage) => T): T | undefined {
  try {
    return globalThis.document && use(globalThis[name]);
  } catch {
    return;
  }
}

/** Takes the session that the page before has left; undefined: there is none. */
export const restore = (key: string): Saved | undefined =>
  stored("sessionStorage", (storage) => {
    const saved = storage[key];
    delete storage[key];
    return saved && JSON.parse(saved);
  });

/**
 * Tells the driver what happens to the page.
 * @param key where to leave the session when the page goes; "": nowhere. It lies there only until the next page begins, so
 *     a tab that is duplicated has none.
 * @param snapshot returns the session.
 * @returns the function that ends it.
 */
export function watchPage(driver: Driver, key: string, snapshot: () => Saved | null): () => void {
  const { document, addEventListener } = globalThis as Partial<typeof globalThis>;
  const abort = new AbortController();
  const { signal } = abort;
  const on = (target: EventTarget, name: string, listener: () => void) => target.addEventListener(name, listener, { signal });
  const goes = () => {
    const saved = key && snapshot();
    if (saved) stored("sessionStorage", (storage) => (storage[key] = JSON.stringify(saved)));
    driver._suspend(true);
  };
  const comes = () => {
    stored("sessionStorage", (storage) => delete storage[key]);
    driver._suspend(false);
  };
  if (addEventListener) on(globalThis as any, "online", () => driver._wake(true));
  if (document) {
    on(globalThis as any, "pagehide", goes);
    on(document, "freeze", goes);
    on(globalThis as any, "pageshow", comes);
    on(document, "resume", comes);
    on(document, "visibilitychange", () => document.hidden || driver._wake());
    let last = Date.now();
    const look = setInterval(() => {
      const late = -last + (last = Date.now());
      if (late > LOOK + (document.hidden ? LATE_HIDDEN : LATE)) driver._wake();
    }, LOOK);
    signal.onabort = () => clearInterval(look);
  }
  return () => abort.abort();
}
