// Time: the clock, timers that are not fooled by a page that was put aside, turns of the event loop, and waits that end.

/** Milliseconds of a clock that never goes back. */
export const now = (): number => performance.now();

/** Waits. */
export const sleep = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));

/** Milliseconds that a timer may be late before what has come meanwhile is looked at first. */
const LATE = 250;
/** Milliseconds for looking: messages that wait in the event loop need a few turns of it. */
const LOOK = 50;
/** What fits into the number of a timer; a token may be valid for longer. */
const LONGEST = 2 ** 31 - 1;

/**
 * Calls a function later. If the timer is late, because the page was in the background or the program was busy, what
 * has come meanwhile is handled before. Returns the function that cancels it.
 */
export function timer(ms: number, callback: () => void): () => void {
  const due = now() + ms;
  let id = setTimeout(() => {
    if (now() - due > LATE) id = setTimeout(callback, LOOK);
    else callback();
  }, Math.min(ms, LONGEST));
  return () => clearTimeout(id);
}

/** Lets the event loop do other work. Not by a timer: those of a page in the background wait for seconds. */
export const turn = () =>
  new Promise<void>((done) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      done();
    };
    port2.postMessage(0);
  });

/** A promise that is not waited for after the signal: then it fails with the signal's reason. */
export const abortable = <T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> =>
  signal
    ? new Promise((done, fail) => {
        const stop = () => fail(signal.reason);
        if (signal.aborted) stop();
        signal.addEventListener("abort", stop);
        promise.then(done, fail).then(() => signal.removeEventListener("abort", stop));
      })
    : promise;
